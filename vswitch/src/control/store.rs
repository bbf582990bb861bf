//! What must survive the daemon: one file in the data directory.
//!
//! redb: a pure Rust B-tree with atomic, durable transactions in a single file, and no
//! background thread. SQLite would bring a C library, sled and LMDB several files.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::migrate;

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");

/// The layout this version writes. A higher one in the file is refused, a lower one converted.
pub const SCHEMA: u32 = 2;

/// Bytes of the file that are kept in memory.
const CACHE: usize = 1 << 20;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later version of this program wrote the file.
    #[error(
        "the data directory was written by a newer vswitch (its schema is {found}, this one knows {SCHEMA}): \
         use that version, or another --data-dir"
    )]
    Newer {
        /// The schema in the file.
        found: String,
    },
    /// The file cannot be read or written.
    #[error("the store failed: {0}")]
    Database(Box<redb::Error>),
    /// An object cannot be read as what it should be.
    #[error("{key} in the store cannot be read: {error}")]
    Object {
        /// Which.
        key: String,
        /// Why.
        error: serde_json::Error,
    },
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(e: E) -> Self {
        Self::Database(Box::new(e.into()))
    }
}

/// The embedded store: JSON objects under keys like `container/ID`.
pub struct Store {
    path: PathBuf,
    /// Closed after an I/O error, a full disk for one: redb refuses everything from then on.
    /// The next call opens it again, which also repairs what was left half written.
    db: Mutex<Option<Database>>,
}

impl Store {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// [`StoreError::Newer`] and everything a disk can do.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.try_exists()? {
            Self::make(path)?;
        }
        let db = Mutex::new(Some(Self::open_database(path)?));
        Ok(Self { path: path.to_owned(), db })
    }

    /// Makes the file, whole or not at all: one that is half made cannot be opened.
    fn make(path: &Path) -> Result<(), StoreError> {
        let new = path.with_extension("new");
        match std::fs::remove_file(&new) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        drop(Self::set_up(Database::builder().set_cache_size(CACHE).create(&new)?)?);
        std::fs::rename(&new, path)?;
        let dir = path.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new("."));
        std::fs::File::open(dir)?.sync_all()?;
        Ok(())
    }

    fn open_database(path: &Path) -> Result<Database, StoreError> {
        Self::set_up(Database::builder().set_cache_size(CACHE).open(path)?)
    }

    /// Sees to the layout.
    fn set_up(db: Database) -> Result<Database, StoreError> {
        let write = db.begin_write()?;
        {
            let mut meta = write.open_table(META)?;
            let found = meta.get("schema")?.map(|v| v.value().to_owned());
            let schema = match found {
                None => SCHEMA,
                Some(text) => match text.parse::<u32>() {
                    Ok(n) if n <= SCHEMA => n,
                    _ => return Err(StoreError::Newer { found: text }),
                },
            };
            meta.insert("schema", SCHEMA.to_string().as_str())?;
            let mut objects = write.open_table(OBJECTS)?;
            if schema < SCHEMA {
                Self::convert(&mut objects)?;
            }
        }
        write.commit()?;
        Ok(db)
    }

    /// Brings the objects of an earlier schema to this one's, all or none.
    fn convert(objects: &mut redb::Table<'_, &str, &[u8]>) -> Result<(), StoreError> {
        let mut changed = Vec::new();
        for item in objects.iter()? {
            let (key, value) = item?;
            let key = key.value().to_owned();
            let old = serde_json::from_slice(value.value())
                .map_err(|error| StoreError::Object { key: key.clone(), error })?;
            changed.push((migrate::from_1(&key, old), key));
        }
        for (new, key) in changed {
            let bytes =
                serde_json::to_vec(&new).map_err(|error| StoreError::Object { key: key.clone(), error })?;
            objects.insert(key.as_str(), bytes.as_slice())?;
        }
        Ok(())
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut db = self.db.lock();
        let open = match db.take() {
            Some(open) => open,
            None => Self::open_database(&self.path)?,
        };
        let result = act(&open);
        let broken = matches!(&result, Err(StoreError::Database(e)) if matches!(**e, redb::Error::Io(_) | redb::Error::PreviousIo));
        *db = (!broken).then_some(open);
        result
    }

    /// Writes an object. It is on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; the object is as before then.
    pub fn put<T: Serialize>(&self, key: &str, object: &T) -> Result<(), StoreError> {
        let bytes =
            serde_json::to_vec(object).map_err(|error| StoreError::Object { key: key.to_owned(), error })?;
        self.with(|db| {
            let write = db.begin_write()?;
            write.open_table(OBJECTS)?.insert(key, bytes.as_slice())?;
            write.commit()?;
            Ok(())
        })
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.with(|db| {
            let write = db.begin_write()?;
            write.open_table(OBJECTS)?.remove(key)?;
            write.commit()?;
            Ok(())
        })
    }

    /// An object.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        self.with(|db| {
            let table = db.begin_read()?.open_table(OBJECTS)?;
            let Some(value) = table.get(key)? else { return Ok(None) };
            serde_json::from_slice(value.value())
                .map(Some)
                .map_err(|error| StoreError::Object { key: key.to_owned(), error })
        })
    }

    /// Every object whose key begins with `prefix`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn list<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<T>, StoreError> {
        self.with(|db| Self::list_in(db, prefix))
    }

    fn list_in<T: DeserializeOwned>(db: &Database, prefix: &str) -> Result<Vec<T>, StoreError> {
        let table = db.begin_read()?.open_table(OBJECTS)?;
        let mut all = Vec::new();
        for item in table.range(prefix..)? {
            let (key, value) = item?;
            if !key.value().starts_with(prefix) {
                break;
            }
            let object = serde_json::from_slice(value.value())
                .map_err(|error| StoreError::Object { key: key.value().to_owned(), error })?;
            all.push(object);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_survive_and_a_newer_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        {
            let store = Store::open(&path).unwrap();
            store.put("a/1", &"one").unwrap();
            store.put("a/2", &"two").unwrap();
            store.put("b/1", &"three").unwrap();
            store.remove("a/2").unwrap();
        }
        {
            let store = Store::open(&path).unwrap();
            assert_eq!(store.list::<String>("a/").unwrap(), ["one"]);
            assert_eq!(store.get::<String>("b/1").unwrap().as_deref(), Some("three"));
            let write = store.db.lock().as_ref().unwrap().begin_write().unwrap();
            write.open_table(META).unwrap().insert("schema", "3").unwrap();
            write.commit().unwrap();
        }
        assert!(matches!(Store::open(&path), Err(StoreError::Newer { .. })));
    }

    #[test]
    fn a_file_that_was_half_made_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.redb");
        std::fs::write(dir.path().join("db.new"), [0; 4096]).unwrap();
        Store::open(&path).unwrap().put("a/1", &"one").unwrap();
        assert_eq!(Store::open(&path).unwrap().list::<String>("a/").unwrap(), ["one"]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_earlier_schema_is_converted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        {
            let store = Store::open(&path).unwrap();
            let network = serde_json::json!({"id": "ab", "name": "bridge", "created": 5, "subnet": "172.17.0.0/16",
                "gateway": "172.17.0.1", "mtu": 1500, "ageing": 60, "bridge_name": "docker0"});
            let container = serde_json::json!({"id": "cd", "name": "web", "created": 6,
                "origin": {"run": {"command": ["true"], "log": null}}, "auto_remove": false, "hostname": "cd",
                "labels": {}, "status": {"running": {"since": 7}}, "endpoint": {"id": "ef", "network": "bridge",
                "network_id": "ab", "address": "172.17.0.2", "prefix": 16, "gateway": "172.17.0.1",
                "mac": "02:42:ac:11:00:02", "interface": "eth0"}});
            store.put("network/ab", &network).unwrap();
            store.put("container/cd", &container).unwrap();
            let write = store.db.lock().as_ref().unwrap().begin_write().unwrap();
            write.open_table(META).unwrap().insert("schema", "1").unwrap();
            write.commit().unwrap();
        }
        let store = Store::open(&path).unwrap();
        let network = store.get::<crate::control::net::NetworkRecord>("network/ab").unwrap().unwrap();
        assert_eq!((network.ageing, network.created, network.driver.as_str()), (60, 5_000_000_000, "bridge"));
        let container = store.get::<crate::control::record::Container>("container/cd").unwrap().unwrap();
        assert!(container.is_running());
        assert_eq!(container.endpoints[0].addresses(), [std::net::IpAddr::from([172, 17, 0, 2])]);
    }

    /// Runs itself again in a mount namespace, on a file system of 3 MiB.
    #[test]
    fn a_disk_that_was_full_is_forgiven() {
        const NAME: &str = "control::store::tests::a_disk_that_was_full_is_forgiven";
        const SMALL_DISK: &str = "VSWITCH_TEST_SMALL_DISK";
        let Some(dir) = std::env::var_os(SMALL_DISK).map(PathBuf::from) else {
            let dir = tempfile::tempdir().unwrap();
            let script =
                format!("mount -t tmpfs -o size=3M none \"${SMALL_DISK}\" && exec \"$0\" --exact {NAME}");
            let run = std::process::Command::new("unshare")
                .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
                .arg(std::env::current_exe().unwrap())
                .env(SMALL_DISK, dir.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&run.stdout);
            assert!(run.status.success() && said.contains("1 passed"), "{run:?}");
            return;
        };
        let store = Store::open(&dir.join("db")).unwrap();
        store.put("a/1", &"one").unwrap();
        let filler = dir.join("filler");
        let _ = std::fs::write(&filler, vec![1; 16 << 20]);
        let refused = (0..200).find(|n| store.put(&format!("b/{n}"), &"x".repeat(20_000)).is_err());
        assert!(refused.is_some() && store.put("a/2", &"x".repeat(20_000)).is_err());
        std::fs::remove_file(filler).unwrap();
        store.put("a/2", &"two").unwrap();
        assert_eq!(store.list::<String>("a/").unwrap(), ["one", "two"]);
    }
}

//! What must survive the daemon: one file in the data directory.
//!
//! redb: a pure Rust B-tree with atomic, durable transactions in a single file, and no
//! background thread. SQLite would bring a C library, sled and LMDB several files.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");

/// The layout this version writes. A higher one in the file is refused, a lower one converted.
pub const SCHEMA: u32 = 1;

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
        let db = Mutex::new(Some(Self::open_database(path)?));
        Ok(Self { path: path.to_owned(), db })
    }

    fn open_database(path: &Path) -> Result<Database, StoreError> {
        let db = Database::builder().set_cache_size(CACHE).create(path)?;
        let write = db.begin_write()?;
        {
            let mut meta = write.open_table(META)?;
            let found = meta.get("schema")?.map(|v| v.value().to_owned());
            match found {
                Some(found) if found.parse::<u32>().is_ok_and(|n| n <= SCHEMA) => {}
                Some(found) => return Err(StoreError::Newer { found }),
                None => {
                    meta.insert("schema", SCHEMA.to_string().as_str())?;
                }
            }
            write.open_table(OBJECTS)?;
        }
        write.commit()?;
        Ok(db)
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
            write.open_table(META).unwrap().insert("schema", "2").unwrap();
            write.commit().unwrap();
        }
        assert!(matches!(Store::open(&path), Err(StoreError::Newer { .. })));
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

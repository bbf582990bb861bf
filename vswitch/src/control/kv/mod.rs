//! The store that hosts share: keys and values with versions, transactions, watches and leases.
//!
//! What is of one host alone, its containers and local networks, is in the embedded file of
//! [`store`](super::store) and needs none of this. [`Kv`] has no more than etcd gives, and what an
//! implementation cannot do at the moment is an error within [`PATIENCE`]: nobody waits for a
//! store that is silent.

pub mod address;
pub mod etcd;
pub mod memory;

#[cfg(test)]
mod contract;

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

pub use address::StoreAddress;
pub use etcd::Etcd;
pub use memory::Memory;

/// How long any call takes at most.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Why the store did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// Nobody answers.
    #[error("the store does not answer: {0}")]
    Unreachable(String),
    /// It answers that it will not.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// It answers something that makes no sense.
    #[error("the store says something unexpected: {0}")]
    Malformed(String),
    /// Changes since the revision a watch was to begin at are no longer known: list anew.
    #[error("the store has forgotten the changes since revision {0}")]
    Compacted(u64),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The revision of the store in which it was put.
    pub version: u64,
    /// The revision since which the key has been there without a break.
    pub created: u64,
}

/// All keys below a prefix at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// In ascending order of keys.
    pub entries: Vec<Entry>,
    /// The store's revision at that moment; a watch goes on after it.
    pub revision: u64,
}

/// A lease: keys put with it go when nobody has kept it for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease(pub i64);

/// What must be true for a transaction to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is no such key.
    Absent(String),
    /// There is such a key.
    Present(String),
    /// No key begins with this.
    NoneBelow(String),
    /// The key is as it was put in this revision.
    Version(String, u64),
    /// The key has this value.
    Value(String, Vec<u8>),
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Puts a key, for as long as the lease lasts if there is one.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
        /// Its lease.
        lease: Option<Lease>,
    },
    /// Removes a key, if it is there.
    Delete(String),
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All changes were made, in this revision.
    Done(u64),
    /// A condition was not true. Nothing was changed; these of the conditions' keys exist.
    Refused(Vec<Entry>),
}

/// A change that a watch has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key was put.
    Put(Entry),
    /// A key is gone since this revision.
    Deleted(String, u64),
}

/// Changes as they happen: those of one revision, or of a few, at a time. After an error, or its
/// end, nothing more comes.
pub type Watch = mpsc::Receiver<Result<Vec<Event>, KvError>>;

/// Most changes in one transaction, of which etcd allows 128 unless told otherwise.
pub const MAX_CHANGES: usize = 100;

/// A store that hosts share.
///
/// A transaction whose answer is lost may be carried out twice; whoever puts only keys that must be
/// absent finds its own value in [`Outcome::Refused`] then, and knows that it was the first.
pub trait Kv: Send + Sync {
    /// Every key that begins with `prefix`.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Snapshot, KvError>>;

    /// Makes all changes if all conditions are true, and none otherwise.
    fn commit<'a>(
        &'a self,
        when: &'a [Condition],
        then: &'a [Change],
    ) -> BoxFuture<'a, Result<Outcome, KvError>>;

    /// Tells of every change below `prefix` after the revision `after`. Ends when it is dropped.
    fn watch<'a>(&'a self, prefix: &'a str, after: u64) -> BoxFuture<'a, Result<Watch, KvError>>;

    /// Grants a lease of so many seconds.
    fn grant(&self, seconds: u32) -> BoxFuture<'_, Result<Lease, KvError>>;

    /// Renews a lease; `false` if it has ended.
    fn keep(&self, lease: Lease) -> BoxFuture<'_, Result<bool, KvError>>;

    /// Ends a lease, and with it its keys.
    fn revoke(&self, lease: Lease) -> BoxFuture<'_, Result<(), KvError>>;
}

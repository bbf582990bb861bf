//! Answers of servers, kept as long as they say, within a bound of memory.

use std::net::SocketAddr;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache as Map;
use tokio::time::Instant;

use super::response::Response;
use super::wire::{Query, flag};

/// What makes two queries the same: whoever answers one answers the other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// The servers that are asked, in their order.
    pub servers: Arc<[SocketAddr]>,
    /// Name, in small letters on the wire without the root.
    pub name: Box<[u8]>,
    /// Type.
    pub qtype: u16,
    /// Class.
    pub qclass: u16,
    /// The header's RD, AD and CD.
    pub flags: u16,
    /// Whether there is an OPT record, and if so whether DNSSEC's records are wanted.
    pub edns: Option<bool>,
}

impl Key {
    /// The key of a query to these servers.
    pub fn new(query: &Query<'_>, servers: Arc<[SocketAddr]>) -> Self {
        Self {
            servers,
            name: query.name.as_bytes().into(),
            qtype: query.qtype,
            qclass: query.qclass,
            flags: query.flags & (flag::RD | flag::AD | flag::CD),
            edns: query.edns.map(|e| e.dnssec_ok),
        }
    }
}

/// An answer, and when it came.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The answer.
    pub response: Arc<Response>,
    /// When it came.
    pub at: Instant,
}

impl Fetched {
    /// Whole seconds since it came.
    pub fn age(&self) -> u32 {
        self.at.elapsed().as_secs().try_into().unwrap_or(u32::MAX)
    }
}

#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<Arc<Key>, Fetched> for Weigh {
    fn weight(&self, key: &Arc<Key>, value: &Fetched) -> u64 {
        (size_of::<Key>() + key.name.len() + value.response.weight()) as u64
    }
}

/// Bytes one kept answer takes, about: by this the cache guesses how many there will be.
const USUAL: u64 = 512;

/// The answers that are kept.
#[derive(Debug)]
pub struct Cache(Map<Arc<Key>, Fetched, Weigh>);

impl Cache {
    /// A cache of `bytes` bytes.
    pub fn new(bytes: u64) -> Self {
        Self(Map::with_weighter((bytes / USUAL) as usize, bytes, Weigh))
    }

    /// The answer to this, unless its time is over.
    pub fn get(&self, key: &Key) -> Option<Fetched> {
        let found = self.0.get(key)?;
        if found.response.lifetime().is_some_and(|lifetime| found.age() < lifetime) {
            return Some(found);
        }
        self.0.remove(key);
        None
    }

    /// Keeps an answer, if it may be kept.
    pub fn put(&self, key: &Arc<Key>, fetched: &Fetched) {
        if fetched.response.lifetime().is_some() {
            self.0.insert(key.clone(), fetched.clone());
        }
    }

    /// How many answers are kept.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;

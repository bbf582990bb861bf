//! The forwarding table of one network: which port a station was last seen behind.
//!
//! Every worker reads it for every frame, so a look-up and the refresh of a known station take
//! no lock: a station is two atomic words, and two buckets of eight hold all that can match.
//! Only a station not seen before, a flush and the sweep take the writers' lock.

use std::sync::atomic::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use packet::MacAddr;
use parking_lot::Mutex;

/// A port's number within its network.
pub type PortNo = u16;

/// Stations a table holds unless told otherwise, as Linux' bridge documents for its peers.
pub const DEFAULT_LIMIT: usize = 8192;

/// Seconds a station is remembered without being heard (IEEE 802.1Q, table 8-6).
pub const DEFAULT_AGEING: u32 = 300;

/// Ports a network can have.
pub const MAX_PORTS: usize = 4096;

const WAYS: usize = 8;
const EMPTY: u64 = 0;
const OCCUPIED: u64 = 1 << 63;
const STATIC: u64 = 1 << 32;

/// A station: its address and the VLAN it was heard in (0 when untagged).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Station {
    /// The Ethernet address.
    pub mac: MacAddr,
    /// 12-bit VLAN identifier.
    pub vlan: u16,
}

impl Station {
    fn key(self) -> u64 {
        OCCUPIED | u64::from(self.vlan & 0xfff) << 48 | self.mac.to_u64()
    }

    fn from_key(key: u64) -> Self {
        Self { mac: MacAddr::from_u64(key), vlan: (key >> 48) as u16 & 0xfff }
    }
}

/// One line of the table, as it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Who.
    pub station: Station,
    /// Behind which port.
    pub port: PortNo,
    /// Set by hand or by configuration: it neither ages nor moves.
    pub is_static: bool,
    /// Seconds since it was last heard; 0 for a static entry.
    pub age: u32,
}

/// What learning a frame's source came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Learned {
    /// It was known behind this port.
    Known,
    /// It is new.
    New,
    /// It was known behind another port and has moved here.
    Moved,
    /// A static entry says otherwise; nothing was changed.
    Pinned,
    /// There is no room: the table, or this port's share of it, is full.
    Full,
}

/// Keys and values on neighbouring cache lines, which the processor fetches as a pair.
#[derive(Default)]
#[repr(align(128))]
struct Bucket {
    keys: [AtomicU64; WAYS],
    values: [AtomicU64; WAYS],
}

impl Bucket {
    /// Each place with its key and value.
    fn slots(&self) -> impl Iterator<Item = (&AtomicU64, &AtomicU64)> {
        self.keys.iter().zip(&self.values)
    }
}

/// port in bits 48..64, flags in 32..48, seconds of the last sighting in 0..32.
fn pack(port: PortNo, flags: u64, now: u32) -> u64 {
    u64::from(port) << 48 | flags | u64::from(now)
}

fn port_of(value: u64) -> PortNo {
    (value >> 48) as PortNo
}

/// The forwarding table.
pub struct Fdb {
    buckets: Box<[Bucket]>,
    /// Bucket count minus one; the count is a power of two.
    mask: usize,
    seed: u64,
    limit: usize,
    port_limit: AtomicUsize,
    ageing: AtomicU32,
    len: AtomicUsize,
    full: AtomicU64,
    moves: AtomicU64,
    evicted: AtomicU64,
    /// Learned stations of each port; written under the writers' lock.
    shares: Box<[AtomicU32]>,
    writer: Mutex<()>,
}

impl Fdb {
    /// An empty table for up to `limit` stations.
    pub fn new(limit: usize, ageing: u32) -> Self {
        let limit = limit.clamp(1, 1 << 20);
        // Half full at most, where two-choice buckets of eight practically never overflow.
        let buckets = (limit * 2).div_ceil(WAYS).next_power_of_two();
        Self {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            mask: buckets - 1,
            seed: random_seed(),
            limit,
            port_limit: AtomicUsize::new(limit),
            ageing: AtomicU32::new(ageing),
            len: AtomicUsize::new(0),
            full: AtomicU64::new(0),
            moves: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            shares: (0..MAX_PORTS).map(|_| AtomicU32::new(0)).collect(),
            writer: Mutex::new(()),
        }
    }

    /// The two buckets a key may be in. The seed keeps a sender from choosing addresses that
    /// all fall into the same ones.
    fn choices(&self, key: u64) -> [usize; 2] {
        // Folded multiplication, twice: the low bits of an address alone must not choose a bucket.
        let fold = |x: u64, k: u64| {
            let m = u128::from(x) * u128::from(k);
            m as u64 ^ (m >> 64) as u64
        };
        let h = fold(fold(key ^ self.seed, 0x9e37_79b9_7f4a_7c15) ^ self.seed, 0xa076_1d64_78bd_642f);
        [h as usize & self.mask, (h >> 32) as usize & self.mask]
    }

    fn find(&self, key: u64) -> Option<(&AtomicU64, &AtomicU64)> {
        for b in self.choices(key) {
            let Bucket { keys, values } = &self.buckets[b];
            for i in 0..WAYS {
                if keys[i].load(Acquire) == key {
                    return Some((&keys[i], &values[i]));
                }
            }
        }
        None
    }

    /// A worker reads its clock once a turn: another may have heard the station in a later second.
    fn fresh(&self, value: u64, now: u32) -> bool {
        value & STATIC != 0 || now.saturating_sub(value as u32) < self.ageing.load(Relaxed)
    }

    /// The port a station is behind. `now` is in seconds, on any clock that only goes forward.
    pub fn lookup(&self, station: Station, now: u32) -> Option<PortNo> {
        let key = station.key();
        let (slot, value) = self.find(key)?;
        let v = value.load(Acquire);
        // The slot may have been given to another station between the two loads.
        (slot.load(Relaxed) == key && self.fresh(v, now)).then(|| port_of(v))
    }

    /// Notes that `station` was heard on `port`.
    pub fn learn(&self, station: Station, port: PortNo, now: u32) -> Learned {
        let key = station.key();
        if let Some((_, value)) = self.find(key) {
            let v = value.load(Relaxed);
            if v & STATIC != 0 {
                return if port_of(v) == port { Learned::Known } else { Learned::Pinned };
            }
            if port_of(v) == port {
                if v as u32 != now {
                    // Lost against a concurrent move: the other sighting is as good as this one.
                    let _ = value.compare_exchange(v, pack(port, 0, now), Relaxed, Relaxed);
                }
                return Learned::Known;
            }
        } else if self.share_of(port) >= self.port_limit.load(Relaxed)
            || self.len() >= self.limit && self.share_of(port) > 0
        {
            self.full.fetch_add(1, Relaxed);
            return Learned::Full;
        }
        self.learn_slow(key, port, now)
    }

    #[cold]
    fn learn_slow(&self, key: u64, port: PortNo, now: u32) -> Learned {
        let _writing = self.writer.lock();
        if let Some((_, value)) = self.find(key) {
            let v = value.load(Relaxed);
            if v & STATIC != 0 || port_of(v) == port {
                return Learned::Known;
            }
            self.share_add(port_of(v), -1);
            self.share_add(port, 1);
            value.store(pack(port, 0, now), Release);
            self.moves.fetch_add(1, Relaxed);
            return Learned::Moved;
        }
        if self.len.load(Relaxed) >= self.limit && !self.make_room(port) {
            self.full.fetch_add(1, Relaxed);
            return Learned::Full;
        }
        if self.insert(key, pack(port, 0, now), now) {
            self.share_add(port, 1);
            Learned::New
        } else {
            self.full.fetch_add(1, Relaxed);
            Learned::Full
        }
    }

    /// A port without any station may take the place of one from the port that has most, so that
    /// a sender of made-up addresses cannot keep the others from being known.
    fn make_room(&self, port: PortNo) -> bool {
        self.share_of(port) == 0 && self.evict()
    }

    /// Forgets a learned station of the port that has most. Under the writers' lock.
    fn evict(&self) -> bool {
        let Some(victim) = self.largest_share() else { return false };
        for bucket in &self.buckets {
            for (slot, value) in bucket.slots() {
                let v = value.load(Relaxed);
                if slot.load(Relaxed) != EMPTY && v & STATIC == 0 && port_of(v) == victim {
                    self.clear(slot, v);
                    self.evicted.fetch_add(1, Relaxed);
                    return true;
                }
            }
        }
        false
    }

    fn share_of(&self, port: PortNo) -> usize {
        self.shares.get(usize::from(port)).map_or(usize::MAX, |n| n.load(Relaxed) as usize)
    }

    /// Under the writers' lock.
    fn share_add(&self, port: PortNo, by: i32) {
        if let Some(n) = self.shares.get(usize::from(port)) {
            n.store(n.load(Relaxed).saturating_add_signed(by), Relaxed);
        }
    }

    /// The port that holds most, if it holds more than the one station every port may have.
    fn largest_share(&self) -> Option<PortNo> {
        let (i, n) = self.shares.iter().map(|n| n.load(Relaxed)).enumerate().max_by_key(|&(_, n)| n)?;
        (n > 1).then_some(i as PortNo)
    }

    /// Under the writers' lock, `key` not present.
    fn insert(&self, key: u64, value: u64, now: u32) -> bool {
        let mut chosen: Option<(usize, usize, usize)> = None;
        // The emptier of the two buckets, so that neither overflows while the table is half full.
        for b in self.choices(key) {
            let mut vacant = 0;
            let mut first = WAYS;
            for i in 0..WAYS {
                if self.buckets[b].keys[i].load(Relaxed) == EMPTY
                    || !self.fresh(self.buckets[b].values[i].load(Relaxed), now)
                {
                    vacant += 1;
                    first = first.min(i);
                }
            }
            if vacant > chosen.map_or(0, |(n, ..)| n) {
                chosen = Some((vacant, b, first));
            }
        }
        let Some((_, b, i)) = chosen else { return false };
        let (slot, place) = (&self.buckets[b].keys[i], &self.buckets[b].values[i]);
        if slot.load(Relaxed) != EMPTY {
            self.clear(slot, place.load(Relaxed));
        }
        // Value first: whoever sees the key sees its value.
        place.store(value, Release);
        slot.store(key, Release);
        self.len.fetch_add(1, Relaxed);
        true
    }

    /// Under the writers' lock.
    fn clear(&self, slot: &AtomicU64, value: u64) {
        slot.store(EMPTY, Release);
        self.len.fetch_sub(1, Relaxed);
        if value & STATIC == 0 {
            self.share_add(port_of(value), -1);
        }
    }

    /// Pins `station` to `port`; it replaces what was learned. False if there is no room.
    pub fn set_static(&self, station: Station, port: PortNo, now: u32) -> bool {
        let _writing = self.writer.lock();
        let key = station.key();
        if let Some((_, value)) = self.find(key) {
            let v = value.load(Relaxed);
            if v & STATIC == 0 {
                self.share_add(port_of(v), -1);
            }
            value.store(pack(port, STATIC, 0), Release);
            return true;
        }
        // One that is known for certain comes before what was learned.
        (self.len() < self.limit || self.evict()) && self.insert(key, pack(port, STATIC, 0), now)
    }

    /// Forgets one station, static or not; true if it was there.
    pub fn remove(&self, station: Station) -> bool {
        let _writing = self.writer.lock();
        let Some((slot, value)) = self.find(station.key()) else { return false };
        self.clear(slot, value.load(Relaxed));
        true
    }

    /// Forgets what the predicate picks; returns how many. Reads the whole table.
    fn remove_where(&self, mut pick: impl FnMut(u64) -> bool) -> usize {
        let _writing = self.writer.lock();
        let mut removed = 0;
        for bucket in &self.buckets {
            for (slot, value) in bucket.slots() {
                if slot.load(Relaxed) != EMPTY {
                    let v = value.load(Relaxed);
                    if pick(v) {
                        self.clear(slot, v);
                        removed += 1;
                    }
                }
            }
        }
        removed
    }

    /// Forgets every learned station.
    pub fn flush(&self) -> usize {
        self.remove_where(|v| v & STATIC == 0)
    }

    /// Forgets every station behind `port`, static ones too.
    pub fn flush_port(&self, port: PortNo) -> usize {
        self.remove_where(|v| port_of(v) == port)
    }

    /// Takes aged entries out, so that they stop counting against the limit. Aged entries are
    /// never used, swept or not.
    pub fn sweep(&self, now: u32) -> usize {
        self.remove_where(|v| !self.fresh(v, now))
    }

    /// All entries that have not aged.
    pub fn entries(&self, now: u32) -> Vec<Entry> {
        let mut out = Vec::with_capacity(self.len());
        for bucket in &self.buckets {
            for (slot, value) in bucket.slots() {
                let key = slot.load(Acquire);
                let v = value.load(Acquire);
                if key != EMPTY && slot.load(Relaxed) == key && self.fresh(v, now) {
                    let is_static = v & STATIC != 0;
                    let age = if is_static { 0 } else { now.saturating_sub(v as u32) };
                    out.push(Entry { station: Station::from_key(key), port: port_of(v), is_static, age });
                }
            }
        }
        out
    }

    /// Entries in the table, aged ones that were not swept yet included.
    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// No entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most entries the table takes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Seconds after which a silent station is forgotten; 0 forgets at once.
    pub fn ageing(&self) -> u32 {
        self.ageing.load(Relaxed)
    }

    /// Sets [`Fdb::ageing`].
    pub fn set_ageing(&self, seconds: u32) {
        self.ageing.store(seconds, Relaxed);
    }

    /// The most stations one port may have; the whole table unless set.
    pub fn set_port_limit(&self, stations: usize) {
        self.port_limit.store(stations, Relaxed);
    }

    /// Times a new station found no room.
    pub fn full_count(&self) -> u64 {
        self.full.load(Relaxed)
    }

    /// Times a station moved from one port to another.
    pub fn move_count(&self) -> u64 {
        self.moves.load(Relaxed)
    }

    /// Times a station was forgotten to make room for the first one of another port, or for a static entry.
    pub fn evicted_count(&self) -> u64 {
        self.evicted.load(Relaxed)
    }
}

fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
#[path = "fdb_tests.rs"]
mod tests;

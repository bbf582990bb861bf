//! One VNI: who takes part in it, and behind whom a station lives.
//!
//! The control side pushes whole entries (address, IP addresses, VTEP), or frames teach them where
//! learning is on. Frames only read: no lock, and no cost that grows with the number of entries.
//! VTEPs are compared in canonical form, so that an IPv4 peer is the same one when it is written
//! as `::ffff:a.b.c.d`. The zone of a link-local IPv6 address is not part of an [`IpAddr`]: such
//! addresses cannot be peers where there is more than one interface.

use std::{
    collections::HashMap,
    net::IpAddr,
    slice,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use packet::MacAddr;
use parking_lot::Mutex;

use crate::{
    counters::Counters, drop_reason::DropReason, header::Vni, path::Path, send::Sender, table::Table,
};

/// Seconds a learned station is remembered without being heard, as a kernel VXLAN device does.
pub const DEFAULT_AGEING: u32 = 300;

/// Learned stations of a network unless told otherwise; pushed ones have no limit.
pub const DEFAULT_LIMIT: usize = 65_536;

/// Why an entry was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeerError {
    /// A VTEP needs an address of its own.
    #[error("{0} cannot be a peer: it is no unicast address")]
    NotUnicast(IpAddr),
    /// A station has a unicast address other than zero.
    #[error("{0} cannot be a station's address")]
    NotAStation(MacAddr),
    /// A station lives behind a peer of its VNI; add the peer first.
    #[error("{vtep} is no peer of VNI {vni}")]
    NoSuchPeer {
        /// The network.
        vni: Vni,
        /// The address that is no peer.
        vtep: IpAddr,
    },
}

/// A station on another host, as the control side knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remote {
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Its IP addresses: requests for them are answered here (ARP, neighbour discovery).
    pub addresses: Vec<IpAddr>,
    /// The peer it lives behind.
    pub vtep: IpAddr,
}

/// What is known of one station.
#[derive(Debug)]
struct Station {
    path: Arc<Path>,
    /// Pushed: it neither ages nor moves.
    pinned: bool,
    /// Second in which it was last heard.
    seen: AtomicU32,
    addresses: Box<[IpAddr]>,
}

/// The peers at one moment. Replaced as a whole.
#[derive(Default, Debug)]
struct Peers {
    /// In ascending order of addresses.
    paths: Vec<Arc<Path>>,
    by_address: HashMap<IpAddr, usize>,
}

impl Peers {
    fn from_paths(mut paths: Vec<Arc<Path>>) -> Self {
        paths.sort_by_key(|path| path.vtep());
        let by_address = paths.iter().enumerate().map(|(i, path)| (path.vtep(), i)).collect();
        Self { paths, by_address }
    }

    fn get(&self, vtep: IpAddr) -> Option<&Arc<Path>> {
        self.paths.get(*self.by_address.get(&vtep)?)
    }
}

/// How a network treats what it is not told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkConfig {
    /// Frames teach behind which peer their source lives.
    pub learning: bool,
    /// Seconds after which a learned station that is silent is forgotten.
    pub ageing: u32,
    /// Most stations that are learned.
    pub limit: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self { learning: false, ageing: DEFAULT_AGEING, limit: DEFAULT_LIMIT }
    }
}

/// The peers and stations of one VNI. Any thread may call anything.
pub struct Network {
    vni: Vni,
    learning: AtomicBool,
    ageing: AtomicU32,
    limit: usize,
    peers: ArcSwap<Peers>,
    stations: Table<MacAddr, Arc<Station>>,
    neighbours: Table<IpAddr, MacAddr>,
    learned: AtomicUsize,
    unlearned: AtomicUsize,
    drops: Counters<DropReason>,
    /// Held by whoever changes more than one of the tables.
    change: Mutex<()>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("vni", &self.vni)
            .field("peers", &self.peers.load().paths.len())
            .field("stations", &self.stations.len())
            .finish_non_exhaustive()
    }
}

impl Network {
    /// A network without peers.
    pub fn new(vni: Vni, config: &NetworkConfig) -> Self {
        Self {
            vni,
            learning: AtomicBool::new(config.learning),
            ageing: AtomicU32::new(config.ageing),
            limit: config.limit,
            peers: ArcSwap::default(),
            stations: Table::default(),
            neighbours: Table::default(),
            learned: AtomicUsize::new(0),
            unlearned: AtomicUsize::new(0),
            drops: Counters::default(),
            change: Mutex::new(()),
        }
    }

    /// The network's number.
    pub fn vni(&self) -> Vni {
        self.vni
    }

    /// Datagrams that named this network and went no further, by reason.
    pub fn drops(&self) -> &Counters<DropReason> {
        &self.drops
    }

    /// Frames teach behind which peer their source lives.
    pub fn learning(&self) -> bool {
        self.learning.load(Relaxed)
    }

    /// Makes `vtep` a peer; `Ok(false)` if it was. This host itself is no peer.
    ///
    /// # Errors
    /// [`PeerError::NotUnicast`] if the address is unspecified, multicast or broadcast.
    pub fn add_peer(&self, sender: &Sender, vtep: IpAddr) -> Result<bool, PeerError> {
        let vtep = check_unicast(vtep)?;
        let _changing = self.change.lock();
        let peers = self.peers.load();
        if peers.get(vtep).is_some() {
            return Ok(false);
        }
        let mut paths = peers.paths.clone();
        paths.push(sender.path(vtep));
        self.peers.store(Arc::new(Peers::from_paths(paths)));
        Ok(true)
    }

    /// Makes exactly `vteps` the peers, and forgets the stations behind those that no longer are.
    ///
    /// # Errors
    /// [`PeerError::NotUnicast`]; nothing was changed then.
    pub fn set_peers(
        &self,
        sender: &Sender,
        vteps: impl IntoIterator<Item = IpAddr>,
    ) -> Result<(), PeerError> {
        let mut wanted = vteps.into_iter().map(check_unicast).collect::<Result<Vec<_>, _>>()?;
        wanted.sort_unstable();
        wanted.dedup();
        let _changing = self.change.lock();
        let before = self.peers.load();
        let path = |vtep| before.get(vtep).cloned().unwrap_or_else(|| sender.path(vtep));
        self.peers.store(Arc::new(Peers::from_paths(wanted.into_iter().map(path).collect())));
        self.forget_strangers();
        Ok(())
    }

    /// Forgets the peer with all stations behind it; `false` if it was none.
    pub fn remove_peer(&self, vtep: IpAddr) -> bool {
        let vtep = vtep.to_canonical();
        let _changing = self.change.lock();
        let peers = self.peers.load();
        if peers.get(vtep).is_none() {
            return false;
        }
        let paths = peers.paths.iter().filter(|path| path.vtep() != vtep).cloned().collect();
        self.peers.store(Arc::new(Peers::from_paths(paths)));
        self.forget_strangers();
        true
    }

    /// Forgets stations behind those who are no peers. Under the lock of changes.
    fn forget_strangers(&self) {
        let peers = self.peers.load();
        let gone = self.stations.retain(|_, station| peers.get(station.path.vtep()).is_some());
        for (mac, station) in &gone {
            self.forgotten(*mac, station);
        }
    }

    /// Puts a station in its place, whatever was known of it before; the VTEP it was behind.
    ///
    /// # Errors
    /// [`PeerError::NotAStation`] for multicast or zero addresses, [`PeerError::NoSuchPeer`] if
    /// the VTEP is no peer. Nothing is changed then.
    pub fn set_remote(&self, remote: &Remote) -> Result<Option<IpAddr>, PeerError> {
        let Remote { mac, ref addresses, vtep } = *remote;
        if mac.is_multicast() || mac == MacAddr::ZERO {
            return Err(PeerError::NotAStation(mac));
        }
        let _changing = self.change.lock();
        let vtep = vtep.to_canonical();
        let path = self.peers.load().get(vtep).cloned();
        let path = path.ok_or(PeerError::NoSuchPeer { vni: self.vni, vtep })?;
        let addresses = addresses.iter().map(IpAddr::to_canonical).collect();
        let station = Arc::new(Station { path, pinned: true, seen: AtomicU32::new(0), addresses });
        let before = self.stations.insert(mac, station.clone());
        if let Some(before) = &before {
            self.forgotten(mac, before);
        }
        for address in &station.addresses {
            self.neighbours.insert(*address, mac);
        }
        Ok(before.map(|station| station.path.vtep()))
    }

    /// Forgets the station, and returns the VTEP it was behind.
    pub fn remove_remote(&self, mac: MacAddr) -> Option<IpAddr> {
        let _changing = self.change.lock();
        let before = self.stations.remove(&mac)?;
        self.forgotten(mac, &before);
        Some(before.path.vtep())
    }

    /// What follows from an entry's end. Under the lock of changes.
    fn forgotten(&self, mac: MacAddr, station: &Station) {
        if !station.pinned {
            self.learned.fetch_sub(1, Relaxed);
        }
        for address in &station.addresses {
            // Somebody else may have got the address since.
            self.neighbours.update(*address, |owner| owner.copied().filter(|owner| *owner != mac));
        }
    }

    /// Notes that `mac` was heard from `path` in the second `now`, where learning is on. What was
    /// pushed stays as it is.
    #[inline]
    pub fn learn(&self, mac: MacAddr, path: &Arc<Path>, now: u32) {
        if !self.learning() || mac.is_multicast() || mac == MacAddr::ZERO {
            return;
        }
        let known = self.stations.read(&mac, |station| {
            let same = Arc::ptr_eq(&station.path, path);
            if same && !station.pinned && station.seen.load(Relaxed) != now {
                station.seen.store(now, Relaxed);
            }
            same || station.pinned
        });
        if known != Some(true) {
            self.learn_slow(mac, path, now);
        }
    }

    #[cold]
    fn learn_slow(&self, mac: MacAddr, path: &Arc<Path>, now: u32) {
        let Some(_changing) = self.change.try_lock() else {
            // Its next frame will be learned. No frame waits for the control side.
            return;
        };
        if self.peers.load().get(path.vtep()).is_none() {
            return;
        }
        let known = self.stations.read(&mac, |station| station.pinned);
        if known.is_none() && self.learned.load(Relaxed) >= self.limit {
            self.unlearned.fetch_add(1, Relaxed);
            return;
        }
        if known == Some(true) {
            return;
        }
        let (path, seen) = (path.clone(), AtomicU32::new(now));
        self.stations.insert(mac, Arc::new(Station { path, pinned: false, seen, addresses: Box::default() }));
        if known.is_none() {
            self.learned.fetch_add(1, Relaxed);
        }
    }

    /// Forgets learned stations that have aged; how many. Aged ones are never used, swept or not.
    pub fn sweep(&self, now: u32) -> usize {
        let _changing = self.change.lock();
        let gone = self.stations.retain(|_, station| self.fresh(station, now));
        for (mac, station) in &gone {
            self.forgotten(*mac, station);
        }
        gone.len()
    }

    fn fresh(&self, station: &Station, now: u32) -> bool {
        station.pinned || now.saturating_sub(station.seen.load(Relaxed)) < self.ageing.load(Relaxed)
    }

    /// The VTEP that the station `mac` lives behind.
    #[inline]
    pub fn station(&self, mac: MacAddr, now: u32) -> Option<IpAddr> {
        self.stations.read(&mac, |station| self.fresh(station, now).then(|| station.path.vtep())).flatten()
    }

    /// A station with this address is known to live on another host.
    #[inline]
    pub fn reaches(&self, mac: MacAddr, now: u32) -> bool {
        self.stations.read(&mac, |station| self.fresh(station, now)) == Some(true)
    }

    /// The station that has the IP address `address`, of those pushed.
    pub fn neighbour(&self, address: IpAddr) -> Option<MacAddr> {
        self.neighbours.get(&address)
    }

    /// Hands to `send` the ways a frame for `destination` takes: the one of a known station, else,
    /// for broadcast, multicast and unknown unicast (RFC 7348, sections 4.2 and 4.1), those to
    /// every peer: head-end replication.
    #[inline]
    pub fn targets<T>(&self, destination: MacAddr, now: u32, mut send: impl FnMut(&[Arc<Path>]) -> T) -> T {
        if !destination.is_multicast() {
            let sent = self.stations.read(&destination, |station| {
                self.fresh(station, now).then(|| send(slice::from_ref(&station.path)))
            });
            if let Some(result) = sent.flatten() {
                return result;
            }
        }
        send(&self.peers.load().paths)
    }

    /// The way back to `source`, the outer address of a datagram of this network.
    ///
    /// # Errors
    /// [`DropReason::UnknownPeer`] if it is no peer.
    #[inline]
    pub fn check_source(&self, source: IpAddr) -> Result<Arc<Path>, DropReason> {
        self.peers.load().get(source.to_canonical()).cloned().ok_or(DropReason::UnknownPeer)
    }

    /// Every peer, in ascending order.
    pub fn peers(&self) -> Vec<IpAddr> {
        self.peers.load().paths.iter().map(|path| path.vtep()).collect()
    }

    /// The way to every peer.
    pub fn paths(&self) -> Vec<Arc<Path>> {
        self.peers.load().paths.clone()
    }

    /// The stations known in the second `now`, in no order, and whether each was pushed.
    pub fn stations(&self, now: u32) -> Vec<(Remote, bool)> {
        let all = self.stations.entries().into_iter();
        all.filter(|(_, station)| self.fresh(station, now))
            .map(|(mac, station)| {
                let addresses = station.addresses.to_vec();
                (Remote { mac, addresses, vtep: station.path.vtep() }, station.pinned)
            })
            .collect()
    }

    /// Stations that were learned and not forgotten yet.
    pub fn learned(&self) -> usize {
        self.learned.load(Relaxed)
    }

    /// Times a station could not be learned since there are as many as there may be.
    pub fn unlearned(&self) -> usize {
        self.unlearned.load(Relaxed)
    }
}

fn check_unicast(vtep: IpAddr) -> Result<IpAddr, PeerError> {
    let vtep = vtep.to_canonical();
    let broadcast = matches!(vtep, IpAddr::V4(v4) if v4.is_broadcast());
    if vtep.is_unspecified() || vtep.is_multicast() || broadcast {
        return Err(PeerError::NotUnicast(vtep));
    }
    Ok(vtep)
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;

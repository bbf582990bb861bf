//! The way to one peer: its address, and what the underlay between carries.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Weak,
        atomic::{
            AtomicBool, AtomicU32,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::{Duration, Instant},
};

use packet::wire::IpVersion;
use parking_lot::Mutex;
use socket2::SockAddr;

use crate::{
    counters::Counters,
    drop_reason::SendError,
    mtu::{OUTER_IPV4, OUTER_IPV6},
    socket::{Probe, version},
};

/// The MTU taken for the underlay's while the kernel has no route and so knows none: no limit of
/// its own, since the first datagram finds out.
const UNKNOWN_MTU: u32 = 65_535;

/// How long it is taken for granted that there is no way to a peer.
const WITHOUT_WAY: Duration = Duration::from_millis(100);

/// The way to one VTEP. Networks with a common peer share it.
#[derive(Debug)]
pub struct Path {
    vtep: IpAddr,
    probe: Option<Arc<Probe>>,
    to: SockAddr,
    mtu: AtomicU32,
    segmentation: AtomicBool,
    /// When the kernel last knew no way.
    missed: Mutex<Option<Instant>>,
    drops: Counters<SendError>,
}

impl Path {
    fn new(vtep: IpAddr, port: u16, probe: Option<Arc<Probe>>) -> Self {
        let to = SockAddr::from(SocketAddr::new(vtep, port));
        let path = Self {
            vtep,
            probe,
            to,
            mtu: AtomicU32::new(UNKNOWN_MTU),
            segmentation: AtomicBool::new(true),
            missed: Mutex::new(None),
            drops: Counters::default(),
        };
        path.refresh();
        path
    }

    /// The peer's address.
    pub fn vtep(&self) -> IpAddr {
        self.vtep
    }

    /// Which IP the underlay is.
    pub fn version(&self) -> IpVersion {
        version(self.vtep)
    }

    pub(crate) fn to(&self) -> &SockAddr {
        &self.to
    }

    /// The longest IP packet in bytes that the underlay is known to carry to the peer.
    pub fn mtu(&self) -> u32 {
        self.mtu.load(Relaxed)
    }

    pub(crate) fn set_mtu(&self, mtu: u32) {
        self.mtu.store(mtu, Relaxed);
    }

    /// Bytes of the longest inner frame, Ethernet header included, that fits into one datagram.
    pub fn room(&self) -> usize {
        let outer = if self.vtep.is_ipv4() { OUTER_IPV4 } else { OUTER_IPV6 };
        self.mtu().saturating_sub(outer) as usize
    }

    /// Asks the kernel what it knows of the path's MTU by now; `true` if that has changed. Sends
    /// nothing, but it takes some system calls, so it is no work for every frame.
    pub fn refresh(&self) -> bool {
        self.ask().1
    }

    /// The same; `false` if the kernel knows no way to the peer, or one that swallows or forbids what is
    /// sent to it (ip-route(8): `blackhole`, `prohibit`, `unreachable`). Asked for every datagram that such a
    /// route refuses, it looks ten times a second.
    pub(crate) fn find_route(&self) -> bool {
        let mut missed = self.missed.lock();
        if missed.is_some_and(|at| at.elapsed() < WITHOUT_WAY) {
            return false;
        }
        let (found, _) = self.ask();
        *missed = (!found).then(Instant::now);
        found
    }

    /// Whether there is a way, and whether its MTU has changed.
    fn ask(&self) -> (bool, bool) {
        let Some(probe) = &self.probe else { return (true, false) };
        probe.path_mtu(&self.to, |mtu| {
            let now = mtu.unwrap_or(UNKNOWN_MTU);
            (mtu.is_some(), self.mtu.swap(now, Relaxed) != now)
        })
    }

    /// The kernel cuts what is sent to this peer into datagrams (`UDP_SEGMENT`). Until it refuses.
    pub fn segmentation(&self) -> bool {
        self.segmentation.load(Acquire)
    }

    /// Allows or forbids that. A path begins with it allowed.
    pub fn set_segmentation(&self, on: bool) {
        self.segmentation.store(on, Release);
    }

    /// Datagrams for this peer that the kernel did not take, by reason.
    pub fn drops(&self) -> &Counters<SendError> {
        &self.drops
    }
}

/// All paths that somebody holds.
#[derive(Debug)]
pub(crate) struct Paths {
    port: u16,
    probe: Option<Arc<Probe>>,
    all: Mutex<HashMap<IpAddr, Weak<Path>>>,
}

impl Paths {
    pub(crate) fn new(port: u16, probe: Option<Probe>) -> Self {
        let probe = probe.map(Arc::new);
        Self { port, probe, all: Mutex::new(HashMap::new()) }
    }

    /// The path to `vtep`: one for all who ask while one of them holds it.
    pub(crate) fn get(&self, vtep: IpAddr) -> Arc<Path> {
        let vtep = vtep.to_canonical();
        let mut all = self.all.lock();
        if let Some(path) = all.get(&vtep).and_then(Weak::upgrade) {
            return path;
        }
        all.retain(|_, path| path.strong_count() > 0);
        let path = Arc::new(Path::new(vtep, self.port, self.probe.clone()));
        all.insert(vtep, Arc::downgrade(&path));
        path
    }

    pub(crate) fn all(&self) -> Vec<Arc<Path>> {
        self.all.lock().values().filter_map(Weak::upgrade).collect()
    }
}

//! Which network a received datagram is of, and where its frames go.

use std::{collections::HashMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{header::Vni, network::Network};

/// A network, and what its frames are handed to.
#[derive(Debug)]
pub struct Member<A> {
    /// The network.
    pub network: Arc<Network>,
    /// Whatever the caller wants to have beside every frame.
    pub to: A,
}

type Members<A> = HashMap<Vni, Arc<Member<A>>>;

/// The networks behind one set of sockets. Reading takes no lock.
pub struct Demux<A> {
    members: ArcSwap<Members<A>>,
    change: Mutex<()>,
}

impl<A> Default for Demux<A> {
    fn default() -> Self {
        Self { members: ArcSwap::default(), change: Mutex::new(()) }
    }
}

impl<A> fmt::Debug for Demux<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.members.load().keys()).finish()
    }
}

impl<A> Demux<A> {
    /// Makes `network` known; `false`, and nothing is changed, if its VNI is taken.
    pub fn add(&self, network: Arc<Network>, to: A) -> bool {
        let _changing = self.change.lock();
        let mut members = Members::clone(&self.members.load());
        let vni = network.vni();
        if members.contains_key(&vni) {
            return false;
        }
        members.insert(vni, Arc::new(Member { network, to }));
        self.members.store(Arc::new(members));
        true
    }

    /// Forgets the network `vni`. A batch that is being received may still bring frames of it.
    pub fn remove(&self, vni: Vni) -> Option<Arc<Member<A>>> {
        let _changing = self.change.lock();
        let mut members = Members::clone(&self.members.load());
        let removed = members.remove(&vni);
        self.members.store(Arc::new(members));
        removed
    }

    /// The network `vni`.
    #[inline]
    pub fn get(&self, vni: Vni) -> Option<Arc<Member<A>>> {
        self.members.load().get(&vni).cloned()
    }

    /// All networks, in no order.
    pub fn members(&self) -> Vec<Arc<Member<A>>> {
        self.members.load().values().cloned().collect()
    }
}

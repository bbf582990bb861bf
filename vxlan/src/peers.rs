//! Who takes part in a VNI, and behind whom a station lives.
//!
//! The control side programs the table; a frame only reads it. VTEPs are compared in canonical
//! form, so that an IPv4 peer is the same one when a dual-stack socket reports it as
//! `::ffff:a.b.c.d`. The zone of a link-local IPv6 address is not part of an [`IpAddr`]: such
//! addresses cannot tell two interfaces apart.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    slice,
};

use packet::MacAddr;

use crate::{drop_reason::DropReason, header::Vni};

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

/// One VNI. Every station's VTEP is in `vteps`.
#[derive(Debug, Default)]
struct Network {
    /// In ascending order, none twice.
    vteps: Vec<IpAddr>,
    stations: HashMap<MacAddr, IpAddr>,
}

/// The peers and stations of every VNI. Reading allocates nothing.
#[derive(Debug, Default)]
pub struct PeerTable {
    networks: HashMap<Vni, Network>,
}

impl PeerTable {
    /// A table without any VNI.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes `vni` known, without peers; `false` if it was. [`PeerTable::add_peer`] does it too.
    pub fn add_network(&mut self, vni: Vni) -> bool {
        match self.networks.entry(vni) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(Network::default());
                true
            }
        }
    }

    /// Forgets `vni` with its peers and stations; `false` if it was not known.
    pub fn remove_network(&mut self, vni: Vni) -> bool {
        self.networks.remove(&vni).is_some()
    }

    /// Makes `vtep` a peer of `vni`; `Ok(false)` if it was.
    ///
    /// # Errors
    /// [`PeerError::NotUnicast`] if the address is unspecified, multicast or broadcast.
    pub fn add_peer(&mut self, vni: Vni, vtep: IpAddr) -> Result<bool, PeerError> {
        let vtep = vtep.to_canonical();
        let broadcast = matches!(vtep, IpAddr::V4(v4) if v4.is_broadcast());
        if vtep.is_unspecified() || vtep.is_multicast() || broadcast {
            return Err(PeerError::NotUnicast(vtep));
        }
        let vteps = &mut self.networks.entry(vni).or_default().vteps;
        let Err(at) = vteps.binary_search(&vtep) else { return Ok(false) };
        vteps.insert(at, vtep);
        Ok(true)
    }

    /// Forgets the peer with all stations behind it; `false` if it was none. The VNI stays known.
    pub fn remove_peer(&mut self, vni: Vni, vtep: IpAddr) -> bool {
        let vtep = vtep.to_canonical();
        let Some(network) = self.networks.get_mut(&vni) else { return false };
        let Ok(at) = network.vteps.binary_search(&vtep) else { return false };
        network.vteps.remove(at);
        network.stations.retain(|_, behind| *behind != vtep);
        true
    }

    /// Puts the station `mac` behind `vtep`, and returns the VTEP it was behind before.
    ///
    /// # Errors
    /// [`PeerError::NotAStation`] for multicast or zero addresses, [`PeerError::NoSuchPeer`] if
    /// `vtep` is no peer of `vni`. The table is unchanged then.
    pub fn set_station(&mut self, vni: Vni, mac: MacAddr, vtep: IpAddr) -> Result<Option<IpAddr>, PeerError> {
        let vtep = vtep.to_canonical();
        if mac.is_multicast() || mac == MacAddr::ZERO {
            return Err(PeerError::NotAStation(mac));
        }
        match self.networks.get_mut(&vni) {
            Some(network) if network.vteps.binary_search(&vtep).is_ok() => {
                Ok(network.stations.insert(mac, vtep))
            }
            _ => Err(PeerError::NoSuchPeer { vni, vtep }),
        }
    }

    /// Forgets the station, and returns the VTEP it was behind.
    pub fn remove_station(&mut self, vni: Vni, mac: MacAddr) -> Option<IpAddr> {
        self.networks.get_mut(&vni)?.stations.remove(&mac)
    }

    /// The VTEP that the station `mac` lives behind.
    pub fn station(&self, vni: Vni, mac: MacAddr) -> Option<IpAddr> {
        self.networks.get(&vni)?.stations.get(&mac).copied()
    }

    /// Every peer of `vni` in ascending order: the list for head-end replication. Empty for an
    /// unknown VNI.
    pub fn peers(&self, vni: Vni) -> &[IpAddr] {
        self.networks.get(&vni).map_or(&[], |network| &network.vteps)
    }

    /// To whom a frame for `destination` is to be sent: to the one VTEP of a known station, else,
    /// for broadcast, multicast and unknown unicast (RFC 7348, sections 4.2 and 4.1), to every peer.
    #[inline]
    pub fn targets(&self, vni: Vni, destination: MacAddr) -> &[IpAddr] {
        let Some(network) = self.networks.get(&vni) else { return &[] };
        // A group address is never a key, so that a lookup of it misses.
        network.stations.get(&destination).map_or(&network.vteps, slice::from_ref)
    }

    /// A datagram of `vni` with the outer source address `source` may come in.
    ///
    /// # Errors
    /// [`DropReason::UnknownVni`], or [`DropReason::UnknownPeer`] if the address is no peer of it.
    #[inline]
    pub fn check_source(&self, vni: Vni, source: IpAddr) -> Result<(), DropReason> {
        let network = self.networks.get(&vni).ok_or(DropReason::UnknownVni)?;
        match network.vteps.binary_search(&source.to_canonical()) {
            Ok(_) => Ok(()),
            Err(_) => Err(DropReason::UnknownPeer),
        }
    }

    /// Known VNIs, in no order.
    pub fn networks(&self) -> impl Iterator<Item = Vni> {
        self.networks.keys().copied()
    }

    /// The stations of `vni` with their VTEPs, in no order.
    pub fn stations(&self, vni: Vni) -> impl Iterator<Item = (MacAddr, IpAddr)> {
        self.networks
            .get(&vni)
            .into_iter()
            .flat_map(|network| &network.stations)
            .map(|(mac, vtep)| (*mac, *vtep))
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;

//! The network as one connection's stack sees it.

use std::sync::Arc;

use packet::wire::{IpVersion, ethernet, ethertype};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::gateway::build::{self, Link};
use crate::gateway::pool::Buffer;
use crate::gateway::port::Shared;

/// One packet in, any number out: to the station that opened the connection.
pub(super) struct Wire {
    shared: Arc<Shared>,
    link: Link,
    version: IpVersion,
    mtu: usize,
    packet: Option<Buffer>,
}

impl Wire {
    pub(super) fn new(shared: Arc<Shared>, link: Link, version: IpVersion, mtu: usize) -> Self {
        Self { shared, link, version, mtu, packet: None }
    }

    /// Gives the stack its next packet.
    pub(super) fn put(&mut self, packet: Buffer) {
        self.packet = Some(packet);
    }
}

pub(super) struct Rx(Buffer);

pub(super) struct Tx<'a>(&'a Wire);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Wire { shared, link, version, .. } = self.0;
        let mut frame = shared.pool.zeroed(ethernet::HEADER_LEN + len);
        let ethertype = match version {
            IpVersion::V4 => ethertype::IPV4,
            IpVersion::V6 => ethertype::IPV6,
        };
        let result = f(build::ethernet(&mut frame, *link, ethertype).unwrap_or_default());
        shared.send(frame);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        Some((Rx(self.packet.take()?), Tx(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use super::{WireError, array_at, ethertype, need, put, u16_at};
use crate::mac::MacAddr;

/// Bytes of an ARP packet for IPv4 over Ethernet.
pub const PACKET_LEN: usize = 28;

/// The operation of a request.
pub const REQUEST: u16 = 1;
/// The operation of a reply.
pub const REPLY: u16 = 2;

/// Hardware type Ethernet, protocol type IPv4, and the lengths of their addresses.
const PREFIX: [u8; 6] = {
    let [p, q] = ethertype::IPV4.to_be_bytes();
    [0, 1, p, q, 6, 4]
};

mod field {
    pub(super) const PREFIX: usize = 0;
    pub(super) const OPERATION: usize = 6;
    pub(super) const SENDER_MAC: usize = 8;
    pub(super) const SENDER_IP: usize = 14;
    pub(super) const TARGET_MAC: usize = 18;
    pub(super) const TARGET_IP: usize = 24;
}

/// A view of an ARP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view of `buffer`, which may be longer than the packet (Ethernet pads it).
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 28 bytes, [`WireError::ForeignArp`] for other address types.
    pub fn new_checked(buffer: T) -> Result<Self, WireError> {
        let b = buffer.as_ref();
        need("ARP", PACKET_LEN, b.len())?;
        if array_at(b, field::PREFIX) != PREFIX {
            return Err(WireError::ForeignArp);
        }
        Ok(Self { buffer })
    }

    /// [`REQUEST`], [`REPLY`] or something rarer.
    pub fn operation(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::OPERATION)
    }

    /// The sender's Ethernet address.
    pub fn sender_mac(&self) -> MacAddr {
        MacAddr(array_at(self.buffer.as_ref(), field::SENDER_MAC))
    }

    /// The sender's IPv4 address; 0.0.0.0 in a probe (RFC 5227).
    pub fn sender_ip(&self) -> Ipv4Addr {
        array_at::<4>(self.buffer.as_ref(), field::SENDER_IP).into()
    }

    /// The target's Ethernet address; without meaning in a request.
    pub fn target_mac(&self) -> MacAddr {
        MacAddr(array_at(self.buffer.as_ref(), field::TARGET_MAC))
    }

    /// The target's IPv4 address.
    pub fn target_ip(&self) -> Ipv4Addr {
        array_at::<4>(self.buffer.as_ref(), field::TARGET_IP).into()
    }

    /// A request or reply for the sender's own address (RFC 5227, section 3).
    pub fn is_gratuitous(&self) -> bool {
        self.sender_ip() == self.target_ip()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Makes `buffer` an ARP packet: writes the address types, leaves the rest as it is.
    ///
    /// # Errors
    /// [`WireError::Truncated`] below 28 bytes.
    pub fn new_written(mut buffer: T) -> Result<Self, WireError> {
        need("ARP", PACKET_LEN, buffer.as_ref().len())?;
        put(buffer.as_mut(), field::PREFIX, PREFIX);
        Ok(Self { buffer })
    }

    /// Sets the operation.
    pub fn set_operation(&mut self, operation: u16) {
        put(self.buffer.as_mut(), field::OPERATION, operation.to_be_bytes());
    }

    /// Sets both of the sender's addresses.
    pub fn set_sender(&mut self, mac: MacAddr, ip: Ipv4Addr) {
        put(self.buffer.as_mut(), field::SENDER_MAC, mac.0);
        put(self.buffer.as_mut(), field::SENDER_IP, ip.octets());
    }

    /// Sets both of the target's addresses.
    pub fn set_target(&mut self, mac: MacAddr, ip: Ipv4Addr) {
        put(self.buffer.as_mut(), field::TARGET_MAC, mac.0);
        put(self.buffer.as_mut(), field::TARGET_IP, ip.octets());
    }
}

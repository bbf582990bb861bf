//! DHCP messages on the wire (RFC 2131, section 2).

use std::net::Ipv4Addr;

use packet::MacAddr;

use super::options::{DhcpOption, Options, Writer, code};
use super::server::Reply;
use crate::gateway::build::{get, put};

/// Bytes of the longest message sent: every client takes 576 bytes of IP packet.
pub(super) const MAX: usize = 576 - 20 - 8;
/// Bytes of the shortest: what BOOTP clients and some relays insist on (RFC 1542, section 2.1).
const MIN: usize = 300;

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: [u8; 2] = [1, 6];
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const BROADCAST_FLAG: u8 = 0x80;

mod field {
    pub(super) const OPERATION: usize = 0;
    pub(super) const HARDWARE: usize = 1;
    pub(super) const XID: usize = 4;
    pub(super) const FLAGS: usize = 10;
    pub(super) const CIADDR: usize = 12;
    pub(super) const YIADDR: usize = 16;
    pub(super) const GIADDR: usize = 24;
    pub(super) const CHADDR: usize = 28;
    pub(super) const SNAME: usize = 44;
    pub(super) const FILE: usize = 108;
    pub(super) const COOKIE: usize = 236;
    pub(super) const OPTIONS: usize = 240;
}

/// What a message is (RFC 2132, section 9.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Decline = 4,
    Ack = 5,
    Nak = 6,
    Release = 7,
    Inform = 8,
}

impl Kind {
    /// What a client may send.
    fn of_client(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Discover,
            3 => Self::Request,
            4 => Self::Decline,
            7 => Self::Release,
            8 => Self::Inform,
            _ => return None,
        })
    }
}

/// What a client says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request<'a> {
    pub(super) kind: Kind,
    pub(super) xid: [u8; 4],
    /// It cannot take unicast before it has an address.
    pub(super) broadcast: bool,
    /// The address it has and uses.
    pub(super) ciaddr: Ipv4Addr,
    /// The relay the message came through.
    pub(super) giaddr: Ipv4Addr,
    pub(super) chaddr: MacAddr,
    /// The address it wants.
    pub(super) requested: Option<Ipv4Addr>,
    /// The server it speaks to.
    pub(super) server: Option<Ipv4Addr>,
    /// Seconds it wants the lease for.
    pub(super) lease: Option<u32>,
    /// Its own identifier, given back in replies (RFC 6842).
    pub(super) client: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Reads the payload of a UDP datagram; `None` if it is no message of a client on Ethernet, or
    /// one of its options is malformed. Of an option that is there twice the first counts.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let options = message.get(field::OPTIONS..)?;
        let cookie: [u8; 4] = get(message, field::COOKIE)?;
        if get(message, field::OPERATION)? != [REQUEST]
            || get(message, field::HARDWARE)? != ETHERNET
            || cookie != COOKIE
        {
            return None;
        }
        let address = |at| get(message, at).map(|a: [u8; 4]| Ipv4Addr::from(a));
        let [flags] = get(message, field::FLAGS)?;
        let mut request = Self {
            kind: Kind::Discover,
            xid: get(message, field::XID)?,
            broadcast: flags & BROADCAST_FLAG != 0,
            ciaddr: address(field::CIADDR)?,
            giaddr: address(field::GIADDR)?,
            chaddr: MacAddr(get(message, field::CHADDR)?),
            requested: None,
            server: None,
            lease: None,
            client: None,
        };
        let (mut kind, mut overload) = (None, 0);
        for option in Options::new(options) {
            request.take(option.ok()?, &mut kind, &mut overload)?;
        }
        // RFC 2131, section 4.1: first the file field, then sname.
        for (bit, from, to) in [(1, field::FILE, field::COOKIE), (2, field::SNAME, field::FILE)] {
            if overload & bit != 0 {
                for option in Options::new(message.get(from..to)?) {
                    request.take(option.ok()?, &mut kind, &mut 0)?;
                }
            }
        }
        request.kind = kind?;
        Some(request)
    }

    fn take(&mut self, option: DhcpOption<'a>, kind: &mut Option<Kind>, overload: &mut u8) -> Option<()> {
        match option.code {
            code::KIND if kind.is_none() => *kind = Some(Kind::of_client(option.u8()?)?),
            code::OVERLOAD => *overload = option.u8().filter(|o| (1..=3).contains(o))?,
            code::REQUESTED_ADDRESS if self.requested.is_none() => self.requested = Some(option.address()?),
            code::SERVER if self.server.is_none() => self.server = Some(option.address()?),
            code::LEASE_TIME if self.lease.is_none() => self.lease = Some(option.u32()?),
            code::CLIENT if self.client.is_none() => self.client = Some(option.data),
            _ => {}
        }
        Some(())
    }
}

/// Writes the reply to `request` and returns its length. What matters most is written first; what
/// does not fit is left out.
pub(super) fn write(out: &mut [u8; MAX], request: &Request<'_>, reply: &Reply<'_>) -> Option<usize> {
    out.fill(0);
    put(out, field::OPERATION, [REPLY]);
    put(out, field::HARDWARE, ETHERNET);
    put(out, field::XID, request.xid);
    put(out, field::FLAGS, [if request.broadcast { BROADCAST_FLAG } else { 0 }]);
    put(out, field::CIADDR, reply.ciaddr.octets());
    put(out, field::YIADDR, reply.yiaddr.octets());
    put(out, field::CHADDR, request.chaddr.0);
    put(out, field::COOKIE, COOKIE);
    let mut options = Writer::new(out.get_mut(field::OPTIONS..)?);
    options.put(code::KIND, &[reply.kind as u8]);
    options.put(code::SERVER, &reply.server.octets());
    reply.write_options(&mut options);
    options.put(code::CLIENT, request.client.unwrap_or_default());
    if let Some(lease) = &reply.lease {
        lease.write_rest(&mut options);
    }
    Some((field::OPTIONS + options.end()).max(MIN))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;

//! What UDP and echoes have in common at their sockets: sending one message with whatever comes of
//! it, and telling containers of errors from outside.

use std::net::IpAddr;

use packet::wire::{icmpv4, icmpv6};
use rustix::io::Errno;

use super::{
    Inside,
    build::Route,
    core::{Core, Packet},
    fragments::{Head, write_quote},
    icmp_error::{self, Trouble, mtu_v4, mtu_v6},
};
use crate::{
    counters::Reason,
    session::Key,
    sys::{self, DatagramSocket, Message},
};

/// Errors taken from a socket before others have their turn.
const TROUBLES: usize = 64;
/// Bytes of an error's quote that are looked at.
pub(crate) const QUOTE: usize = 1280;

/// What a container is told when its datagram cannot be sent.
fn trouble_of(errno: Errno) -> Trouble {
    match errno {
        Errno::NETUNREACH | Errno::NETDOWN => Trouble::Network,
        Errno::ACCESS | Errno::PERM => Trouble::Prohibited,
        _ => Trouble::Host,
    }
}

/// Why a socket cannot be had.
pub(crate) fn reason_of(errno: Errno) -> Reason {
    match errno {
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC => Reason::Descriptors,
        Errno::ADDRINUSE | Errno::AGAIN => Reason::Ports,
        _ => Reason::Unreachable,
    }
}

/// The socket takes nothing now.
pub(crate) const fn is_full(errno: Errno) -> bool {
    matches!(errno, Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM)
}

/// Sends one datagram of a container, which is told if it cannot be sent. `troubles` takes what the
/// socket has to tell of earlier ones, and returns the path's MTU if that was too small for this
/// one.
pub(crate) fn send_one(
    core: &mut Core,
    socket: &DatagramSocket,
    message: &Message<'_>,
    packet: &Packet,
    quote: &[u8],
    out: &mut dyn Inside,
    mut troubles: impl FnMut(&mut Core, &mut dyn Inside) -> Option<u32>,
) -> Result<(), Reason> {
    let mut again = false;
    let errno = loop {
        match socket.send(std::slice::from_ref(message)) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(full) if is_full(full) => return Err(Reason::OutsideQueueFull),
            Err(errno) => {
                // It may be what an earlier one met with: that is told once, and then gone.
                let mtu = troubles(core, out);
                if errno == Errno::MSGSIZE && (mtu.is_some() || again) {
                    // What every path can take.
                    let mtu = mtu.unwrap_or(if packet.source.is_ipv6() { 1280 } else { 576 });
                    tell(core, packet, Trouble::TooBig(mtu), quote, out);
                    return Err(Reason::TooBig);
                }
                if again {
                    break errno;
                }
                again = true;
            }
        }
    };
    tell(core, packet, trouble_of(errno), quote, out);
    Err(Reason::Unreachable)
}

/// Tells a container what became of its packet.
pub(crate) fn tell(core: &mut Core, packet: &Packet, trouble: Trouble, quote: &[u8], out: &mut dyn Inside) {
    core.tell(packet.inside, trouble, packet.source, packet.destination, quote, out);
}

/// What a socket had to tell.
#[derive(Default)]
pub(crate) struct Told {
    /// The MTU in bytes of a path for which the host found a message too long.
    pub(crate) mtu: Option<u32>,
    /// There may be more.
    pub(crate) more: bool,
}

/// Takes what a socket has to tell of messages that were sent. Errors from outside, with the start
/// of the message that met with one, go to `pass`; they neither refresh a session nor end it (RFC
/// 5508, requirement 6; RFC 4787, requirement 12).
pub(crate) fn take_troubles(
    core: &mut Core,
    socket: &DatagramSocket,
    quote: &mut [u8],
    mut pass: impl FnMut(&mut Core, &sys::Trouble, &mut [u8]) -> Result<(), Reason>,
) -> Told {
    let mut told = Told::default();
    for _ in 0..TROUBLES {
        let trouble = match socket.next_trouble(quote) {
            Ok(trouble) => trouble,
            Err(Errno::INTR) => continue,
            Err(_) => return told,
        };
        if trouble.offender.is_none() {
            if trouble.too_big {
                told.mtu = Some(trouble.info);
            }
            continue;
        }
        let message = quote.get_mut(..trouble.len).unwrap_or(&mut []);
        if let Err(reason) = pass(core, &trouble, message) {
            core.counters.count(reason);
        }
    }
    told.more = true;
    told
}

/// What an ICMP error from outside is to a container, whose IP version may be another one.
/// `None` for what is not passed on (RFC 5508, section 7).
fn translate(from_v6: bool, to_v6: bool, trouble: &sys::Trouble) -> Option<Trouble> {
    let (kind, code, info) = (trouble.kind, trouble.code, trouble.info);
    if from_v6 != to_v6 {
        return across(from_v6, kind, code, info);
    }
    let word = if from_v6 {
        match kind {
            icmpv6::kind::UNREACHABLE | icmpv6::kind::TIME_EXCEEDED => 0,
            icmpv6::kind::PACKET_TOO_BIG => mtu_v6(info),
            icmpv6::kind::PARAMETER_PROBLEM => info,
            _ => return None,
        }
    } else {
        match (kind, code) {
            (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::FRAGMENTATION_NEEDED) => mtu_v4(info),
            (icmpv4::kind::UNREACHABLE | icmpv4::kind::TIME_EXCEEDED, _) => 0,
            (icmpv4::kind::PARAMETER_PROBLEM, _) => info << 24,
            _ => return None,
        }
    };
    Some(Trouble::Foreign(kind, code, word))
}

/// [`translate`] for a client of the other IP version than the container's (RFC 7915, sections 4.2
/// and 5.2).
fn across(from_v6: bool, kind: u8, code: u8, info: u32) -> Option<Trouble> {
    /// What an IPv6 header is longer than an IPv4 header.
    const DIFFERENCE: u32 = 20;
    if from_v6 {
        match (kind, code) {
            (icmpv6::kind::UNREACHABLE, icmpv6::unreachable::PORT) => Some(Trouble::Port),
            (icmpv6::kind::UNREACHABLE, icmpv6::unreachable::PROHIBITED) => Some(Trouble::Prohibited),
            (icmpv6::kind::UNREACHABLE, _) => Some(Trouble::Host),
            (icmpv6::kind::PACKET_TOO_BIG, _) => Some(Trouble::TooBig(info.saturating_sub(DIFFERENCE))),
            (icmpv6::kind::TIME_EXCEEDED, _) => Some(Trouble::HopsExhausted),
            _ => None,
        }
    } else {
        match (kind, code) {
            (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::PORT) => Some(Trouble::Port),
            (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::PROHIBITED) => Some(Trouble::Prohibited),
            (icmpv4::kind::UNREACHABLE, icmpv4::unreachable::FRAGMENTATION_NEEDED) => {
                Some(Trouble::TooBig(info.saturating_add(DIFFERENCE)))
            }
            (icmpv4::kind::UNREACHABLE, _) => Some(Trouble::Host),
            (icmpv4::kind::TIME_EXCEEDED, _) => Some(Trouble::HopsExhausted),
            _ => None,
        }
    }
}

/// Passes an error from outside on to the container whose packet met with it: the quoted packet is
/// the one that the container has sent (RFC 5508, requirement 4), with `transport` as its header
/// and data.
pub(crate) fn pass_error(
    core: &mut Core,
    key: &Key,
    protocol: u8,
    from_v6: bool,
    trouble: &sys::Trouble,
    transport: [&[u8]; 2],
    out: &mut dyn Inside,
) -> Result<(), Reason> {
    let to_v6 = key.local.ip.is_ipv6();
    let what = translate(from_v6, to_v6, trouble).ok_or(Reason::IcmpError)?;
    let offender = trouble.offender.ok_or(Reason::IcmpError)?;
    pass_trouble(core, key, protocol, offender, what, transport, out)
}

/// [`pass_error`] where it is known what the container is to be told.
pub(crate) fn pass_trouble(
    core: &mut Core,
    key: &Key,
    protocol: u8,
    offender: IpAddr,
    what: Trouble,
    transport: [&[u8]; 2],
    out: &mut dyn Inside,
) -> Result<(), Reason> {
    let host = core.host(key.inside).ok_or(Reason::UnknownInside)?;
    let link = host.link().ok_or(Reason::InsideDown)?;
    let source = host.seen(offender, key.local.ip).unwrap_or(key.remote.ip);
    let quoted = Head::quoted(key.local.ip, key.remote.ip, protocol);
    let mut quote = [0; QUOTE];
    let len = write_quote(&mut quote, &quoted, transport).ok_or(Reason::IcmpError)?;
    let quote = quote.get(..len).unwrap_or(&[]);
    let route = Route { source, destination: key.local.ip };
    icmp_error::write(&mut core.scratch, link, route, what, quote).ok_or(Reason::IcmpError)?;
    // What its queue did not take is counted there.
    let _ = Core::send(&mut core.counters, key.inside, &mut core.scratch, out);
    Ok(())
}

//! The machine's own address towards others.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// How long an answer is taken for true: a container may ask for it as often as it likes.
const FRESH: Duration = Duration::from_secs(1);

type Known = Option<(Instant, Option<IpAddr>)>;

thread_local! {
    static KNOWN: [Cell<Known>; 2] = const { [Cell::new(None), Cell::new(None)] };
}

/// The address that this machine uses towards the world, else the first that is neither loopback nor
/// link-local; `None` where it has no such address. As of at most a second ago: it may change.
pub fn own_address(v6: bool) -> Option<IpAddr> {
    KNOWN.with(|[four, six]| {
        let known = if v6 { six } else { four };
        if let Some((since, address)) = known.get()
            && since.elapsed() < FRESH
        {
            return address;
        }
        let address = by_route(v6).or_else(|| first(v6));
        known.set(Some((Instant::now(), address)));
        address
    })
}

/// What a socket towards the world is bound to. Nothing is sent.
fn by_route(v6: bool) -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849): the default route's.
    let (any, far): (IpAddr, IpAddr) = if v6 {
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1).into())
    } else {
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into())
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(far, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| is_own(*address))
}

fn first(v6: bool) -> Option<IpAddr> {
    let addresses = nix::ifaddrs::getifaddrs().ok()?.filter_map(|interface| {
        let storage = interface.address?;
        let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    });
    addresses.into_iter().find(|address| address.is_ipv6() == v6 && is_own(*address))
}

fn is_own(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || link_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_address_of_the_machine_or_none() {
        for v6 in [false, true] {
            if let Some(address) = own_address(v6) {
                assert!(is_own(address) && address.is_ipv6() == v6, "{address}");
                assert!(UdpSocket::bind(SocketAddr::new(address, 0)).is_ok(), "{address}");
            }
        }
    }
}

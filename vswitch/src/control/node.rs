//! What this host is to others: its name and its address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};

/// A documentation address (RFC 5737) that is beyond every router: the way to it is the default route.
const BEYOND_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The same (RFC 3849).
const BEYOND_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// The host's name up to the first dot, with only what a node's name may have; `node` without any.
pub fn name() -> String {
    let whole = nix::unistd::gethostname().unwrap_or_default();
    let whole = whole.to_string_lossy();
    let first = whole.split('.').next().unwrap_or_default();
    let name: String = first.chars().filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
    if name.is_empty() { "node".into() } else { name }
}

/// The address of this host that others know it by: that of the way to the store, given as
/// `HOST:PORT`, or else of the default route. Nothing is sent; names are resolved.
pub fn address(members: &[String]) -> Option<IpAddr> {
    let to_store = members.iter().filter_map(|member| member.to_socket_addrs().ok()).flatten();
    let beyond = [BEYOND_V4, BEYOND_V6].into_iter().map(|address| (address, 9).into());
    to_store.chain(beyond).find_map(|to| {
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        // The routing table chooses the source (connect(2) of a datagram socket).
        socket.connect(to).ok()?;
        let own = socket.local_addr().ok()?.ip().to_canonical();
        (!own.is_loopback() && !own.is_unspecified()).then_some(own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_on_this_host_does_not_make_the_loopback_its_address() {
        let found = address(&["127.0.0.1:2379".into(), "[::1]:2379".into()]);
        assert!(found.is_none_or(|address| !address.is_loopback()), "{found:?}");
    }

    #[test]
    fn a_name_has_nothing_but_letters_digits_and_dashes() {
        let name = name();
        assert!(crate::control::cluster::schema::is_node_name(&name), "{name}");
    }
}

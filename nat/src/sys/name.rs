//! Socket addresses as the kernel has them (ip(7), ipv6(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// `AF_INET` and `AF_INET6` as an address has them (linux/socket.h).
const INET: u16 = 2;
const INET6: u16 = 10;
/// Bytes of `struct sockaddr_in6`, the longer one.
const LEN: usize = size_of::<libc::sockaddr_in6>();

/// A `sockaddr_in` or `sockaddr_in6`.
#[derive(Clone, Copy)]
#[repr(C, align(4))]
pub(super) struct Name([u8; LEN]);

impl Name {
    pub(super) const EMPTY: Self = Self([0; LEN]);
    /// Bytes of the longest.
    pub(super) const LEN: libc::socklen_t = LEN as libc::socklen_t;

    /// Writes `address`; returns its length in bytes.
    pub(super) fn set(&mut self, address: SocketAddr) -> libc::socklen_t {
        let port = address.port().to_be_bytes();
        self.0 = [0; LEN];
        let (family, len): (u16, _) = match address {
            SocketAddr::V4(v4) => {
                self.put(4, &v4.ip().octets());
                (INET, size_of::<libc::sockaddr_in>())
            }
            SocketAddr::V6(v6) => {
                self.put(8, &v6.ip().octets());
                self.put(24, &v6.scope_id().to_ne_bytes());
                (INET6, LEN)
            }
        };
        self.put(0, &family.to_ne_bytes());
        self.put(2, &port);
        len as libc::socklen_t
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(field) = self.0.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }

    pub(super) const fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.0.as_mut_ptr().cast()
    }

    /// The address, of which the kernel has written `len` bytes.
    pub(super) fn get(&self, len: libc::socklen_t) -> Option<SocketAddr> {
        parse(self.0.get(..(len as usize).min(LEN))?)
    }
}

/// Reads a `sockaddr_in` or `sockaddr_in6`.
pub(super) fn parse(bytes: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*bytes.first_chunk()?);
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    match family {
        INET => {
            let ip = Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?);
            Some(SocketAddrV4::new(ip, port).into())
        }
        INET6 => {
            let ip = Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?);
            let scope = u32::from_ne_bytes(*bytes.get(24..)?.first_chunk()?);
            Some(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => None,
    }
}

/// Reads `struct in_pktinfo` or `struct in6_pktinfo`: the host's address that a packet was for,
/// and that its answer is to come from.
pub(super) fn parse_packet_info(bytes: &[u8], v6: bool) -> Option<IpAddr> {
    if v6 {
        Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into())
    } else {
        Some(Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?).into())
    }
}

/// Writes one of them with the address that a packet is to leave from; returns its length in bytes.
pub(super) fn packet_info(address: IpAddr) -> ([u8; 20], usize) {
    let mut info = [0; 20];
    match address {
        IpAddr::V4(v4) => {
            info[4..8].copy_from_slice(&v4.octets());
            (info, 12)
        }
        IpAddr::V6(v6) => {
            info[..16].copy_from_slice(&v6.octets());
            (info, 20)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in ["192.0.2.1:53", "[2001:db8::1]:65535"] {
            let address = text.parse().unwrap();
            let mut name = Name::EMPTY;
            let len = name.set(address);
            assert_eq!(name.get(len), Some(address));
            let (info, len) = packet_info(address.ip());
            assert_eq!(parse_packet_info(&info[..len], address.is_ipv6()), Some(address.ip()));
        }
        let scoped = SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, 7));
        let mut name = Name::EMPTY;
        let len = name.set(scoped);
        assert_eq!(name.get(len), Some(scoped));
        assert_eq!(name.get(3), None);
        assert_eq!(Name::EMPTY.get(Name::LEN), None);
    }
}

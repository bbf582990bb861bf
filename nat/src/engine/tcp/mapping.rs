//! Which port a container's endpoint has outside: the same for all destinations (RFC 5382,
//! requirement 1), and nobody else's at the same time (requirement 7).
//!
//! The kernel is asked for each port, so that other programs and other engines count: the first
//! socket of an endpoint binds it alone and then lets those that follow share it. How long a port
//! rests after its last connection is the kernel's own rule, which tracks every one of them
//! (RFC 6888, requirement 8, exception A).

use std::{collections::HashMap, net::IpAddr};

use rustix::io::{self, Errno};

use crate::{engine::host::InsideId, flow::Endpoint, sys::TcpSocket};

/// Ports below are for those with privileges, and nobody expects them of a client.
const FIRST_PORT: u16 = 1024;

#[derive(Debug)]
struct Mapping {
    outside: IpAddr,
    port: u16,
    flows: u32,
}

/// What a mapping takes in the table, in bytes.
#[cfg(test)]
pub(super) const SIZE: usize = size_of::<(InsideId, Endpoint, Mapping)>();

/// The ports of all endpoints that have flows.
#[derive(Debug, Default)]
pub(super) struct Mappings(HashMap<(InsideId, Endpoint), Mapping>);

impl Mappings {
    /// Binds `socket` to the port of `local` on `outside`. To be released when the socket is closed.
    ///
    /// # Errors
    /// `ADDRINUSE` if no port is left; whatever else the kernel says.
    pub(super) fn bind(
        &mut self,
        socket: &TcpSocket,
        inside: InsideId,
        local: Endpoint,
        outside: IpAddr,
    ) -> io::Result<()> {
        if let Some(mapping) = self.0.get_mut(&(inside, local))
            && mapping.outside == outside
        {
            socket.bind(outside, mapping.port, true)?;
            mapping.flows += 1;
            return Ok(());
        }
        let same = if local.port >= FIRST_PORT {
            socket.bind(outside, local.port, false)
        } else {
            Err(Errno::ADDRINUSE)
        };
        let port = match same {
            Ok(()) => local.port,
            Err(Errno::ADDRINUSE | Errno::ACCESS) => {
                socket.bind(outside, 0, false)?;
                socket.local().map(|address| address.port()).ok_or(Errno::ADDRNOTAVAIL)?
            }
            Err(other) => return Err(other),
        };
        socket.share_port()?;
        self.0.insert((inside, local), Mapping { outside, port, flows: 1 });
        Ok(())
    }

    /// A socket of `local` is closed.
    pub(super) fn release(&mut self, inside: InsideId, local: Endpoint) {
        if let Some(mapping) = self.0.get_mut(&(inside, local)) {
            mapping.flows = mapping.flows.saturating_sub(1);
            if mapping.flows == 0 {
                self.0.remove(&(inside, local));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::sys::Manner;

    const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn bound(mappings: &mut Mappings, inside: u32, port: u16) -> (TcpSocket, u16) {
        let socket = TcpSocket::new(false, &Manner::default()).unwrap();
        let local = Endpoint::new([172, 17, 0, 2], port);
        mappings.bind(&socket, InsideId(inside), local, OUTSIDE).unwrap();
        let port = socket.local().unwrap().port();
        (socket, port)
    }

    /// A port that was free a moment ago.
    fn free_port() -> u16 {
        let socket = TcpSocket::new(false, &Manner::default()).unwrap();
        socket.bind(OUTSIDE, 0, false).unwrap();
        socket.local().unwrap().port()
    }

    #[test]
    fn rfc5382_req1_one_endpoint_has_one_port() {
        let mut mappings = Mappings::default();
        let (_one, first) = bound(&mut mappings, 1, 4000);
        let (_two, second) = bound(&mut mappings, 1, 4000);
        assert_eq!(first, second);
    }

    #[test]
    fn rfc5382_req7_no_two_endpoints_share_a_port() {
        let mut mappings = Mappings::default();
        let port = free_port();
        let (one, first) = bound(&mut mappings, 1, port);
        let (_two, second) = bound(&mut mappings, 2, port);
        assert_eq!(first, port);
        assert_ne!(second, port);
        // Another engine, on another thread, knows nothing of these.
        let (_other, third) = bound(&mut Mappings::default(), 1, port);
        assert_ne!(third, port);
        drop(one);
        mappings.release(InsideId(1), Endpoint::new([172, 17, 0, 2], port));
        assert_eq!(mappings.0.len(), 1);
    }
}

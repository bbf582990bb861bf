//! Which conversation a packet belongs to.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// An IP address with a port, or with the identifier of an ICMP echo in a port's place
/// (RFC 5508, section 3.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Endpoint {
    /// The address.
    pub ip: IpAddr,
    /// The port or the echo identifier; 0 at the answering end of an echo, which has none.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint at `ip` and `port`.
    pub fn new(ip: impl Into<IpAddr>, port: u16) -> Self {
        Self { ip: ip.into(), port }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&SocketAddr::new(self.ip, self.port), f)
    }
}

/// What ports, or identifiers, are numbered by. Of ICMP there is one for each IP version, which
/// the addresses tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6 echo.
    Icmp,
}

/// What a packet carries. The two halves of an echo are kept apart, or a ping with identifier 0
/// would look like the answer to one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// A TCP segment.
    Tcp,
    /// A UDP datagram.
    Udp,
    /// An ICMP or ICMPv6 echo request: its source has the identifier.
    EchoRequest,
    /// The answer to one: its destination has the identifier.
    EchoReply,
}

impl Transport {
    /// What its ports are numbered by.
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Tcp => Protocol::Tcp,
            Self::Udp => Protocol::Udp,
            Self::EchoRequest | Self::EchoReply => Protocol::Icmp,
        }
    }

    /// What goes the other way in the same flow.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::EchoRequest => Self::EchoReply,
            Self::EchoReply => Self::EchoRequest,
            same => same,
        }
    }
}

/// The 5-tuple: protocol, and address and port of both ends, as one packet has them. Both
/// addresses are of one IP version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowKey {
    /// What the packet carries.
    pub transport: Transport,
    /// Who sent it.
    pub source: Endpoint,
    /// Whom it is for.
    pub destination: Endpoint,
}

impl FlowKey {
    /// The key of packets that go the other way.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self { transport: self.transport.reversed(), source: self.destination, destination: self.source }
    }
}

impl fmt::Display for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
            Transport::EchoRequest => "echo request",
            Transport::EchoReply => "echo reply",
        };
        write!(f, "{transport} {} > {}", self.source, self.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reversed_twice_is_the_same() {
        let (a, b) = (Endpoint::new([10, 0, 0, 1], 7), Endpoint::new([10, 0, 0, 2], 0));
        for transport in [Transport::Tcp, Transport::Udp, Transport::EchoRequest, Transport::EchoReply] {
            let key = FlowKey { transport, source: a, destination: b };
            let back = key.reversed();
            assert_eq!((back.source, back.destination), (b, a));
            assert_eq!(back.transport.protocol(), transport.protocol());
            assert_eq!(back.reversed(), key);
        }
    }

    #[test]
    fn a_ping_with_identifier_0_is_not_its_answer() {
        let (a, b) = (Endpoint::new([10, 0, 0, 1], 0), Endpoint::new([10, 0, 0, 2], 0));
        let request = FlowKey { transport: Transport::EchoRequest, source: a, destination: b };
        let answer_to_b = FlowKey { transport: Transport::EchoReply, source: a, destination: b };
        assert_ne!(request, answer_to_b);
    }

    #[test]
    fn keys_are_shown_as_text() {
        let source = Endpoint::new(std::net::Ipv6Addr::LOCALHOST, 7);
        let destination = Endpoint::new(std::net::Ipv6Addr::LOCALHOST, 53);
        let key = FlowKey { transport: Transport::Udp, source, destination };
        assert_eq!(key.to_string(), "udp [::1]:7 > [::1]:53");
    }
}

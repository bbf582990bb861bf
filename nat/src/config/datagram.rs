//! What can be set of UDP, of ICMP and of fragments.

use std::time::Duration;

use crate::ports::SharedPorts;

/// Who may send to a container's endpoint that has sent something itself (RFC 4787, section 5).
/// Published ports are open to all whatever this says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Filtering {
    /// Everybody who finds the port.
    EndpointIndependent,
    /// Those at an address that the endpoint has sent to, from any port.
    #[default]
    AddressDependent,
    /// Only those it has sent to, address and port.
    AddressAndPortDependent,
}

/// How UDP is translated.
#[derive(Clone, Debug)]
pub struct UdpTuning {
    /// How long a mapping lives after its last datagram; never taken to be less than
    /// [`UdpTuning::SHORTEST`] (RFC 4787, requirement 5).
    pub timeout: Duration,
    /// The same where everything went to port 53, whose every question may have a port of its own
    /// (RFC 4787, requirement 5a, allows it for well-known ports).
    pub dns_timeout: Duration,
    /// How long a client of a published port is remembered before it and the container have
    /// talked for [`UdpTuning::STREAM`]; from then on it is `timeout`. The port itself stays.
    pub published_timeout: Duration,
    /// Datagrams from those the container has sent to keep a mapping alive too, not only its own
    /// (RFC 4787, requirement 6, leaves that open).
    pub inbound_refresh: bool,
    /// Who may send to a container.
    pub filtering: Filtering,
}

impl UdpTuning {
    /// The shortest timeout of a mapping (RFC 4787, requirement 5).
    pub const SHORTEST: Duration = Duration::from_mins(2);
    /// Datagrams both ways for so long are a conversation rather than a question with its answer.
    pub const STREAM: Duration = Duration::from_secs(2);

    /// How long a conversation with `port` lives after its last datagram.
    pub(crate) fn idle(&self, port: u16) -> Duration {
        const DNS: u16 = 53;
        let timeout = self.timeout.max(Self::SHORTEST);
        if port == DNS { self.dns_timeout.min(timeout) } else { timeout }
    }
}

impl Default for UdpTuning {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(5),
            dns_timeout: Duration::from_secs(30),
            published_timeout: Duration::from_secs(30),
            inbound_refresh: true,
            filtering: Filtering::default(),
        }
    }
}

/// How ICMP is translated.
#[derive(Clone, Debug)]
pub struct IcmpTuning {
    /// How long an echo's identifier stays mapped after its last request; never taken to be less
    /// than [`IcmpTuning::SHORTEST`].
    pub timeout: Duration,
}

impl IcmpTuning {
    /// The shortest timeout (RFC 5508, requirement 2).
    pub const SHORTEST: Duration = Duration::from_mins(1);

    pub(crate) fn idle(&self) -> Duration {
        self.timeout.max(Self::SHORTEST)
    }
}

impl Default for IcmpTuning {
    fn default() -> Self {
        Self { timeout: Self::SHORTEST }
    }
}

/// How packets are put together again.
#[derive(Clone, Debug)]
pub struct FragmentTuning {
    /// How long the rest of a packet is waited for, from its first fragment on. (RFC 8200, section
    /// 4.5, has 60 s, RFC 791 has 15; this is what Linux has.)
    pub timeout: Duration,
    /// Incomplete packets of one container, 64 KiB each; its oldest makes room for more.
    pub packets_per_inside: usize,
    /// Incomplete packets in all; the oldest of the container that has most makes room.
    pub packets: usize,
    /// Fragments of one packet.
    pub fragments: usize,
}

impl Default for FragmentTuning {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), packets_per_inside: 64, packets: 256, fragments: 128 }
    }
}

/// Ports and identifiers of the host, for the mappings of one engine or of several.
pub type Ports = SharedPorts;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_never_shorter_than_the_rfcs_allow() {
        let udp = UdpTuning { timeout: Duration::from_secs(1), ..UdpTuning::default() };
        assert_eq!(udp.idle(4000), Duration::from_mins(2));
        assert_eq!(udp.idle(53), Duration::from_secs(30));
        assert_eq!(UdpTuning::default().idle(4000), Duration::from_mins(5));
        assert_eq!(IcmpTuning { timeout: Duration::ZERO }.idle(), Duration::from_mins(1));
    }
}

//! Published ports: what `-p` says, and which ports of the host that becomes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::error::ControlError;
use super::record::{ExposedPort, Protocol};

/// One port to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The container's port.
    pub port: ExposedPort,
    /// The host's address; every one otherwise.
    pub address: Option<IpAddr>,
    /// The host's ports, first and last; any free one otherwise.
    pub host: Option<(u16, u16)>,
}

/// A port of the host that leads to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The container's port.
    pub port: ExposedPort,
    /// The host's address.
    pub address: IpAddr,
    /// The host's port.
    pub host: u16,
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// Reads a word of `-p`: `[IP:][HOST[-HOST]]:PORT[-PORT][/PROTOCOL]`, or `PORT[-PORT][/PROTOCOL]`.
///
/// # Errors
/// [`ControlError::Invalid`] with Docker's sentences.
pub fn parse(word: &str) -> Result<Vec<Wish>, ControlError> {
    let invalid = |what: &str, text: &str| ControlError::Invalid(format!("{what}: {text}"));
    let (rest, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        other => return Err(invalid("invalid proto", other)),
    };
    let (front, container) = rest.rsplit_once(':').map_or(("", rest), |(front, port)| (front, port));
    let ports = range(container).ok_or_else(|| invalid("invalid containerPort", container))?;
    // An IPv6 address has colons of its own: what follows the bracket is the host's port.
    let (address, host) = match front.strip_prefix('[').map(|inner| inner.split_once(']')) {
        Some(Some((address, ""))) => (address, ""),
        Some(Some((address, host))) => {
            (address, host.strip_prefix(':').ok_or_else(|| invalid("invalid publish", word))?)
        }
        Some(None) => return Err(invalid("invalid publish", word)),
        None => front.rsplit_once(':').unwrap_or(("", front)),
    };
    let address = match address {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid("invalid IP address", text))?),
    };
    let host = match host {
        "" => None,
        text => Some(range(text).ok_or_else(|| invalid("invalid hostPort", text))?),
    };
    let count = usize::from(ports.1 - ports.0) + 1;
    let hosts = host.map_or(count, |(first, last)| usize::from(last - first) + 1);
    if hosts != count && count != 1 {
        return Err(ControlError::Invalid(format!(
            "invalid ranges specified for container and host Ports: {container} and {}",
            front.rsplit(':').next().unwrap_or(front)
        )));
    }
    let wish = |n: u16| {
        // One port for a range of the host's: the first free of them.
        let host = host.map(|(first, last)| if count == 1 { (first, last) } else { (first + n, first + n) });
        Wish { port: ExposedPort { port: ports.0 + n, protocol }, address, host }
    };
    Ok((0..=ports.1 - ports.0).map(wish).collect())
}

/// The addresses a wish is for: both wildcards where it names none.
pub fn addresses(wish: &Wish, default: IpAddr) -> Vec<IpAddr> {
    match wish.address {
        Some(address) => vec![address],
        None if default == IpAddr::V4(Ipv4Addr::UNSPECIFIED) => {
            vec![default, IpAddr::V6(Ipv6Addr::UNSPECIFIED)]
        }
        None => vec![default],
    }
}

/// Gives free ports in turn, so that one that was just freed is not the next.
#[derive(Debug, Default)]
pub struct FreePorts {
    last: HashMap<(IpAddr, Protocol), u16>,
}

impl FreePorts {
    /// Every port of the range once, beginning after the one given last.
    pub fn candidates(&self, address: IpAddr, protocol: Protocol) -> impl Iterator<Item = u16> + use<> {
        let (first, last) = local_range();
        let after = self.last.get(&(address, protocol)).copied().filter(|p| (first..last).contains(p));
        let start = after.map_or(first, |port| port + 1);
        (start..=last).chain(first..start)
    }

    /// This one was given.
    pub fn given(&mut self, address: IpAddr, protocol: Protocol, port: u16) {
        self.last.insert((address, protocol), port);
    }
}

/// net.ipv4.ip_local_port_range, as Docker has it.
fn local_range() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().filter_map(|n| n.parse::<u16>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(first), Some(last)) if 0 < first && first <= last => (first, last),
        _ => (49153, 65535),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(word: &str) -> String {
        let wishes = parse(word).unwrap();
        let one = |w: &Wish| {
            let host = w.host.map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") });
            let address = w.address.map(|a| a.to_string()).unwrap_or_default();
            format!("{address}|{}|{}", host.unwrap_or_default(), w.port)
        };
        wishes.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(text("80"), "||80/tcp");
        assert_eq!(text("8080:80"), "|8080|80/tcp");
        assert_eq!(text("127.0.0.1:8080:80"), "127.0.0.1|8080|80/tcp");
        assert_eq!(text("127.0.0.1::80/udp"), "127.0.0.1||80/udp");
        assert_eq!(text("[::1]:8080:80"), "::1|8080|80/tcp");
        assert_eq!(text("[::1]::80"), "::1||80/tcp");
        assert_eq!(text("7000-7002:7000-7002/udp"), "|7000|7000/udp |7001|7001/udp |7002|7002/udp");
        assert_eq!(text("7000-7002:80"), "|7000-7002|80/tcp");
        assert_eq!(text("7000-7001"), "||7000/tcp ||7001/tcp");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            ":",
            "0:80",
            "80:0",
            "x:80",
            "1.2.3:8080:80",
            "80:80/sctp",
            "7000-7002:80-81",
            "[::1:80:80",
            "9-8",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn free_ports_go_round() {
        let mut free = FreePorts::default();
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let first = free.candidates(any, Protocol::Tcp).next().unwrap();
        free.given(any, Protocol::Tcp, first);
        let all: Vec<u16> = free.candidates(any, Protocol::Tcp).collect();
        assert_eq!((all.first(), all.last()), (Some(&(first + 1)), Some(&first)));
        assert_eq!(free.candidates(any, Protocol::Udp).next(), Some(first));
    }
}

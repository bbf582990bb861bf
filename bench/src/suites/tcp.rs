//! TCP throughput: one stream and four, with cubic and with bbr, measured by iperf3.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;

use super::{Pair, PairSuite};
use crate::error::{Error, Result};
use crate::netns::Netns;
use crate::options::Options;
use crate::process::{Process, command, installed, wait_for};
use crate::report::Figure;
use crate::usage;

/// TCP throughput.
pub(super) struct Tcp;

const CASES: [(&str, u32); 4] = [("cubic", 1), ("cubic", 4), ("bbr", 1), ("bbr", 4)];

/// iperf3's own.
pub(super) const PORT: u16 = 5201;

impl PairSuite for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn cases(&self) -> Vec<String> {
        let case = |&(control, streams): &(&str, u32)| {
            format!("{control}, {streams} stream{}", if streams == 1 { "" } else { "s" })
        };
        CASES.iter().map(case).collect()
    }

    fn measure(&self, case: usize, pair: &Pair, options: &Options) -> Result<Vec<Figure>> {
        let (control, streams) = CASES[case];
        let ends = Ends {
            client: &pair.a.netns,
            server: &pair.b.netns,
            listen: pair.b.eth0.address,
            connect: pair.b.eth0.address,
        };
        transfer(&ends, &pair.switch.processes(), control, streams, options.seconds())
    }
}

/// Who sends to whom.
pub(super) struct Ends<'a> {
    /// Who sends.
    pub(super) client: &'a Netns,
    /// Who receives.
    pub(super) server: &'a Netns,
    /// Where the receiver listens.
    pub(super) listen: Ipv4Addr,
    /// What the sender connects to.
    pub(super) connect: Ipv4Addr,
}

/// Sends for so many seconds with iperf3; `processes` are those of what lies between.
pub(super) fn transfer(
    ends: &Ends<'_>,
    processes: &[u32],
    control: &str,
    streams: u32,
    seconds: u32,
) -> Result<Vec<Figure>> {
    if !installed("iperf3") {
        return Err(Error::sentence("`iperf3` is not installed (package iperf3)"));
    }
    let server = serve(ends)?;
    let before = usage::cpu(processes)?;
    let client = [
        ("-c", ends.connect.to_string()),
        ("-p", PORT.to_string()),
        ("-t", seconds.to_string()),
        ("-P", streams.to_string()),
        ("-C", control.to_owned()),
        ("--connect-timeout", "5000".to_owned()),
    ];
    let words = client.iter().flat_map(|(name, value)| [*name, value.as_str()]).chain(["-J"]);
    let limit = Duration::from_secs(u64::from(seconds) + 15);
    let text = Process::spawn(command("iperf3", words), Some(ends.client))?.finish(limit)?;
    let used = usage::cpu(processes)?.since(before);
    drop(server);
    let sum = Sum::parse(&text)?;
    let memory = usage::memory(processes)?;
    let gigabits = sum.bytes * 8.0 / 1e9;
    Ok(vec![
        Figure::new("throughput", "Gb/s", sum.bits_per_second / 1e9),
        Figure::new("switch CPU", "s/Gb", used.switch / gigabits),
        Figure::new("total CPU", "s/Gb", used.run / gigabits),
        Figure::new("machine CPU", "s/Gb", used.machine / gigabits),
        Figure::new("resident", "MiB", memory.rss_mib),
        Figure::new("proportional", "MiB", memory.pss_mib),
        Figure::new("resent", "segments", sum.resent),
    ])
}

/// Starts an iperf3 server for one run, and waits until it listens.
fn serve(ends: &Ends<'_>) -> Result<Process> {
    let (address, port) = (ends.listen, PORT.to_string());
    let server = command("iperf3", ["-s", "-1", "-J", "-B", &address.to_string(), "-p", &port]);
    let mut server = Process::spawn(server, Some(ends.server))?;
    wait_for("iperf3 to listen", Duration::from_secs(10), || {
        server.check()?;
        let sockets = fs::read_to_string(format!("/proc/{}/net/tcp", server.id())).unwrap_or_default();
        Ok(listens(&sockets, address, PORT).then_some(()))
    })?;
    Ok(server)
}

/// Whether the text of /proc/net/tcp shows a socket that listens on this address and port.
fn listens(sockets: &str, address: Ipv4Addr, port: u16) -> bool {
    let local = format!("{:08X}:{port:04X}", u32::from_ne_bytes(address.octets()));
    sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|fields| {
        let [_, at, _, state, ..] = fields[..] else { return false };
        at == local && state == "0A"
    })
}

/// What an iperf3 client says of all streams together.
#[derive(Debug, PartialEq)]
struct Sum {
    /// Bits per second, as received.
    bits_per_second: f64,
    /// Bytes received.
    bytes: f64,
    /// Segments sent again.
    resent: f64,
}

impl Sum {
    fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| Error::sentence(format!("iperf3 gave no JSON: {error}")))?;
        if let Some(error) = value["error"].as_str() {
            return Err(Error::sentence(format!("iperf3: {error}")));
        }
        let received = &value["end"]["sum_received"];
        let (Some(bits_per_second), Some(bytes)) =
            (received["bits_per_second"].as_f64(), received["bytes"].as_f64())
        else {
            return Err(Error::sentence("iperf3 gave no sum of what was received"));
        };
        if bytes <= 0.0 {
            return Err(Error::sentence("iperf3 received nothing"));
        }
        Ok(Self {
            bits_per_second,
            bytes,
            resent: value["end"]["sum_sent"]["retransmits"].as_f64().unwrap_or(0.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_what_was_received() {
        let text = r#"{"end": {"sum_sent": {"bytes": 9, "bits_per_second": 99, "retransmits": 3},
            "sum_received": {"bytes": 8, "bits_per_second": 64.5}}}"#;
        assert_eq!(Sum::parse(text).ok(), Some(Sum { bits_per_second: 64.5, bytes: 8.0, resent: 3.0 }));
        let refused =
            Sum::parse(r#"{"end": {}, "error": "unable to connect"}"#).map_err(|error| error.to_string());
        assert_eq!(refused, Err("iperf3: unable to connect".to_owned()));
        assert!(Sum::parse("").is_err());
    }

    #[test]
    fn a_listening_socket_is_found_by_address_port_and_state() {
        let sockets = "  sl  local_address rem_address   st\n   0: 0100007F:1451 00000000:0000 0A 0\n";
        if cfg!(target_endian = "little") {
            assert!(listens(sockets, Ipv4Addr::LOCALHOST, 5201));
        }
        assert!(!listens(sockets, Ipv4Addr::LOCALHOST, 5202));
        assert!(!listens(&sockets.replace("0A", "01"), Ipv4Addr::LOCALHOST, 5201));
    }
}

//! What can be asked for on the command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::Serialize;

/// Side-by-side benchmarks of vswitch and every peer installed on this machine, in turn, round after round.
///
/// Runs as root, in process, mount and network namespaces of its own: nothing of the system is touched and nothing is
/// left behind. Build the switch first: cargo build --release -p cli
#[derive(Debug, Parser, Serialize)]
#[command(name = "bench", version)]
pub(crate) struct Options {
    /// Suites to run [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) suite: Vec<Suite>,

    /// Peers to measure: bridge, relay, plain-relay, ovs, vde; for ways outside direct, pasta, slirp4netns; for
    /// VXLAN kernel-vxlan, vxlan-relay, ovs-vxlan; vswitch
    /// [default: all but plain-relay]
    #[arg(long, value_delimiter = ',', value_name = "PEER")]
    pub(crate) peers: Vec<String>,

    /// Rounds; in each every peer is started anew and takes its turn [default: 5, outside: 3, quick: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// Seconds per measurement [default: 2, quick: 1]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,

    /// Namespaces attached in the suite `attach` [default: 50, quick: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    attachments: Option<u32>,

    /// Namespaces on one switch in the suites `scale` and `control` [default: 500, quick: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(3..=4000))]
    ports: Option<u32>,

    /// Flows in the suite `nat-flows` [default: 10000, quick: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(10..=50_000))]
    flows: Option<u32>,

    /// Seconds over which the suite `scale` watches an idle switch [default: 10, quick: 3]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..))]
    idle: Option<u32>,

    /// Leave sockets the machine's own congestion control to be born with, in place of cubic
    #[arg(long)]
    pub(crate) own_congestion: bool,

    /// A first look: fewer and shorter rounds
    #[arg(long)]
    quick: bool,

    /// Also write every single measurement to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Also write tables, plots and the machine's description into this directory
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "docs/benchmarks")]
    pub(crate) publish: Option<PathBuf>,

    /// The switch's program [default: `vswitch` next to this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) vswitch: Option<PathBuf>,

    /// Further arguments for `vswitch daemon`, for example '--workers 2'
    #[arg(
        long,
        value_name = "ARGUMENTS",
        default_value = "",
        allow_hyphen_values = true,
        hide_default_value = true
    )]
    pub(crate) vswitch_args: String,

    /// A further vswitch to measure, `NAME=PROGRAM ARGUMENT...`, either of which may be missing: 'two=--workers 2', 'old=/tmp/old/vswitch'
    #[arg(long = "variant", value_name = "VARIANT")]
    pub(crate) variants: Vec<String>,

    /// Where this program may keep files: given by the benchmark to itself
    #[arg(long, hide = true)]
    #[serde(skip)]
    pub(crate) inside: Option<PathBuf>,
}

/// A group of measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Suite {
    /// TCP throughput, 1 and 4 streams, cubic and bbr
    Tcp,
    /// TCP round trip of 64 bytes
    Rtt,
    /// UDP throughput, with and without UDP_SEGMENT and UDP_GRO
    Udp,
    /// 64-byte frames per second without loss
    Pps,
    /// Time to attach a namespace
    Attach,
    /// Hundreds of namespaces on one switch: idle CPU and memory
    Scale,
    /// Time until a namespace is found by name; time of the lists with hundreds of networks and containers
    Control,
    /// Outside, TCP throughput: out and in, MTU 1500 and 65520, 1, 4 and 64 streams
    NatTcp,
    /// Outside, TCP throughput over a path of 50 ms, and over one that loses 1 %
    NatImpaired,
    /// Outside, TCP throughput to a namespace whose own interface loses frames
    NatLoss,
    /// Outside, UDP throughput
    NatUdp,
    /// Outside, TCP round trip of 64 bytes
    NatRtt,
    /// Outside, connections opened, used once and closed
    NatConnections,
    /// Outside, ten thousand flows: memory, and what a packet costs beside few
    NatFlows,
    /// VXLAN between two hosts, TCP throughput
    VxlanTcp,
    /// VXLAN, TCP round trip of 64 bytes
    VxlanRtt,
    /// VXLAN, UDP throughput
    VxlanUdp,
    /// VXLAN, what a frame costs with 2 to 1,000 peers and with 100 to 100,000 remote addresses
    VxlanScale,
}

impl Suite {
    /// Whether it measures tunnels between hosts rather than switches.
    pub(crate) fn is_vxlan(self) -> bool {
        use Suite::{VxlanRtt, VxlanScale, VxlanTcp, VxlanUdp};
        matches!(self, VxlanTcp | VxlanRtt | VxlanUdp | VxlanScale)
    }

    /// Whether it measures ways to the outside rather than switches.
    pub(crate) fn is_outside(self) -> bool {
        use Suite::{NatConnections, NatFlows, NatImpaired, NatLoss, NatRtt, NatTcp, NatUdp};
        matches!(self, NatTcp | NatImpaired | NatLoss | NatUdp | NatRtt | NatConnections | NatFlows)
    }
}

impl Options {
    /// The suites to run.
    pub(crate) fn suites(&self) -> Vec<Suite> {
        if self.suite.is_empty() { Suite::value_variants().to_vec() } else { self.suite.clone() }
    }

    /// Rounds to run.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 })
    }

    /// Rounds to run of suites with many cases, those of the outside.
    pub(crate) fn rounds_outside(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 2 } else { 3 })
    }

    /// Seconds per measurement.
    pub(crate) fn seconds(&self) -> u32 {
        self.seconds.unwrap_or(if self.quick { 1 } else { 2 })
    }

    /// Namespaces to attach one after the other.
    pub(crate) fn attachments(&self) -> u32 {
        self.attachments.unwrap_or(if self.quick { 10 } else { 50 })
    }

    /// Namespaces on one switch.
    pub(crate) fn ports(&self) -> u32 {
        self.ports.unwrap_or(if self.quick { 50 } else { 500 })
    }

    /// Flows at once through one way out.
    pub(crate) fn flows(&self) -> u32 {
        self.flows.unwrap_or(if self.quick { 1000 } else { 10_000 })
    }

    /// Seconds to watch an idle switch.
    pub(crate) fn idle(&self) -> u32 {
        self.idle.unwrap_or(if self.quick { 3 } else { 10 })
    }
}

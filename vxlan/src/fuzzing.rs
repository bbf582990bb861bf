//! Body of the fuzz target, so that tests run it too. Not part of the public interface.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use packet::{Checksum, Frame, MacAddr, segment};

use crate::{
    Counters, Demux, Network, NetworkConfig, Sender, Sink, Vni,
    receive::{Datagrams, Inbound},
};

/// The network that has frames delivered.
pub const VNI: u32 = 42;

/// What one record's control byte says: the sender is no peer, a flush follows, congestion.
pub mod control {
    /// The sender is no peer.
    pub const STRANGER: u8 = 1;
    /// The batch ends behind this message.
    pub const FLUSH: u8 = 2;
    /// The underlay marked congestion.
    pub const CONGESTION: u8 = 4;
}

struct Count {
    frames: u64,
    out: Frame,
}

impl Sink<()> for Count {
    fn admits(&mut self, (): &(), source: MacAddr) -> bool {
        source.0[5] & 1 == 0
    }

    fn deliver(&mut self, (): &(), frame: &mut Frame) {
        assert!(frame.len() >= 14);
        if let Checksum::Partial { start, offset } = frame.offload().checksum {
            assert!(usize::from(start) + usize::from(offset) + 2 <= frame.len());
        }
        let count = segment(frame, &mut self.out, |_| {}).map_or(1, |count| count as u64);
        self.frames += count;
    }
}

/// Takes `bytes` for records (control byte, 2 bytes segment size, 2 bytes length, a message), and
/// receives the messages. Every datagram is delivered or counted.
pub fn decap(bytes: &[u8]) {
    let Some(vni) = Vni::new(VNI) else { return };
    let (demux, strangers) = (Arc::new(Demux::default()), Arc::new(Counters::default()));
    let config = NetworkConfig { learning: true, limit: 16, ..NetworkConfig::default() };
    let network = Arc::new(Network::new(vni, &config));
    let sender = Sender::without_sockets();
    let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(network.add_peer(&sender, peer), Ok(true));
    sender.path(peer).set_mtu(200);
    assert!(demux.add(network.clone(), ()));
    let mut inbound = Inbound::new(demux, strangers.clone());
    let mut sink = Count { frames: 0, out: Frame::new() };
    let (mut datagrams, mut rest) = (0, bytes);
    while let [control, a, b, c, d, tail @ ..] = rest {
        let (segment, len) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        let (message, next) = tail.split_at(usize::from(len).min(tail.len()));
        rest = next;
        let segment = usize::from(segment);
        datagrams += if segment == 0 { 1 } else { message.len().div_ceil(segment).max(1) } as u64;
        let from = if control & control::STRANGER == 0 { peer } else { Ipv4Addr::LOCALHOST.into() };
        let tos = if control & control::CONGESTION == 0 { 0 } else { 3 };
        inbound.message(&Datagrams { bytes: message, segment, from, tos }, 1, &mut sink);
        if control & control::FLUSH != 0 {
            inbound.flush(&mut sink);
        }
    }
    inbound.flush(&mut sink);
    let dropped = network.drops().total() + strangers.total();
    // A super-frame that came in one datagram counts as its segments.
    assert!(datagrams <= sink.frames + dropped, "{datagrams} are not {} and {dropped}", sink.frames);
    assert!(network.learned() <= 16);
}

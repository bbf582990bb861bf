use std::net::{Ipv4Addr, Ipv6Addr};

use packet::{
    Checksum, MacAddr, Offload,
    checksum::verify_transport,
    wire::{Headers, UdpPacket},
};
use proptest::prelude::*;

use super::*;
use crate::{
    classify::{Class, classify},
    config::FragmentTuning,
    fragments::{self, PacketId, Reassembler},
};

#[derive(Default)]
struct Sent(Vec<Vec<u8>>);

impl Inside for Sent {
    fn send(&mut self, _: InsideId, frame: &mut Frame) -> Result<(), SendError> {
        assert_eq!(frame.offload(), Offload { checksum: Checksum::Unverified, gso: None });
        self.0.push(frame.bytes().to_vec());
        Ok(())
    }
}

fn head(v6: bool) -> Head {
    let route = if v6 {
        let source = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into();
        Route { source, destination: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into() }
    } else {
        Route { source: Ipv4Addr::new(192, 0, 2, 1).into(), destination: Ipv4Addr::new(10, 0, 0, 2).into() }
    };
    Head { route, protocol: ipproto::UDP, hops: 61, tos: 0x28 }
}

fn send(v6: bool, mtu: u16, data: &[u8]) -> Vec<Vec<u8>> {
    let (mut sent, mut counters) = (Sent::default(), Counters::default());
    let head = head(v6);
    let header = udp_header(&head, (53, 4000), data);
    let link = Link { gateway: MacAddr([2, 0, 0, 0, 0, 1]), container: MacAddr([2, 0, 0, 0, 0, 2]) };
    let mut splitter = Splitter::new(Time::ZERO);
    let count =
        splitter.send(&mut counters, InsideId(1), link, mtu, &head, [&header, data], &mut sent).unwrap();
    assert_eq!(count, sent.0.len());
    sent.0
}

#[test]
fn what_fits_goes_whole() {
    for (v6, len) in [(false, 1472), (true, 1452)] {
        let frames = send(v6, 1500, &vec![7; len]);
        assert_eq!(frames.len(), 1);
        let headers = Headers::parse(&frames[0]).unwrap();
        let ip = headers.ip.unwrap();
        assert_eq!((ip.end, ip.fragment), (1514, false));
        assert_eq!(verify_transport(&frames[0], headers.l3, &ip), Some(true));
        assert_eq!(UdpPacket::new_checked(&frames[0][ip.l4..]).unwrap().payload(), vec![7; len]);
    }
}

proptest! {
    #[test]
    fn what_does_not_fit_is_the_same_again_when_put_together(
        v6 in any::<bool>(),
        mtu in 80..2000u16,
        data in prop::collection::vec(any::<u8>(), 0..5000),
    ) {
        let frames = send(v6, mtu, &data);
        let mut reassembler = Reassembler::default();
        // The smallest MTU makes more fragments than the default allows.
        let tuning = FragmentTuning { fragments: usize::MAX, ..FragmentTuning::default() };
        let mut found = None;
        let count = frames.len();
        for frame in frames {
            prop_assert!(frame.len() <= 14 + usize::from(mtu));
            let ip = Headers::parse(&frame).unwrap().ip.unwrap();
            if count == 1 {
                prop_assert!(!ip.fragment);
                return Ok(());
            }
            let Class::Fragment(fragment) = classify(&frame) else { panic!("not a fragment") };
            let head = fragments::Head { protocol: ip.protocol, tos: 0x28, hops: 61 };
            let part = fragments::Part {
                head,
                offset: fragment.offset,
                more: fragment.more,
                data: &frame[ip.l4..ip.end],
            };
            let id = PacketId { inside: InsideId(1), key: fragment.key };
            prop_assert!(found.is_none());
            found = reassembler.take(id, &part, Time::ZERO, &tuning).unwrap();
        }
        let whole = found.unwrap();
        prop_assert_eq!(whole.head().protocol, ipproto::UDP);
        let datagram = UdpPacket::new_checked(whole.data()).unwrap();
        prop_assert_eq!(datagram.payload(), data);
        prop_assert!((head(v6).pseudo(whole.data().len()) + Sum::of(whole.data())).is_valid());
    }
}

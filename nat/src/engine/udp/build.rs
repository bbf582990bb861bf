//! Datagrams to a container, whose data lie in the frame already.

use packet::{
    Checksum, Frame, Gso, GsoKind, Offload,
    wire::{UdpPacket, ethernet, ipv6, udp},
};

use super::CHECKSUM;
use crate::engine::{
    build::Link,
    fragments::{Head, write_headers},
};

/// Where data lie in a frame: behind the longest headers. The shorter ones of IPv4 begin later.
pub(super) const DATA: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN + udp::HEADER_LEN;
/// Most data of a datagram, or of a run of them.
const MAX_DATA: usize = 65_535;

/// A frame that data of any length can be received into, at [`DATA`].
pub(super) fn buffer() -> Frame {
    Frame::with_capacity(DATA + MAX_DATA)
}

/// Bytes of IP and UDP header.
pub(super) const fn headers_len(head: &Head) -> usize {
    head.len() + udp::HEADER_LEN
}

/// Makes `frame` a datagram of the `len` bytes that lie at [`DATA`], or a super-frame of datagrams
/// of `segment` bytes. Its checksum is partial. `None` if it does not fit.
pub(super) fn datagram(
    frame: &mut Frame,
    link: Link,
    head: &Head,
    ports: (u16, u16),
    len: usize,
    segment: Option<u16>,
) -> Option<()> {
    let headers = ethernet::HEADER_LEN + headers_len(head);
    let (start, end) = (DATA.checked_sub(headers)?, DATA + len);
    let area = frame.plain_area().get_mut(start..end)?;
    let l4 = write_headers(area, link, head)?;
    let mut datagram = UdpPacket::new_written(area.get_mut(l4..)?).ok()?;
    datagram.set_source_port(ports.0);
    datagram.set_destination_port(ports.1);
    datagram.set_checksum(head.pseudo(udp::HEADER_LEN + len).fold());
    frame.commit_plain(end).ok()?;
    frame.trim_front(start);
    frame.set_offload(Offload {
        checksum: Checksum::Partial { start: l4 as u16, offset: CHECKSUM },
        gso: segment.map(|size| Gso { kind: GsoKind::UdpL4, ecn: false, size, hdr_len: headers as u16 }),
    });
    Some(())
}

#[cfg(test)]
mod tests {
    use packet::{MacAddr, checksum::verify_transport, segment, wire::Headers};
    use proptest::prelude::*;

    use super::*;
    use crate::engine::build::Route;

    proptest! {
        #[test]
        fn cut_up_it_is_the_datagrams_that_were_received(
            v6 in any::<bool>(),
            data in prop::collection::vec(any::<u8>(), 1..5000),
            size in 50..1400u16,
        ) {
            let ip = |text4: &str, text6: &str| if v6 { text6.parse().unwrap() } else { text4.parse().unwrap() };
            let route = Route { source: ip("192.0.2.1", "2001:db8::1"), destination: ip("10.0.0.2", "fd00::2") };
            let head = Head { route, protocol: 17, hops: 60, tos: 3 };
            let link = Link { gateway: MacAddr([2, 0, 0, 0, 0, 1]), container: MacAddr([2, 0, 0, 0, 0, 2]) };
            let mut frame = buffer();
            frame.plain_area()[DATA..DATA + data.len()].copy_from_slice(&data);
            let run = (data.len() > size.into()).then_some(size);
            datagram(&mut frame, link, &head, (53, 4000), data.len(), run).unwrap();
            let (mut out, mut found) = (Frame::new(), Vec::new());
            segment(&frame, &mut out, |frame| {
                let headers = Headers::parse(frame.bytes()).unwrap();
                let ip = headers.ip.unwrap();
                assert_eq!(ip.ports(frame.bytes()), Some((53, 4000)));
                assert_eq!(verify_transport(frame.bytes(), headers.l3, &ip), Some(true));
                found.push(frame.bytes()[ip.payload.unwrap()..ip.end].to_vec());
            })
            .unwrap();
            let expected: Vec<_> = data.chunks(size.into()).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(found, expected);
        }
    }
}

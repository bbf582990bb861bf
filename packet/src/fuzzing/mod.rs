//! Bodies of the fuzz targets, so that tests run them too. Not part of the public interface.

mod capture;
mod offloads;
pub mod sample;

pub use capture::{describe, filter, pcapng};
pub use offloads::{coalesce, vnet_segment};

use std::hint::black_box;

use crate::{
    checksum,
    wire::{
        ArpPacket, EthernetFrame, Headers, Icmpv4Packet, Icmpv6Packet, Ipv4Packet, Ipv6Packet, TcpPacket,
        UdpPacket, VlanTag,
    },
};

/// Reads everything any view can read of `bytes`, taken for a frame and for each header.
pub fn views(bytes: &[u8]) {
    if let Some(headers) = Headers::parse(bytes) {
        assert!(headers.l3 <= bytes.len());
        if let Some(ip) = headers.ip {
            assert!(headers.l3 < ip.l4 && ip.l4 <= ip.end && ip.end <= bytes.len());
            assert!(ip.payload.is_none_or(|p| ip.l4 < p && p <= ip.end));
            black_box((ip.ports(bytes), ip.l4_header_len()));
            black_box(checksum::verify_transport(bytes, headers.l3, &ip));
        }
    }
    if let Ok(v) = EthernetFrame::new_checked(bytes) {
        black_box((v.destination(), v.source(), v.ethertype(), v.payload().len()));
    }
    if let Ok(v) = VlanTag::new_checked(bytes) {
        black_box((v.vid(), v.priority(), v.drop_eligible(), v.ethertype(), v.payload().len()));
    }
    if let Ok(v) = ArpPacket::new_checked(bytes) {
        black_box((v.operation(), v.sender_mac(), v.sender_ip(), v.target_mac(), v.is_gratuitous()));
    }
    for v in [Ipv4Packet::new_checked(bytes), Ipv4Packet::new_truncated(bytes)].into_iter().flatten() {
        black_box((v.tos(), v.id(), v.dont_fragment(), v.fragment_offset(), v.ttl(), v.protocol()));
        black_box((v.source(), v.destination(), v.verify_checksum(), v.options().count(), v.payload()));
    }
    for v in [Ipv6Packet::new_checked(bytes), Ipv6Packet::new_truncated(bytes)].into_iter().flatten() {
        black_box((v.traffic_class(), v.flow_label(), v.hop_limit(), v.source(), v.destination()));
        black_box((v.extensions().count(), v.extensions().finish(), v.payload()));
    }
    if let Ok(v) = TcpPacket::new_checked(bytes) {
        assert_eq!(v.header_len() + v.payload().len(), bytes.len());
        black_box((v.source_port(), v.sequence(), v.acknowledgment(), v.flags(), v.window(), v.urgent()));
        black_box((v.options().count(), v.mss()));
    }
    for v in [UdpPacket::new_checked(bytes), UdpPacket::new_truncated(bytes)].into_iter().flatten() {
        black_box((v.source_port(), v.destination_port(), v.checksum(), v.payload()));
    }
    if let Ok(v) = Icmpv4Packet::new_checked(bytes) {
        black_box((v.kind(), v.ident(), v.mtu(), v.is_error(), v.verify_checksum(), v.payload()));
    }
    if let Ok(v) = Icmpv6Packet::new_checked(bytes) {
        black_box((v.kind(), v.target(), v.mtu(), v.ndp_options().filter_map(|o| o.mac()).count()));
    }
}

//! Bodies of the fuzz targets, so that tests run them too. Not part of the public interface.

use std::net::{Ipv4Addr, SocketAddr};

use ipnet::Ipv4Net;
use packet::MacAddr;
use packet::checksum::verify_transport;
use packet::wire::{Headers, Ipv4Packet, ipproto, udp};

use super::answer::{Limits, Responder, Scene};
use super::build::{self, Header4, Link};
use super::config::{DhcpConfig, Endpoint, GatewayConfig, State};
use super::dhcp::{self, Endpoints};
use super::stats::Counters;

const SERVER: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 2);

/// Takes `bytes` for the payload of a DHCP datagram of a known station, broadcast if the first
/// byte is odd, and checks what is answered. Returns the answer.
///
/// # Panics
/// When an answer's checksums are wrong, it gives an address that is not the station's, or it is
/// no DHCP.
pub fn dhcp(bytes: &[u8]) -> Option<Vec<u8>> {
    let (&[how], message) = bytes.split_first_chunk()?;
    let (server, client) = (MacAddr::from_ipv4(SERVER), MacAddr::from_ipv4(CLIENT));
    let state = State::new(GatewayConfig {
        mac: server,
        v4: vec![Ipv4Net::new_assert(SERVER, 16)],
        v6: Vec::new(),
        mtu: 1450,
        router: true,
        dns: None,
        dhcp: Some(DhcpConfig {
            servers: vec![SERVER],
            domain: Some("test".into()),
            ..DhcpConfig::default()
        }),
        beyond: None,
    });
    let endpoints = Endpoints::default();
    let endpoint =
        Endpoint { address: Some(CLIENT), hostname: Some("c1".into()), search: vec!["test".into()] };
    endpoints.set(client, &endpoint);
    let (stats, limits) = (Counters::default(), Limits::default());
    let scene = Scene { state: &state, endpoints: &endpoints, stats: &stats, limits: &limits, now_ms: 5000 };

    let (to, source, destination) = if how & 1 == 1 {
        (MacAddr::BROADCAST, Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST)
    } else {
        (server, CLIENT, SERVER)
    };
    let mut frame = vec![0; build::V4 + udp::HEADER_LEN + message.len()];
    let header = Header4::whole(source, destination, ipproto::UDP);
    let datagram =
        build::ipv4(&mut frame, Link { to, from: client }, &header, udp::HEADER_LEN + message.len())?;
    datagram.get_mut(udp::HEADER_LEN..)?.copy_from_slice(message);
    let ports = (SocketAddr::from((source, 68)), SocketAddr::from((destination, dhcp::SERVER_PORT)));
    super::udp::fill(datagram, ports.0, ports.1)?;

    let mut out = vec![0; 2048];
    let len = Responder::default().answer(&scene, &frame, &mut out)?;
    out.truncate(len);
    check(&out);
    Some(out)
}

fn check(answer: &[u8]) {
    let headers = Headers::parse(answer).expect("an Ethernet header");
    let ip = headers.ip.expect("an IP packet");
    assert_eq!(verify_transport(answer, headers.l3, &ip), Some(true));
    assert!(Ipv4Packet::new_checked(&answer[headers.l3..]).is_ok_and(|p| p.verify_checksum()));
    assert_eq!(ip.ports(answer), Some((67, 68)));
    let message = &answer[ip.payload.expect("a UDP header")..ip.end];
    assert!((300..=548).contains(&message.len()), "{} bytes", message.len());
    assert_eq!((message[0], &message[236..240]), (2, &[99, 130, 83, 99][..]));
    let given = Ipv4Addr::from([message[16], message[17], message[18], message[19]]);
    assert!(given.is_unspecified() || given == CLIENT, "{given} was given");
}

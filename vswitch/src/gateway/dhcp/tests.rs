use packet::wire::Headers;
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr};

use super::options::{Options, code};
use super::*;
use crate::gateway::answer::Responder;
use crate::gateway::config::Endpoint;
use crate::gateway::samples::{Bench, GATEWAY, HOST, assert_right, gateway_mac, host_mac, udp_frame};

/// What a client says, by hand.
#[derive(Clone)]
struct Said {
    kind: u8,
    flags: u8,
    ciaddr: Ipv4Addr,
    requested: Option<Ipv4Addr>,
    server: Option<Ipv4Addr>,
    more: Vec<u8>,
    chaddr: MacAddr,
    giaddr: Ipv4Addr,
    /// Sent to the gateway, not to everybody.
    unicast: bool,
}

const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const OTHER: Ipv4Addr = Ipv4Addr::new(172, 18, 0, 9);
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const RELEASE: u8 = 7;
const INFORM: u8 = 8;

fn said(kind: u8) -> Said {
    Said {
        kind,
        flags: 0,
        ciaddr: NONE,
        requested: None,
        server: None,
        more: Vec::new(),
        chaddr: host_mac(),
        giaddr: NONE,
        unicast: false,
    }
}

impl Said {
    fn frame(&self) -> Vec<u8> {
        let mut m = vec![0; 240];
        m[..8].copy_from_slice(&[1, 1, 6, 0, 9, 8, 7, 6]);
        m[10] = self.flags;
        m[12..16].copy_from_slice(&self.ciaddr.octets());
        m[24..28].copy_from_slice(&self.giaddr.octets());
        m[28..34].copy_from_slice(&self.chaddr.0);
        m[236..].copy_from_slice(&[99, 130, 83, 99]);
        m.extend([53, 1, self.kind]);
        for (code, address) in [(50, self.requested), (54, self.server)] {
            if let Some(address) = address {
                m.extend([code, 4]);
                m.extend(address.octets());
            }
        }
        m.extend(&self.more);
        m.push(255);
        let to = if self.unicast { GATEWAY } else { Ipv4Addr::BROADCAST };
        let mut frame = udp_frame((self.ciaddr.into(), 68), (to.into(), 67), &m);
        if !self.unicast {
            frame[..6].fill(0xff);
        }
        frame
    }

    fn answered(&self, bench: &Bench) -> Option<Heard> {
        let mut out = vec![0xaa; 2000];
        let len = Responder::default().answer(&bench.scene(), &self.frame(), &mut out)?;
        out.truncate(len);
        Some(Heard(out))
    }
}

/// An answer's frame.
struct Heard(Vec<u8>);

impl Heard {
    fn message(&self) -> &[u8] {
        &self.0[42..]
    }

    /// Ethernet and IP destination.
    fn to(&self) -> (MacAddr, Ipv4Addr) {
        assert_right(&self.0);
        assert_eq!(self.0[6..12], gateway_mac().0);
        assert_eq!(self.0[26..30], GATEWAY.octets());
        assert_eq!(Headers::parse(&self.0).unwrap().ip.unwrap().ports(&self.0), Some((67, 68)));
        (
            MacAddr(self.0[..6].try_into().unwrap()),
            Ipv4Addr::from(<[u8; 4]>::try_from(&self.0[30..34]).unwrap()),
        )
    }

    fn kind(&self) -> DhcpMessageType {
        self.repr(|r| r.message_type)
    }

    fn yiaddr(&self) -> Ipv4Addr {
        self.repr(|r| r.your_ip)
    }

    /// As another implementation reads it.
    fn repr<R>(&self, read: impl FnOnce(&DhcpRepr<'_>) -> R) -> R {
        let packet = DhcpPacket::new_checked(self.message()).unwrap();
        read(&DhcpRepr::parse(&packet).unwrap())
    }

    fn option(&self, code: u8) -> Option<&[u8]> {
        Options::new(&self.message()[240..]).map(Result::unwrap).find(|o| o.code == code).map(|o| o.data)
    }
}

#[test]
fn a_discover_is_offered_the_stations_own_address() {
    let offer = said(DISCOVER).answered(&Bench::with_dns()).unwrap();
    assert_eq!(offer.to(), (host_mac(), HOST));
    offer.repr(|r| {
        assert_eq!((r.message_type, r.transaction_id), (DhcpMessageType::Offer, 0x0908_0706));
        assert_eq!((r.your_ip, r.client_ip, r.client_hardware_address.0), (HOST, NONE, host_mac().0));
        assert_eq!((r.router, r.server_identifier), (Some(GATEWAY), Some(GATEWAY)));
        assert_eq!(r.subnet_mask, Some(Ipv4Addr::new(255, 255, 0, 0)));
        assert_eq!(r.dns_servers.as_ref().unwrap()[..], [GATEWAY]);
        assert_eq!(
            (r.lease_duration, r.renew_duration, r.rebind_duration),
            (Some(3600), Some(1800), Some(3150))
        );
    });
    assert_eq!(offer.option(code::MTU), Some(&1400u16.to_be_bytes()[..]));
    assert_eq!(offer.option(code::HOST_NAME), Some(&b"host"[..]));
    assert_eq!(offer.option(code::DOMAIN), Some(&b"net.test"[..]));
    assert_eq!(offer.option(code::BROADCAST), Some(&[172, 18, 255, 255][..]));
    assert_eq!(offer.option(code::SEARCH), Some(&b"\x03net\x04test\0\x07example\x03com\0"[..]));
    assert_eq!(offer.message().len(), 300.max(offer.message().len()));
}

#[test]
fn a_lease_says_no_more_than_there_is() {
    let bench = Bench::with(|config| {
        config.router = false;
        config.v4 = vec!["172.18.0.1/31".parse().unwrap()];
        config.dhcp.as_mut().unwrap().domain = None;
    });
    bench
        .endpoints
        .set(host_mac(), &Endpoint { address: Some(Ipv4Addr::new(172, 18, 0, 0)), ..Endpoint::default() });
    let offer = said(DISCOVER).answered(&bench).unwrap();
    for absent in [
        code::ROUTER,
        code::NAME_SERVER,
        code::DOMAIN,
        code::HOST_NAME,
        code::SEARCH,
        code::BROADCAST,
        code::CLIENT,
    ] {
        assert_eq!(offer.option(absent), None, "{absent}");
    }
    assert_eq!(offer.message().len(), 300);
}

#[test]
fn name_servers_of_the_network_come_before_the_gateway() {
    let (a, b) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let mut bench = Bench::with_dns();
    bench.state.config.dhcp.as_mut().unwrap().servers = vec![a, b];
    let offer = said(DISCOVER).answered(&bench).unwrap();
    assert_eq!(offer.option(code::NAME_SERVER), Some(&[a.octets(), b.octets()].concat()[..]));
    bench.state.config.dhcp.as_mut().unwrap().servers = vec![a; 100];
    let offer = said(DISCOVER).answered(&bench).unwrap();
    assert_eq!(offer.option(code::NAME_SERVER).unwrap().len(), 32);
}

#[test]
fn a_lease_for_ever_has_no_times_within() {
    let mut bench = Bench::new();
    bench.state.config.dhcp.as_mut().unwrap().lease = u32::MAX;
    let offer = said(DISCOVER).answered(&bench).unwrap();
    assert_eq!(offer.option(code::LEASE_TIME), Some(&[0xff; 4][..]));
    assert_eq!(offer.option(code::RENEWAL_TIME), None);
}

#[test]
fn a_client_may_ask_for_a_shorter_lease() {
    for (wanted, given) in [(600, 600), (1, 60), (u32::MAX, 3600)] {
        let mut discover = said(DISCOVER);
        discover.more = [&[51, 4][..], &u32::to_be_bytes(wanted)].concat();
        let offer = discover.answered(&Bench::new()).unwrap();
        assert_eq!(offer.option(code::LEASE_TIME), Some(&u32::to_be_bytes(given)[..]));
    }
}

#[test]
fn the_clients_identifier_is_given_back() {
    let mut discover = said(DISCOVER);
    discover.more = vec![61, 3, 0, 1, 2];
    assert_eq!(discover.answered(&Bench::new()).unwrap().option(code::CLIENT), Some(&[0, 1, 2][..]));
}

#[test]
fn a_client_that_needs_broadcast_gets_it() {
    let discover = Said { flags: 0x80, ..said(DISCOVER) };
    let offer = discover.answered(&Bench::new()).unwrap();
    assert_eq!(offer.to(), (MacAddr::BROADCAST, Ipv4Addr::BROADCAST));
    assert_eq!(offer.message()[10..12], [0x80, 0]);
}

#[test]
fn selecting_is_acknowledged_or_left_to_the_chosen_server() {
    let request = Said { requested: Some(HOST), server: Some(GATEWAY), ..said(REQUEST) };
    let ack = request.answered(&Bench::new()).unwrap();
    assert_eq!((ack.kind(), ack.yiaddr(), ack.to()), (DhcpMessageType::Ack, HOST, (host_mac(), HOST)));
    let bench = Bench::new();
    let elsewhere = Said { server: Some(OTHER), ..request };
    assert!(elsewhere.answered(&bench).is_none());
    assert_eq!(bench.stats.snapshot().dhcp_other_server, 1);
}

#[test]
fn a_wrong_address_is_refused_to_everybody() {
    let selecting = Said { requested: Some(OTHER), server: Some(GATEWAY), ..said(REQUEST) };
    let rebooting = Said { requested: Some(OTHER), ..said(REQUEST) };
    let renewing = Said { ciaddr: OTHER, unicast: true, ..said(REQUEST) };
    let rebinding = Said { ciaddr: OTHER, ..said(REQUEST) };
    let both = Said { ciaddr: OTHER, requested: Some(HOST), ..said(REQUEST) };
    for request in [selecting, rebooting, renewing, rebinding, both] {
        let nak = request.answered(&Bench::new()).unwrap();
        assert_eq!(nak.to(), (MacAddr::BROADCAST, Ipv4Addr::BROADCAST));
        nak.repr(|r| {
            assert_eq!((r.message_type, r.your_ip, r.client_ip), (DhcpMessageType::Nak, NONE, NONE));
            assert_eq!((r.server_identifier, r.lease_duration, r.router), (Some(GATEWAY), None, None));
        });
    }
}

#[test]
fn rebooting_renewing_and_rebinding_are_acknowledged() {
    let ack = Said { requested: Some(HOST), ..said(REQUEST) }.answered(&Bench::new()).unwrap();
    assert_eq!((ack.kind(), ack.to()), (DhcpMessageType::Ack, (host_mac(), HOST)));
    for unicast in [true, false] {
        // Who has an address gets the answer there, whatever it says of broadcast.
        let request = Said { ciaddr: HOST, unicast, flags: 0x80, ..said(REQUEST) };
        let ack = request.answered(&Bench::new()).unwrap();
        assert_eq!((ack.kind(), ack.yiaddr(), ack.to()), (DhcpMessageType::Ack, HOST, (host_mac(), HOST)));
        assert_eq!(ack.repr(|r| r.client_ip), HOST);
    }
    assert!(said(REQUEST).answered(&Bench::new()).is_none());
}

#[test]
fn inform_brings_everything_but_a_lease() {
    for ciaddr in [HOST, OTHER] {
        let ack = Said { ciaddr, unicast: true, ..said(INFORM) }.answered(&Bench::new()).unwrap();
        assert_eq!((ack.kind(), ack.yiaddr(), ack.to()), (DhcpMessageType::Ack, NONE, (host_mac(), ciaddr)));
        assert_eq!((ack.option(code::LEASE_TIME), ack.option(code::RENEWAL_TIME)), (None, None));
        assert_eq!(ack.option(code::ROUTER), Some(&GATEWAY.octets()[..]));
    }
    for ciaddr in
        [NONE, Ipv4Addr::BROADCAST, GATEWAY, Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(224, 0, 0, 1)]
    {
        assert!(Said { ciaddr, ..said(INFORM) }.answered(&Bench::new()).is_none(), "{ciaddr}");
    }
}

#[test]
fn giving_back_and_declining_are_counted_and_not_answered() {
    let bench = Bench::new();
    let release = Said { ciaddr: HOST, server: Some(GATEWAY), unicast: true, ..said(RELEASE) };
    let decline = Said { requested: Some(HOST), server: Some(GATEWAY), ..said(DECLINE) };
    assert!(release.answered(&bench).is_none() && decline.answered(&bench).is_none());
    assert!(Said { server: Some(OTHER), ..decline }.answered(&bench).is_none());
    let stats = bench.stats.snapshot();
    assert_eq!((stats.dhcp_releases, stats.dhcp_declines, stats.dhcp_other_server), (1, 1, 1));
    assert!(said(DISCOVER).answered(&bench).is_some());
}

#[test]
fn who_is_not_known_gets_no_answer() {
    let bench = Bench::new();
    bench.endpoints.remove(host_mac());
    assert!(said(DISCOVER).answered(&bench).is_none());
    bench.endpoints.set(host_mac(), &Endpoint::default());
    assert!(said(DISCOVER).answered(&bench).is_none());
    bench
        .endpoints
        .set(host_mac(), &Endpoint { address: Some(Ipv4Addr::new(10, 9, 9, 9)), ..Endpoint::default() });
    assert!(said(DISCOVER).answered(&bench).is_none());
    assert_eq!(bench.stats.snapshot().dhcp_unknown, 3);
}

#[test]
fn nobody_asks_for_somebody_else() {
    let bench = Bench::new();
    assert!(Said { chaddr: gateway_mac(), ..said(DISCOVER) }.answered(&bench).is_none());
    assert!(Said { giaddr: OTHER, ..said(DISCOVER) }.answered(&bench).is_none());
    for answer in [2, 5, 6] {
        assert!(said(answer).answered(&bench).is_none());
    }
    assert_eq!(bench.stats.snapshot().dhcp_invalid, 5);
}

#[test]
fn a_flood_is_answered_ten_times_a_second() {
    let bench = Bench::new();
    let answers = (0..1000).filter(|_| said(DISCOVER).answered(&bench).is_some()).count();
    assert_eq!(answers, 10);
    assert_eq!(bench.stats.snapshot().dhcp_limited, 990);
    // It is that station's own limit.
    let other = MacAddr([2, 0x42, 0, 0, 0, 9]);
    bench.endpoints.set(other, &Endpoint { address: Some(OTHER), ..Endpoint::default() });
    let mut frame = Said { chaddr: other, ..said(DISCOVER) }.frame();
    frame[6..12].copy_from_slice(&other.0);
    assert!(Responder::default().answer(&bench.scene(), &frame, &mut [0; 2000]).is_some());
}

#[test]
fn a_wrong_checksum_is_no_request_and_none_at_all_is_right() {
    let bench = Bench::new();
    let mut frame = said(DISCOVER).frame();
    frame[40] ^= 1;
    assert!(Responder::default().answer(&bench.scene(), &frame, &mut [0; 2000]).is_none());
    assert_eq!(bench.stats.snapshot().bad_checksum, 1);
    frame[40..42].fill(0);
    assert!(Responder::default().answer(&bench.scene(), &frame, &mut [0; 2000]).is_some());
}

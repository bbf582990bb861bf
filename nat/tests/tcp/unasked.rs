//! What comes from outside unasked: SYNs to ports of mappings, and ICMP errors about connections.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

use nat::{Endpoint, counters::Reason};
use packet::checksum::Sum;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket, sockopt,
};

use crate::{
    connect, lab as good_lab,
    lab::{Lab, Netns, eventually, ran_as_user},
    pair,
};

/// A question from inside and its answer.
fn talk(inside: &mut TcpStream, outside: &mut TcpStream) {
    let mut text = [0; 8];
    inside.write_all(b"question").unwrap();
    outside.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"question");
    outside.write_all(b"answered").unwrap();
    inside.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"answered");
}

/// The part of the requirement that is met; for the other see docs/nat.md.
#[test]
fn rfc5382_req4_an_unsolicited_syn_reaches_no_container_and_ends_no_connection() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    for v6 in [false, true] {
        let (mut inside, mut outside) = pair(&lab, v6);
        let at = outside.peer_addr().unwrap();
        let before = lab.ask(|engine, _| engine.flows().count());
        let error = connect(&lab.world, at).unwrap_err();
        // By the host's kernel, at once.
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        assert_eq!(lab.ask(|engine, _| engine.flows().count()), before);
        talk(&mut inside, &mut outside);
    }
}

fn raw(netns: &Netns, v6: bool, protocol: Protocol) -> OwnedFd {
    let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
    netns.within(|| {
        let socket = socket(family, SocketType::RAW, Some(protocol)).unwrap();
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(30))).unwrap();
        socket
    })
}

/// The TCP header of the next segment with data that `socket` hears of, its number being the one
/// behind the data: an error about it is one about the last that was sent.
fn next_segment(socket: &OwnedFd, v6: bool) -> [u8; 8] {
    let mut packet = [0; 2000];
    loop {
        let (len, _) = recv(socket, &mut packet[..], RecvFlags::empty()).unwrap();
        // Raw IPv4 comes with its IP header, raw IPv6 without (raw(7), ipv6(7)).
        let tcp = &packet[if v6 { 0 } else { usize::from(packet[0] & 15) * 4 }..len];
        let data = tcp.len() - usize::from(tcp[12] >> 4) * 4;
        if data > 0 {
            let mut header: [u8; 8] = tcp[..8].try_into().unwrap();
            let seq = u32::from_be_bytes(header[4..].try_into().unwrap());
            header[4..].copy_from_slice(&seq.wrapping_add(data as u32).to_be_bytes());
            return header;
        }
    }
}

/// An ICMP error of `kind` and `code` about a segment from one to the other, as its message.
fn error_about(kind: u8, code: u8, (from, to): (IpAddr, IpAddr), tcp: [u8; 8]) -> Vec<u8> {
    // Behind the checksum: nothing; or an MTU, where there is one.
    let mut message = vec![kind, code, 0, 0, 0, 0, 5, 0];
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut ip = [0x45, 0, 0, 48, 0, 1, 0x40, 0, 60, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            ip[12..16].copy_from_slice(&from.octets());
            ip[16..].copy_from_slice(&to.octets());
            let sum = Sum::of(&ip).checksum();
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            message.extend(ip);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            message.extend([0x60, 0, 0, 0, 0, 28, 6, 60]);
            message.extend(from.octets());
            message.extend(to.octets());
        }
        _ => panic!("one IP version"),
    }
    message.extend(tcp);
    if from.is_ipv4() {
        let sum = Sum::of(&message).checksum();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// Every error that is about a packet: RFC 792 and RFC 4443 with what came later.
fn all_errors(v6: bool) -> Vec<(u8, u8)> {
    let ranges: &[(u8, u8)] =
        if v6 { &[(1, 6), (2, 0), (3, 1), (4, 2)] } else { &[(3, 15), (4, 0), (11, 1), (12, 2)] };
    ranges.iter().flat_map(|(kind, last)| (0..=*last).map(|code| (*kind, code))).collect()
}

/// ICMP messages that a namespace has taken.
fn messages_taken(netns: &Netns, v6: bool) -> u64 {
    let snmp = netns.within(|| {
        std::fs::read_to_string(format!("/proc/thread-self/net/snmp{}", if v6 { "6" } else { "" })).unwrap()
    });
    let number = if v6 {
        snmp.lines().find_map(|line| line.strip_prefix("Icmp6InMsgs"))
    } else {
        snmp.lines()
            .filter_map(|line| line.strip_prefix("Icmp: "))
            .nth(1)
            .and_then(|line| line.split(' ').next())
    };
    number.unwrap().trim().parse().unwrap()
}

#[test]
fn rfc5382_req10_icmp_errors_of_any_kind_from_outside_end_no_connection() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    for v6 in [false, true] {
        let (mut inside, mut outside) = pair(&lab, v6);
        let (from, to) = (outside.peer_addr().unwrap(), outside.local_addr().unwrap());
        let sniffer = raw(&lab.world, v6, ipproto::TCP);
        let icmp = raw(&lab.world, v6, if v6 { ipproto::ICMPV6 } else { ipproto::ICMP });
        let before = messages_taken(&lab.router, v6);
        let errors = all_errors(v6);
        for (kind, code) in &errors {
            talk(&mut inside, &mut outside);
            let about = error_about(*kind, *code, (from.ip(), to.ip()), next_segment(&sniffer, v6));
            sendto(&icmp, &about, SendFlags::empty(), &SocketAddr::new(from.ip(), 0)).unwrap();
        }
        eventually("the host has taken them all", || {
            (messages_taken(&lab.router, v6) >= before + errors.len() as u64).then_some(())
        });
        talk(&mut inside, &mut outside);
        assert_alive(&lab, &inside);
    }
}

#[test]
fn rfc5382_req10_icmp_errors_of_any_kind_from_inside_end_no_connection() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let mut sent = 0;
    for v6 in [false, true] {
        let (mut inside, mut outside) = pair(&lab, v6);
        let (from, to) = (inside.peer_addr().unwrap(), inside.local_addr().unwrap());
        let sniffer = raw(&lab.container, v6, ipproto::TCP);
        let icmp = raw(&lab.container, v6, if v6 { ipproto::ICMPV6 } else { ipproto::ICMP });
        for (kind, code) in all_errors(v6) {
            talk(&mut inside, &mut outside);
            let about = error_about(kind, code, (from.ip(), to.ip()), next_segment(&sniffer, v6));
            sendto(&icmp, &about, SendFlags::empty(), &SocketAddr::new(from.ip(), 0)).unwrap();
            sent += 1;
        }
        lab.until("it has taken them all", move |engine, _| {
            (engine.counters().get(Reason::IcmpErrorUnsent) >= sent).then_some(())
        });
        talk(&mut inside, &mut outside);
        assert_alive(&lab, &inside);
    }
}

/// The flow of a container's connection is there and established.
fn assert_alive(lab: &Lab, inside: &TcpStream) {
    let at = inside.local_addr().unwrap();
    let local = Endpoint::new(at.ip(), at.port());
    let states: Vec<_> = lab.ask(move |engine, _| {
        engine.flows().filter(|flow| flow.local == local).map(|flow| flow.state).collect()
    });
    assert_eq!(states, ["ESTABLISHED"]);
}

//! Published ports: the container sees who its clients are.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use nat::{
    config::Config,
    engine::{Direction, Listener, Publisher},
};

use crate::{
    connect, lab as good_lab,
    lab::{self, Impairment, Lab, ran_as_user},
    listen,
};

/// Publishes `port` of the container at `address` of the router; returns where.
fn publish(lab: &Lab, address: IpAddr, port: u16) -> SocketAddr {
    let listener = lab.router.within(|| Listener::new((address, 0).into()).unwrap());
    let bound = listener.address();
    lab.ask(move |engine, inside| engine.publish(listener, Publisher { inside, port }).unwrap());
    bound
}

fn talk(lab: &Lab, from: &lab::Netns, at: IpAddr, version: IpAddr) -> (SocketAddr, SocketAddr) {
    let server = listen(&lab.container, version);
    let bound = publish(lab, version, server.local_addr().unwrap().port());
    let mut client = connect(from, (at, bound.port()).into()).unwrap();
    let (mut served, seen) = server.accept().unwrap();
    client.write_all(b"question").unwrap();
    let mut question = [0; 8];
    served.read_exact(&mut question).unwrap();
    served.write_all(b"answer").unwrap();
    drop(served);
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    (client.local_addr().unwrap(), seen)
}

const ANY4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);

#[test]
fn a_server_sees_its_clients_real_addresses_and_ports() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let (client, seen) = talk(&lab, &lab.world, lab::ROUTER.into(), ANY4);
    assert_eq!(client, seen);
    let (client, seen) = talk(&lab, &lab.world, "2001:db8::1".parse().unwrap(), ANY6);
    assert_eq!(client, seen);
}

#[test]
fn a_client_on_the_hosts_loopback_is_seen_as_the_gateway() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let (_, seen) = talk(&lab, &lab.router, Ipv4Addr::LOCALHOST.into(), ANY4);
    assert_eq!(seen.ip(), IpAddr::from(lab::GATEWAY));
    let (_, seen) = talk(&lab, &lab.router, "::1".parse().unwrap(), ANY6);
    assert_eq!(seen.ip(), IpAddr::from(lab::GATEWAY6));
}

#[test]
fn rfc5382_req8_hairpinning() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let (_, seen) = talk(&lab, &lab.container, lab::ROUTER.into(), ANY4);
    assert_eq!(seen.ip(), IpAddr::from(lab::ROUTER), "the container's address as the world sees it");
}

#[test]
fn a_port_nobody_listens_at_inside_resets_its_clients() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let bound = publish(&lab, ANY4, 9);
    // The host accepts before it is known that nobody does inside: the reset may meet either call.
    let error = connect(&lab.world, (lab::ROUTER, bound.port()).into())
        .and_then(|mut client| client.read(&mut [0; 10]))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn flows_are_shown_with_both_sides() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let server = listen(&lab.container, ANY4);
    let port = server.local_addr().unwrap().port();
    let bound = publish(&lab, ANY4, port);
    let mut client = connect(&lab.world, (lab::ROUTER, bound.port()).into()).unwrap();
    let (mut served, _) = server.accept().unwrap();
    client.write_all(b"12345").unwrap();
    served.read_exact(&mut [0; 5]).unwrap();
    served.write_all(b"123").unwrap();
    client.read_exact(&mut [0; 3]).unwrap();
    let flow = lab.ask(|engine, _| engine.flows().next().unwrap());
    assert_eq!(flow.direction, Direction::Published);
    assert_eq!((flow.local.ip, flow.local.port), (lab::CONTAINER.into(), port));
    assert_eq!((flow.remote.ip, flow.remote.port), (lab::WORLD.into(), client.local_addr().unwrap().port()));
    assert_eq!(flow.outside, Some((lab::ROUTER, bound.port()).into()));
    assert_eq!((flow.bytes_in, flow.bytes_out, flow.state), (5, 3, "ESTABLISHED"));
}

#[test]
fn a_port_that_is_taken_or_privileged_is_told_in_a_sentence() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let taken = listen(&lab.router, ANY4);
    let address = taken.local_addr().unwrap();
    let error = lab.router.within(|| Listener::new(address).unwrap_err());
    assert_eq!(error.to_string(), format!("Bind for {address} failed: port is already allocated"));
    let error = lab.router.within(|| Listener::new("198.51.100.1:80".parse().unwrap()).unwrap_err());
    assert_eq!(error.to_string(), "198.51.100.1 is none of the host's addresses");
}

#[test]
fn a_container_that_may_not_go_out_answers_who_comes_in() {
    if ran_as_user() {
        return;
    }
    let lab = Lab::with(1500, Config::default(), Impairment::default(), |inside| inside.outbound = false);
    let (client, seen) = talk(&lab, &lab.world, lab::ROUTER.into(), ANY4);
    assert_eq!(client, seen);
}

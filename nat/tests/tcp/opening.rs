//! How connections begin: the outside first, then the answer.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use nat::{config::Config, counters::Reason};

use crate::{
    connect, lab as good_lab,
    lab::{self, Impairment, Lab, ran_as_user},
    listen, pair,
};

#[test]
fn a_refused_connection_is_refused() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    for v6 in [false, true] {
        let error = connect(&lab.container, (lab::world(v6), 9).into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    }
}

#[test]
fn rfc5382_req9_an_unreachable_destination_is_unreachable() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let began = Instant::now();
    for (address, errno) in [
        ("203.0.113.1:80", libc::ENETUNREACH),
        ("[2001:db8:1::1]:80", libc::ENETUNREACH),
        // Nobody answers for these on the veth.
        ("192.0.2.77:80", libc::EHOSTUNREACH),
        ("[2001:db8::77]:80", libc::EHOSTUNREACH),
    ] {
        let error = connect(&lab.container, address.parse().unwrap()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno), "{address}: {error}");
    }
    assert!(began.elapsed() < Duration::from_secs(30));
    lab.ask(|engine, id| {
        let info = engine.inside(id).unwrap();
        assert_eq!((info.flows, info.half_open), (0, 0));
    });
}

#[test]
fn a_prohibited_destination_is_told_so() {
    if ran_as_user() {
        return;
    }
    let lab = Lab::with(1500, Config::default(), Impairment::default(), |inside| inside.outbound = false);
    for v6 in [false, true] {
        let error = connect(&lab.container, (lab::world(v6), 80).into()).unwrap_err();
        let told = [Some(libc::EHOSTUNREACH), Some(libc::EACCES)];
        assert!(told.contains(&error.raw_os_error()), "{error}");
    }
    // A SYN whose error meets a socket that is busy is sent once more: the kernel then only keeps the error.
    let refused = lab.ask(|engine, _| engine.counters().get(Reason::NoOutbound));
    assert!((2..=4).contains(&refused), "{refused}");
}

#[test]
fn the_hosts_loopback_is_out_of_reach_unless_it_was_given_an_address() {
    if ran_as_user() {
        return;
    }
    let loopback = Ipv4Addr::LOCALHOST.into();
    let closed = good_lab();
    let listener = listen(&closed.router, loopback);
    let port = listener.local_addr().unwrap().port();
    let error = connect(&closed.container, (lab::GATEWAY, port).into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);

    let open = Lab::with(1500, Config::default(), Impairment::default(), move |inside| {
        inside.host_addresses.push((lab::GATEWAY.into(), loopback));
    });
    let listener = listen(&open.router, loopback);
    let port = listener.local_addr().unwrap().port();
    let mut inside = connect(&open.container, (lab::GATEWAY, port).into()).unwrap();
    let (mut host, _) = listener.accept().unwrap();
    host.write_all(b"hello").unwrap();
    drop(host);
    let mut hello = String::new();
    inside.read_to_string(&mut hello).unwrap();
    assert_eq!(hello, "hello");
}

/// The port outside that the world sees.
fn port_outside(lab: &Lab, port: u16, to: &TcpListener) -> (TcpStream, TcpStream, u16) {
    let remote = to.local_addr().unwrap();
    let inside = lab.container.within(|| {
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)
                .unwrap();
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        rustix::net::bind(&socket, &std::net::SocketAddr::from((lab::CONTAINER, port))).unwrap();
        rustix::net::connect(&socket, &remote).unwrap();
        TcpStream::from(socket)
    });
    let (outside, from) = to.accept().unwrap();
    (inside, outside, from.port())
}

#[test]
fn rfc5382_req1_endpoint_independent_mapping() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let (one, two) = (listen(&lab.world, lab::world(false)), listen(&lab.world, lab::world(false)));
    let first = port_outside(&lab, 23_456, &one);
    let second = port_outside(&lab, 23_456, &two);
    assert_eq!((first.2, second.2), (23_456, 23_456), "and the port is kept where it is free");
    let other = port_outside(&lab, 23_457, &one);
    assert_ne!(other.2, first.2);
}

#[test]
fn rfc5382_req7_a_port_that_is_in_use_outside_is_not_shared() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let taken = listen(&lab.router, Ipv4Addr::UNSPECIFIED.into());
    let port = taken.local_addr().unwrap().port();
    let one = listen(&lab.world, lab::world(false));
    assert_ne!(port_outside(&lab, port, &one).2, port);
}

#[test]
fn many_connections_one_after_the_other() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    for i in 0..500 {
        let (mut inside, mut outside) = pair(&lab, i % 2 == 0);
        inside.write_all(b"question").unwrap();
        let mut question = [0; 8];
        outside.read_exact(&mut question).unwrap();
        outside.write_all(&question).unwrap();
        drop(outside);
        let mut answer = Vec::new();
        inside.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"question");
    }
    lab.until("no flow is left", |engine, id| {
        let info = engine.inside(id).unwrap();
        (info.flows == 0 && info.half_open == 0 && info.backlog == 0).then_some(())
    });
}

#[test]
fn syns_that_are_lost_are_sent_again() {
    if ran_as_user() {
        return;
    }
    let impairment = Impairment { lose_in: 3, lose_out: 3, random: true, ..Impairment::default() };
    let lab = Lab::new(1500, Config::default(), impairment);
    for _ in 0..5 {
        let (mut inside, mut outside) = pair(&lab, false);
        inside.write_all(b"question").unwrap();
        let mut question = [0; 8];
        outside.read_exact(&mut question).unwrap();
        outside.write_all(b"answer").unwrap();
        inside.read_exact(&mut question[..6]).unwrap();
    }
}

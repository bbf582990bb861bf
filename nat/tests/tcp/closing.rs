//! How connections end.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    time::Duration,
};

use nat::config::{Config, Timeouts};
use rustix::net::{SendFlags, send, sockopt};

use crate::{
    lab as good_lab,
    lab::{Impairment, Lab, ran_as_user},
    pair,
};

fn reset(stream: TcpStream) {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

#[test]
fn rfc5382_req2_half_closed_connections_carry_on_both_ways() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    for flip in [false, true] {
        let (inside, outside) = pair(&lab, flip);
        let (mut one, mut two) = if flip { (inside, outside) } else { (outside, inside) };
        one.write_all(b"last words").unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        two.read_to_string(&mut text).unwrap();
        assert_eq!(text, "last words");
        let mut bytes = vec![0; 100_000];
        for _ in 0..3 {
            two.write_all(&[7; 100_000]).unwrap();
            one.read_exact(&mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 7));
        }
        drop(two);
        assert_eq!(one.read(&mut bytes).unwrap(), 0);
    }
}

#[test]
fn rfc7857_resets_are_passed_on_both_ways() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    for flip in [false, true] {
        let (inside, outside) = pair(&lab, false);
        let (one, mut two) = if flip { (inside, outside) } else { (outside, inside) };
        reset(one);
        let error = two.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    lab.until("no flow is left", |engine, _| (engine.flows().count() == 0).then_some(()));
}

#[test]
fn what_was_sent_before_a_reset_arrives_before_it() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let (mut inside, mut outside) = pair(&lab, false);
    outside.write_all(&[7; 50_000]).unwrap();
    // The host has it all once the bytes are acknowledged.
    lab.until("everything was acknowledged", |engine, _| {
        engine.flows().any(|flow| flow.bytes_in == 50_000).then_some(())
    });
    reset(outside);
    let mut bytes = vec![0; 50_000];
    inside.read_exact(&mut bytes).unwrap();
    assert_eq!(inside.read(&mut bytes).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_flow_that_is_closed_from_within_the_engine_is_reset_at_both_ends() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let (mut inside, mut outside) = pair(&lab, false);
    lab.close_flows();
    for stream in [&mut inside, &mut outside] {
        assert_eq!(stream.read(&mut [0; 10]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn urgent_data_do_no_harm() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    for flip in [false, true] {
        let (inside, outside) = pair(&lab, false);
        let (mut one, mut two) = if flip { (inside, outside) } else { (outside, inside) };
        sockopt::set_socket_oobinline(two.as_fd(), true).unwrap();
        for _ in 0..20 {
            one.write_all(b"plain").unwrap();
            send(one.as_fd(), b"!", SendFlags::OOB).unwrap();
            one.write_all(b"more").unwrap();
        }
        drop(one);
        let mut text = String::new();
        two.read_to_string(&mut text).unwrap();
        assert_eq!(text, "plain!more".repeat(20));
    }
}

#[test]
fn rfc5382_req5_idle_connections_live_as_long_as_the_container_answers() {
    if ran_as_user() {
        return;
    }
    let timeouts = Timeouts {
        tcp_established: Duration::from_millis(300),
        tcp_probe_interval: Duration::from_millis(100),
        tcp_probes: 3,
        ..Timeouts::default()
    };
    let config = Config { timeouts, ..Config::default() };
    let lab = Lab::new(1500, config, Impairment::default());
    let (mut inside, mut outside) = pair(&lab, false);
    let before = lab.ask(|engine, _| engine.flows().next().unwrap().packets_out);
    lab.until("it was asked and has answered more often than it may be silent", move |engine, _| {
        (engine.flows().next().unwrap().packets_out > before + 5).then_some(())
    });
    outside.write_all(b"still there?").unwrap();
    let mut text = [0; 12];
    inside.read_exact(&mut text).unwrap();

    // Without an interface nobody answers for it.
    lab.container.ip("link set eth0 down\n");
    assert_eq!(outside.read(&mut text).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn the_default_timeouts_are_those_of_the_rfc() {
    let timeouts = Timeouts::default();
    assert!(timeouts.tcp_established >= Duration::from_mins(124), "RFC 5382, requirement 5");
    assert!(timeouts.tcp_transitory >= Duration::from_mins(4), "RFC 5382, requirement 5");
}

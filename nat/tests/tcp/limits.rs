//! What is bounded, and what it costs when it is reached.

use std::{
    io::{Read, Write},
    net::Shutdown,
    time::Duration,
};

use nat::{
    config::{Config, Limits},
    counters::Reason,
};

use crate::{
    connect,
    lab::{self, Impairment, Lab, eventually, ran_as_user, stream},
    listen, pair,
};

fn limited(limits: Limits) -> Lab {
    Lab::new(1500, Config { limits, ..Config::default() }, Impairment::default())
}

#[test]
fn rfc6888_req4_a_container_has_so_many_flows_and_no_more() {
    if ran_as_user() {
        return;
    }
    let lab = limited(Limits { flows_per_inside: 3, ..Limits::default() });
    let mut pairs: Vec<_> = (0..3).map(|_| pair(&lab, false)).collect();
    let listener = listen(&lab.world, lab::world(false));
    let error = connect(&lab.container, listener.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EHOSTUNREACH), "RFC 6888, requirement 11: {error}");
    assert_eq!(lab.ask(|engine, _| engine.counters().get(Reason::InsideFlows)), 1);
    // Those that exist are unharmed, and one that ends makes room.
    for (inside, outside) in &mut pairs {
        inside.write_all(b"x").unwrap();
        outside.read_exact(&mut [0]).unwrap();
    }
    drop(pairs.pop());
    lab.until("a flow has ended", |engine, id| (engine.inside(id).unwrap().flows < 3).then_some(()));
    pair(&lab, false);
}

#[test]
fn half_open_connections_are_bounded_and_others_unharmed() {
    if ran_as_user() {
        return;
    }
    let lab = limited(Limits { half_open_per_inside: 20, ..Limits::default() });
    let existing = pair(&lab, false);
    // Nobody answers at this address.
    lab.container.within(|| {
        for _ in 0..200 {
            let socket = rustix::net::socket_with(
                rustix::net::AddressFamily::INET,
                rustix::net::SocketType::STREAM,
                rustix::net::SocketFlags::NONBLOCK,
                None,
            )
            .unwrap();
            let _ = rustix::net::connect(&socket, &std::net::SocketAddr::from(([192, 0, 2, 99], 80)));
        }
    });
    let (counted, half_open) = lab.until("the flood has arrived", |engine, id| {
        let counted = engine.counters().get(Reason::InsideHalfOpen);
        (counted >= 180).then(|| (counted, engine.inside(id).unwrap().half_open))
    });
    assert!(half_open <= 20, "{half_open} half open, {counted} refused");
    let (mut inside, mut outside) = existing;
    inside.write_all(b"x").unwrap();
    outside.read_exact(&mut [0]).unwrap();
}

#[test]
fn peers_that_never_read_cost_bounded_memory_and_others_nothing() {
    if ran_as_user() {
        return;
    }
    let backlog = 1 << 20;
    let lab = limited(Limits { backlog_per_inside: backlog, ..Limits::default() });
    let stuck: Vec<_> = (0..10).map(|_| pair(&lab, false)).collect();
    for (inside, _) in &stuck {
        inside.set_nonblocking(true).unwrap();
    }
    eventually("no more is taken", || {
        let mut taken = 0;
        for (inside, _) in &stuck {
            while let Ok(n) = (&mut &*inside).write(&[7; 65_536]) {
                taken += n;
            }
        }
        let kept = lab.ask(|engine, id| engine.inside(id).unwrap().backlog);
        assert!(kept <= backlog, "{kept}");
        (taken == 0 && kept > 0).then_some(())
    });
    // Others go on meanwhile.
    let (inside, outside) = pair(&lab, false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stream::send(&mut &inside, 10_000_000);
            inside.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!(stream::receive(&mut &outside, Duration::ZERO), 10_000_000);
    });
    drop(stuck);
    lab.until("all memory is given back", |engine, id| {
        (engine.inside(id).unwrap().backlog == 0).then_some(())
    });
}

//! Bytes arrive as they were sent: each is compared with the one that was sent at its place.

use std::{
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use nat::{
    Endpoint,
    config::{Config, TcpTuning},
};

use crate::{
    lab as good_lab,
    lab::{Impairment, Lab, ran_as_user, stream},
    pair,
};

/// Sends `len` bytes from one to the other and half-closes behind them.
fn carry(mut from: &TcpStream, mut to: &TcpStream, len: u64, rest: Duration) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stream::send(&mut from, len);
            from.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!(stream::receive(&mut to, rest), len);
    });
}

/// Does something with a connection in each direction at the same time: from here, to there.
fn each_way(lab: &Lab, work: impl Fn(&TcpStream, &TcpStream) + Sync) {
    let work = &work;
    std::thread::scope(|scope| {
        for flip in [false, true] {
            scope.spawn(move || {
                let (inside, outside) = pair(lab, false);
                if flip { work(&inside, &outside) } else { work(&outside, &inside) }
            });
        }
    });
}

/// A machine that is busy for a while is no reason for a timeout.
fn patient() -> Config {
    let tcp = TcpTuning { rto_min: Duration::from_secs(10), ..TcpTuning::default() };
    Config { tcp, ..Config::default() }
}

fn both_ways(lab: &Lab, v6: bool, len: u64) {
    let (inside, outside) = pair(lab, v6);
    carry(&inside, &outside, len, Duration::ZERO);
    carry(&outside, &inside, len, Duration::ZERO);
}

#[test]
fn every_mtu_and_both_versions_carry_both_ways() {
    if ran_as_user() {
        return;
    }
    for mtu in [1280, 1500, 9000, 65520] {
        let lab = Lab::new(mtu, patient(), Impairment::default());
        for v6 in [false, true] {
            both_ways(&lab, v6, 20_000_000);
        }
        lab.ask(|engine, _| {
            let counters = engine.counters();
            assert_eq!(counters.timeouts, 0, "{counters:?}");
        });
    }
}

#[test]
fn both_directions_at_once_and_many_connections() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    let pairs: Vec<_> = (0..50).map(|i| pair(&lab, i % 2 == 0)).collect();
    std::thread::scope(|scope| {
        for (inside, outside) in &pairs {
            scope.spawn(|| carry(inside, outside, 1_000_000, Duration::ZERO));
            scope.spawn(|| carry(outside, inside, 1_000_000, Duration::ZERO));
        }
    });
}

#[test]
fn a_reader_that_does_not_keep_up_slows_the_sender_down_and_loses_nothing() {
    if ran_as_user() {
        return;
    }
    let lab = Lab::new(1500, patient(), Impairment::default());
    each_way(&lab, |from, to| carry(from, to, 100_000_000, Duration::from_millis(2)));
    lab.ask(|engine, _| {
        let counters = engine.counters();
        assert_eq!(counters.timeouts, 0, "{counters:?}");
    });
}

/// Waits until the window of the reader of what `sender` sends is shut and was asked for several
/// times: packets come and go without data.
fn until_probed(lab: &Lab, sender: SocketAddr) {
    let sender = Endpoint::new(sender.ip(), sender.port());
    let (mut bytes, mut packets) = (0, 0);
    lab.until("the shut window is asked for", move |engine, _| {
        let flow = engine.flows().find(|flow| [flow.local, flow.remote].contains(&sender))?;
        let now = (flow.bytes_in + flow.bytes_out, flow.packets_in.min(flow.packets_out));
        if now.0 != bytes {
            (bytes, packets) = now;
        }
        (bytes > 0 && now.1 >= packets + 3).then_some(())
    });
}

#[test]
fn a_reader_that_pauses_until_it_is_asked_gets_the_rest() {
    if ran_as_user() {
        return;
    }
    let lab = good_lab();
    each_way(&lab, |from, mut to| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                stream::send(&mut &*from, 80_000_000);
                from.shutdown(Shutdown::Write).unwrap();
            });
            until_probed(&lab, from.local_addr().unwrap());
            assert_eq!(stream::receive(&mut to, Duration::ZERO), 80_000_000);
        });
    });
}

fn lossy(lose_in: u32, lose_out: u32, delay: Duration, len: u64) {
    let impairment = Impairment { lose_in, lose_out, random: true, delay };
    let lab = Lab::new(1500, Config::default(), impairment);
    both_ways(&lab, false, len);
}

#[test]
fn loss_and_delay() {
    if ran_as_user() {
        return;
    }
    lossy(100, 100, Duration::from_millis(20), 30_000_000);
}

/// Bytes of a long transfer: 64 MiB, or what the environment says (1 GiB is 1073741824).
fn long() -> u64 {
    std::env::var("NAT_TRANSFER_BYTES").map_or(64 << 20, |bytes| bytes.parse().expect("a number of bytes"))
}

#[test]
fn a_long_transfer_each_way_survives_loss() {
    if ran_as_user() {
        return;
    }
    lossy(100, 100, Duration::ZERO, long());
}

#[test]
fn a_long_transfer_each_way_survives_a_delay_of_200_ms() {
    if ran_as_user() {
        return;
    }
    lossy(0, 0, Duration::from_millis(100), long());
}

#[test]
fn a_long_transfer_each_way_survives_a_slow_reader_and_a_reader_that_has_closed_its_half() {
    if ran_as_user() {
        return;
    }
    let impairment = Impairment { lose_in: 1000, lose_out: 1000, random: true, ..Impairment::default() };
    let lab = Lab::new(1500, Config::default(), impairment);
    for flip in [false, true] {
        let (inside, outside) = pair(&lab, false);
        let (from, to) = if flip { (&inside, &outside) } else { (&outside, &inside) };
        // The other direction is closed first.
        to.shutdown(Shutdown::Write).unwrap();
        carry(from, to, long(), Duration::from_millis(1));
    }
}

//! An engine between a namespace that stands for a container and one that stands for the world,
//! until its input ends. Prints how to enter them. Needs root.
//!
//!     cargo run --release -p nat --example relay -- [mtu=1500] [lose_in=5000] [lose_out=0] [random] [delay_ms=0] [from_start]

#[path = "../tests/lab/mod.rs"]
mod lab;

use std::{io::Read, time::Duration};

use nat::config::Config;

use crate::lab::{Impairment, Lab};

const PEEK_FROM_START: bool = false;

fn main() {
    let mut mtu = 1500;
    let mut config = Config::default();
    let mut impairment = Impairment::default();
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').unwrap_or((&argument, "1"));
        let number: u32 = value.parse().unwrap_or_else(|_| panic!("{argument}: not a number"));
        match name {
            "mtu" => mtu = number as u16,
            "lose_in" => impairment.lose_in = number,
            "lose_out" => impairment.lose_out = number,
            "random" => impairment.random = number != 0,
            "from_start" => config.tcp.peek_from_start = number != 0,
            "delay_ms" => impairment.delay = Duration::from_millis(number.into()),
            _ => panic!("{argument}: one of mtu, lose_in, lose_out, random, delay_ms, from_start"),
        }
    }
    let lab = Lab::new(mtu, config, impairment);
    println!("container={}\nrouter={}\nworld={}", lab.container.name(), lab.router.name(), lab.world.name());
    let mut rest = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut rest);
    for flow in lab.ask(|engine, _| engine.flows().collect::<Vec<_>>()) {
        println!("{flow:?}");
    }
    let counters = lab.ask(|engine, _| engine.counters().clone());
    for (reason, count) in counters.reasons() {
        println!("{}: {count}", reason.name());
    }
    println!(
        "flows {}, frames in {}, frames out {}, retransmitted {}, timeouts {}",
        counters.flows_opened,
        counters.frames_in,
        counters.frames_out,
        counters.retransmitted_bytes,
        counters.timeouts
    );
}

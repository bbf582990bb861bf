//! One host of an overlay network, without daemon or store: a container with a TAP, and a VXLAN
//! port to the peers given by hand. It learns from frames, so a kernel VXLAN device is a peer too.
//!
//!     ip netns exec host1 overlay_host LOCAL PEER[,PEER...] VNI CONTAINER-NETNS ADDRESS/LEN [MTU [WORKERS]]
//!
//! Runs until its standard input ends, then prints what was counted.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use vswitch::dataplane::tap::tap_port;
use vswitch::dataplane::{BridgeConfig, PortConfig, Receive, Switch, SwitchConfig};
use vswitch::overlay::{Overlay, OverlayConfig};
use vswitch::sys::tun::{NewTap, create_tap};
use vxlan::NetworkConfig;

fn tap_in(netns: &str, queues: usize) -> NewTap {
    let file = File::open(format!("/run/netns/{netns}")).unwrap();
    // A thread of its own, so that only the TAP is made there.
    let make = move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        create_tap("eth0", queues).unwrap()
    };
    std::thread::spawn(make).join().unwrap()
}

fn ip(netns: &str, arguments: &[&str]) {
    assert!(Command::new("ip").args(["-n", netns]).args(arguments).status().unwrap().success());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [local, peers, vni, netns, address, rest @ ..] = &arguments[..] else {
        eprintln!("overlay_host LOCAL PEER[,PEER...] VNI CONTAINER-NETNS ADDRESS/LEN [MTU [WORKERS]]");
        std::process::exit(2);
    };
    let local: IpAddr = local.parse().unwrap();
    let mtu = rest.first().map_or("1450", String::as_str);
    let workers = rest.get(1).map_or(2, |n| n.parse().unwrap());

    let config = SwitchConfig { workers, busy_poll: Duration::ZERO, ..SwitchConfig::default() };
    let switch = Switch::new(&config, &(Arc::new(|event| eprintln!("{event:?}")) as _)).unwrap();
    let overlay =
        Overlay::new(&switch, &OverlayConfig { addresses: vec![local], ..OverlayConfig::default() }).unwrap();
    let bridge = switch.add_bridge(&BridgeConfig::default());
    let learning = NetworkConfig { learning: true, ..NetworkConfig::default() };
    let network = overlay.attach(&switch, &bridge, vni.parse().unwrap(), &learning).unwrap();
    network.set_peers(peers.split(',').map(|peer| peer.parse().unwrap())).unwrap();

    let tap = tap_in(netns, workers);
    let (transmit, receivers) = tap_port(tap.queues, tap.offloads).unwrap();
    let queues = receivers.into_iter().map(|queue| Box::new(queue) as Box<dyn Receive>).collect();
    let port = PortConfig {
        owner: "container".into(),
        interface: "eth0".into(),
        mtu: mtu.parse().unwrap(),
        trusted: false,
    };
    let port = switch.add_port(&bridge, port, Box::new(transmit), queues).unwrap();
    ip(netns, &["address", "add", address, "dev", "eth0"]);
    ip(netns, &["link", "set", "eth0", "up", "mtu", mtu]);

    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    println!("container {:#?}", port.counters().snapshot());
    println!("vxlan {:#?}", network.port().counters().snapshot());
    println!("of the network {:?}, of none {:?}", network.network().drops(), overlay.drops());
    for path in network.network().paths() {
        println!(
            "{} mtu {} segmentation {} {:?}",
            path.vtep(),
            path.mtu(),
            path.segmentation(),
            path.drops()
        );
    }
}

//! Hosts and containers as network namespaces, made with `ip` as root.

use std::fs::File;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use vswitch::dataplane::tap::tap_port;
use vswitch::dataplane::{BridgeConfig, PortConfig, Receive, Switch, SwitchConfig};
use vswitch::overlay::{Overlay, OverlayConfig, OverlayNetwork};
use vswitch::sys::tun::create_tap;
use vxlan::{NetworkConfig, Vni};

/// How long something that must happen may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// These tests make namespaces and devices.
pub fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root makes network namespaces");
    }
    root
}

/// A network namespace that goes when this value goes.
pub struct Netns(String);

impl Netns {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("vsov-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        run(Command::new("ip").args(["netns", "add", &name]));
        let netns = Self(name);
        netns.ip("link set lo up");
        netns
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    /// `ip` with these words.
    pub fn ip(&self, words: &str) {
        run(Command::new("ip").args(["-n", &self.0]).args(words.split_whitespace()));
    }

    /// A command inside.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).args(words.split_whitespace());
        command
    }

    /// Runs a command inside; its output.
    pub fn run(&self, words: &str) -> String {
        run(&mut self.command(words))
    }

    /// What `make` makes inside, on a thread of its own.
    pub fn inside<T: Send>(&self, make: impl FnOnce() -> T + Send) -> T {
        let file = File::open(PathBuf::from("/run/netns").join(&self.0)).unwrap();
        let make = || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            make()
        };
        std::thread::scope(|scope| scope.spawn(make).join().unwrap())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

/// Runs a command to its end; its output.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// Waits until `look` finds what it looks for.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// A child that ends with this value.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Joins two namespaces; the devices are `eth-NAME` of the other.
pub fn cable(a: (&Netns, &str, &str), b: (&Netns, &str, &str)) {
    let peer = format!("link add {} type veth peer name {} netns {}", a.1, b.1, b.0.name());
    a.0.ip(&peer);
    for (netns, device, address) in [a, b] {
        // Without waiting for duplicate address detection, which is not what is tested.
        let nodad = if address.contains(':') { "nodad" } else { "" };
        netns.ip(&format!("address add {address} dev {device} {nodad}"));
        netns.ip(&format!("link set {device} up"));
    }
}

/// A host with this switch: sockets in `netns`, one network, and a container beside it.
pub struct Host {
    pub netns: Netns,
    pub container: Netns,
    pub overlay: Overlay,
    pub network: OverlayNetwork,
    _switch: Switch,
}

impl Host {
    /// `netns` must have `address`; the container gets 10.9.0.N and fd09::N.
    pub fn new(netns: Netns, address: &str, peers: &[&str], n: u8, learning: bool) -> Self {
        let config = SwitchConfig { workers: 2, busy_poll: Duration::ZERO, ..SwitchConfig::default() };
        let switch = Switch::new(&config, &(Arc::new(|_| {}) as _)).unwrap();
        let addresses: Vec<IpAddr> = vec![address.parse().unwrap()];
        let overlay = netns
            .inside(|| Overlay::new(&switch, &OverlayConfig { addresses, ..OverlayConfig::default() }))
            .unwrap();
        let bridge = switch.add_bridge(&BridgeConfig::default());
        let learning = NetworkConfig { learning, ..NetworkConfig::default() };
        let network = overlay.attach(&switch, &bridge, Vni::new(42).unwrap(), &learning).unwrap();
        network.set_peers(peers.iter().map(|peer| peer.parse().unwrap())).unwrap();
        let container = Netns::new();
        let tap = container.inside(|| create_tap("eth0", 2)).unwrap();
        let (transmit, receivers) = tap_port(tap.queues, tap.offloads).unwrap();
        let queues = receivers.into_iter().map(|queue| Box::new(queue) as Box<dyn Receive>).collect();
        let port = PortConfig { owner: format!("c{n}"), interface: "eth0".into(), mtu: 1450, trusted: false };
        switch.add_port(&bridge, port, Box::new(transmit), queues).unwrap();
        container.ip("link set eth0 up mtu 1450");
        container.ip(&format!("address add 10.9.0.{n}/24 dev eth0"));
        container.ip(&format!("address add fd09::{n}/64 dev eth0 nodad"));
        Self { netns, container, overlay, network, _switch: switch }
    }
}

/// Sends `megabytes` by TCP from `client` to the address in `server`, and back.
pub fn transfer(client: &Netns, server: &Netns, address: &str, megabytes: u32) {
    let mut serve = server.command(&format!("iperf3 -s -1 -B {address}"));
    for direction in ["", "-R"] {
        let _server = Running(serve.stdout(Stdio::null()).spawn().unwrap());
        eventually("iperf3 listens", || server.run("ss -Hltn sport = :5201").contains("5201").then_some(()));
        client.run(&format!("iperf3 -c {address} -n {megabytes}M {direction}"));
    }
}

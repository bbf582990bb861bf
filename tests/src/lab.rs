//! A host with a daemon on it and the world beside it: network namespaces joined by a veth pair.
//!
//! ```text
//!     containers -- daemon in `host` -- veth -- `world`, which forwards to -- veth -- `far`
//! ```
//!
//! The daemon has no capabilities at all, whoever runs the tests.

use std::process::Command;
use std::sync::Arc;

use crate::command::Background;
use crate::daemon::Daemon;
use crate::netns::Netns;
use crate::{bins, is_root};

/// The host's address towards the world.
pub const HOST: &str = "198.51.100.1";
/// One more of the host's addresses.
pub const HOST_TOO: &str = "198.51.100.11";
/// The host's IPv6 address.
pub const HOST6: &str = "2001:db8:51::1";
/// The world's address.
pub const WORLD: &str = "198.51.100.2";
/// One more of the world's addresses.
pub const WORLD_TOO: &str = "198.51.100.3";
/// The world's IPv6 address.
pub const WORLD6: &str = "2001:db8:51::2";
/// An address two hops away, see [`Lab::far`].
pub const FAR: &str = "203.0.113.2";
/// Its IPv6 address.
pub const FAR6: &str = "2001:db8:71::2";

/// Namespaces, and a daemon without privileges in one of them.
pub struct Lab {
    /// The daemon. Before the namespaces, to end before them.
    pub daemon: Daemon,
    /// Its host.
    pub host: Arc<Netns>,
    /// Everything else.
    pub world: Arc<Netns>,
}

impl Default for Lab {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Lab {
    /// A lab whose daemon has these arguments.
    pub fn new(arguments: &[&str]) -> Self {
        Self::with_settings(arguments, &["net.ipv4.ping_group_range=0 0"])
    }

    /// The same with these kernel settings on the host.
    pub fn with_settings(arguments: &[&str], settings: &[&str]) -> Self {
        Self::make(&[], arguments, settings)
    }

    /// The same whose daemon is started by a command that becomes it.
    pub fn behind(command: &[&str], arguments: &[&str]) -> Self {
        Self::make(command, arguments, &["net.ipv4.ping_group_range=0 0"])
    }

    fn make(command: &[&str], arguments: &[&str], settings: &[&str]) -> Self {
        let (host, world) = namespaces();
        for setting in settings {
            host.run("sysctl", &["-q", "-w", setting]).ok();
        }
        let setpriv = ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--"];
        let wrapper = host.command("setpriv", &[&setpriv[..], command].concat());
        let words = std::iter::once(wrapper.get_program()).chain(wrapper.get_args());
        let wrapper: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let daemon = Daemon::start_wrapped(&wrapper, arguments);
        Self { daemon, host, world }
    }

    /// The same with a daemon that has all the rights the test has, in its host.
    pub fn privileged(arguments: &[&str]) -> Self {
        let (host, world) = namespaces();
        let daemon = Daemon::start_in(&host, arguments);
        Self { daemon, host, world }
    }

    /// One more namespace, behind the world.
    pub fn far(&self) -> Arc<Netns> {
        let far = Arc::new(Netns::beside(&self.host));
        self.world
            .run("sysctl", &["-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
            .ok();
        join(
            &self.world,
            "far0",
            &["203.0.113.1/24", "2001:db8:71::1/64"],
            &far,
            "near0",
            &["203.0.113.2/24", "2001:db8:71::2/64"],
        );
        self.host.run("ip", &["route", "add", "203.0.113.0/24", "via", WORLD]).ok();
        self.host.run("ip", &["-6", "route", "add", "2001:db8:71::/64", "via", WORLD6]).ok();
        far.run("ip", &["route", "add", "default", "via", "203.0.113.1"]).ok();
        far.run("ip", &["-6", "route", "add", "default", "via", "2001:db8:71::1"]).ok();
        far
    }

    /// A container that does nothing, with more arguments.
    #[track_caller]
    pub fn container(&self, name: &str, arguments: &[&str]) {
        self.daemon.sleeper_with(name, arguments);
    }

    /// A network with both versions of IP.
    #[track_caller]
    pub fn dual_network(&self, name: &str) {
        let subnets = ["--ipv6", "--subnet", "10.66.0.0/24", "--subnet", "fd00:66::/64"];
        self.daemon.ok(&[&["network", "create"], &subnets[..], &[name]].concat());
    }

    /// The program `peer` in the world.
    #[track_caller]
    pub fn serve(&self, arguments: &[&str]) -> Background {
        listening(&mut peer(|program, all| self.world.command(program, all), arguments))
    }

    /// The program `peer` on the host.
    #[track_caller]
    pub fn serve_on_host(&self, arguments: &[&str]) -> Background {
        listening(&mut peer(|program, all| self.host.command(program, all), arguments))
    }

    /// The program `peer` in a container.
    #[track_caller]
    pub fn serve_in(&self, container: &str, arguments: &[&str]) -> Background {
        let exec =
            |program: &str, all: &[&str]| self.daemon.exec_command(container, &[&[program], all].concat());
        listening(&mut peer(exec, arguments))
    }

    /// What `peer` says from a container.
    #[track_caller]
    pub fn ask_from(&self, container: &str, arguments: &[&str]) -> crate::Output {
        self.daemon.exec_own(container, "peer", arguments)
    }

    /// What `peer` says from the world.
    #[track_caller]
    pub fn ask_from_world(&self, arguments: &[&str]) -> crate::Output {
        crate::run(&mut peer(|program, all| self.world.command(program, all), arguments))
    }

    /// What `peer` says from the host.
    #[track_caller]
    pub fn ask_from_host(&self, arguments: &[&str]) -> crate::Output {
        crate::run(&mut peer(|program, all| self.host.command(program, all), arguments))
    }
}

fn peer(start: impl FnOnce(&str, &[&str]) -> Command, arguments: &[&str]) -> Command {
    let path = bins::path("peer");
    start(path.to_str().expect("a path of text"), arguments)
}

#[track_caller]
fn listening(command: &mut Command) -> Background {
    let mut server = Background::start(command);
    server.line(|line| line.ends_with("listening"));
    server
}

fn namespaces() -> (Arc<Netns>, Arc<Netns>) {
    let host = if is_root() { Netns::named() } else { Netns::held() };
    let world = Netns::beside(&host);
    join(
        &host,
        "out0",
        &["198.51.100.1/24", "198.51.100.11/24", "2001:db8:51::1/64"],
        &world,
        "in0",
        &["198.51.100.2/24", "198.51.100.3/24", "2001:db8:51::2/64"],
    );
    (Arc::new(host), Arc::new(world))
}

/// Joins two namespaces.
fn join(a: &Netns, a_name: &str, a_addresses: &[&str], b: &Netns, b_name: &str, b_addresses: &[&str]) {
    let other = b.reference();
    a.run("ip", &["link", "add", a_name, "type", "veth", "peer", "name", b_name, "netns", &other]).ok();
    for (netns, name, addresses) in [(a, a_name, a_addresses), (b, b_name, b_addresses)] {
        netns.run("ip", &["link", "set", "lo", "up"]).ok();
        for address in addresses {
            netns.run("ip", &["address", "add", address, "dev", name, "nodad"]).ok();
        }
        netns.run("ip", &["link", "set", name, "up"]).ok();
    }
}

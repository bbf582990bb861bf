//! Ways from a namespace to the world, by address translation in a process or without any. Each is one implementation
//! of [`Way`].
//!
//!     inside --[the way]-- router --link-- world

mod direct;
pub(crate) mod link;
mod near;
mod pasta;
mod slirp4netns;
mod user;
mod vswitch;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path as Directory;
use std::time::Duration;

use crate::error::{Doing as _, Result};
use crate::netns::Netns;
use crate::options::Options;
use crate::peers::{VswitchCommand, VswitchPeer, await_eth0_of};
use crate::process::{Process, command, installed, wait_for};
pub(crate) use link::Link;

/// Ports of the inside that are reached from the world, over TCP and UDP.
pub(crate) const PORTS: std::ops::RangeInclusive<u16> = 5201..=5208;

/// Where connections from inside leave from, and where the published ports are.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The far end.
pub(crate) const WORLD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

/// How long it may take until a packet gets through.
const REACHABLE: Duration = Duration::from_secs(15);

/// A way out that can be measured.
pub(crate) trait Way {
    /// Its name in tables and on the command line.
    fn name(&self) -> &str;

    /// What it is, for the description of a published run.
    fn description(&self) -> String;

    /// What it lacks to run on this machine, as a sentence; `None` when it can run.
    fn lacks(&self) -> Option<String>;

    /// Whether it translates addresses, in a namespace between inside and world.
    fn translates(&self) -> bool {
        true
    }

    /// Makes the inside and joins it to the world. `directory` is empty and its own; `tag` is unique and at most 6
    /// letters long.
    fn join(&self, outside: &Outside, directory: &Directory, tag: &str) -> Result<(Netns, Box<dyn Joined>)>;
}

/// What a way leads to.
pub(crate) struct Outside {
    /// Where translation happens; the world itself where there is none.
    pub(crate) router: Option<Netns>,
    /// The far end.
    pub(crate) world: Netns,
    /// How the world is joined.
    pub(crate) link: Link,
    /// MTU of all interfaces in bytes.
    pub(crate) mtu: u32,
}

/// A way in use. Dropping it ends it.
pub(crate) trait Joined {
    /// The ids of its processes.
    fn processes(&self) -> Vec<u32>;

    /// Fails when one of its processes has ended.
    fn check(&mut self) -> Result<()>;
}

/// An inside and a world with a way between them.
pub(crate) struct Path {
    way: Box<dyn Joined>,
    links: Vec<Process>,
    /// Lies between the inside and the way where the inside has a link of its own.
    _middle: Option<Netns>,
    /// The near end.
    pub(crate) inside: Netns,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// The far end and what is before it.
    pub(crate) outside: Outside,
}

impl Path {
    /// Builds it. `near` is a link of its own for the inside.
    pub(crate) fn start(
        way: &dyn Way,
        (link, near): (Link, Option<Link>),
        mtu: u32,
        directory: &Directory,
        tag: &str,
    ) -> Result<Self> {
        let world = Netns::create(&format!("{tag}w"))?;
        let mut links = Vec::new();
        let mut router = None;
        if way.translates() {
            let netns = Netns::create(&format!("{tag}r"))?;
            links.extend(link.join(&netns, &world, mtu)?);
            configure(&netns, ROUTER)?;
            configure(&world, WORLD)?;
            netns.ip(&format!("route add default via {WORLD}\n"))?;
            netns.many_ports()?;
            router = Some(netns);
        }
        let outside = Outside { router, world, link, mtu };
        let (mut inside, way) = way.join(&outside, directory, tag)?;
        let mut middle = None;
        if let Some(near) = near {
            await_eth0_of(&inside, mtu.into())?;
            let (end, process) = near::extend(&inside, near, mtu, &format!("{tag}e"))?;
            links.extend(process);
            middle = Some(std::mem::replace(&mut inside, end));
        }
        inside.many_ports()?;
        let eth0 = await_eth0_of(&inside, mtu.into())?;
        let path = Self { way, links, _middle: middle, inside, address: eth0.address, outside };
        path.await_reachable()?;
        Ok(path)
    }

    /// Waits until a connection can be made to the world.
    fn await_reachable(&self) -> Result<()> {
        let to = SocketAddr::from((WORLD, *PORTS.end()));
        let what = format!("{to} to be reachable from {}", self.inside);
        let _listener = self.outside.world.within(|| TcpListener::bind(to).doing(|| "listen".to_owned()))?;
        self.inside.within(|| {
            wait_for(&what, REACHABLE, || {
                Ok(TcpStream::connect_timeout(&to, Duration::from_millis(500)).is_ok().then_some(()))
            })
        })
    }

    /// Where the world reaches the inside.
    pub(crate) fn reached_at(&self) -> Ipv4Addr {
        if self.outside.router.is_some() { ROUTER } else { self.address }
    }

    /// The ids of the way's processes.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.way.processes()
    }

    /// Fails when a process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.links.iter_mut().try_for_each(Process::check)?;
        self.way.check()
    }
}

/// Sets eth0's address and brings it up.
fn configure(netns: &Netns, address: Ipv4Addr) -> Result<()> {
    netns.ip(&format!("addr add {address}/24 dev eth0\nlink set eth0 up\n"))
}

/// The names of all ways, those of variants of the switch aside.
pub(crate) const NAMES: [&str; 4] = ["direct", "pasta", "slirp4netns", "vswitch"];

/// The ways that the options ask for, this switch and its variants last.
pub(crate) fn all(options: &Options) -> Result<Vec<Box<dyn Way>>> {
    let command = VswitchCommand::from_options(options);
    let mut known: Vec<Box<dyn Way>> = vec![
        Box::new(direct::Direct),
        Box::new(pasta::Pasta),
        Box::new(slirp4netns::Slirp4netns),
        Box::new(vswitch::Ours(VswitchPeer::new("vswitch", command.clone()))),
    ];
    if !options.peers.is_empty() {
        known.retain(|way| options.peers.iter().any(|name| name == way.name()));
    }
    for variant in &options.variants {
        known.push(Box::new(vswitch::Ours(VswitchPeer::variant(variant, &command)?)));
    }
    Ok(known)
}

/// What a program lacks to be run.
fn lacks(program: &str) -> Option<String> {
    let needed = [program, "setpriv", "unshare"];
    needed.iter().find(|name| !installed(name)).map(|name| format!("`{name}` is not installed"))
}

/// The first line a program prints when asked for its version.
fn version(program: &str) -> String {
    let text = crate::process::output(command(program, ["--version"]), None).unwrap_or_default();
    text.lines().next().unwrap_or(program).to_owned()
}

//! Network namespaces and what is in them.

use std::{
    fs::File,
    io::Write,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{CONTAINER, CONTAINER6, GATEWAY, GATEWAY_MAC, GATEWAY6, ROUTER, WORLD, WORLD6};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace that goes when this value goes.
pub struct Netns(String);

impl Netns {
    fn new(role: &str, number: u32) -> Self {
        let name = format!("nat-{}-{number}-{role}", std::process::id());
        ip(None, &format!("netns add {name}\n"));
        let netns = Self(name);
        netns.ip("link set lo up\n");
        netns
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }

    /// Runs `ip` commands, one a line, inside.
    pub fn ip(&self, lines: &str) {
        ip(Some(&self.0), lines);
    }

    /// A command inside.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]).args(arguments);
        command
    }

    /// Does something on a thread inside; what it opens stays inside.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = self.path();
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                enter(&path);
                work()
            });
            worker.join().expect("a thread in a namespace")
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        ip(None, &format!("netns del {}\n", self.0));
    }
}

/// Moves this thread into the network namespace at `path`.
pub(super) fn enter(path: &Path) {
    let netns = File::open(path).expect("a namespace");
    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).expect("root");
}

fn ip(netns: Option<&str>, lines: &str) {
    let mut ip = Command::new("ip");
    if let Some(name) = netns {
        ip.args(["-n", name]);
    }
    ip.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = ip.spawn().expect("iproute2");
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("ip reads");
    assert!(child.wait().expect("ip").success(), "ip failed at:\n{lines}");
}

/// The namespaces of container, router and world, the latter two joined.
pub(super) fn build() -> (Netns, Netns, Netns) {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [container, router, world] = ["container", "router", "world"].map(|role| Netns::new(role, number));
    router.ip(&format!(
        "link add out0 type veth peer name eth0 netns {}\n\
         link set out0 up\n\
         addr add {ROUTER}/24 dev out0\n\
         addr add 2001:db8::1/64 dev out0 nodad\n",
        world.name()
    ));
    world.ip(&format!(
        "link set eth0 up\n\
         addr add {WORLD}/24 dev eth0\n\
         addr add {WORLD6}/64 dev eth0 nodad\n"
    ));
    (container, router, world)
}

/// Addresses, routes and the gateway of the container, whose interface is there already.
pub(super) fn configure_container(container: &Netns, mtu: u16) {
    container.ip(&format!(
        "link set eth0 address 02:42:0a:00:02:02 mtu {mtu}\n\
         link set eth0 up\n\
         addr add {CONTAINER}/24 dev eth0\n\
         addr add {CONTAINER6}/64 dev eth0 nodad\n\
         neigh add {GATEWAY} lladdr {GATEWAY_MAC} dev eth0 nud permanent\n\
         neigh add {GATEWAY6} lladdr {GATEWAY_MAC} dev eth0 nud permanent\n\
         route add default via {GATEWAY}\n\
         route add default via {GATEWAY6}\n"
    ));
}

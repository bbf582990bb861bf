//! Tests in a network namespace of their own: the test program runs itself again under `unshare`,
//! as root with nothing but that, as an ordinary user in a user namespace too.

use std::{
    fs::File,
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const MARK: &str = "NAT_TEST_IN_NAMESPACE";

/// Runs `body` in a network namespace with nothing but `lo`. `test` is the test's own path.
pub(crate) fn run(test: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        ip("link set lo up\n");
        return body();
    }
    // Without the name of the crate.
    let (_, test) = test.split_once("::").unwrap();
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["--net", "--"]).arg(std::env::current_exe().unwrap());
    let done = unshare.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(MARK, "1").output();
    let done = done.expect("unshare");
    let text = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && text.contains("1 passed"), "{text}{errors}");
}

/// A test in a network namespace of its own.
macro_rules! in_namespace {
    ($(#[$doc:meta])* fn $name:ident() $body:block) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            crate::engine::rfc::namespace::run(concat!(module_path!(), "::", stringify!($name)), || $body);
        }
    };
}
pub(crate) use in_namespace;

/// Runs `ip` commands, one a line, where this thread is.
pub(super) fn ip(lines: &str) {
    feed(&mut Command::new("ip"), lines);
}

fn feed(command: &mut Command, lines: &str) {
    let mut child = command.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("iproute2");
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "ip failed at:\n{lines}");
}

/// Gives this thread's namespace addresses, each with the length of its network, and waits until they can be used.
pub(super) fn addresses(addresses: &[&str]) {
    // Not `lo`, on which a network that is not the loopback's is one that cannot be reached.
    ip("link add h0 type veth peer name h1\nlink set h1 up\nlink set h0 up\n");
    for address in addresses {
        ip(&format!("addr add {address} dev h0{}\n", if address.contains(':') { " nodad" } else { "" }));
    }
    for address in addresses {
        settle(address.split_once('/').unwrap().0);
    }
}

/// Waits until `address` is one of this thread's namespace: for IPv6 the kernel makes the route some
/// time later, and what is looked up before that may never be found.
fn settle(address: &str) {
    let Ok(address) = address.parse::<Ipv6Addr>() else { return };
    // As the kernel has it: 32 digits, then the length of the prefix.
    let route = format!("{:032x} 80 ", address.to_bits());
    while !std::fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap().contains(&route) {
        std::thread::yield_now();
    }
}

/// Waits until there is a way to `address` and back.
fn wait_for(address: IpAddr) {
    // Nobody listens there, which comes back as soon as there is somebody to say so.
    const DISCARD: u16 = 9;
    let any: IpAddr =
        if address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    // A socket remembers the way it has found first: each attempt has one of its own.
    let ask = || -> std::io::Result<usize> {
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        socket.connect((address, DISCARD))?;
        socket.send(b"")?;
        socket.recv(&mut [0])
    };
    while !ask().is_err_and(|why| why.kind() == std::io::ErrorKind::ConnectionRefused) {}
}

/// Sets a kernel parameter where this thread is.
pub(super) fn sysctl(name: &str, value: &str) {
    std::fs::write(format!("/proc/sys/{name}"), value).unwrap_or_else(|e| panic!("{name}: {e}"));
}

/// A router behind this namespace:
///
///     here 192.0.2.1 --e0--r0-- 192.0.2.2 router --d0-- 203.0.113.0/24, MTU 1300
///
/// and the same with 2001:db8:1::1, 2001:db8:1::2 and 2001:db8:2::/64. Behind it nobody answers.
pub(super) struct Router(Child);

impl Router {
    pub(super) fn new() -> Self {
        let mut command = Command::new("unshare");
        let child = command.args(["--net", "--", "sleep", "300"]).spawn().expect("unshare");
        let router = Self(child);
        // It is there when it has another namespace than this.
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let path = router.path();
        while std::fs::read_link(&path).is_ok_and(|its| its == own) {
            std::thread::yield_now();
        }
        ip(&format!(
            "link add e0 type veth peer name r0 netns {}\n\
             link set e0 up\n\
             addr add 192.0.2.1/24 dev e0\n\
             addr add 2001:db8:1::1/64 dev e0 nodad\n",
            router.0.id()
        ));
        settle("2001:db8:1::1");
        router.within(|| {
            ip("link set lo up\n\
                link set r0 up\n\
                addr add 192.0.2.2/24 dev r0\n\
                addr add 2001:db8:1::2/64 dev r0 nodad\n\
                link add d0 type veth peer name d1\n\
                link set d1 up\n\
                link set d0 mtu 1300\n\
                link set d0 up\n\
                route add 203.0.113.0/24 dev d0\n\
                route add 2001:db8:2::/64 dev d0\n");
            settle("2001:db8:1::2");
            sysctl("net/ipv4/ip_forward", "1");
            sysctl("net/ipv6/conf/all/forwarding", "1");
            // All errors at once.
            sysctl("net/ipv4/icmp_ratelimit", "0");
            sysctl("net/ipv6/icmp/ratelimit", "0");
        });
        ip("route add default via 192.0.2.2\n\
            route add default via 2001:db8:1::2\n");
        wait_for("192.0.2.2".parse().unwrap());
        wait_for("2001:db8:1::2".parse().unwrap());
        router
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// Does something there; what it opens stays there.
    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = self.path();
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let netns = File::open(path).unwrap();
                move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            worker.join().unwrap()
        })
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

//! The host's own interface on every network. Its host is a network namespace of the test's.

use std::sync::Arc;

use serde_json::Value;
use tests::{Background, Daemon, Netns, eventually, is_root, leak, run};

use crate::support::ports;

/// A host and its daemon; `None` as an ordinary user, who may not.
fn host() -> Option<(Arc<Netns>, Daemon)> {
    if !is_root() {
        refused(&Daemon::not_started(), &[]);
        return None;
    }
    let host = Arc::new(Netns::named());
    let daemon = Daemon::start_in(&host, &["--host-interface"]);
    Some((host, daemon))
}

/// A daemon with the flag does not start, behind `before`; says so and leaves nothing.
#[track_caller]
fn refused(daemon: &Daemon, before: &[&str]) -> String {
    let command =
        daemon.vswitch(&["daemon", "--data-dir", daemon.data_dir().to_str().unwrap(), "--host-interface"]);
    let mut all = std::process::Command::new("env");
    all.args(before).arg(command.get_program()).args(command.get_args()).env(leak::MARK, daemon.mark());
    let said = run(&mut all).fails_with(1);
    assert!(!daemon.socket().exists());
    said
}

/// The interfaces of a namespace.
#[track_caller]
fn links(host: &Netns) -> Vec<String> {
    let all: Value = serde_json::from_str(&host.run("ip", &["-j", "addr"]).ok()).unwrap();
    all.as_array().unwrap().iter().map(|link| link["ifname"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn ping(host: &Netns, to: &str) {
    host.run("ping", &["-c", "2", "-i", "0.2", "-W", "10", to]).ok();
}

/// A container on a network: its addresses there, IPv4 and IPv6.
#[track_caller]
fn sleeper_on(daemon: &Daemon, network: &str, name: &str) -> (String, String) {
    daemon.ok(&["run", "-d", "--name", name, "--network", network, "--", "sleep", "infinity"]);
    let mut endpoint = daemon.inspect(name)["NetworkSettings"]["Networks"][network].take();
    let mut text = |key: &str| endpoint[key].take().as_str().unwrap().to_owned();
    (text("IPAddress"), text("GlobalIPv6Address"))
}

/// One short run of iperf3: the bytes that arrived.
#[track_caller]
fn iperf(server: &mut std::process::Command, client: impl FnOnce() -> tests::Output) -> f64 {
    let mut server = Background::start(server);
    server.line(|line| line.contains("Server listening"));
    let text = client().ok();
    let (status, said) = server.end();
    assert_eq!(status, 0, "{said}");
    let report: Value = serde_json::from_str(&text).unwrap();
    report["end"]["sum_received"]["bytes"].as_f64().unwrap_or_else(|| panic!("{report:#}"))
}

/// Bytes of the average frame that a port has taken and given.
#[track_caller]
fn frame_sizes(daemon: &Daemon, port: &str) -> (f64, f64) {
    let all: Value = serde_json::from_str(&daemon.ok(&["stats", port, "--format", "json"])).unwrap();
    let number = |key: &str| all[key].as_f64().unwrap();
    (number("RxBytes") / number("RxFrames"), number("TxBytes") / number("TxFrames"))
}

#[test]
fn host_and_containers_reach_each_other_by_address_on_every_network() {
    let Some((host, daemon)) = host() else { return };
    daemon.ok(&[
        "network",
        "create",
        "--ipv6",
        "--subnet",
        "10.77.0.0/24",
        "--subnet",
        "fd00:77::/64",
        "two",
    ]);
    daemon.ok(&["network", "create", "--internal", "--subnet", "10.78.0.0/24", "three"]);
    let u1 = daemon.sleeper("u1").ip;
    let (u2, u2_6) = sleeper_on(&daemon, "two", "u2");
    let (u3, _) = sleeper_on(&daemon, "three", "u3");
    for to in [&u1, &u2, &u2_6, &u3] {
        ping(&host, to);
    }
    for (from, to) in [("u1", "172.17.0.1"), ("u2", "10.77.0.1"), ("u2", "fd00:77::1"), ("u3", "10.78.0.1")] {
        daemon.ping(from, to);
    }
    // In fragments, which carry no ports.
    for (from, to, back) in [("u1", "172.17.0.1", &u1), ("u2", "fd00:77::1", &u2_6)] {
        daemon.exec(from, &["ping", "-c", "1", "-W", "10", "-s", "4000", to]).ok();
        host.run("ping", &["-c", "1", "-W", "10", "-s", "4000", back]).ok();
    }
    // It is the host that forwards nothing, as before.
    assert_eq!(host.run("cat", &["/proc/sys/net/ipv4/ip_forward"]).ok().trim(), "0");
}

#[test]
fn super_frames_pass_whole_both_ways() {
    let Some((host, daemon)) = host() else { return };
    daemon.ok(&[
        "network",
        "create",
        "--ipv6",
        "--subnet",
        "10.77.0.0/24",
        "--subnet",
        "fd00:77::/64",
        "two",
    ]);
    let (v4, v6) = sleeper_on(&daemon, "two", "u2");
    let serve = ["-s", "-1", "--forceflush"];
    for (container, gateway) in [(v4.as_str(), "10.77.0.1"), (v6.as_str(), "fd00:77::1")] {
        for way in [&[][..], &["-R"]] {
            let client = |to| [&["-J", "-c", to, "-t", "1"][..], way].concat();
            let from_host = || host.run("iperf3", &client(container));
            let server = [&["iperf3"][..], &serve].concat();
            assert!(iperf(&mut daemon.exec_command("u2", &server), from_host) > 1e6);
            let to_host = || daemon.exec("u2", &[&["iperf3"][..], &client(gateway)].concat());
            assert!(iperf(&mut host.command("iperf3", &serve), to_host) > 1e6);
        }
    }
    let (rx, tx) = frame_sizes(&daemon, "u2");
    assert!(rx > 2000.0 && tx > 2000.0, "frames of {rx} and {tx} bytes");
}

#[test]
fn the_gateway_goes_on_serving_names() {
    let Some((host, daemon)) = host() else { return };
    daemon.ok(&["network", "create", "--subnet", "10.77.0.0/24", "two"]);
    let (ip, _) = sleeper_on(&daemon, "two", "u2");
    for protocol in ["+notcp", "+tcp"] {
        let dig = ["dig", "+short", "+tries=1", "+time=10", protocol, "@10.77.0.1", "u2"];
        assert_eq!(daemon.exec("u2", &dig).ok().trim(), ip);
    }
    ping(&host, &ip);
}

#[test]
fn networks_stay_apart_although_the_host_reaches_both() {
    let Some((host, daemon)) = host() else { return };
    daemon.ok(&["network", "create", "--subnet", "10.77.0.0/24", "two"]);
    daemon.sleeper("u1");
    let (u2, _) = sleeper_on(&daemon, "two", "u2");
    ping(&host, &u2);
    let mut server = Background::start(&mut daemon.exec_command("u2", &["nc", "-l", "-p", "7000"]));
    daemon.exec("u1", &["nc", "-z", "-w", "1", &u2, "7000"]).fails_with(1);
    daemon.exec("u1", &["ping", "-c", "1", "-W", "1", &u2]).fails_with(1);
    assert!(server.is_running(), "somebody has come through");
    let all = daemon.ok(&["bridge", "show", "bridge", "--format", "json"]);
    let bridge: Value = serde_json::from_str(&all).unwrap();
    let gateway = bridge["Ports"].as_array().unwrap().iter().find(|p| p["Container"] == "gateway");
    let drops = gateway.unwrap_or_else(|| panic!("{bridge:#}"))["TxDrops"]["isolated"].as_u64();
    assert!(drops >= Some(2), "{bridge:#}");
}

#[test]
fn the_interface_comes_and_goes_with_its_network() {
    let Some((host, daemon)) = host() else { return };
    assert_eq!(links(&host), ["lo", "docker0"]);
    let addresses = host.run("ip", &["-o", "addr", "show", "docker0"]).ok();
    assert!(addresses.contains("172.17.0.1/16") && !addresses.contains("inet6"), "{addresses}");
    assert!(ports(&daemon).is_empty(), "the switch's own port is none of the containers'");
    let create = ["network", "create", "--subnet", "10.77.0.0/24", "-o"];
    let id = daemon.ok(&[&create[..], &["com.docker.network.driver.mtu=1400", "two"]].concat());
    let name = format!("br-{}", &id[..12]);
    assert_eq!(links(&host), ["lo", "docker0", &name]);
    let link = host.run("ip", &["link", "show", &name]).ok();
    assert!(
        link.contains("mtu 1400") && link.contains("LOWER_UP") && link.contains("02:42:0a:4d:00:01"),
        "{link}"
    );
    daemon.ok(&["network", "rm", "two"]);
    assert_eq!(links(&host), ["lo", "docker0"]);
    for _ in 0..3 {
        daemon.ok(&[&create[..], &["com.docker.network.bridge.name=my0", "two"]].concat());
        assert_eq!(links(&host), ["lo", "docker0", "my0"]);
        daemon.ok(&["network", "rm", "two"]);
    }
    assert_eq!(links(&host), ["lo", "docker0"]);
}

#[test]
fn the_interface_goes_with_the_daemon_and_comes_back_with_the_next() {
    let Some((host, mut daemon)) = host() else { return };
    daemon.ok(&[
        "network",
        "create",
        "--subnet",
        "10.77.0.0/24",
        "-o",
        "com.docker.network.bridge.name=my0",
        "two",
    ]);
    let u1 = daemon.sleeper("u1").ip;
    let (u2, _) = sleeper_on(&daemon, "two", "u2");
    daemon.kill();
    assert_eq!(links(&host), ["lo"]);
    daemon.start_again();
    let mut all = links(&host);
    all.sort();
    assert_eq!(all, ["docker0", "lo", "my0"]);
    for to in [&u1, &u2] {
        ping(&host, to);
    }
    daemon.ping("u1", "172.17.0.1");
    daemon.terminate();
    assert_eq!(links(&host), ["lo"]);
    daemon.start_again();
    assert_eq!(links(&host).len(), 3);
}

#[test]
fn a_name_that_is_taken_is_refused_and_nothing_is_half_made() {
    let Some((host, daemon)) = host() else { return };
    host.run("ip", &["tuntap", "add", "my0", "mode", "tap"]).ok();
    let before = host.run("ip", &["-o", "addr"]).ok();
    let create =
        ["network", "create", "-o", "com.docker.network.bridge.name=my0", "--subnet", "10.77.0.0/24", "two"];
    let said = daemon.run(&create).fails_with(1);
    assert!(said.contains("the host already has an interface named my0"), "{said}");
    assert_eq!(host.run("ip", &["-o", "addr"]).ok(), before);
    assert!(!daemon.ok(&["network", "ls"]).contains("two"));
    for bad in ["a%d", "all", "sixteen-bytes-xxx", "a/b"] {
        let option = format!("com.docker.network.bridge.name={bad}");
        let said = daemon.run(&["network", "create", "-o", &option, "bad"]).fails_with(1);
        assert!(said.contains(bad), "{said}");
    }
    assert_eq!(host.run("ip", &["-o", "addr"]).ok(), before);
    host.run("ip", &["link", "del", "my0"]).ok();
    daemon.ok(&create);
}

#[test]
fn a_daemon_whose_interface_has_its_name_taken_does_not_start() {
    if !is_root() {
        return;
    }
    let host = Netns::named();
    host.run("ip", &["tuntap", "add", "docker0", "mode", "tap"]).ok();
    let daemon = Daemon::not_started();
    let said = refused(&daemon, &["nsenter", &format!("--net={}", host.path().display()), "--"]);
    assert!(said.contains("the host already has an interface named docker0"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_subnet_with_an_address_of_the_hosts_is_refused_and_nothing_is_half_made() {
    let Some((host, daemon)) = host() else { return };
    host.run("ip", &["addr", "add", "10.77.0.9/32", "dev", "lo"]).ok();
    let before = host.run("ip", &["-o", "addr"]).ok();
    let create = ["network", "create", "--subnet", "10.77.0.0/24", "two"];
    let said = daemon.run(&create).fails_with(1);
    assert!(said.contains("lo already has the address 10.77.0.9"), "{said}");
    assert_eq!(host.run("ip", &["-o", "addr"]).ok(), before);
    assert!(!daemon.ok(&["network", "ls"]).contains("two"));
    host.run("ip", &["addr", "del", "10.77.0.9/32", "dev", "lo"]).ok();
    daemon.ok(&create);
}

#[test]
fn an_interface_that_somebody_deletes_takes_nothing_else_with_it() {
    let Some((host, daemon)) = host() else { return };
    daemon.ok(&[
        "network",
        "create",
        "--subnet",
        "10.77.0.0/24",
        "-o",
        "com.docker.network.bridge.name=my0",
        "two",
    ]);
    let (u1, _) = sleeper_on(&daemon, "two", "u1");
    sleeper_on(&daemon, "two", "u2");
    host.run("ip", &["link", "del", "my0"]).ok();
    eventually("the daemon to say so", || daemon.log().contains("my0 is gone").then_some(()));
    daemon.ping("u2", &u1);
    let dig = ["dig", "+short", "+tries=1", "+time=10", "@10.77.0.1", "u1"];
    assert_eq!(daemon.exec("u2", &dig).ok().trim(), u1);
    daemon.ok(&["rm", "-f", "u1", "u2"]);
    daemon.ok(&["network", "rm", "two"]);
    assert_eq!(links(&host), ["lo", "docker0"]);
}

#[test]
fn who_may_not_is_told_what_it_takes() {
    let daemon = Daemon::not_started();
    let drop = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"];
    let said = refused(&daemon, if is_root() { &drop } else { &[] });
    assert!(said.contains("CAP_NET_ADMIN") && said.contains("as root"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    // And the data directory is as good as before for a daemon without the flag.
    let mut daemon = daemon;
    daemon.start_again();
    daemon.sleeper("u1");
}

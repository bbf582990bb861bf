//! What a container sees of the network: modes, several networks, and the flags of `run`.

use serde_json::json;
use tests::{Background, Daemon, eventually, leak};

use crate::support::{addresses, interfaces, resolves};

fn ping_once(daemon: &Daemon, from: &str, to: &str) -> bool {
    daemon.exec(from, &["ping", "-c", "1", "-W", "1", to]).status == 0
}

#[test]
fn in_host_mode_a_command_sees_the_hosts_network_and_files() {
    let daemon = Daemon::start();
    daemon.sleeper_with("u1", &["--network", "host"]);
    let pid = daemon.container_pid("u1");
    assert_eq!(leak::netns_inode(pid), leak::netns_inode(std::process::id().cast_signed()));
    let host = tests::run(&mut std::process::Command::new("hostname")).ok();
    assert_eq!(daemon.exec("u1", &["hostname"]).ok(), host);
    let conf = std::fs::read_to_string("/etc/resolv.conf").unwrap();
    assert_eq!(daemon.exec("u1", &["cat", "/etc/resolv.conf"]).ok(), conf);
    let endpoint = daemon.endpoint("u1", "host");
    assert_eq!((&endpoint["IPAddress"], &endpoint["MacAddress"]), (&json!(""), &json!("")));
    assert_eq!(daemon.network("host")["Containers"][daemon.container_id("u1")]["Name"], "u1");
    daemon.ok(&["rm", "-f", "u1"]);
    daemon.until_nothing_is_left();
}

#[test]
fn in_none_mode_there_is_nothing_but_lo() {
    let daemon = Daemon::start();
    daemon.sleeper_with("u1", &["--network", "none"]);
    assert_eq!(interfaces(&daemon, "u1"), ["lo"]);
    assert!(ping_once(&daemon, "u1", "127.0.0.1"));
    let routes = daemon.exec("u1", &["ip", "route"]).ok();
    assert_eq!(routes, "");
    assert_eq!(daemon.endpoint("u1", "none")["IPAddress"], "");
}

#[test]
fn a_container_that_joins_another_shares_its_network_and_files_but_not_its_processes() {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "net1"]);
    daemon.sleeper_with("first", &["--network", "net1", "--hostname", "together"]);
    daemon.sleeper_with("second", &["--network", "container:first"]);
    // Whoever joins who has joined joins the first.
    daemon.sleeper_with("third", &["--network", "container:second"]);
    let netns = |name: &str| leak::netns_inode(daemon.container_pid(name));
    assert!(netns("first").is_some());
    for name in ["second", "third"] {
        assert_eq!(netns("first"), netns(name));
        assert_eq!(addresses(&daemon, name, "eth0"), [format!("{}/16", daemon.ip("first", "net1"))]);
        assert_eq!(daemon.exec(name, &["hostname"]).ok().trim(), "together");
        for file in ["/etc/hosts", "/etc/resolv.conf"] {
            assert_eq!(daemon.exec(name, &["cat", file]).ok(), daemon.exec("first", &["cat", file]).ok());
        }
        assert!(resolves(&daemon, name, "first"));
        let seen = daemon.inspect(name);
        assert_eq!(seen["HostConfig"]["NetworkMode"], format!("container:{}", daemon.container_id("first")));
        assert_eq!(seen["NetworkSettings"]["Networks"], json!({}));
        assert_eq!(seen["NetworkSettings"]["SandboxID"], "");
    }
    // What is connected to the first is there for all.
    daemon.ok(&["network", "create", "net2"]);
    daemon.ok(&["network", "connect", "net2", "first"]);
    assert_eq!(interfaces(&daemon, "third"), ["eth0", "eth1", "lo"]);

    let mut server = Background::start(
        &mut daemon.exec_command("second", &["nc", "-l", "-v", "-n", "-N", "127.0.0.1", "7000"]),
    );
    server.line(|line| line.contains("istening"));
    daemon.exec("third", &["sh", "-c", "echo over lo | nc -N 127.0.0.1 7000"]).ok();
    server.line(|line| line == "over lo");
    server.end();

    // The one that joined ends first.
    daemon.ok(&["rm", "-f", "third"]);
    assert_eq!(interfaces(&daemon, "first"), ["eth0", "eth1", "lo"]);
    assert_eq!(daemon.names(false), ["first", "second"]);
}

#[test]
fn when_the_one_that_was_joined_ends_the_others_do_too_or_keep_lo_and_nothing_is_left() {
    let daemon = Daemon::start();
    daemon.sleeper("first");
    let inode = leak::netns_inode(daemon.container_pid("first")).unwrap();
    daemon.sleeper_with("second", &["--network", "container:first"]);
    daemon.ok(&["rm", "-f", "first"]);
    // Its address is the next one's, while the other may still be there.
    let next = daemon.sleeper_at("next", "172.17.0.2");
    assert_eq!(next.ip, "172.17.0.2");
    if daemon.names(false).contains(&"second".to_owned()) {
        let seen = interfaces(&daemon, "second");
        assert!(!seen.contains(&"eth0".to_owned()), "an interface of a container that is gone: {seen:?}");
    }
    let said = daemon.run(&["run", "--network", "container:first", "--", "true"]).fails_with(125);
    assert!(said.contains("No such container: first"), "{said}");
    daemon.run(&["rm", "-f", "second"]);
    eventually("the namespace to be empty", || leak::processes_in_netns(inode).is_empty().then_some(()));
    daemon.ok(&["rm", "-f", "next"]);
    daemon.until_nothing_is_left();
}

#[test]
fn a_container_that_does_not_run_cannot_be_joined() {
    let daemon = Daemon::start();
    daemon.ok(&["run", "-d", "--name", "ended", "--", "true"]);
    daemon.ok(&["wait", "ended"]);
    let id = daemon.container_id("ended");
    let said = daemon.run(&["run", "--network", "container:ended", "--", "true"]).fails_with(125);
    assert!(said.contains(&format!("cannot join network of a non running container: {id}")), "{said}");
    assert_eq!(daemon.names(true), ["ended"]);
}

#[test]
fn a_container_on_several_networks_reaches_all_and_goes_out_by_the_first() {
    let daemon = Daemon::start_on_own_host("");
    for name in ["net1", "net2", "net3"] {
        daemon.ok(&["network", "create", name]);
        daemon.sleeper_with(&format!("on-{name}"), &["--network", name]);
    }
    let networks = [
        "--network",
        "net2:ip=172.19.0.77,alias=two",
        "--network",
        "net1",
        "--network",
        "name=net3,mac-address=02:00:00:00:00:33",
    ];
    daemon.sleeper_with("u1", &networks);
    assert_eq!(interfaces(&daemon, "u1"), ["eth0", "eth1", "eth2", "lo"]);
    assert_eq!(addresses(&daemon, "u1", "eth0"), ["172.19.0.77/16"]);
    assert_eq!(addresses(&daemon, "u1", "eth1"), ["172.18.0.3/16"]);
    assert_eq!(daemon.endpoint("u1", "net3")["MacAddress"], "02:00:00:00:00:33");
    let route = daemon.exec("u1", &["ip", "route", "show", "default"]).ok();
    assert_eq!(route.trim(), "default via 172.19.0.1 dev eth0");
    for name in ["on-net1", "on-net2", "on-net3"] {
        daemon.ping("u1", name);
    }
    daemon.ping("on-net2", "two");
    let one = daemon.ip("on-net1", "net1");
    assert!(!ping_once(&daemon, "on-net2", &one), "two networks do not reach each other");
    let hosts = daemon.exec("u1", &["cat", "/etc/hosts"]).ok();
    for ip in ["172.19.0.77", "172.18.0.3", "172.20.0.3"] {
        assert!(hosts.lines().any(|line| line.starts_with(&format!("{ip}\t"))), "{ip}: {hosts}");
    }
}

#[test]
fn addresses_that_are_asked_for_are_had() {
    let daemon = Daemon::start_on_own_host("");
    let create =
        ["network", "create", "--ipv6", "--subnet", "10.1.0.0/16", "--subnet", "fd00:1::/64", "net1"];
    daemon.ok(&create);
    let flags = [
        "--network",
        "net1",
        "--ip",
        "10.1.9.9",
        "--ip6",
        "fd00:1::99",
        "--mac-address",
        "02:00:00:00:00:99",
    ];
    daemon.sleeper_with("u1", &flags);
    assert_eq!(addresses(&daemon, "u1", "eth0"), ["10.1.9.9/16"]);
    let six = daemon.exec("u1", &["ip", "-o", "-6", "address", "show", "eth0", "scope", "global"]).ok();
    assert!(six.contains("fd00:1::99/64"), "{six}");
    let link = daemon.exec("u1", &["ip", "-o", "link", "show", "eth0"]).ok();
    assert!(link.contains("02:00:00:00:00:99"), "{link}");
    let endpoint = daemon.endpoint("u1", "net1");
    assert_eq!(endpoint["IPAMConfig"], json!({"IPv4Address": "10.1.9.9", "IPv6Address": "fd00:1::99"}));
    assert_eq!(
        (&endpoint["IPAddress"], &endpoint["GlobalIPv6Address"]),
        (&json!("10.1.9.9"), &json!("fd00:1::99"))
    );
    // Without a wish the address of IPv6 is made from the Ethernet address, and that from IPv4's.
    daemon.sleeper_with("u2", &["--network", "net1"]);
    let endpoint = daemon.endpoint("u2", "net1");
    assert_eq!(
        (&endpoint["IPAddress"], &endpoint["MacAddress"]),
        (&json!("10.1.0.2"), &json!("02:42:0a:01:00:02"))
    );
    assert_eq!(endpoint["GlobalIPv6Address"], "fd00:1::242:a01:2");
    assert_eq!(endpoint["IPv6Gateway"], "fd00:1::1");
    daemon.exec("u2", &["ping", "-6", "-c", "1", "-W", "10", "fd00:1::99"]).ok();
    daemon.exec("u2", &["ping", "-6", "-c", "1", "-W", "10", "u1"]).ok();
    let route = daemon.exec("u2", &["ip", "-6", "route", "show", "default"]).ok();
    assert!(route.starts_with("default via fd00:1::1 dev eth0"), "{route}");
}

#[test]
fn names_and_files_are_as_the_flags_say() {
    let daemon =
        Daemon::start_on_own_host("nameserver 127.0.0.53\nsearch corp.example\noptions timeout:3 ndots:5\n");
    let flags = [
        "--hostname",
        "web",
        "--domainname",
        "prod.example",
        "--add-host",
        "db:192.0.2.5",
        "--add-host",
        "six:2001:db8::5",
        "--dns-search",
        "a.example",
        "--dns-search",
        "b.example",
        "--dns-option",
        "attempts:1",
        "--dns",
        "192.0.2.53",
    ];
    daemon.sleeper_with("u1", &flags);
    assert_eq!(daemon.exec("u1", &["hostname"]).ok(), "web\n");
    assert_eq!(daemon.exec("u1", &["cat", "/etc/hostname"]).ok(), "web\n");
    assert_eq!(daemon.exec("u1", &["uname", "-n"]).ok(), "web\n");
    let ip = daemon.container("u1").ip;
    assert_eq!(
        daemon.exec("u1", &["cat", "/etc/hosts"]).ok(),
        format!(
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
             ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n\
             172.17.0.1\thost.docker.internal\n192.0.2.5\tdb\n2001:db8::5\tsix\n{ip}\tweb.prod.example web\n"
        )
    );
    let conf = daemon.exec("u1", &["cat", "/etc/resolv.conf"]).ok();
    assert_eq!(conf, "nameserver 127.0.0.11\nsearch a.example b.example\noptions attempts:1 ndots:0\n");
    // Without flags, what the host says of search domains and options, but for ndots.
    daemon.sleeper("u2");
    let conf = daemon.exec("u2", &["cat", "/etc/resolv.conf"]).ok();
    assert_eq!(conf, "nameserver 127.0.0.11\nsearch corp.example\noptions timeout:3 ndots:0\n");
    daemon.sleeper_with("u3", &["--dns-option", "ndots:2", "--dns-search", "."]);
    let conf = daemon.exec("u3", &["cat", "/etc/resolv.conf"]).ok();
    assert_eq!(conf, "nameserver 127.0.0.11\noptions ndots:2\n");
    // The host's own are as they were.
    let host = std::fs::read_to_string(daemon.host_etc().join("resolv.conf")).unwrap();
    assert!(host.starts_with("nameserver 127.0.0.53"), "{host}");
}

#[test]
fn nothing_leaves_an_internal_network() {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "--internal", "inside"]);
    daemon.sleeper_with("u1", &["--network", "inside"]);
    daemon.sleeper_with("u2", &["--network", "inside"]);
    assert_eq!(daemon.exec("u1", &["ip", "route", "show", "default"]).ok(), "");
    assert_eq!(daemon.endpoint("u1", "inside")["Gateway"], "");
    daemon.ping("u1", "u2");
    let said = daemon.exec("u1", &["ping", "-c", "1", "-W", "1", "192.0.2.1"]);
    assert!(said.stderr.contains("unreachable"), "{said:?}");
    // A second network is the way out, whichever was there first.
    daemon.ok(&["network", "create", "net1"]);
    daemon.ok(&["network", "connect", "net1", "u1"]);
    let route = daemon.exec("u1", &["ip", "route", "show", "default"]).ok();
    assert_eq!(route.trim(), "default via 172.19.0.1 dev eth1");
}

#[test]
fn an_interface_is_called_as_its_network_says() {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "-o", "com.docker.network.container_iface_prefix=lan", "net1"]);
    daemon.ok(&["network", "create", "net2"]);
    daemon.sleeper_with("u1", &["--network", "net1", "--network", "net2"]);
    assert_eq!(interfaces(&daemon, "u1"), ["eth0", "lan0", "lo"]);
}

/// Whether a line gets from one container to a port of another.
fn reaches(daemon: &Daemon, from: &str, to: &str, port: &str) -> bool {
    let mut server =
        Background::start(&mut daemon.exec_command(to, &["nc", "-l", "-v", "-n", "-k", "0.0.0.0", port]));
    server.line(|line| line.contains("istening"));
    let ip = daemon.ip(to, "apart");
    daemon.exec(from, &["nc", "-z", "-n", "-w", "1", &ip, port]).status == 0
}

#[test]
fn without_icc_only_a_links_exposed_ports_are_reached() {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "apart"]);
    daemon.sleeper_with("server", &["--network", "apart", "--expose", "80"]);
    daemon.sleeper_with("stranger", &["--network", "apart"]);
    daemon.sleeper_with("friend", &["--network", "apart", "--link", "server:web"]);
    let ip = daemon.ip("server", "apart");
    assert!(!ping_once(&daemon, "stranger", &ip) && !ping_once(&daemon, "friend", &ip));
    assert!(reaches(&daemon, "friend", "server", "80"));
    assert!(!reaches(&daemon, "friend", "server", "81"));
    assert!(!reaches(&daemon, "stranger", "server", "80"));
    assert!(!reaches(&daemon, "server", "friend", "80"), "a link has one direction");
    // Names are known even so.
    assert!(resolves(&daemon, "stranger", "server"));

    // A link does not outlive who had it: its address is soon another's.
    let had = daemon.ip("friend", "apart");
    daemon.ok(&["rm", "-f", "friend"]);
    daemon.sleeper_with("next", &["--network", "apart", "--ip", &had]);
    assert!(!reaches(&daemon, "next", "server", "80"));
}

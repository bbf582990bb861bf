//! Names that containers find each other by, and who is asked for all others.

use std::fs;
use std::time::{Duration, Instant};

use tests::{Daemon, Nameserver, eventually};

/// What `dig` says in a container, word by word.
#[track_caller]
fn dig(daemon: &Daemon, from: &str, words: &[&str]) -> String {
    let all = [&["dig", "+tries=1", "+time=20"], words].concat();
    daemon.exec(from, &all).ok()
}

/// The answers' data, sorted.
#[track_caller]
fn short(daemon: &Daemon, from: &str, words: &[&str]) -> Vec<String> {
    let text = dig(daemon, from, &[&["+short"], words].concat());
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The response code, and how many answers there are.
#[track_caller]
fn code(daemon: &Daemon, from: &str, words: &[&str]) -> (String, usize) {
    let text = dig(daemon, from, words);
    let after = |mark: &str| text.split(mark).nth(1).unwrap_or_else(|| panic!("no {mark} in {text}"));
    let word = |rest: &str| rest.split([',', ';', '\n']).next().unwrap_or_default().trim().to_owned();
    (word(after("status: ")), word(after("ANSWER: ")).parse().unwrap())
}

fn noerror(answers: usize) -> (String, usize) {
    ("NOERROR".to_owned(), answers)
}

fn two_on_a_network() -> Daemon {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "net1"]);
    daemon.sleeper_with(
        "web",
        &["--network", "net1", "--network-alias", "www", "--network-alias", "Front.End"],
    );
    daemon.sleeper_with("client", &["--network", "net1"]);
    daemon
}

#[test]
fn a_container_is_found_by_name_network_alias_and_short_id_in_any_case() {
    let daemon = two_on_a_network();
    let (id, ip) = (daemon.container_id("web"), daemon.ip("web", "net1"));
    for name in ["web", "WEB", "web.net1", "Web.Net1", "web.", "www", "www.net1", "front.end", &id[..12]] {
        assert_eq!(short(&daemon, "client", &[name]), [ip.as_str()], "{name}");
    }
    let text = dig(&daemon, "client", &["+noall", "+answer", "web"]);
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["web.", "600", "IN", "A", &ip]);
    // One's own name too; by the library as by dig.
    assert_eq!(short(&daemon, "web", &["web"]), [ip.as_str()]);
    daemon.ping("client", "www");
    for unknown in ["we", "web.net2", "net1", "web.net1.net1", "a.web", &id[..11]] {
        assert_eq!(code(&daemon, "client", &[unknown]).0, "SERVFAIL", "{unknown}: nobody to ask");
    }
}

#[test]
fn a_known_name_has_no_records_but_its_own() {
    let daemon = two_on_a_network();
    for kind in ["AAAA", "MX", "TXT", "SRV", "NS", "HTTPS"] {
        assert_eq!(code(&daemon, "client", &["web", kind]), noerror(0), "{kind}");
    }
    assert_eq!(code(&daemon, "client", &["_http._tcp.web", "SRV"]), noerror(0));
    assert_eq!(code(&daemon, "client", &["web", "ANY", "+notcp"]), noerror(1));
}

#[test]
fn an_address_is_found_by_ptr() {
    let daemon = two_on_a_network();
    let ip = daemon.ip("web", "net1");
    assert_eq!(short(&daemon, "client", &["-x", &ip]), ["web.net1."]);
    assert_eq!(short(&daemon, "client", &["-x", "127.0.0.1"]), ["localhost."]);
    assert_eq!(code(&daemon, "client", &["-x", "192.0.2.1"]).0, "SERVFAIL", "nobody to ask");
    daemon.ok(&["network", "create", "--ipv6", "--subnet", "fd00:6::/64", "net6"]);
    daemon.ok(&["network", "connect", "--ip6", "fd00:6::77", "net6", "web"]);
    daemon.ok(&["network", "connect", "net6", "client"]);
    assert_eq!(short(&daemon, "client", &["-x", "fd00:6::77"]), ["web.net6."]);
    assert_eq!(short(&daemon, "client", &["web.net6", "AAAA"]), ["fd00:6::77"]);
}

#[test]
fn names_are_answered_over_tcp() {
    let daemon = two_on_a_network();
    let ip = daemon.ip("web", "net1");
    assert_eq!(short(&daemon, "client", &["+tcp", "web"]), [ip.as_str()]);
    assert_eq!(
        short(&daemon, "client", &["+tcp", "+keepopen", "web", "www", "-x", &ip]),
        [&ip, &ip, "web.net1."]
    );
}

#[test]
fn a_name_that_several_have_stands_for_all_of_them() {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "net1"]);
    for n in 0..6 {
        daemon.sleeper_with(&format!("web{n}"), &["--network", "net1", "--network-alias", "web"]);
    }
    let mut all: Vec<String> = (0..6).map(|n| daemon.ip(&format!("web{n}"), "net1")).collect();
    all.sort();
    assert_eq!(short(&daemon, "web0", &["web"]), all);
    // Shuffled: of many answers not all begin with the same.
    let first = || dig(&daemon, "web0", &["+short", "web"]).lines().next().map(str::to_owned);
    let one = first();
    assert!((0..50).any(|_| first() != one), "always {one:?} first");
    daemon.ok(&["rm", "-f", "web3"]);
    all.retain(|ip| *ip != "172.18.0.5");
    assert_eq!(short(&daemon, "web0", &["web"]), all);
}

#[test]
fn names_follow_connect_disconnect_rename_and_removal() {
    let daemon = two_on_a_network();
    daemon.ok(&["network", "create", "net2"]);
    daemon.sleeper_with("other", &["--network", "net2"]);
    assert_eq!(code(&daemon, "client", &["other"]).0, "SERVFAIL");
    daemon.ok(&["network", "connect", "--alias", "second", "net1", "other"]);
    let on_net1 = daemon.ip("other", "net1");
    for name in ["other", "second", "other.net1"] {
        assert_eq!(short(&daemon, "client", &[name]), [on_net1.as_str()], "{name}");
    }
    assert_eq!(
        short(&daemon, "other", &["web"]),
        [daemon.ip("web", "net1")],
        "who has come finds the others"
    );
    assert_eq!(code(&daemon, "client", &["other.net2"]).0, "SERVFAIL", "not on that network");
    assert_eq!(short(&daemon, "other", &["other.net2"]), [daemon.ip("other", "net2")]);

    daemon.ok(&["rename", "other", "renamed"]);
    assert_eq!(short(&daemon, "client", &["renamed"]), [on_net1.as_str()]);
    assert_eq!(short(&daemon, "client", &["second"]), [on_net1.as_str()], "an alias stays");
    assert_eq!(short(&daemon, "client", &["-x", &on_net1]), ["renamed.net1."]);
    assert_eq!(code(&daemon, "client", &["other"]).0, "SERVFAIL");

    daemon.ok(&["network", "disconnect", "net1", "renamed"]);
    for name in ["renamed", "second"] {
        assert_eq!(code(&daemon, "client", &[name]).0, "SERVFAIL", "{name}");
    }
    assert_eq!(code(&daemon, "renamed", &["web"]).0, "SERVFAIL", "who has left does not find the others");
    daemon.ok(&["rm", "-f", "web"]);
    assert_eq!(code(&daemon, "client", &["web"]).0, "SERVFAIL");
}

#[test]
fn a_link_is_a_name_for_one_container_only() {
    let daemon = Daemon::start_on_own_host("");
    daemon.ok(&["network", "create", "net1"]);
    daemon.sleeper_with("db", &["--network", "net1"]);
    daemon.sleeper_with("web", &["--network", "net1", "--link", "db:database"]);
    daemon.sleeper_with("other", &["--network", "net1"]);
    let ip = daemon.ip("db", "net1");
    assert_eq!(short(&daemon, "web", &["database"]), [ip.as_str()]);
    assert_eq!(short(&daemon, "web", &["db"]), [ip.as_str()]);
    assert_eq!(code(&daemon, "other", &["database"]).0, "SERVFAIL");
}

#[test]
fn what_is_not_known_is_asked_of_the_servers_given() {
    let daemon = Daemon::start_on_own_host("nameserver 127.0.0.53\n");
    let mut of_host = Nameserver::start(&daemon, "127.0.0.53", &["*=192.0.2.99"]);
    let knows = [
        "www.example=192.0.2.80",
        "six.example=2001:db8::80",
        "many.example=many",
        "80.2.0.192.in-addr.arpa=nxdomain",
    ];
    let mut given = Nameserver::start(&daemon, "192.0.2.53", &knows);
    daemon.ok(&["network", "create", "net1"]);
    daemon.sleeper_with("web", &["--network", "net1", "--dns", "192.0.2.53"]);
    assert_eq!(short(&daemon, "web", &["www.example"]), ["192.0.2.80"]);
    assert_eq!(short(&daemon, "web", &["six.example", "AAAA"]), ["2001:db8::80"]);
    assert_eq!(code(&daemon, "web", &["six.example"]), noerror(0));
    assert_eq!(code(&daemon, "web", &["nothing.example"]).0, "NXDOMAIN");
    assert_eq!(code(&daemon, "web", &["_sip._udp.example", "SRV"]).0, "NXDOMAIN");
    assert_eq!(code(&daemon, "web", &["web"]), noerror(1));
    assert_eq!(code(&daemon, "web", &["web", "AAAA"]), noerror(0));
    // Too long for a datagram: over TCP all of them, on both ways.
    assert_eq!(short(&daemon, "web", &["many.example"]).len(), 100);
    let text = dig(&daemon, "web", &["+ignore", "+noedns", "many.example"]);
    assert!(text.lines().any(|line| line.contains("flags:") && line.contains(" tc ")), "{text}");

    let asked = given.asked().to_vec();
    assert_eq!(asked.iter().filter(|q| q.ends_with("A www.example")).count(), 1, "{asked:?}");
    assert!(asked.contains(&"tcp A many.example".to_owned()), "{asked:?}");
    assert!(!asked.iter().any(|q| q.ends_with(" web")), "known names stay here: {asked:?}");
    assert_eq!(of_host.asked(), [""; 0]);
    // An answer is kept as long as it says; its age is taken off.
    let ttl = || {
        dig(&daemon, "web", &["+noall", "+answer", "www.example"])
            .split_whitespace()
            .nth(1)
            .map(str::to_owned)
    };
    eventually("the answer to age", || (ttl().unwrap().parse::<u32>().unwrap() < 300).then_some(()));
    assert_eq!(given.asked().iter().filter(|q| q.ends_with("A www.example")).count(), 1);
}

#[test]
fn servers_are_asked_in_order_and_one_that_refuses_is_passed_over() {
    let daemon =
        Daemon::start_on_own_host("nameserver 127.0.0.53\nnameserver 127.0.0.54\nnameserver 127.0.0.55\n");
    let mut first = Nameserver::start(&daemon, "127.0.0.53", &["*=servfail", "one.example=192.0.2.1"]);
    let mut second = Nameserver::start(&daemon, "127.0.0.54", &["*=refused", "two.example=192.0.2.2"]);
    let mut third = Nameserver::start(&daemon, "127.0.0.55", &["*=192.0.2.3"]);
    daemon.sleeper("u1");
    for (name, ip) in
        [("one.example", "192.0.2.1"), ("two.example", "192.0.2.2"), ("three.example", "192.0.2.3")]
    {
        assert_eq!(short(&daemon, "u1", &[name]), [ip]);
    }
    assert_eq!(first.asked().len(), 3);
    assert_eq!(second.asked(), ["udp A two.example", "udp A three.example"]);
    assert_eq!(third.asked(), ["udp A three.example"]);
}

#[test]
fn the_hosts_resolv_conf_is_followed_as_it_changes() {
    let daemon = Daemon::start_on_own_host("nameserver 127.0.0.53\n");
    let _first = Nameserver::start(&daemon, "127.0.0.53", &["*=192.0.2.1"]);
    let _second = Nameserver::start(&daemon, "127.0.0.54", &["*=192.0.2.2"]);
    let _six = Nameserver::start(&daemon, "fd00::53", &["*=192.0.2.3"]);
    daemon.sleeper("u1");
    assert_eq!(short(&daemon, "u1", &["a.example"]), ["192.0.2.1"]);
    let conf = daemon.host_etc().join("resolv.conf");
    fs::write(&conf, "# written over\nsearch example\nnameserver 127.0.0.54\n").unwrap();
    assert_eq!(short(&daemon, "u1", &["b.example"]), ["192.0.2.2"]);
    let new = daemon.host_etc().join("resolv.conf.new");
    fs::write(&new, "nameserver fd00::53\n").unwrap();
    fs::rename(&new, &conf).unwrap();
    assert_eq!(short(&daemon, "u1", &["c.example"]), ["192.0.2.3"]);
    fs::remove_file(&conf).unwrap();
    assert_eq!(code(&daemon, "u1", &["d.example"]).0, "SERVFAIL", "nobody listens on 127.0.0.1");
    std::os::unix::fs::symlink("stub.conf", &conf).unwrap();
    fs::write(daemon.host_etc().join("stub.conf"), "nameserver 127.0.0.53\n").unwrap();
    assert_eq!(short(&daemon, "u1", &["e.example"]), ["192.0.2.1"]);
}

#[test]
fn a_dead_server_does_not_delay_known_names() {
    let daemon = Daemon::start_on_own_host("nameserver 127.0.0.53\n");
    let mut mute = Nameserver::start(&daemon, "127.0.0.53", &["*=mute"]);
    daemon.ok(&["network", "create", "net1"]);
    daemon.sleeper_with("web", &["--network", "net1"]);
    daemon.sleeper_with("client", &["--network", "net1"]);
    let ip = daemon.ip("web", "net1");
    // Many wait for an answer that never comes.
    let names: Vec<String> = (0..50).map(|n| format!("n{n}.example")).collect();
    let words: Vec<&str> =
        ["dig", "+tries=1", "+time=60"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut waiting: Vec<_> =
        (0..3).map(|_| tests::Background::start(&mut daemon.exec_command("client", &words))).collect();
    eventually("the server to be asked", || (!mute.asked().is_empty()).then_some(()));
    // Not the time it takes, but that it is done while they wait.
    for _ in 0..20 {
        assert_eq!(short(&daemon, "client", &["web"]), [ip.as_str()]);
        assert_eq!(short(&daemon, "client", &["+tcp", "web"]), [ip.as_str()]);
    }
    assert!(waiting.iter_mut().all(tests::Background::is_running));
    // In the end an error is said, long before a client of four seconds a server gives up on three.
    let start = Instant::now();
    assert_eq!(code(&daemon, "client", &["last.example"]).0, "SERVFAIL");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_default_bridge_has_no_names_but_those_of_links() {
    let daemon = Daemon::start_on_own_host("");
    let test1 = daemon.sleeper("test1");
    daemon.sleeper_with("test2", &["--link", "test1:one"]);
    for name in ["test1", "test1.bridge", "one", &test1.id[..12]] {
        assert_eq!(code(&daemon, "test2", &[name]).0, "SERVFAIL", "{name}");
    }
    for name in ["one", "test1"] {
        let hosts = daemon.exec("test2", &["getent", "hosts", name]).ok();
        assert!(hosts.starts_with(&test1.ip), "{hosts}");
    }
    assert_ne!(daemon.exec("test1", &["getent", "hosts", "test2"]).status, 0);
    assert_eq!(code(&daemon, "test2", &["-x", &test1.ip]).0, "SERVFAIL");
}

#[test]
fn a_container_on_internal_networks_only_asks_nobody_outside() {
    let daemon = Daemon::start_on_own_host("nameserver 127.0.0.53\n");
    let mut server = Nameserver::start(&daemon, "127.0.0.53", &["*=192.0.2.1"]);
    daemon.ok(&["network", "create", "--internal", "inside"]);
    daemon.sleeper_with("u1", &["--network", "inside"]);
    daemon.sleeper_with("u2", &["--network", "inside"]);
    assert_eq!(code(&daemon, "u1", &["www.example"]).0, "SERVFAIL");
    assert_eq!(short(&daemon, "u1", &["u2"]), [daemon.ip("u2", "inside")]);
    assert_eq!(server.asked(), [""; 0]);
    daemon.ok(&["network", "create", "net1"]);
    daemon.ok(&["network", "connect", "net1", "u1"]);
    assert_eq!(short(&daemon, "u1", &["www.example"]), ["192.0.2.1"]);
}

#[test]
fn malformed_queries_leave_the_service_as_it_was() {
    let daemon = two_on_a_network();
    let ip = daemon.ip("web", "net1");
    // Too short, all ones, a name that points at itself, a label longer than the message, twice a question.
    let bad = [
        r"\x00",
        r"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        r"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01",
        r"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x3fab",
        r"\x12\x34\x01\x00\xff\xff\x00\x00\x00\x00\x00\x00\x03web\x00\x00\x01\x00\x01",
        r"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x03web\x00\x00\x01\x00\x01",
    ];
    for bytes in bad {
        let script = format!(
            "printf '%b' '{bytes}' | nc -u -w 0 127.0.0.11 53; printf '%b' '{bytes}' | nc -N -w 1 127.0.0.11 53 >/dev/null; true"
        );
        daemon.exec("client", &["bash", "-c", &script]).ok();
        assert_eq!(short(&daemon, "client", &["web"]), [ip.as_str()], "{bytes}");
    }
    let counted = daemon.api("GET", "/info", &serde_json::Value::Null).ok()["Vswitch"]["Names"].take();
    assert!(counted.as_object().unwrap().len() >= 3, "{counted}");
}

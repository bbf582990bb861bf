//! What a person does with it, start to end: Docker's network tutorials, with `vswitch`.

use tests::{Daemon, Nameserver, eventually};

use crate::support::{addresses, interfaces, resolves, stations};

#[test]
fn walkthrough_1_two_namespaces_and_one_wire() {
    let daemon = Daemon::start();
    let (test1, test2) = (daemon.sleeper("test1"), daemon.sleeper("test2"));
    for container in [&test1, &test2] {
        assert_eq!(interfaces(&daemon, &container.name), ["eth0", "lo"]);
        assert_eq!(addresses(&daemon, &container.name, "lo"), ["127.0.0.1/8"]);
        assert_eq!(addresses(&daemon, &container.name, "eth0"), [format!("{}/16", container.ip)]);
        let link = daemon.exec(&container.name, &["ip", "-o", "link", "show", "eth0"]).ok();
        assert!(link.contains(&format!("link/ether {}", container.mac)), "{link}");
    }
    assert_eq!((test1.ip.as_str(), test1.mac.as_str()), ("172.17.0.2", "02:42:ac:11:00:02"));
    assert_eq!((test2.ip.as_str(), test2.mac.as_str()), ("172.17.0.3", "02:42:ac:11:00:03"));
    daemon.ping("test1", &test2.ip);
    daemon.ping("test2", &test1.ip);
    let known = stations(&daemon);
    assert!(known.contains(&test1.mac) && known.contains(&test2.mac), "{known:?}");

    daemon.ok(&["bridge", "setageing", "bridge", "1"]);
    daemon.ok(&["rm", "-f", "test2"]);
    eventually("both to be forgotten", || stations(&daemon).is_empty().then_some(()));
}

#[test]
fn walkthrough_2_docker0() {
    let daemon = Daemon::start();
    let table = daemon.ok(&["network", "ls"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"], "{table}");
    let networks: Vec<&[&str]> = rows[1..].iter().map(|row| &row[1..]).collect();
    assert_eq!(
        networks,
        [["bridge", "bridge", "local"], ["host", "host", "local"], ["none", "null", "local"]]
    );

    let before = daemon.network("bridge");
    assert_eq!(before["Containers"], serde_json::json!({}));
    assert_eq!(before["IPAM"]["Config"][0]["Gateway"], "172.17.0.1");
    assert!(rows[1][0].len() == 12 && before["Id"].as_str().unwrap().starts_with(rows[1][0]));

    let test1 = daemon.sleeper("test1");
    let after = daemon.network("bridge");
    let member = &after["Containers"][&test1.id];
    assert_eq!((&member["Name"], &member["MacAddress"]), (&"test1".into(), &test1.mac.clone().into()));
    assert_eq!((&member["IPv4Address"], &member["IPv6Address"]), (&"172.17.0.2/16".into(), &"".into()));
    assert_eq!(member["EndpointID"].as_str().unwrap().len(), 64);
    let route = daemon.exec("test1", &["ip", "route", "show", "default"]).ok();
    assert!(route.starts_with("default via 172.17.0.1 dev eth0"), "{route}");

    daemon.ok(&["rm", "-f", "test1"]);
    assert_eq!(daemon.network("bridge"), before);
}

#[test]
fn walkthrough_3_a_network_of_ones_own() {
    let daemon = Daemon::start_on_own_host("");
    let (test1, test2) = (daemon.sleeper("test1"), daemon.sleeper("test2"));
    let id = daemon.ok(&["network", "create", "my-bridge"]);
    let made = daemon.network("my-bridge");
    assert_eq!(made["Id"], id);
    assert_eq!(made["IPAM"]["Config"][0]["Subnet"], "172.18.0.0/16");
    daemon.sleeper_with("test3", &["--network", "my-bridge"]);
    daemon.ok(&["network", "connect", "my-bridge", "test2"]);

    assert_eq!(interfaces(&daemon, "test2"), ["eth0", "eth1", "lo"]);
    assert_eq!(addresses(&daemon, "test2", "eth0"), [format!("{}/16", test2.ip)]);
    let on_mine = daemon.ip("test2", "my-bridge");
    assert_eq!(on_mine, "172.18.0.3");
    assert_eq!(addresses(&daemon, "test2", "eth1"), ["172.18.0.3/16"]);
    daemon.ping("test2", &test1.ip);
    daemon.ping("test2", &daemon.ip("test3", "my-bridge"));
    daemon.ping("test3", &on_mine);
    daemon.ping("test3", "test2");
    daemon.ping("test2", "test3");
    // Two networks do not reach each other.
    let said = daemon.exec("test3", &["ping", "-c", "1", "-W", "1", &test1.ip]);
    assert_ne!(said.status, 0, "{said:?}");
    // On the default bridge names are no names.
    assert!(!resolves(&daemon, "test1", "test2"));
    assert!(!resolves(&daemon, "test2", "test1"));
    let listed = daemon.network("my-bridge")["Containers"].as_object().unwrap().clone();
    let names: Vec<&str> = listed.values().map(|c| c["Name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"test2") && names.contains(&"test3"), "{names:?}");

    let said = daemon.run(&["network", "rm", "my-bridge"]).fails_with(1);
    assert!(said.contains("has active endpoints"), "{said}");
    daemon.ok(&["network", "disconnect", "my-bridge", "test2"]);
    assert_eq!(interfaces(&daemon, "test2"), ["eth0", "lo"]);
    daemon.ok(&["rm", "-f", "test3"]);
    assert_eq!(daemon.ok(&["network", "rm", "my-bridge"]), "my-bridge");
}

#[test]
fn walkthrough_4_links() {
    let daemon = Daemon::start_on_own_host("");
    let arguments = ["--expose", "80", "--expose", "53/udp", "-e", "COLOR=green"];
    daemon.sleeper_with("test1", &arguments);
    daemon.sleeper_with("test2", &["--link", "test1"]);
    daemon.sleeper_with("test3", &["--link", "test1:web-server"]);
    daemon.ping("test2", "test1");
    daemon.ping("test3", "web-server");
    daemon.ping("test3", "test1");
    assert!(!resolves(&daemon, "test1", "test2"), "a link has one direction");

    let test1 = daemon.container("test1");
    let hosts = daemon.exec("test3", &["cat", "/etc/hosts"]).ok();
    let line = format!("{}\tweb-server {} test1", test1.ip, &test1.id[..12]);
    assert!(hosts.lines().any(|l| l == line), "{line} in {hosts}");

    let script = "env | grep ^WEB_SERVER_ | sort >$0/env; exec sleep infinity";
    let dir = daemon.dir().to_str().unwrap();
    daemon.ok(&["run", "-d", "--name", "test4", "--link", "test1:web-server", "--", "sh", "-c", script, dir]);
    let file = daemon.dir().join("env");
    let variables = eventually("the variables", || {
        std::fs::read_to_string(&file).ok().filter(|text| text.contains("_PROTO"))
    });
    let ip = &test1.ip;
    let expected = format!(
        "WEB_SERVER_ENV_COLOR=green
WEB_SERVER_NAME=/test4/web-server
WEB_SERVER_PORT=udp://{ip}:53
WEB_SERVER_PORT_53_UDP=udp://{ip}:53
WEB_SERVER_PORT_53_UDP_ADDR={ip}
WEB_SERVER_PORT_53_UDP_PORT=53
WEB_SERVER_PORT_53_UDP_PROTO=udp
WEB_SERVER_PORT_80_TCP=tcp://{ip}:80
WEB_SERVER_PORT_80_TCP_ADDR={ip}
WEB_SERVER_PORT_80_TCP_PORT=80
WEB_SERVER_PORT_80_TCP_PROTO=tcp
"
    );
    assert_eq!(variables, expected);
}

#[test]
fn walkthrough_6_host_none_and_container() {
    let daemon = Daemon::start();
    let ip = ["ip", "-o", "-4", "address"];
    let host = tests::run(std::process::Command::new(ip[0]).args(&ip[1..])).ok();
    let addresses_of = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split_whitespace().skip(1).take(3).collect::<Vec<_>>().join(" "))
            .collect()
    };
    let run = |arguments: &[&str]| daemon.run(&[&["run"], arguments, &["--"], &ip[..]].concat()).ok();
    assert_eq!(addresses_of(&run(&["--network", "host"])), addresses_of(&host));
    assert_eq!(addresses_of(&run(&["--network", "none"])), ["lo inet 127.0.0.1/8"]);

    let test1 = daemon.sleeper("test1");
    daemon.sleeper_with("test2", &["--network", "container:test1"]);
    for name in ["test1", "test2"] {
        assert_eq!(addresses(&daemon, name, "eth0"), [format!("{}/16", test1.ip)]);
    }
    // They talk over lo.
    let mut server = tests::Background::start(
        &mut daemon.exec_command("test1", &["nc", "-l", "-v", "-n", "-N", "127.0.0.1", "7000"]),
    );
    server.line(|line| line.contains("istening"));
    let script = "echo over lo | nc -N 127.0.0.1 7000";
    daemon.exec("test2", &["sh", "-c", script]).ok();
    assert!(server.line(|line| line == "over lo") == "over lo");
    server.end();
}

#[test]
fn walkthrough_7_addresses_come_and_go() {
    let daemon = Daemon::start();
    assert_eq!(daemon.sleeper("u2").ip, "172.17.0.2");
    assert_eq!(daemon.sleeper("u3").ip, "172.17.0.3");
    daemon.ok(&["rm", "-f", "u3"]);
    assert_eq!(daemon.sleeper("u4").ip, "172.17.0.3");
    daemon.ping("u2", "172.17.0.3");
}

#[test]
fn walkthrough_8_dns() {
    let daemon = Daemon::start_on_own_host("nameserver 127.0.0.53\n");
    let mut of_host = Nameserver::start(&daemon, "127.0.0.53", &["www.example=192.0.2.80"]);
    let mut given = Nameserver::start(&daemon, "192.0.2.53", &["www.example=192.0.2.81"]);
    let server = given.address().to_owned();
    daemon.ok(&["network", "create", "net1"]);
    for (n, network) in ["bridge", "net1"].into_iter().enumerate() {
        let (own, other) = (format!("test{n}"), format!("other{n}"));
        daemon.sleeper_with(&own, &["--network", network]);
        daemon.sleeper_with(&other, &["--network", network, "--dns", &server]);
        let ask = |name: &str| daemon.exec(name, &["dig", "+short", "www.example"]).ok();
        assert_eq!(ask(&own), "192.0.2.80\n", "{network}: through the host's resolver");
        assert_eq!(ask(&other), "192.0.2.81\n", "{network}: through the one that was given");
        let conf = daemon.exec(&own, &["cat", "/etc/resolv.conf"]).ok();
        assert_eq!(conf, "nameserver 127.0.0.11\noptions ndots:0\n");
    }
    assert_eq!(of_host.asked(), ["udp A www.example"], "the second time it was known");
    assert_eq!(given.asked(), ["udp A www.example"], "the second time it was known");
}

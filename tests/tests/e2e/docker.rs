//! The real `docker` client as a user of the switch.

use std::time::SystemTime;

use serde_json::{Value, json};
use tests::{Background, Daemon, Netns, eventually};

use crate::support::{addresses, interfaces};

fn rows(table: &str) -> Vec<Vec<String>> {
    let words =
        |line: &str| line.split("  ").map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    table.lines().map(words).collect()
}

fn inspected(daemon: &Daemon, arguments: &[&str]) -> Value {
    let text = daemon.docker_ok(arguments);
    let mut all: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"));
    all[0].take()
}

fn names(listing: &str) -> Vec<&str> {
    let mut names: Vec<&str> = listing.lines().collect();
    names.sort_unstable();
    names
}

#[test]
fn version_and_info_show_the_switch_as_the_server() {
    let daemon = Daemon::start();
    daemon.sleeper("test1");
    let version: Value =
        serde_json::from_str(&daemon.docker_ok(&["version", "--format", "{{json .}}"])).unwrap();
    let server = &version["Server"];
    assert_eq!((&server["ApiVersion"], &server["Os"]), (&json!("1.41"), &json!("linux")));
    assert_eq!(server["Version"], env!("CARGO_PKG_VERSION"));
    let text = daemon.docker_ok(&["version"]);
    assert!(text.contains("Server: vswitch") && text.contains("1.41 (minimum version 1.12)"), "{text}");

    let text = daemon.docker_ok(&["info"]);
    for line in
        ["Containers: 1", "Running: 1", "Paused: 0", "Stopped: 0", "Server Version: ", "OSType: linux"]
    {
        assert!(text.lines().any(|l| l.trim().starts_with(line)), "{line}: {text}");
    }
    let network = text.lines().find(|l| l.trim().starts_with("Network: ")).unwrap();
    assert_eq!(network.trim(), "Network: bridge host null overlay");
}

#[test]
fn walkthrough_2_docker0() {
    let daemon = Daemon::start();
    let table = rows(&daemon.docker_ok(&["network", "ls"]));
    assert_eq!(table[0], ["NETWORK ID", "NAME", "DRIVER", "SCOPE"]);
    let networks: Vec<&[String]> = table[1..].iter().map(|row| &row[1..]).collect();
    assert_eq!(
        networks,
        [["bridge", "bridge", "local"], ["host", "host", "local"], ["none", "null", "local"]]
    );
    let before = inspected(&daemon, &["network", "inspect", "bridge"]);
    assert_eq!(before["Containers"], json!({}));
    let test1 = daemon.sleeper("test1");
    let after = inspected(&daemon, &["network", "inspect", "bridge"]);
    let member = &after["Containers"][&test1.id];
    assert_eq!((&member["Name"], &member["IPv4Address"]), (&json!("test1"), &json!("172.17.0.2/16")));
    // What both clients print is the same, but for Docker's own reading of times.
    let ours = daemon.network("bridge");
    for key in ["Name", "Id", "Scope", "Driver", "IPAM", "Containers", "Options", "Labels", "Internal"] {
        assert_eq!(after[key], ours[key], "{key}");
    }
}

#[test]
fn walkthrough_3_a_network_of_ones_own() {
    let daemon = Daemon::start_on_own_host("");
    let (test1, test2) = (daemon.sleeper("test1"), daemon.sleeper("test2"));
    let id = daemon.docker_ok(&["network", "create", "my-bridge"]);
    assert_eq!(daemon.network("my-bridge")["Id"], id);
    daemon.sleeper_with("test3", &["--network", "my-bridge"]);
    assert_eq!(daemon.docker_ok(&["network", "connect", "my-bridge", "test2"]), "");
    assert_eq!(interfaces(&daemon, "test2"), ["eth0", "eth1", "lo"]);
    assert_eq!(addresses(&daemon, "test2", "eth1"), ["172.18.0.3/16"]);
    daemon.ping("test2", &test1.ip);
    daemon.ping("test2", "test3");
    daemon.ping("test3", "test2");

    let said = daemon.docker(&["network", "rm", "my-bridge"]).fails_with(1);
    let sentence = format!("error while removing network: network my-bridge id {id} has active endpoints");
    assert!(said.contains(&sentence), "{said}");
    let said = daemon.docker(&["network", "connect", "my-bridge", "test2"]).fails_with(1);
    assert!(said.contains("endpoint with name test2 already exists in network my-bridge"), "{said}");
    let seen = inspected(&daemon, &["inspect", "test2"]);
    let networks = seen["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.keys().collect::<Vec<_>>(), ["bridge", "my-bridge"]);
    assert_eq!(networks["bridge"]["IPAddress"], test2.ip);
    let template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let all = daemon.docker_ok(&["inspect", "-f", template, "test2"]);
    assert_eq!(all, format!("{} 172.18.0.3", test2.ip));

    assert_eq!(daemon.docker_ok(&["network", "disconnect", "my-bridge", "test2"]), "");
    assert_eq!(interfaces(&daemon, "test2"), ["eth0", "lo"]);
    let said = daemon.docker(&["network", "disconnect", "my-bridge", "test2"]).fails_with(1);
    assert!(
        said.contains(&format!("container {} is not connected to network my-bridge", test2.id)),
        "{said}"
    );
    assert_eq!(daemon.docker_ok(&["rm", "-f", "test3"]), "test3");
    assert_eq!(daemon.docker_ok(&["network", "rm", "my-bridge"]), "my-bridge");
    let said = daemon.docker(&["network", "inspect", "my-bridge"]).fails_with(1);
    // As older clients and newer ones say it.
    let sentences = ["network my-bridge not found", "No such network: my-bridge"];
    assert!(sentences.iter().any(|sentence| said.contains(sentence)), "{said}");
}

#[test]
fn walkthrough_4_links_are_set_by_connect() {
    let daemon = Daemon::start_on_own_host("");
    daemon.docker_ok(&["network", "create", "net1"]);
    daemon.sleeper_with("test1", &["--network", "net1"]);
    daemon.sleeper("test2");
    daemon.docker_ok(&["network", "connect", "--link", "test1:web", "--alias", "two", "net1", "test2"]);
    daemon.ping("test2", "web");
    daemon.ping("test1", "two");
    let endpoint = &inspected(&daemon, &["inspect", "test2"])["NetworkSettings"]["Networks"]["net1"];
    assert_eq!(endpoint["Links"], json!(["test1:web"]));
    let id = daemon.container("test2").id;
    assert_eq!(endpoint["Aliases"], json!(["two", id[..12]]));
}

#[test]
fn walkthrough_6_modes_are_shown() {
    let daemon = Daemon::start();
    daemon.sleeper("test1");
    daemon.sleeper_with("of-host", &["--network", "host"]);
    daemon.sleeper_with("alone", &["--network", "none"]);
    daemon.sleeper_with("joined", &["--network", "container:test1"]);
    let mode = |name: &str| daemon.docker_ok(&["inspect", "-f", "{{.HostConfig.NetworkMode}}", name]);
    let networks = |name: &str| {
        daemon.docker_ok(&[
            "inspect",
            "-f",
            "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{$v.IPAddress}}{{end}}",
            name,
        ])
    };
    let test1 = daemon.container("test1");
    assert_eq!((mode("test1").as_str(), networks("test1")), ("default", format!("bridge{}", test1.ip)));
    assert_eq!((mode("of-host").as_str(), networks("of-host").as_str()), ("host", "host"));
    assert_eq!((mode("alone").as_str(), networks("alone").as_str()), ("none", "none"));
    assert_eq!((mode("joined"), networks("joined").as_str()), (format!("container:{}", test1.id), ""));
    for name in ["of-host", "alone", "joined"] {
        let said = daemon.docker(&["network", "connect", "bridge", name]).fails_with(1);
        assert!(said.contains("cannot be") || said.contains("multiple networks"), "{said}");
    }
    let said = daemon.docker(&["network", "connect", "host", "test1"]).fails_with(1);
    assert!(
        said.contains("container cannot be disconnected from host network or connected to host network"),
        "{said}"
    );
}

#[test]
fn walkthrough_7_addresses_come_and_go() {
    let daemon = Daemon::start();
    daemon.sleeper("u2");
    assert_eq!(daemon.sleeper("u3").ip, "172.17.0.3");
    assert_eq!(daemon.docker_ok(&["rm", "-f", "u3"]), "u3");
    assert_eq!(daemon.sleeper("u4").ip, "172.17.0.3");
}

#[test]
fn create_takes_every_flag() {
    let daemon = Daemon::start_on_own_host("");
    let flags = [
        "--driver=bridge",
        "--subnet=10.1.0.0/16",
        "--ip-range=10.1.5.0/24",
        "--gateway=10.1.0.254",
        "--aux-address=router=10.1.5.0",
        "--internal",
        "--attachable",
        "--ipv6",
        "--subnet=fd00:1::/64",
        "--label=tier=front",
        "--label=empty",
        "--opt=com.docker.network.driver.mtu=1400",
        "--opt=com.docker.network.bridge.name=br-web",
        "--ipam-driver=default",
        "--ipam-opt=a=b",
    ];
    daemon.docker_ok(&[&["network", "create"], &flags[..], &["web"]].concat());
    let made = inspected(&daemon, &["network", "inspect", "web"]);
    assert_eq!(
        made["IPAM"],
        json!({"Driver": "default", "Options": {"a": "b"}, "Config": [
            {"Subnet": "10.1.0.0/16", "IPRange": "10.1.5.0/24", "Gateway": "10.1.0.254",
             "AuxiliaryAddresses": {"router": "10.1.5.0"}},
            {"Subnet": "fd00:1::/64", "Gateway": "fd00:1::1"},
        ]})
    );
    assert_eq!(
        (&made["Internal"], &made["Attachable"], &made["EnableIPv6"]),
        (&json!(true), &json!(true), &json!(true))
    );
    assert_eq!(made["Labels"], json!({"tier": "front", "empty": ""}));
    daemon.sleeper_with("test1", &["--network", "web"]);
    assert_eq!(daemon.ip("test1", "web"), "10.1.5.1");
    let link = daemon.exec("test1", &["ip", "-o", "link", "show", "eth0"]).ok();
    assert!(link.contains(" mtu 1400 "), "{link}");
    assert!(daemon.ok(&["bridge", "show", "web"]).contains("br-web"));
    let six = &daemon.endpoint("test1", "web");
    assert_eq!(
        (&six["GlobalIPv6Address"], &six["GlobalIPv6PrefixLen"]),
        (&json!("fd00:1::242:a01:501"), &json!(64))
    );

    daemon.docker_ok(&["network", "create", "net2"]);
    daemon.sleeper_with("test2", &["--network", "net2"]);
    daemon.docker_ok(&[
        "network",
        "connect",
        "--ip",
        "10.1.9.9",
        "--ip6",
        "fd00:1::9:9",
        "--alias",
        "nine",
        "web",
        "test2",
    ]);
    assert_eq!(daemon.ip("test2", "web"), "10.1.9.9");
    assert_eq!(daemon.endpoint("test2", "web")["GlobalIPv6Address"], "fd00:1::9:9");
    assert_eq!(
        daemon.endpoint("test2", "web")["IPAMConfig"],
        json!({"IPv4Address": "10.1.9.9", "IPv6Address": "fd00:1::9:9"})
    );
    daemon.ping("test1", "nine");
}

#[test]
fn create_is_refused_in_dockers_words() {
    let daemon = Daemon::start_on_own_host("");
    daemon.docker_ok(&["network", "create", "--subnet=10.1.0.0/16", "web"]);
    let before = daemon.docker_ok(&["network", "ls", "--no-trunc"]);
    for (arguments, sentence) in [
        (&["web"][..], "network with name web already exists"),
        (&["--subnet=10.1.2.0/24", "x"], "Pool overlaps with other one on this address space"),
        (&["--driver=nothing", "x"], "plugin \"nothing\" not found"),
        (&["--driver=host", "x"], "only one instance of \"host\" network is allowed"),
        (&["bridge"], "operation is not permitted on predefined bridge network"),
        (
            &["--opt=com.docker.network.driver.mtu=big", "x"],
            "failed to parse com.docker.network.driver.mtu value: big",
        ),
    ] {
        let said = daemon.docker(&[&["network", "create"], arguments].concat()).fails_with(1);
        assert!(said.contains(&format!("Error response from daemon: {sentence}")), "{arguments:?}: {said}");
    }
    assert_eq!(daemon.docker_ok(&["network", "ls", "--no-trunc"]), before);
}

#[test]
fn ls_and_prune_filter() {
    let daemon = Daemon::start();
    daemon.docker_ok(&["network", "create", "--label", "tier=front", "web"]);
    daemon.docker_ok(&["network", "create", "--label", "tier=back", "db"]);
    daemon.docker_ok(&["network", "create", "used"]);
    daemon.sleeper_with("test1", &["--network", "used"]);
    let ls = |filters: &[&str]| {
        let filters = filters.iter().flat_map(|f| ["-f", f]);
        let all: Vec<&str> = ["network", "ls", "--format", "{{.Name}}"].into_iter().chain(filters).collect();
        daemon.docker_ok(&all)
    };
    assert_eq!(names(&ls(&[])), ["bridge", "db", "host", "none", "used", "web"]);
    assert_eq!(names(&ls(&["driver=bridge"])), ["bridge", "db", "used", "web"]);
    assert_eq!(names(&ls(&["label=tier"])), ["db", "web"]);
    assert_eq!(names(&ls(&["label=tier=back"])), ["db"]);
    assert_eq!(names(&ls(&["name=we"])), ["web"]);
    assert_eq!(names(&ls(&["type=custom"])), ["db", "used", "web"]);
    assert_eq!(names(&ls(&["dangling=true"])), ["db", "web"]);
    assert_eq!(names(&ls(&["scope=global"])), [""; 0]);
    let said = daemon.docker(&["network", "ls", "-f", "nothing=x"]).fails_with(1);
    assert!(said.to_lowercase().contains("invalid filter 'nothing"), "{said}");
    assert_eq!(
        daemon.docker_ok(&["network", "ls", "-q", "--no-trunc", "-f", "name=web"]),
        daemon.network("web")["Id"]
    );

    let prune = |filter: &str| daemon.docker_ok(&["network", "prune", "-f", "--filter", filter]);
    assert_eq!(prune("until=1h"), "");
    assert_eq!(names(&prune("label!=tier=front")), ["Deleted Networks:", "db"]);
    assert_eq!(names(&daemon.docker_ok(&["network", "prune", "-f"])), ["Deleted Networks:", "web"]);
    assert_eq!(daemon.docker_ok(&["network", "prune", "-f"]), "");
    assert_eq!(names(&ls(&[])), ["bridge", "host", "none", "used"]);
}

#[test]
fn ps_lists_and_filters() {
    let daemon = Daemon::start();
    let test1 = daemon.sleeper("test1");
    daemon.sleeper_with("test2", &["--label", "tier=front", "--expose", "80", "--expose", "53/udp"]);
    daemon.ok(&["run", "-d", "--name", "ended", "--", "sh", "-c", "exit 3"]);
    daemon.ok(&["wait", "ended"]);
    let table = rows(&daemon.docker_ok(&["ps"]));
    assert_eq!(table[0], ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
    assert_eq!(table.len(), 3);
    let line = table.iter().find(|row| row.last().unwrap() == "test1").unwrap();
    assert_eq!(line[0], test1.id[..12]);
    assert!(line.iter().any(|word| word == "\"sleep infinity\""), "{line:?}");
    let ps = |arguments: &[&str]| {
        let text = daemon.docker_ok(&[&["ps", "--format", "{{.Names}}"], arguments].concat());
        names(&text).join(" ")
    };
    assert_eq!(ps(&["-a"]), "ended test1 test2");
    assert_eq!(ps(&["-f", "status=exited"]), "ended");
    assert_eq!(ps(&["-a", "-f", "exited=3"]), "ended");
    assert_eq!(ps(&["-f", "label=tier"]), "test2");
    assert_eq!(ps(&["-f", "network=bridge"]), "test1 test2");
    assert_eq!(ps(&["-f", "network=none"]), "");
    assert_eq!(ps(&["-f", "name=test"]), "test1 test2");
    assert_eq!(ps(&["-f", &format!("id={}", &test1.id[..12])]), "test1");
    assert_eq!(ps(&["-l"]), "ended");
    assert_eq!(daemon.docker_ok(&["ps", "--format", "{{.Ports}}", "-f", "name=test2"]), "53/udp, 80/tcp");
    assert_eq!(daemon.docker_ok(&["ps", "--format", "{{.Networks}}", "-f", "name=test2"]), "bridge");
    assert_eq!(daemon.docker_ok(&["port", "test2"]), "");
    let said = daemon.docker(&["port", "test2", "80/tcp"]).fails_with(1);
    assert!(said.to_lowercase().contains("no public port '80/tcp' published for test2"), "{said}");
    let ports = inspected(&daemon, &["inspect", "test2"])["NetworkSettings"]["Ports"].take();
    assert_eq!(ports, json!({"53/udp": null, "80/tcp": null}));
}

#[test]
fn stop_kill_rm_and_rename() {
    let daemon = Daemon::start();
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    daemon.ok(&["run", "-d", "--name", "test1", "--", "sh", "-c", script]);
    eventually("the trap to be set", || (daemon.ok(&["logs", "test1"]) == "ready").then_some(()));
    let test2 = daemon.sleeper("test2");
    assert_eq!(daemon.docker_ok(&["stop", "test1"]), "test1");
    assert_eq!(daemon.inspect("test1")["State"]["ExitCode"], 7);
    assert_eq!(daemon.docker_ok(&["kill", "-s", "INT", "test2"]), "test2");
    assert_eq!(daemon.docker_ok(&["wait", "test2"]), "130");
    let said = daemon.docker(&["kill", "test2"]).fails_with(1);
    assert!(
        said.contains(&format!("Container {} is not running", test2.id)) || said.contains("is not running"),
        "{said}"
    );

    daemon.docker_ok(&["rename", "test2", "renamed"]);
    assert_eq!(daemon.docker_ok(&["ps", "-a", "--format", "{{.Names}}", "-f", "name=renamed"]), "renamed");
    let said = daemon.docker(&["rename", "test1", "renamed"]).fails_with(1);
    let sentence =
        format!("Conflict. The container name \"/renamed\" is already in use by container \"{}\"", test2.id);
    assert!(said.contains(&sentence), "{said}");

    daemon.sleeper("test3");
    let said = daemon.docker(&["rm", "test3"]).fails_with(1);
    assert!(
        said.contains("ou cannot remove a running container") || said.contains("cannot remove container"),
        "{said}"
    );
    assert_eq!(daemon.docker_ok(&["rm", "-f", "test1", "renamed", "test3"]), "test1\nrenamed\ntest3");
    assert_eq!(daemon.docker_ok(&["ps", "-aq"]), "");
    let said = daemon.docker(&["inspect", "test1"]).fails_with(1);
    assert!(said.to_lowercase().contains("no such object: test1"), "{said}");
    for command in ["stop", "kill", "port"] {
        let said = daemon.docker(&[command, "test1"]).fails_with(1);
        assert!(said.contains("No such container: test1"), "{said}");
    }
}

/// Lines of `docker events` as kind, action and the name of whom it is about.
fn happened(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{} {} {}",
        text(&event["Type"]),
        text(&event["Action"]),
        text(&event["Actor"]["Attributes"]["name"])
    )
}

#[test]
fn events_tell_what_happens_in_dockers_order() {
    let daemon = Daemon::start();
    let mut events = Background::start(&mut daemon.docker_command(&["events", "--format", "{{json .}}"]));
    eventually("docker to listen", || {
        let info: Value = serde_json::from_str(&daemon.ok(&["info", "--format", "json"])).unwrap();
        (info["NEventsListener"] == 1).then_some(())
    });
    let net = daemon.docker_ok(&["network", "create", "net1"]);
    let test1 = daemon.sleeper("test1");
    daemon.docker_ok(&["network", "connect", "net1", "test1"]);
    daemon.docker_ok(&["network", "disconnect", "net1", "test1"]);
    daemon.docker_ok(&["rename", "test1", "test2"]);
    daemon.docker_ok(&["kill", "test2"]);
    daemon.docker_ok(&["wait", "test2"]);
    daemon.docker_ok(&["rm", "test2"]);
    daemon.docker_ok(&["network", "rm", "net1"]);
    let mut seen = Vec::new();
    let last = events.line(|line| {
        seen.push(happened(line));
        seen.last().is_some_and(|l| l == "network destroy net1")
    });
    assert_eq!(serde_json::from_str::<Value>(&last).unwrap()["Actor"]["ID"], net);
    assert_eq!(
        seen,
        [
            "network create net1",
            "container create test1",
            "network connect bridge",
            "container start test1",
            "network connect net1",
            "network disconnect net1",
            "container rename test2",
            "container kill test2",
            "container die test2",
            "network disconnect bridge",
            "container destroy test2",
            "network destroy net1",
        ]
    );
    events.interrupt();

    let past = |filters: &[&str]| {
        // Until the end of this second.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let until = (now.as_secs() + 1).to_string();
        let style = ["--format", "{{.Type}} {{.Action}}"];
        daemon.docker_ok(&[&["events", "--since", "1h", "--until", &until], &style[..], filters].concat())
    };
    assert_eq!(past(&["-f", "event=die"]), "container die");
    assert_eq!(past(&["-f", "type=network", "-f", "event=connect"]).lines().count(), 2);
    assert_eq!(past(&["-f", "network=net1", "-f", "event=connect"]), "network connect");
    assert_eq!(past(&["-f", &format!("container={}", test1.id), "-f", "event=rename"]), "container rename");
}

#[test]
fn an_attached_namespace_is_a_container_like_any_other() {
    let daemon = Daemon::start();
    let netns = Netns::new();
    daemon.ok(&["attach", "--netns", netns.path().to_str().unwrap(), "--name", "ns1"]);
    assert_eq!(daemon.docker_ok(&["ps", "--format", "{{.Names}}"]), "ns1");
    daemon.docker_ok(&["network", "create", "net1"]);
    daemon.docker_ok(&["network", "connect", "net1", "ns1"]);
    let links = netns.run("ip", &["-o", "link"]).ok();
    assert!(links.contains("eth0") && links.contains("eth1"), "{links}");
    daemon.docker_ok(&["stop", "ns1"]);
    daemon.until_gone("ns1");
    eventually("the interfaces to be gone", || {
        (!netns.run("ip", &["-o", "link"]).ok().contains("eth")).then_some(())
    });
}

//! What makes no sense, or cannot be: Docker's sentence and status code, nothing changed, nothing leaked.

use serde_json::{Value, json};
use tests::{Daemon, eventually, http, leak};

/// All that a refusal must leave as it was.
fn state(daemon: &Daemon) -> Value {
    let get = |path: &str| daemon.api("GET", path, &Value::Null).ok();
    let mut containers = get("/containers/json?all=1");
    for container in containers.as_array_mut().unwrap() {
        container["Status"] = Value::Null;
    }
    let networks: Vec<Value> = get("/networks")
        .as_array()
        .unwrap()
        .iter()
        .map(|network| get(&format!("/networks/{}", network["Id"].as_str().unwrap())))
        .collect();
    json!({"containers": containers, "networks": networks, "ports": get("/vswitch/bridges").as_array().unwrap().iter().map(|b| b["Ports"].as_array().unwrap().len()).collect::<Vec<_>>()})
}

/// A daemon with something to lose: networks `web` (10.1.0.0/16) and `full` (10.9.0.0/29), containers `u1` on
/// `bridge` and `u2` on `web`, `ended`, and `of-host`.
struct Bed {
    daemon: Daemon,
    before: Value,
    files: Vec<String>,
    descriptors: usize,
}

impl Bed {
    fn new() -> Self {
        let daemon = Daemon::start_on_own_host("");
        daemon.ok(&["network", "create", "--subnet", "10.1.0.0/16", "web"]);
        daemon.ok(&["network", "create", "--subnet", "10.9.0.0/29", "full"]);
        daemon.sleeper("u1");
        daemon.sleeper_with("u2", &["--network", "web"]);
        daemon.sleeper_with("of-host", &["--network", "host"]);
        daemon.ok(&["run", "-d", "--name", "ended", "--", "true"]);
        daemon.ok(&["wait", "ended"]);
        let (before, files) = (state(&daemon), leak::paths_below(&daemon.data_dir()));
        let descriptors = settled(&daemon);
        Self { daemon, before, files, descriptors }
    }

    #[track_caller]
    fn refuses(&self, method: &str, path: &str, body: &Value, status: u16, sentence: &str) {
        let refusal = self.daemon.api(method, path, body).refusal();
        assert_eq!(refusal, (status, sentence.to_owned()), "{method} {path} {body}");
    }

    #[track_caller]
    fn create(&self, body: Value, status: u16, sentence: &str) {
        let mut body = body;
        if body["Name"].is_null() {
            body["Name"] = json!("x");
        }
        self.refuses("POST", "/v1.41/networks/create", &body, status, sentence);
    }

    #[track_caller]
    #[allow(clippy::needless_pass_by_value)] // a call reads as JSON
    fn subnet(&self, config: Value, status: u16, sentence: &str) {
        self.create(json!({"IPAM": {"Config": [config]}}), status, sentence);
    }

    #[track_caller]
    #[allow(clippy::needless_pass_by_value)] // a call reads as JSON
    fn connect(&self, network: &str, container: &str, config: Value, status: u16, sentence: &str) {
        let body = json!({"Container": container, "EndpointConfig": config});
        self.refuses("POST", &format!("/networks/{network}/connect"), &body, status, sentence);
    }

    /// `run` is refused: exit status 125 and the sentence.
    #[track_caller]
    fn run(&self, flags: &[&str], sentence: &str) {
        let all = [&["run", "--name", "x1"], flags, &["--", "true"]].concat();
        let said = self.daemon.run(&all).fails_with(125);
        assert!(said.contains(sentence) && said.starts_with("vswitch: "), "{flags:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }

    #[track_caller]
    fn is_as_before(&self) {
        assert_eq!(state(&self.daemon), self.before);
        // None more: of a container that has just ended some still go.
        eventually("the files to be as before", || {
            leak::paths_below(&self.daemon.data_dir())
                .iter()
                .all(|path| self.files.contains(path))
                .then_some(())
        });
        eventually("the descriptors to be as before", || {
            (settled(&self.daemon) <= self.descriptors).then_some(())
        });
        // Nobody has taken an address.
        assert_eq!(self.daemon.sleeper("next").ip, "172.17.0.3");
        self.daemon.sleeper_with("next2", &["--network", "web"]);
        assert_eq!(self.daemon.ip("next2", "web"), "10.1.0.3");
    }
}

/// The daemon's descriptors, once connections of clients that have gone are closed.
fn settled(daemon: &Daemon) -> usize {
    let mut last = leak::descriptors(daemon.pid());
    eventually("the descriptors to settle", || {
        let now = leak::descriptors(daemon.pid());
        (std::mem::replace(&mut last, now) == now).then_some(now)
    })
}

#[test]
fn networks_that_cannot_be() {
    let bed = Bed::new();
    let overlap = "Pool overlaps with other one on this address space";
    for subnet in ["10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/8", "172.17.5.0/24", "10.9.0.7/32"] {
        bed.subnet(json!({"Subnet": subnet}), 403, overlap);
    }
    for subnet in [
        "",
        "10.2.0.0",
        "10.2.0.0/33",
        "10.2.0/16",
        "x",
        "10.2.0.0/",
        "fd00::/129",
        "::ffff:10.2.0.0/112",
        "10.2.0.0/-1",
    ] {
        bed.subnet(
            json!({"Subnet": subnet}),
            400,
            &format!("Invalid subnet {subnet} : invalid CIDR address: {subnet}"),
        );
    }
    for subnet in ["127.0.0.0/8", "224.1.0.0/16"] {
        let sentence = format!(
            "Invalid subnet {subnet} : loopback and multicast addresses are not for hosts of a network"
        );
        bed.subnet(json!({"Subnet": subnet}), 400, &sentence);
    }
    bed.subnet(json!({"Subnet": "0.0.0.0/0"}), 403, overlap);
    let outside =
        |gateway: &str| format!("failed to allocate gateway ({gateway}): Requested address is out of range");
    for gateway in ["10.3.0.1", "192.0.2.1", "fd00::1"] {
        bed.subnet(json!({"Subnet": "10.2.0.0/16", "Gateway": gateway}), 400, &outside(gateway));
    }
    for gateway in ["10.2.0.0", "10.2.255.255"] {
        let sentence = format!("failed to allocate gateway ({gateway}): Address already in use");
        bed.subnet(json!({"Subnet": "10.2.0.0/16", "Gateway": gateway}), 400, &sentence);
    }
    bed.subnet(
        json!({"Subnet": "10.2.0.0/16", "Gateway": "10.2.0"}),
        400,
        "invalid gateway address 10.2.0 in Ipam configuration",
    );
    bed.subnet(
        json!({"Subnet": "10.2.0.0/31"}),
        400,
        "failed to allocate gateway (): No available addresses on this pool",
    );
    bed.subnet(
        json!({"Subnet": "10.2.0.0/16", "IPRange": "10.3.0.0/24"}),
        400,
        "invalid ip-range 10.3.0.0/24: parent subnet 10.2.0.0/16 doesn't contain ip-range",
    );
    bed.subnet(
        json!({"Subnet": "10.2.0.0/16", "IPRange": "10.0.0.0/8"}),
        400,
        "invalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.2.0.0/16",
    );
    bed.subnet(
        json!({"Subnet": "10.2.0.0/16", "AuxiliaryAddresses": {"a": "10.3.0.1"}}),
        403,
        "auxiliary address: (a:10.3.0.1) must belong to the master pool: 10.2.0.0/16",
    );
    bed.subnet(
        json!({"Subnet": "10.2.0.0/16", "AuxiliaryAddresses": {"a": "10.2.0.1"}}),
        400,
        "failed to allocate secondary ip address (a:10.2.0.1): Address already in use",
    );
    bed.subnet(
        json!({"Subnet": "10.2.0.0/16", "AuxiliaryAddresses": {"a": "b"}}),
        400,
        "non parsable secondary ip address (a:b) passed for network x",
    );
    bed.create(
        json!({"IPAM": {"Config": [{"Subnet": "10.2.0.0/16"}, {"Subnet": "10.3.0.0/16"}]}}),
        403,
        "bridge driver doesn't support multiple subnets",
    );
    let no_v6 = "could not find an available, non-overlapping IPv6 address pool among the defaults to assign to the network";
    bed.create(json!({"EnableIPv6": true}), 404, no_v6);
    bed.is_as_before();
}

#[test]
fn names_drivers_and_options_that_cannot_be() {
    let bed = Bed::new();
    for name in ["", "-x", "a b", "a/b", "ä", ".a", "a\nb", "a\u{0}b"] {
        bed.refuses(
            "POST",
            "/networks/create",
            &json!({"Name": name}),
            400,
            &format!("invalid name: {name}"),
        );
    }
    let long = "x".repeat(256);
    bed.refuses("POST", "/networks/create", &json!({"Name": long}), 400, &format!("invalid name: {long}"));
    bed.create(json!({"Name": "web"}), 409, "network with name web already exists");
    bed.create(json!({"Name": "web", "CheckDuplicate": false}), 409, "network with name web already exists");
    for name in ["bridge", "host", "none", "default"] {
        let sentence = format!("operation is not permitted on predefined {name} network");
        bed.create(json!({"Name": name}), 403, &sentence);
    }
    bed.create(json!({"Driver": "nothing"}), 404, "plugin \"nothing\" not found");
    bed.create(json!({"Driver": "host"}), 403, "only one instance of \"host\" network is allowed");
    bed.create(json!({"Driver": "null"}), 403, "only one instance of \"null\" network is allowed");
    bed.create(json!({"IPAM": {"Driver": "nothing"}}), 404, "plugin \"nothing\" not found");
    bed.create(
        json!({"Scope": "swarm"}),
        403,
        "cannot create a swarm scoped network when swarm is not active",
    );
    bed.create(json!({"Ingress": true}), 403, "Ingress network can only be global scope network");
    bed.create(
        json!({"ConfigFrom": {"Network": "nothing"}}),
        404,
        "configuration network \"nothing\" does not exist",
    );
    let option = |key: &str, value: &str| json!({"Options": {key: value}});
    bed.create(
        option("com.docker.network.driver.mtu", "big"), 400,
        "failed to parse com.docker.network.driver.mtu value: big (strconv.Atoi: parsing \"big\": invalid syntax)",
    );
    for mtu in ["-1", "67", "65536"] {
        bed.create(option("com.docker.network.driver.mtu", mtu), 400, &format!("invalid MTU number: {mtu}"));
    }
    bed.create(
        option("com.docker.network.bridge.enable_icc", "maybe"), 400,
        "failed to parse com.docker.network.bridge.enable_icc value: maybe (strconv.ParseBool: parsing \"maybe\": invalid syntax)",
    );
    let refusal = bed.daemon.api(
        "POST",
        "/networks/create",
        &json!({"Name": "x", "Options": {"com.docker.network.bridge.name": "docker0"}}),
    );
    let (status, sentence) = refusal.refusal();
    assert!(status == 403 && sentence.ends_with("networks have same bridge name"), "{status} {sentence}");
    bed.is_as_before();
}

#[test]
fn an_option_nobody_knows_is_kept_as_docker_keeps_it() {
    let daemon = Daemon::start();
    let request = json!({"Name": "x", "Options": {"com.example.unknown": "1"}, "Unknown": {"field": 1}});
    assert_eq!(daemon.api("POST", "/networks/create", &request).status, 201);
    assert_eq!(daemon.network("x")["Options"], json!({"com.example.unknown": "1"}));
}

#[test]
fn networks_that_are_not_there_or_cannot_go() {
    let bed = Bed::new();
    let nobody = Value::Null;
    for (method, path) in
        [("GET", "/networks/nothing"), ("DELETE", "/networks/nothing"), ("DELETE", "/v1.41/networks/nothing")]
    {
        bed.refuses(method, path, &nobody, 404, "network nothing not found");
    }
    for name in ["bridge", "host", "none"] {
        let sentence = format!("{name} is a pre-defined network and cannot be removed");
        bed.refuses("DELETE", &format!("/networks/{name}"), &nobody, 403, &sentence);
    }
    let id = bed.daemon.network("web")["Id"].as_str().unwrap().to_owned();
    let sentence = format!("error while removing network: network web id {id} has active endpoints");
    for name in ["web", &id, &id[..12]] {
        bed.refuses("DELETE", &format!("/networks/{name}"), &nobody, 403, &sentence);
    }
    let invalid = |filters: &str| format!("?filters={filters}");
    bed.refuses(
        "GET",
        &format!("/networks{}", invalid("%7B%22x%22%3A%5B%22y%22%5D%7D")),
        &nobody,
        400,
        "Invalid filter 'x'",
    );
    bed.refuses(
        "POST",
        &format!("/networks/prune{}", invalid("%7B%22x%22%3A%5B%22y%22%5D%7D")),
        &nobody,
        400,
        "Invalid filter 'x'",
    );
    for filters in ["x", "%5B%5D", "3"] {
        let refusal = bed.daemon.api("GET", &format!("/networks{}", invalid(filters)), &nobody).refusal();
        assert!(refusal.0 == 400 && refusal.1.starts_with("invalid filters: "), "{refusal:?}");
    }
    bed.is_as_before();
}

#[test]
fn containers_that_cannot_be_connected_or_disconnected() {
    let bed = Bed::new();
    let id = |name: &str| bed.daemon.container_id(name);
    bed.connect("nothing", "u1", json!({}), 404, "network nothing not found");
    bed.connect("web", "nobody", json!({}), 404, "No such container: nobody");
    bed.connect("web", "", json!({}), 404, "No such container: ");
    bed.connect("web", "u2", json!({}), 403, "endpoint with name u2 already exists in network web");
    bed.connect("bridge", "u1", Value::Null, 403, "endpoint with name u1 already exists in network bridge");
    bed.connect("web", "ended", json!({}), 409, &format!("Container {} is not running", id("ended")));
    let host = "container cannot be disconnected from host network or connected to host network";
    bed.connect("host", "u1", json!({}), 403, host);
    bed.connect("web", "of-host", json!({}), 403, host);
    let private =
        "container cannot be connected to multiple networks with one of the networks in private (none) mode";
    bed.connect("none", "u1", json!({}), 403, private);

    let at = |ip: &str| json!({"IPAMConfig": {"IPv4Address": ip}});
    let only_own = "user specified IP address is supported on user defined networks only";
    bed.connect("bridge", "u2", at("172.17.0.9"), 400, only_own);
    bed.connect(
        "web",
        "u1",
        at("10.2.0.1"),
        400,
        "Invalid address 10.2.0.1: It does not belong to any of this network's subnets",
    );
    for taken in ["10.1.0.1", "10.1.0.2", "10.1.0.0", "10.1.255.255"] {
        bed.connect("web", "u1", at(taken), 403, "Address already in use");
    }
    bed.connect("web", "u1", at("10.1.0"), 400, "invalid IPv4 address: 10.1.0");
    bed.connect(
        "web",
        "u1",
        json!({"IPAMConfig": {"IPv6Address": "fd00::1"}}),
        400,
        "Invalid address fd00::1: It does not belong to any of this network's subnets",
    );
    bed.connect(
        "bridge",
        "u2",
        json!({"Aliases": ["x"]}),
        400,
        "network-scoped alias is supported only for containers in user defined networks",
    );
    for mac in ["x", "01:00:5e:00:00:01", "00:00:00:00:00:00"] {
        let refusal = bed
            .daemon
            .api(
                "POST",
                "/networks/web/connect",
                &json!({"Container": "u1", "EndpointConfig": {"MacAddress": mac}}),
            )
            .refusal();
        assert_eq!(refusal.0, 400, "{refusal:?}");
    }
    let disconnect = |network: &str, body: Value, status: u16, sentence: &str| {
        bed.refuses("POST", &format!("/networks/{network}/disconnect"), &body, status, sentence);
    };
    disconnect("nothing", json!({"Container": "u1"}), 404, "network nothing not found");
    disconnect("web", json!({"Container": "nobody"}), 404, "No such container: nobody");
    disconnect(
        "web",
        json!({"Container": "u1"}),
        403,
        &format!("container {} is not connected to network web", id("u1")),
    );
    disconnect("host", json!({"Container": "of-host"}), 403, host);
    bed.is_as_before();
}

#[test]
fn a_full_network_takes_nobody_until_somebody_leaves() {
    let bed = Bed::new();
    let id = bed.daemon.network("full")["Id"].as_str().unwrap().to_owned();
    for n in 0..5 {
        bed.daemon.sleeper_with(&format!("f{n}"), &["--network", "full"]);
    }
    let sentence = format!("no available IPv4 addresses on this network's address pools: full ({id})");
    bed.connect("full", "u1", json!({}), 409, &sentence);
    bed.run(&["--network", "full"], &sentence);
    // A container on two networks of which one is full holds nothing of the other.
    bed.run(&["--network", "web", "--network", "full"], &sentence);
    bed.daemon.ok(&["rm", "-f", "f2"]);
    bed.daemon.ok(&["network", "connect", "full", "u1"]);
    assert_eq!(bed.daemon.ip("u1", "full"), "10.9.0.4");
    bed.daemon.ok(&["network", "disconnect", "full", "u1"]);
    bed.daemon.ok(&["rm", "-f", "f0", "f1", "f3", "f4"]);
    bed.is_as_before();
}

#[test]
fn containers_that_cannot_be_run() {
    let bed = Bed::new();
    bed.run(&["--network", "nothing"], "network nothing not found");
    bed.run(&["--ip", "172.17.0.9"], "user specified IP address is supported on user defined networks only");
    bed.run(
        &["--network", "web", "--ip", "10.2.0.1"],
        "Invalid address 10.2.0.1: It does not belong to any of this network's subnets",
    );
    bed.run(&["--network", "web", "--ip", "10.1.0.2"], "Address already in use");
    bed.run(&["--network", "web", "--network", "web"], "network \"web\" is specified multiple times");
    let id = bed.daemon.network("web")["Id"].as_str().unwrap().to_owned();
    bed.run(
        &["--network", "web", "--network", &id[..12]],
        "endpoint with name x1 already exists in network web",
    );
    bed.run(&["--network", "web", "--network", "host"], "conflicting options");
    bed.run(&["--network", "container:nobody"], "No such container: nobody");
    bed.run(
        &["--network", "host", "--ip", "10.1.0.9"],
        "user specified IP address is supported on user defined networks only",
    );
    bed.run(
        &["--network", "container:u1", "--hostname", "x"],
        "conflicting options: hostname and the network mode",
    );
    bed.run(
        &["--network", "container:u1", "--dns", "192.0.2.1"],
        "conflicting options: dns and the network mode",
    );
    bed.run(
        &["--network", "container:u1", "--add-host", "a:192.0.2.1"],
        "conflicting options: custom host-to-IP mapping and the network mode",
    );
    bed.run(
        &["--network", "host", "--link", "u1"],
        "conflicting options: host type networking can't be used with links",
    );
    bed.run(&["--network-alias", "x"], "network-scoped alias");
    bed.run(&["--link", "nobody"], "could not get container for nobody: No such container: nobody");
    bed.run(&["--link", "ended"], "Cannot link to a non running container: /ended AS /x1/ended");
    bed.run(&["--link", "u2"], "Cannot link to /u2, as it does not belong to the default network");
    bed.run(&["--add-host", "a"], "bad format for add-host: \"a\"");
    bed.run(&["--add-host", "a:b"], "invalid IP address in add-host: \"b\"");
    bed.run(&["--add-host", "a\nb:192.0.2.1"], "bad format for add-host");
    bed.run(&["--expose", "0"], "invalid range format for --expose: 0");
    bed.run(&["--hostname", "a b"], "\"a b\" cannot be a host name");
    bed.run(&["--dns-search", "a b"], "not a valid domain");
    bed.is_as_before();
}

#[test]
fn bodies_that_are_no_request() {
    let bed = Bed::new();
    let ask = |path: &str, body: &[u8]| http::ask(&bed.daemon.socket(), "POST", path, body);
    assert_eq!(
        ask("/networks/create", b" ").refusal(),
        (400, "got EOF while reading request body".to_owned())
    );
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let bodies: [&[u8]; 12] = [
        b"{",
        b"[]",
        b"null",
        b"3",
        b"\"x\"",
        b"{\"Name\":3}",
        b"{\"Name\":\"x\"} y",
        b"\xff\xfe",
        b"{\"Name\":\"x\",\"Labels\":[]}",
        b"{\"Name\":\"x\",\"IPAM\":{\"Config\":{}}}",
        b"{\"Name\":\"x\",\"Options\":{\"a\":1}}",
        &deep,
    ];
    for path in
        ["/networks/create", "/networks/web/connect", "/networks/web/disconnect", "/vswitch/containers"]
    {
        for body in bodies {
            let answer = ask(path, body);
            let said = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            // What is null where Docker takes nothing for everything names no container.
            assert!([400, 404, 409, 422].contains(&answer.status), "{path} {said}: {answer:?}");
            assert!(!answer.refusal().1.is_empty());
        }
        let huge = vec![b' '; 3 << 20];
        let answer = ask(path, &huge);
        assert!([400, 413].contains(&answer.status), "{path}: {answer:?}");
    }
    let paths = [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("POST", "/networks"),
        ("PUT", "/networks/web"),
        ("GET", "/v1.41/nothing"),
        ("GET", "/v1.x/networks"),
        ("GET", "/networks/web/connect"),
        ("BREW", "/networks"),
    ];
    for (method, path) in paths {
        bed.refuses(method, path, &Value::Null, 404, "page not found");
    }
    bed.refuses(
        "GET",
        "/v1.99/networks",
        &Value::Null,
        400,
        "client version 1.99 is too new. Maximum supported API version is 1.41",
    );
    bed.refuses(
        "GET", "/v1.11/networks", &Value::Null, 400,
        "client version 1.11 is too old. Minimum supported API version is 1.12, please upgrade your client to a newer version",
    );
    bed.is_as_before();
}

//! The JSON of networks, field by field, as the running server writes it.

use serde_json::{Value, json};
use tests::Daemon;

/// Field names in the order in which they stand, with the kinds of their values: `Name:text`.
fn in_order(text: &str) -> Vec<String> {
    // The order of the text is kept (serde_json's `preserve_order`).
    let value: Value = serde_json::from_str(text).unwrap();
    let mut fields = Vec::new();
    walk("", &value, &mut fields);
    fields
}

fn walk(path: &str, value: &Value, fields: &mut Vec<String>) {
    match value {
        Value::Object(all) => {
            for (key, value) in all {
                let path = format!("{path}{key}");
                fields.push(format!("{path}:{}", kind(value)));
                walk(&format!("{path}."), value, fields);
            }
        }
        Value::Array(all) => all.iter().for_each(|value| walk(path, value, fields)),
        _ => {}
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

fn body(daemon: &Daemon, path: &str) -> String {
    let answer = daemon.api("GET", path, &Value::Null);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    String::from_utf8(answer.body).unwrap()
}

fn is_rfc3339(text: &Value) -> bool {
    let text = text.as_str().unwrap();
    text.len() >= 20 && text.ends_with('Z') && &text[10..11] == "T" && text.starts_with("20")
}

#[test]
fn a_network_has_dockers_fields_of_dockers_types_in_dockers_order() {
    let daemon = Daemon::start_on_own_host("");
    let request = json!({
        "Name": "web", "Driver": "bridge", "EnableIPv6": true, "Internal": true, "Attachable": true,
        "IPAM": {"Driver": "default", "Options": {"one": "1"}, "Config": [
            {"Subnet": "fd00:1::/64"},
            {"Subnet": "10.1.0.0/16", "IPRange": "10.1.5.0/24", "Gateway": "10.1.0.254",
             "AuxiliaryAddresses": {"router": "10.1.0.7"}},
        ]},
        "Options": {"com.docker.network.driver.mtu": "1400"}, "Labels": {"tier": "front"},
    });
    let made = daemon.api("POST", "/v1.41/networks/create", &request);
    assert_eq!((made.status, made.json()["Warning"].clone()), (201, json!("")));
    let id = made.json()["Id"].as_str().unwrap().to_owned();
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    daemon.sleeper_with("u1", &["--network", "web"]);
    let container = daemon.container_id("u1");

    let text = body(&daemon, "/v1.41/networks/web");
    let member = format!("Containers.{container}");
    let expected = [
        "Name:text",
        "Id:text",
        "Created:text",
        "Scope:text",
        "Driver:text",
        "EnableIPv6:bool",
        "IPAM:object",
        "IPAM.Driver:text",
        "IPAM.Options:object",
        "IPAM.Options.one:text",
        "IPAM.Config:list",
        "IPAM.Config.Subnet:text",
        "IPAM.Config.IPRange:text",
        "IPAM.Config.Gateway:text",
        "IPAM.Config.AuxiliaryAddresses:object",
        "IPAM.Config.AuxiliaryAddresses.router:text",
        "IPAM.Config.Subnet:text",
        "IPAM.Config.Gateway:text",
        "Internal:bool",
        "Attachable:bool",
        "Ingress:bool",
        "ConfigFrom:object",
        "ConfigFrom.Network:text",
        "ConfigOnly:bool",
        "Containers:object",
        &format!("{member}:object"),
        &format!("{member}.Name:text"),
        &format!("{member}.EndpointID:text"),
        &format!("{member}.MacAddress:text"),
        &format!("{member}.IPv4Address:text"),
        &format!("{member}.IPv6Address:text"),
        "Options:object",
        "Options.com.docker.network.driver.mtu:text",
        "Labels:object",
        "Labels.tier:text",
    ];
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(in_order(&text), expected, "{text}");

    let endpoint = daemon.endpoint("u1", "web");
    assert!(is_rfc3339(&value["Created"]), "{value}");
    assert_eq!(
        value,
        json!({
            "Name": "web", "Id": id, "Created": value["Created"], "Scope": "local", "Driver": "bridge",
            "EnableIPv6": true,
            "IPAM": {"Driver": "default", "Options": {"one": "1"}, "Config": [
                {"Subnet": "10.1.0.0/16", "IPRange": "10.1.5.0/24", "Gateway": "10.1.0.254",
                 "AuxiliaryAddresses": {"router": "10.1.0.7"}},
                {"Subnet": "fd00:1::/64", "Gateway": "fd00:1::1"},
            ]},
            "Internal": true, "Attachable": true, "Ingress": false, "ConfigFrom": {"Network": ""},
            "ConfigOnly": false,
            "Containers": {container: {
                "Name": "u1", "EndpointID": endpoint["EndpointID"], "MacAddress": "02:42:0a:01:05:00",
                "IPv4Address": "10.1.5.0/16", "IPv6Address": "fd00:1::242:a01:500/64",
            }},
            "Options": {"com.docker.network.driver.mtu": "1400"}, "Labels": {"tier": "front"},
        })
    );
}

#[test]
fn the_default_bridge_and_its_fellows_are_dockers() {
    let daemon = Daemon::start_on_own_host("");
    let value =
        |name: &str| -> Value { serde_json::from_str(&body(&daemon, &format!("/networks/{name}"))).unwrap() };
    let options = [
        "com.docker.network.bridge.default_bridge",
        "com.docker.network.bridge.enable_icc",
        "com.docker.network.bridge.enable_ip_masquerade",
        "com.docker.network.bridge.host_binding_ipv4",
        "com.docker.network.bridge.name",
        "com.docker.network.driver.mtu",
    ];
    let bridge = value("bridge");
    assert_eq!(bridge["Options"].as_object().unwrap().keys().collect::<Vec<_>>(), options);
    assert_eq!(
        bridge["Options"].as_object().unwrap().values().collect::<Vec<_>>(),
        ["true", "true", "true", "0.0.0.0", "docker0", "1500"]
    );
    let config = json!([{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]);
    assert_eq!(bridge["IPAM"], json!({"Driver": "default", "Options": null, "Config": config}));
    for (name, driver) in [("host", "host"), ("none", "null")] {
        let network = value(name);
        assert_eq!((&network["Driver"], &network["Scope"]), (&json!(driver), &json!("local")));
        assert_eq!(network["IPAM"], json!({"Driver": "default", "Options": null, "Config": []}));
        assert_eq!((&network["Options"], &network["Labels"]), (&json!({}), &json!({})));
    }
    // A container is shown where it is, in a list nobody is.
    daemon.sleeper_with("u1", &["--network", "none"]);
    let id = daemon.container_id("u1");
    let member = &value("none")["Containers"][&id];
    assert_eq!(
        (&member["Name"], &member["MacAddress"], &member["IPv4Address"]),
        (&json!("u1"), &json!(""), &json!(""))
    );
    let list: Value = serde_json::from_str(&body(&daemon, "/networks")).unwrap();
    let all = list.as_array().unwrap();
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|network| network["Containers"] == json!({})), "{list}");
}

#[test]
fn subnets_are_dockers_one_after_the_other() {
    let daemon = Daemon::start_on_own_host("");
    let subnet =
        |name: &str| daemon.network(name)["IPAM"]["Config"][0]["Subnet"].as_str().unwrap().to_owned();
    let create = |name: &str| daemon.api("POST", "/networks/create", &json!({"Name": name})).status;
    let expected: Vec<String> = (18..32)
        .map(|n| format!("172.{n}.0.0/16"))
        .chain((0..16).map(|n| format!("192.168.{}.0/20", n * 16)))
        .collect();
    for (n, expected) in expected.iter().enumerate() {
        assert_eq!(create(&format!("net{n}")), 201);
        assert_eq!(subnet(&format!("net{n}")), *expected);
    }
    let full = daemon.api("POST", "/networks/create", &json!({"Name": "more"}));
    let sentence = "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network";
    assert_eq!(full.refusal(), (404, sentence.to_owned()));
    // One that is given back is given again; what the host itself reaches is not.
    daemon.ok(&["network", "rm", "net3", "net4"]);
    tests::run(&mut daemon.on_host("ip", &["route", "add", "172.21.5.0/24", "dev", "lo"])).ok();
    assert_eq!(create("again"), 201);
    assert_eq!(subnet("again"), "172.22.0.0/16");
    assert_eq!(create("more"), 404);
}

#[test]
fn a_containers_network_settings_are_dockers() {
    let daemon = Daemon::start();
    daemon.sleeper_with("u1", &["--expose", "5432"]);
    let answer = daemon.api("GET", "/v1.41/containers/u1/json", &Value::Null);
    let settings = answer.ok()["NetworkSettings"].take();
    let endpoint_fields = [
        "IPAMConfig",
        "Links",
        "Aliases",
        "NetworkID",
        "EndpointID",
        "Gateway",
        "IPAddress",
        "IPPrefixLen",
        "IPv6Gateway",
        "GlobalIPv6Address",
        "GlobalIPv6PrefixLen",
        "MacAddress",
        "DriverOpts",
    ];
    let fields = [
        "Bridge",
        "SandboxID",
        "HairpinMode",
        "LinkLocalIPv6Address",
        "LinkLocalIPv6PrefixLen",
        "Ports",
        "SandboxKey",
        "SecondaryIPAddresses",
        "SecondaryIPv6Addresses",
        "EndpointID",
        "Gateway",
        "GlobalIPv6Address",
        "GlobalIPv6PrefixLen",
        "IPAddress",
        "IPPrefixLen",
        "IPv6Gateway",
        "MacAddress",
        "Networks",
    ];
    assert_eq!(settings.as_object().unwrap().keys().collect::<Vec<_>>(), fields);
    let bridge = &settings["Networks"]["bridge"];
    assert_eq!(bridge.as_object().unwrap().keys().collect::<Vec<_>>(), endpoint_fields);
    let network = daemon.network("bridge");
    assert_eq!(
        *bridge,
        json!({
            "IPAMConfig": null, "Links": null, "Aliases": null, "NetworkID": network["Id"],
            "EndpointID": settings["EndpointID"], "Gateway": "172.17.0.1", "IPAddress": "172.17.0.2",
            "IPPrefixLen": 16, "IPv6Gateway": "", "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
            "MacAddress": "02:42:ac:11:00:02", "DriverOpts": null,
        })
    );
    for key in ["EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "MacAddress", "GlobalIPv6PrefixLen"] {
        assert_eq!(settings[key], bridge[key], "{key}");
    }
    assert_eq!(settings["Ports"], json!({"5432/tcp": null}));
    assert_eq!(settings["SandboxID"].as_str().unwrap().len(), 64);
    assert!(std::path::Path::new(settings["SandboxKey"].as_str().unwrap()).exists(), "{settings}");

    // Of a network of one's own nothing is at the top.
    daemon.ok(&["network", "create", "net1"]);
    daemon.sleeper_with("u2", &["--network", "net1", "--network-alias", "two"]);
    let settings = daemon.inspect("u2")["NetworkSettings"].take();
    assert_eq!((&settings["IPAddress"], &settings["EndpointID"]), (&json!(""), &json!("")));
    let id = daemon.container_id("u2");
    assert_eq!(settings["Networks"]["net1"]["Aliases"], json!(["two", id[..12]]));
    // What has ended has no addresses.
    daemon.ok(&["kill", "u2"]);
    daemon.ok(&["wait", "u2"]);
    let ended = daemon.endpoint("u2", "net1");
    assert_eq!(
        (&ended["IPAddress"], &ended["MacAddress"], &ended["EndpointID"]),
        (&json!(""), &json!(""), &json!(""))
    );
    assert_eq!(daemon.network("net1")["Containers"], json!({}));
}

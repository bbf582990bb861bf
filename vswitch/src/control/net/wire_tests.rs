use serde_json::json;

use super::*;
use crate::control::net::{NetworkCreateRequest, Surroundings, create};

const CREATED: u64 = 1_795_251_240_123_456_789;

/// `docker network inspect bridge` with one container on it.
const BRIDGE: &str = r#"{
    "Name": "bridge",
    "Id": "b2c1e7a59d3f4086b2c1e7a59d3f4086b2c1e7a59d3f4086b2c1e7a59d3f4086",
    "Created": "2026-11-21T08:54:00.123456789Z",
    "Scope": "local",
    "Driver": "bridge",
    "EnableIPv6": false,
    "IPAM": {
        "Driver": "default",
        "Options": null,
        "Config": [
            {
                "Subnet": "172.17.0.0/16",
                "Gateway": "172.17.0.1"
            }
        ]
    },
    "Internal": false,
    "Attachable": false,
    "Ingress": false,
    "ConfigFrom": {
        "Network": ""
    },
    "ConfigOnly": false,
    "Containers": {
        "0f63ad1c92be47580f63ad1c92be47580f63ad1c92be47580f63ad1c92be4758": {
            "Name": "test1",
            "EndpointID": "7d0c2b6e18f94a357d0c2b6e18f94a357d0c2b6e18f94a357d0c2b6e18f94a35",
            "MacAddress": "02:42:ac:11:00:02",
            "IPv4Address": "172.17.0.2/16",
            "IPv6Address": ""
        }
    },
    "Options": {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": "docker0",
        "com.docker.network.driver.mtu": "1500"
    },
    "Labels": {}
}"#;

/// `docker network inspect` of a network with all there is to ask for.
const CUSTOM: &str = r#"{
    "Name": "web",
    "Id": "4ad8e35b1f9067c24ad8e35b1f9067c24ad8e35b1f9067c24ad8e35b1f9067c2",
    "Created": "2026-11-21T08:54:00.123456789Z",
    "Scope": "local",
    "Driver": "bridge",
    "EnableIPv6": true,
    "IPAM": {
        "Driver": "default",
        "Options": {},
        "Config": [
            {
                "Subnet": "10.1.0.0/16",
                "IPRange": "10.1.5.0/24",
                "Gateway": "10.1.0.254",
                "AuxiliaryAddresses": {
                    "router": "10.1.0.7"
                }
            },
            {
                "Subnet": "2001:db8:1::/64",
                "Gateway": "2001:db8:1::1"
            }
        ]
    },
    "Internal": true,
    "Attachable": true,
    "Ingress": false,
    "ConfigFrom": {
        "Network": ""
    },
    "ConfigOnly": false,
    "Containers": {},
    "Options": {
        "com.docker.network.driver.mtu": "1400"
    },
    "Labels": {
        "tier": "front"
    }
}"#;

/// `docker network inspect none`.
const NONE: &str = r#"{
    "Name": "none",
    "Id": "95f1c0d7e6ab238495f1c0d7e6ab238495f1c0d7e6ab238495f1c0d7e6ab2384",
    "Created": "2026-11-21T08:54:00.123456789Z",
    "Scope": "local",
    "Driver": "null",
    "EnableIPv6": false,
    "IPAM": {
        "Driver": "default",
        "Options": null,
        "Config": []
    },
    "Internal": false,
    "Attachable": false,
    "Ingress": false,
    "ConfigFrom": {
        "Network": ""
    },
    "ConfigOnly": false,
    "Containers": {},
    "Options": {},
    "Labels": {}
}"#;

/// Fields, types, values and order are those of the sample: the very text.
fn assert_is_shown_as(resource: &NetworkResource, sample: &str) {
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut text = Vec::new();
    resource.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter)).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), sample);
    assert_eq!(serde_json::from_str::<NetworkResource>(sample).unwrap(), *resource);
}

#[test]
fn the_default_bridge_is_shown_as_docker_shows_it() {
    let record = NetworkRecord::default_bridge("b2c1e7a59d3f4086".repeat(4), CREATED);
    let address = Ipv4Addr::new(172, 17, 0, 2);
    let endpoint = EndpointResource::new(
        &record,
        "test1",
        &"7d0c2b6e18f94a35".repeat(4),
        MacAddr::from_ipv4(address),
        Some(address),
        None,
    );
    let containers = BTreeMap::from([("0f63ad1c92be4758".repeat(4), endpoint)]);
    assert_is_shown_as(&resource(&record, containers), BRIDGE);
}

#[test]
fn a_network_of_ones_own_is_shown_as_docker_shows_it() {
    let body = json!({
        "Name": "web", "EnableIPv6": true, "Internal": true, "Attachable": true,
        "Options": {"com.docker.network.driver.mtu": "1400"}, "Labels": {"tier": "front"},
        "IPAM": {"Driver": "default", "Options": {}, "Config": [
            {"Subnet": "2001:db8:1::/64"},
            {"Subnet": "10.1.0.0/16", "IPRange": "10.1.5.0/24", "Gateway": "10.1.0.254",
             "AuxiliaryAddresses": {"router": "10.1.0.7"}},
        ]},
    });
    let request = NetworkCreateRequest::parse(body.to_string().as_bytes()).unwrap();
    let record = create(request, "4ad8e35b1f9067c2".repeat(4), CREATED, &Surroundings::default()).unwrap();
    assert_is_shown_as(&resource(&record, BTreeMap::new()), CUSTOM);
}

#[test]
fn a_network_without_addresses_is_shown_as_docker_shows_it() {
    let record = NetworkRecord::none("95f1c0d7e6ab2384".repeat(4), CREATED);
    assert_is_shown_as(&resource(&record, BTreeMap::new()), NONE);
}

#[test]
fn an_endpoint_has_the_prefixes_of_its_networks_subnets() {
    let mut record = NetworkRecord::default_bridge(String::new(), CREATED);
    record.enable_ipv6 = true;
    record.ipam.config.push(IpamConfig {
        subnet: "fd00:1::/64".parse().unwrap(),
        ip_range: None,
        gateway: None,
        aux: BTreeMap::new(),
    });
    let six = "fd00:1::2".parse().unwrap();
    let endpoint = EndpointResource::new(&record, "a", "b", MacAddr::ZERO, None, Some(six));
    assert_eq!((endpoint.ipv4_address.as_str(), endpoint.ipv6_address.as_str()), ("", "fd00:1::2/64"));
}

#[test]
fn the_answer_to_a_creation_is_dockers() {
    let answer = NetworkCreateResponse { id: "4ad8".into(), warning: String::new() };
    assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"Id":"4ad8","Warning":""}"#);
}

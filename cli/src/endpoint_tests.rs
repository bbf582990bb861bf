use clap::Parser;
use proptest::prelude::*;

use super::*;
use crate::args::{Args, Command};

/// What `run` with these flags asks for, or its sentence.
fn asked(flags: &str) -> Result<Vec<EndpointRequest>, String> {
    let words = ["vswitch", "run"].into_iter().chain(flags.split_whitespace()).chain(["--", "true"]);
    let args = Args::try_parse_from(words).map_err(|e| e.to_string())?;
    let Command::Run(run) = args.command else { return Err("not run".into()) };
    requests(&run.network, run.hostname.as_deref()).map_err(|f| f.to_string())
}

fn conflict(flags: &str) -> String {
    asked(flags).expect_err(flags)
}

#[test]
fn without_flags_nothing_is_asked_for() {
    assert_eq!(asked(""), Ok(vec![]));
    assert_eq!(asked("-p 80:80 --dns 9.9.9.9 -h web"), Ok(vec![]));
}

#[test]
fn a_network_is_named_as_it_is() {
    for name in ["my", "bridge", "default", "host", "none", "container:web", "b94d7c0f3a1d"] {
        assert_eq!(asked(&format!("--network {name}")), Ok(vec![EndpointRequest::to(name)]));
    }
    assert_eq!(asked("--net my"), asked("--network my"));
}

#[test]
fn wishes_stand_behind_a_networks_name_or_beside_it() {
    let whole = EndpointRequest {
        ip: "10.1.0.9".parse().ok(),
        ip6: "fd00::9".parse().ok(),
        mac_address: Some("02:42:00:00:00:09".into()),
        aliases: vec!["db".into(), "store".into()],
        ..EndpointRequest::to("My.net-1")
    };
    for word in [
        "My.net-1:ip=10.1.0.9,ip6=fd00::9,mac=02:42:00:00:00:09,alias=db,alias=store",
        "name=My.net-1,alias=db,alias=store,ip=10.1.0.9,ip6=fd00::9,mac-address=02:42:00:00:00:09",
        "ip6=fd00::9,NAME=My.net-1,alias=db,alias=store,ip=10.1.0.9,mac=02-42-00-00-00-09",
    ] {
        assert_eq!(parse(word).as_ref(), Ok(&whole), "{word}");
    }
    assert_eq!(
        asked(
            "--network My.net-1 --ip 10.1.0.9 --ip6 fd00::9 --mac-address 02:42:00:00:00:09 \
             --network-alias db --network-alias store"
        ),
        Ok(vec![whole])
    );
}

#[test]
fn options_of_the_driver_are_pairs() {
    let endpoint = parse("my:driver-opt=com.example.name=eth9,\"driver-opt=list=a,b\"").unwrap();
    let opts: Vec<(&str, &str)> =
        endpoint.driver_opts.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(opts, [("com.example.name", "eth9"), ("list", "a,b")]);
}

#[test]
fn flags_are_for_the_first_network() {
    let first = EndpointRequest {
        ip: "10.1.0.9".parse().ok(),
        links: vec!["db:store".into()],
        ..EndpointRequest::to("a1")
    };
    let second = EndpointRequest { ip: "10.2.0.9".parse().ok(), ..EndpointRequest::to("b1") };
    assert_eq!(
        asked("--link db:store --network a1 --network b1:ip=10.2.0.9 --ip 10.1.0.9"),
        Ok(vec![first, second])
    );
}

#[test]
fn wishes_without_a_network_are_for_the_default_one() {
    let default = EndpointRequest {
        mac_address: Some("02:42:00:00:00:09".into()),
        links: vec!["db".into()],
        ..EndpointRequest::to("default")
    };
    assert_eq!(asked("--link db --mac-address 02:42:00:00:00:09"), Ok(vec![default]));
}

#[test]
fn a_wish_is_made_once() {
    for (flags, what) in [
        ("--network my:alias=a --network-alias b", "--network-alias and per-network alias"),
        ("--network my:ip=10.0.0.9 --ip 10.0.0.9", "--ip and per-network IPv4 address"),
        ("--network my:ip6=fd00::9 --ip6 fd00::9", "--ip6 and per-network IPv6 address"),
        (
            "--network my:mac=02:42:00:00:00:09 --mac-address 02:42:00:00:00:09",
            "--mac-address and per-network MAC address",
        ),
    ] {
        assert_eq!(conflict(flags), format!("conflicting options: cannot specify both {what}"));
    }
}

#[test]
fn networks_that_cannot_be_together() {
    assert_eq!(conflict("--network my --network my"), "network \"my\" is specified multiple times");
    for flags in
        ["--network my --network bridge", "--network host --network my", "--network none --network my"]
    {
        assert_eq!(
            conflict(flags),
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
        );
    }
    assert!(conflict("--network bridge --network host").contains("cannot be connected to any other network"));
    assert!(conflict("--network none --network container:web").contains("cannot be connected to any other"));
    assert!(conflict("--network bridge --network none").contains("in private (none) mode"));
}

#[test]
fn in_the_namespace_of_another_container_much_is_its_own() {
    for (flags, what) in [
        ("--hostname h", "hostname and the network mode"),
        (
            "--link db",
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        ("--dns 9.9.9.9", "dns and the network mode"),
        ("--add-host a:10.0.0.1", "custom host-to-IP mapping and the network mode"),
        ("--mac-address 02:42:00:00:00:09", "mac-address and the network mode"),
        ("-p 80", "port publishing and the container type network mode"),
        ("-P", "port publishing and the container type network mode"),
        ("--expose 80", "port exposing and the container type network mode"),
    ] {
        let said = conflict(&format!("--network container:web {flags}"));
        assert_eq!(said, format!("conflicting options: {what}"));
    }
    assert!(asked("--network container:web --dns-search example.org -l a=b").is_ok());
}

#[test]
fn in_the_hosts_namespace_less_so() {
    assert!(asked("--network host --hostname h -p 80 --dns 9.9.9.9 --add-host a:10.0.0.1").is_ok());
    assert_eq!(
        conflict("--network host --link db"),
        "conflicting options: host type networking can't be used with links. This would result in undefined behavior"
    );
    assert_eq!(
        conflict("--network host --mac-address 02:42:00:00:00:09"),
        "conflicting options: mac-address and the network mode"
    );
}

#[test]
fn aliases_are_for_networks_of_ones_own() {
    for network in ["", "--network bridge", "--network host", "--network none", "--network container:web"] {
        assert_eq!(
            conflict(&format!("--network-alias db {network}")),
            "network-scoped aliases are only supported for user-defined networks"
        );
    }
}

#[test]
fn words_that_make_no_sense() {
    for (word, why) in [
        ("", "no name set for network"),
        ("container:", "invalid container format container:<name|id>"),
        ("alias=x", "network name/id is not specified"),
        ("name=my,foo=bar", "invalid field key foo"),
        ("my:name=other", "invalid field key name"),
        ("my:", "invalid field "),
        ("my:web", "invalid field web"),
        ("my:ip=10.0.0.9,web", "invalid field web"),
        ("my:ip=ten", "invalid IPv4 address: ten"),
        ("my:ip6=10.0.0.9", "invalid IPv6 address: 10.0.0.9"),
        ("my:mac=zz", "zz is not a valid mac address"),
        ("my:driver-opt=x", "invalid key/value pair format in driver options"),
    ] {
        assert_eq!(parse(word), Err(why.into()), "{word}");
    }
    assert!(asked("--network my:ip=ten").unwrap_err().contains("invalid IPv4 address: ten"));
    assert!(asked("--ip ten").is_err());
    assert!(asked("--dns quad9").unwrap_err().contains("quad9 is not an ip address"));
    assert!(asked("--link a:b:c").unwrap_err().contains("bad format for links: a:b:c"));
    assert_eq!(conflict("--mac-address zz"), "zz is not a valid mac address");
}

proptest! {
    #[test]
    fn any_word_is_read_or_refused(word in "\\PC{0,40}") {
        if let Ok(endpoint) = parse(&word) {
            prop_assert!(!endpoint.network.is_empty());
        }
    }

    #[test]
    fn what_was_written_is_read(
        name in "[a-zA-Z0-9][a-zA-Z0-9_.-]{1,20}",
        ip in any::<std::net::Ipv4Addr>(),
        ip6 in any::<std::net::Ipv6Addr>(),
        aliases in prop::collection::vec("[a-z][a-z0-9.-]{0,10}", 0..4),
    ) {
        let options: Vec<String> = [format!("ip={ip}"), format!("ip6={ip6}")]
            .into_iter()
            .chain(aliases.iter().map(|alias| format!("alias={alias}")))
            .collect();
        let expected =
            EndpointRequest { ip: Some(ip), ip6: Some(ip6), aliases, ..EndpointRequest::to(name.as_str()) };
        let options = options.join(",");
        prop_assert_eq!(parse(&format!("{name}:{options}")), Ok(expected.clone()));
        prop_assert_eq!(parse(&format!("{options},name={name}")), Ok(expected));
    }
}

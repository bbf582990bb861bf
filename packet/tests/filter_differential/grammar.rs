//! Expressions that pcap-filter(7) allows, out of values that occur in the corpus.

use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => addressed(),
        3 => ported(),
        3 => simple(),
        1 => encapsulation(),
        3 => relation(),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            4 => (inner.clone(), select(vec!["and", "or", "&&", "||"]), inner.clone())
                .prop_map(|(left, junction, right)| format!("{left} {junction} {right}")),
            2 => inner.clone().prop_map(|inner| format!("( {inner} )")),
            1 => inner.clone().prop_map(|inner| format!("not ({inner})")),
            1 => inner.prop_map(|inner| format!("! {inner}")),
        ]
    })
}

fn one_of(values: &[&'static str]) -> impl Strategy<Value = &'static str> + Clone + use<> {
    select(values.to_vec())
}

/// Values of one kind: alone, or several with the qualifiers only in front.
fn values(from: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    let value = || one_of(from);
    prop_oneof![
        6 => value().prop_map(str::to_owned),
        1 => value().prop_map(|value| format!("not {value}")),
        1 => (value(), value()).prop_map(|(a, b)| format!("{a} or {b}")),
        1 => (value(), value()).prop_map(|(a, b)| format!("{a} and not {b}")),
        1 => (value(), value(), value()).prop_map(|(a, b, c)| format!("({a} or {b} and {c})")),
        1 => (value(), value()).prop_map(|(a, b)| format!("({a} or not ({b}))")),
    ]
}

const SIDES: [&str; 7] = ["", "", "src", "dst", "src or dst", "dst or src", "src and dst"];

fn addressed() -> impl Strategy<Value = String> {
    let hosts = ["172.17.0.2", "172.17.0.3", "10.0.0.1", "10.1.2.3", "172.17", "10", "224.0.0.251"];
    let nets =
        ["172.17.0.0/16", "10", "172.17", "10.1.2.0/24", "0.0.0.0/0", "10.0.0.0 mask 255.0.0.0", "10.1"];
    let hosts6 = ["fe80::1", "2001:db8::5", "ff02::1", "::1"];
    let nets6 = ["fe80::/10", "2001:db8::/32", "2001:db8:1::/48", "::/0", "::1", "ff00::/8"];
    let macs = ["02:42:ac:11:00:02", "2-42-ac-11-0-3", "ffff.ffff.ffff", "01005e000001"];
    let qualified = |protocols: &[&'static str], kinds: &[&'static str], from: &[&'static str]| {
        (one_of(protocols), one_of(&SIDES), one_of(kinds), values(from)).prop_map(
            |(protocol, side, kind, value)| {
                // Neither a side nor a kind: a bare protocol takes no value.
                let kind = if side.is_empty() && kind.is_empty() { "host" } else { kind };
                format!("{protocol} {side} {kind} {value}")
            },
        )
    };
    prop_oneof![
        qualified(&["", "", "ip", "arp", "rarp"], &["host", ""], &hosts),
        qualified(&["", "", "ip", "arp", "rarp"], &["net"], &nets),
        qualified(&["", "ip6"], &["host", ""], &hosts6),
        qualified(&["", "ip6"], &["net"], &nets6),
        qualified(&["ether", "link"], &["host", ""], &macs),
    ]
}

fn ported() -> impl Strategy<Value = String> {
    let ports = ["80", "53", "5201", "0x50", "http", "domain", "65535", "0"];
    // A service of TCP alone is an error behind udp.
    let any_transport = ["80", "53", "5201", "0x50", "domain", "65535", "0"];
    let ranges = ["50-60", "8000-8080", "8080-8000", "0-65535", "80", "22-http"];
    let numeric = ["50-60", "8000-8080", "8080-8000", "0-65535", "80"];
    let qualified = |protocols: &[&'static str], kind: &'static str, from: &[&'static str]| {
        (one_of(protocols), one_of(&SIDES), values(from))
            .prop_map(move |(protocol, side, value)| format!("{protocol} {side} {kind} {value}"))
    };
    prop_oneof![
        qualified(&["", "tcp"], "port", &ports),
        qualified(&["udp", "sctp"], "port", &any_transport),
        qualified(&["", "tcp"], "portrange", &ranges),
        qualified(&["udp", "sctp"], "portrange", &numeric),
    ]
}

fn simple() -> impl Strategy<Value = String> {
    let words = [
        "ip",
        "ip6",
        "arp",
        "rarp",
        "tcp",
        "udp",
        "sctp",
        "icmp",
        "icmp6",
        "igmp",
        "igrp",
        "pim",
        "vrrp",
        "carp",
        "ah",
        "esp",
        "atalk",
        "aarp",
        "decnet",
        "lat",
        "sca",
        "moprc",
        "mopdl",
        "iso",
        "esis",
        "isis",
        "clnp",
        "stp",
        "ipx",
        "netbeui",
        "broadcast",
        "multicast",
        "ether broadcast",
        "ether multicast",
        "ip multicast",
        "ip6 multicast",
        "pppoed",
        "less 60",
        "greater 100",
        "less (1)",
        "ip proto 6",
        "ip proto \\udp",
        "ip6 proto 58",
        "proto 17",
        "proto \\tcp",
        "ip6 proto \\tcp",
        "ether proto 0x0800",
        "ether proto \\arp",
        "ether proto 0x42",
        "ether proto \\ip6",
        "ether proto 6",
        "iso proto \\isis",
        "isis proto 18",
        "ip proto (6 or 17)",
        "ip proto not 6",
        "proto 300",
    ];
    // `less` takes no parentheses.
    let words: Vec<_> = words.into_iter().filter(|word| *word != "less (1)").collect();
    select(words).prop_map(str::to_owned)
}

fn encapsulation() -> impl Strategy<Value = String> {
    one_of(&["vlan", "vlan", "vlan 5", "vlan 100", "vlan (1)", "mpls", "mpls 1024"]).prop_map(str::to_owned)
}

/// Loads stand on the left of arithmetic: on its right libpcap forgets to check their protocol.
fn relation() -> impl Strategy<Value = String> {
    let protocols =
        ["ether", "ip", "ip6", "arp", "tcp", "udp", "icmp", "icmp6", "sctp", "igmp", "rarp", "link", "pim"];
    let offsets = [
        "0",
        "1",
        "2",
        "3",
        "4",
        "6",
        "8",
        "9",
        "12",
        "13",
        "16",
        "20",
        "33",
        "40",
        "60",
        "tcpflags",
        "icmptype",
        "len - 4",
        "ip[0] & 0xf",
        "ether[14] >> 4",
        "(tcp[12] & 0xf0) >> 2",
    ];
    let access = (one_of(&protocols), one_of(&offsets), one_of(&["", ":1", ":2", ":4"]))
        .prop_map(|(protocol, offset, size)| format!("{protocol}[{offset}{size}]"));
    let number = one_of(&[
        "0",
        "1",
        "2",
        "4",
        "6",
        "8",
        "17",
        "0x0f",
        "0xf0",
        "0x45",
        "0x800",
        "tcp-syn",
        "tcp-ack",
        "icmp-echo",
        "010",
        "1500",
        "0xffffffff",
    ]);
    let leaf = prop_oneof![
        5 => access,
        1 => Just("len".to_owned()),
        1 => number.clone().prop_map(str::to_owned),
    ];
    let arithmetic = leaf.prop_recursive(3, 6, 2, move |inner| {
        let operators = one_of(&["+", "-", "*", "&", "|", "^"]);
        let shifts = (inner.clone(), one_of(&["<<", ">>"]), one_of(&["1", "2", "31", "ether[12]"]));
        let divisions = (inner.clone(), one_of(&["/", "%"]), one_of(&["1", "2", "7", "0x100", "ether[20]"]));
        prop_oneof![
            (inner.clone(), operators, number.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            shifts.prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            divisions.prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            inner.clone().prop_map(|a| format!("(- {a})")),
            // Precedence without parentheses; `%` and `^` have none in libpcap.
            (
                inner.clone(),
                one_of(&["+", "*", "&", "|", "<<", "-"]),
                one_of(&["1", "2", "0x0f"]),
                one_of(&["+", "*", "&", "|", ">>", "-", "/"]),
                one_of(&["1", "2", "0x1f"])
            )
                .prop_map(|(a, op, b, then, c)| format!("({a} {op} {b} {then} {c})")),
        ]
    });
    let comparisons = one_of(&["=", "==", "!=", "<", "<=", ">", ">="]);
    (arithmetic.clone(), comparisons, arithmetic).prop_map(|(a, cmp, b)| format!("{a} {cmp} {b}"))
}

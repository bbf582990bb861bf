use proptest::prelude::*;

use super::*;

fn problem(expression: &str) -> Problem {
    Filter::compile(expression).unwrap_err().problem
}

/// A SYN from 172.17.0.2:40000 to 172.17.0.3:80.
fn syn() -> Vec<u8> {
    let mut frame = vec![0x02, 0x42, 0xac, 0x11, 0, 3, 0x02, 0x42, 0xac, 0x11, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 172, 17, 0, 2, 172, 17, 0, 3]);
    frame.extend([0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    frame
}

fn matches(expression: &str) -> bool {
    let frame = syn();
    Filter::compile(expression).unwrap().matches(&frame, frame.len())
}

#[test]
fn an_empty_filter_matches_everything() {
    for expression in ["", "  \n"] {
        assert!(Filter::compile(expression).unwrap().matches(&[], 0));
    }
}

#[test]
fn a_frame_matches_by_what_it_is() {
    for expression in [
        "tcp port 80",
        "tcp dst port http and src host 172.17.0.2",
        "net 172.17.0.0/16",
        "tcp[tcpflags] == tcp-syn",
        "ether src 02:42:ac:11:00:02",
        "not udp",
        "len = 54",
        "ip proto tcp",
    ] {
        assert!(matches(expression), "{expression}");
    }
    for expression in ["udp", "src port 80", "host 172.17.0.4", "vlan", "len > 54", "ip6"] {
        assert!(!matches(expression), "{expression}");
    }
}

#[test]
fn and_and_or_have_the_same_precedence() {
    // ((tcp or udp) and arp), not (tcp or (udp and arp)).
    assert!(!matches("tcp or udp and arp"));
    assert!(matches("tcp or (udp and arp)"));
}

#[test]
fn a_cut_frame_is_rejected_even_under_not() {
    let cut = &syn()[..20];
    assert!(!Filter::compile("not udp").unwrap().matches(cut, 54));
    assert!(Filter::compile("not arp").unwrap().matches(cut, 54));
    assert!(Filter::compile("greater 54").unwrap().matches(cut, 54));
}

#[test]
fn extensions_of_the_syntax_mean_what_they_say() {
    assert!(matches("host 172.17.0.9 or (172.17.0.2 and port 80)"));
    assert!(matches("host ((172.17.0.2) and 172.17.0.3)"));
    assert!(matches("proto tcp"));
    // Both accesses check for their protocol.
    assert!(!matches("1 + udp[0] > 0"));
    assert!(matches("7 % 4 + 1 = 4"));
    assert!(matches("1 | 2 ^ 3 & 2 = 1"));
}

#[test]
fn errors_name_the_word_and_say_what_to_write() {
    for (expression, offset, word, says) in [
        ("tcp prt 80", 4, "prt", "expected host, net, port"),
        ("172.17.0.2", 0, "172.17.0.2", "write host, net"),
        ("ip 172.17.0.2", 3, "172.17.0.2", "expected host, net"),
        ("host web1", 5, "web1", "write the address"),
        ("host 172.17.0.256", 5, "172.17.0.256", "not an IPv4 address"),
        ("net 172.17.0.2/16", 4, "172.17.0.2", "write 172.17.0.0/16"),
        ("net 10.0.0.1 mask 255.0.255.0", 4, "10.0.0.1", "write 10.0.0.0 mask 255.0.255.0"),
        ("net fe80::1/64", 4, "fe80::1", "write fe80::/64"),
        ("port 8000-8080", 5, "8000-8080", "write portrange"),
        ("tcp host 172.17.0.2", 9, "172.17.0.2", "write the protocol, and, then host"),
        ("udp port http", 9, "http", "does not use udp"),
        ("host 02:42:ac:11:00:02", 5, "02:42:ac:11:00:02", "write ether host"),
        ("ether host 172.17.0.2", 11, "172.17.0.2", "not a MAC address"),
        ("tcp udp", 4, "udp", "write and, or"),
        ("(tcp", 4, "", "parentheses"),
        ("tcp)", 3, ")", "parentheses"),
        ("host", 4, "", "expected an address"),
        ("tcp and", 7, "", "expected a primitive"),
        ("ip[0:3] = 1", 5, "3", "1, 2 or 4 bytes"),
        ("ip[0]", 5, "", "expected a comparison"),
        ("stp[0] = 1", 0, "stp", "cannot be accessed"),
        ("vlan 4096", 5, "4096", "at most 4095"),
        ("ip broadcast", 3, "broadcast", "write dst host"),
        ("gateway gw", 0, "gateway", "not supported"),
        ("tcp src inbound", 8, "inbound", "not supported"),
        ("mpls and arp", 9, "arp", "after mpls"),
        ("ip[(1 << 32)] = 1", 9, "32", "at most 31"),
        ("tcp \u{e4}", 4, "\u{e4}", "no meaning"),
    ] {
        let error = Filter::compile(expression).unwrap_err();
        assert_eq!((error.offset, error.word.as_str()), (offset, word), "{expression}: {error}");
        assert!(error.to_string().contains(says), "{expression}: {error}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    assert_eq!(problem(&" ".repeat(MAX_TEXT + 1)), Problem::TooLong);
    for (open, middle, close) in [
        ("(", "tcp", ")"),
        ("not ", "tcp", ""),
        ("tcp port (", "80", ")"),
        ("ip[", "0", "]"),
        ("- ", "1", ""),
    ] {
        let nested = |levels: usize| {
            let text = format!("{}{middle}{}", open.repeat(levels), close.repeat(levels));
            if middle.len() == 1 { format!("{text} > 0") } else { text }
        };
        if middle != "80" {
            Filter::compile(&nested(MAX_DEPTH)).unwrap_or_else(|error| panic!("{open}: {error}"));
            assert_eq!(problem(&nested(MAX_DEPTH + 1)), Problem::TooDeep, "{open}");
        }
        assert!(Filter::compile(&nested(5000 / open.len())).is_err());
    }
    let hosts = vec!["host 10.0.0.1"; 900].join(" or ");
    Filter::compile(&hosts).unwrap();
    let ports = format!("port 1{}", " or 1".repeat(2000));
    assert_eq!(problem(&ports), Problem::TooManyInstructions);
    let stack = format!("{}ip[0]{} > 0", "ip[0] | (".repeat(20), ")".repeat(20));
    assert_eq!(problem(&stack), Problem::StackTooDeep);
}

/// Words in any order, so that the parser gets further than with random text.
fn words() -> impl Strategy<Value = String> {
    let words = [
        "host",
        "net",
        "port",
        "portrange",
        "proto",
        "src",
        "dst",
        "and",
        "or",
        "not",
        "!",
        "(",
        ")",
        "[",
        "]",
        ":",
        "tcp",
        "udp",
        "ip",
        "ip6",
        "ether",
        "arp",
        "vlan",
        "mpls",
        "less",
        "len",
        "80",
        "5",
        "10.0.0.1",
        "fe80::1",
        "/",
        "8",
        "mask",
        "255.0.0.0",
        "02:42:ac:11:00:02",
        "http",
        "1-9",
        "=",
        ">",
        "&",
        "-",
        "<<",
        "0xffffffff",
        "multicast",
        "\\udp",
        "iso",
        "tcpflags",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        let _ = Filter::compile(&text);
    }

    #[test]
    fn no_words_and_no_bytes_panic(text in words(), frame in prop::collection::vec(any::<u8>(), 0..100), len: usize) {
        match Filter::compile(&text) {
            Ok(filter) => {
                filter.matches(&frame, len);
            }
            Err(error) => prop_assert!(text.get(error.offset..).is_some_and(|rest| rest.starts_with(&error.word))),
        }
    }
}

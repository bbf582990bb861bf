use proptest::prelude::*;

use super::*;

/// A DISCOVER as busybox's udhcpc 1.35 sends it, without the zeroes that fill it up.
pub(super) fn discover() -> Vec<u8> {
    let mut bytes = vec![0; 240];
    bytes[..8].copy_from_slice(&[1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78]);
    bytes[28..34].copy_from_slice(&[2, 0x42, 172, 18, 0, 2]);
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    bytes.extend([53, 1, 1, 61, 7, 1, 2, 0x42, 172, 18, 0, 2, 57, 2, 2, 64]);
    bytes.extend([55, 7, 1, 3, 6, 12, 15, 28, 42, 60, 12]);
    bytes.extend(b"udhcp 1.35.0");
    bytes.push(255);
    bytes
}

#[test]
fn a_discover_is_read() {
    let bytes = discover();
    let request = Request::parse(&bytes).unwrap();
    let expected = Request {
        kind: Kind::Discover,
        xid: [0x12, 0x34, 0x56, 0x78],
        broadcast: false,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        giaddr: Ipv4Addr::UNSPECIFIED,
        chaddr: MacAddr([2, 0x42, 172, 18, 0, 2]),
        requested: None,
        server: None,
        lease: None,
        client: Some(&[1, 2, 0x42, 172, 18, 0, 2]),
    };
    assert_eq!(request, expected);
}

#[test]
fn options_may_lie_in_the_fields_for_names() {
    let mut bytes = discover();
    bytes.truncate(240);
    bytes.extend([52, 1, 3, 255]);
    bytes[108..115].copy_from_slice(&[53, 1, 3, 50, 4, 10, 0]);
    bytes[115..118].copy_from_slice(&[0, 9, 255]);
    bytes[44..51].copy_from_slice(&[54, 4, 10, 0, 0, 1, 255]);
    let request = Request::parse(&bytes).unwrap();
    assert_eq!(request.kind, Kind::Request);
    assert_eq!(request.requested, Some(Ipv4Addr::new(10, 0, 0, 9)));
    assert_eq!(request.server, Some(Ipv4Addr::new(10, 0, 0, 1)));
}

#[test]
fn what_no_client_sends_is_refused() {
    let spoiled = |at: usize, value: u8| {
        let mut bytes = discover();
        bytes[at] = value;
        bytes
    };
    for bytes in [
        spoiled(0, 2),
        spoiled(1, 6),
        spoiled(2, 16),
        spoiled(236, 0),
        spoiled(242, 2),
        spoiled(242, 5),
        spoiled(242, 9),
        spoiled(241, 0),
        spoiled(241, 250),
        spoiled(244, 250),
        discover()[..240].to_vec(),
        discover()[..239].to_vec(),
        [&discover()[..243], &[50, 3, 1, 1, 1, 255]].concat(),
        [&discover()[..243], &[54, 0, 255]].concat(),
        [&discover()[..243], &[52, 1, 4, 255]].concat(),
    ] {
        assert_eq!(Request::parse(&bytes), None, "{bytes:?}");
    }
}

#[test]
fn of_an_option_given_twice_the_first_counts() {
    let mut bytes = discover();
    bytes.pop();
    bytes.extend([53, 1, 7, 50, 4, 1, 1, 1, 1, 50, 4, 2, 2, 2, 2]);
    let request = Request::parse(&bytes).unwrap();
    assert_eq!((request.kind, request.requested), (Kind::Discover, Some(Ipv4Addr::new(1, 1, 1, 1))));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..700), head in 0usize..260) {
        let _ = Request::parse(&bytes);
        let head = &discover()[..head.min(discover().len())];
        let _ = Request::parse(&[head, &bytes].concat());
    }

    #[test]
    fn a_message_cut_anywhere_is_read_or_refused(len in 0usize..280) {
        let bytes = discover();
        let _ = Request::parse(&bytes[..len.min(bytes.len())]);
    }
}

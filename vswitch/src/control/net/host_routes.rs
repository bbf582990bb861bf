//! Which addresses the host itself reaches by routes of its own, so that no network takes them.

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::sandbox::netlink::NetlinkError;

/// Bytes of one read. The kernel fills at most 32 KiB of a dump at once.
const BUFFER: usize = 64 * 1024;

/// The destinations in the main routing table of the caller's network namespace, IPv4 and IPv6,
/// default routes left out: an RTM_GETROUTE dump of rtnetlink(7). It blocks for as long as the kernel
/// takes to answer.
///
/// # Errors
/// [`NetlinkError`].
pub fn host_routes() -> Result<Vec<IpNet>, NetlinkError> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut routes = Vec::new();
    for (sequence, family) in [(1, AddressFamily::Inet), (2, AddressFamily::Inet6)] {
        dump(&socket, sequence, family, &mut routes)?;
    }
    routes.sort_unstable();
    routes.dedup();
    Ok(routes)
}

fn dump(
    socket: &Socket,
    sequence: u32,
    family: AddressFamily,
    routes: &mut Vec<IpNet>,
) -> Result<(), NetlinkError> {
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    header.sequence_number = sequence;
    let mut request =
        NetlinkMessage::new(header, NetlinkPayload::from(RouteNetlinkMessage::GetRoute(message)));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut reply = Vec::with_capacity(BUFFER);
    loop {
        reply.clear();
        socket.recv(&mut reply, 0)?;
        if read_messages(&reply, sequence, routes)? {
            return Ok(());
        }
    }
}

/// Takes the routes out of one read of a dump: whether it was the last one.
fn read_messages(mut bytes: &[u8], sequence: u32, routes: &mut Vec<IpNet>) -> Result<bool, NetlinkError> {
    // A message begins with its length (struct nlmsghdr), in the machine's byte order.
    while let Some((length, _)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_ne_bytes(*length) as usize;
        let Some(message) = bytes.get(..length).filter(|m| m.len() >= 16) else {
            return Err(NetlinkError::Answer(format!("a message of {length} bytes in {}", bytes.len())));
        };
        // Messages are aligned to four bytes; the last one need not be.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        // A route of a kind this program cannot read is not one its networks meet.
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) else { continue };
        if message.header.sequence_number != sequence {
            continue;
        }
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(e) if e.code.is_some() => {
                return Err(NetlinkError::Refused {
                    what: "list the host's routes".into(),
                    error: e.to_io(),
                });
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
                routes.extend(destination(&route));
            }
            _ => {}
        }
    }
    Ok(false)
}

fn destination(route: &RouteMessage) -> Option<IpNet> {
    let mut table = u32::from(route.header.table);
    let mut address = None;
    for attribute in &route.attributes {
        match attribute {
            // Tables above 255 are only here.
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Destination(RouteAddress::Inet(a)) => address = Some((*a).into()),
            RouteAttribute::Destination(RouteAddress::Inet6(a)) => address = Some((*a).into()),
            _ => {}
        }
    }
    let prefix = route.header.destination_prefix_length;
    if table != u32::from(RouteHeader::RT_TABLE_MAIN) || prefix == 0 {
        return None;
    }
    IpNet::new(address?, prefix).ok().map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn route(table: u32, destination: Option<&str>, prefix: u8) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.table = table.try_into().unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
        message.header.destination_prefix_length = prefix;
        message.header.address_family = AddressFamily::Inet;
        message.attributes.push(RouteAttribute::Table(table));
        if let Some(text) = destination {
            let address: IpAddr = text.parse().unwrap();
            if address.is_ipv6() {
                message.header.address_family = AddressFamily::Inet6;
            }
            message.attributes.push(RouteAttribute::Destination(address.into()));
        }
        message
    }

    fn bytes(payload: NetlinkPayload<RouteNetlinkMessage>, sequence: u32) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.sequence_number = sequence;
        let mut message = NetlinkMessage::new(header, payload);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn answer(routes: &[RouteMessage], sequence: u32) -> Vec<u8> {
        let payload = |r: &RouteMessage| NetlinkPayload::from(RouteNetlinkMessage::NewRoute(r.clone()));
        routes.iter().flat_map(|r| bytes(payload(r), sequence)).collect()
    }

    fn done(sequence: u32) -> Vec<u8> {
        bytes(NetlinkPayload::Done(netlink_packet_core::DoneMessage::default()), sequence)
    }

    #[test]
    fn destinations_of_the_main_table_are_listed_and_default_routes_are_not() {
        let routes = [
            route(254, Some("192.168.1.0"), 24),
            route(254, None, 0),
            route(255, Some("127.0.0.0"), 8),
            route(1000, Some("10.9.0.0"), 16),
            route(254, Some("2001:db8::"), 32),
        ];
        let mut found = Vec::new();
        assert!(!read_messages(&answer(&routes, 7), 7, &mut found).unwrap());
        assert!(read_messages(&done(7), 7, &mut found).unwrap());
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["192.168.1.0/24", "2001:db8::/32"]);
    }

    #[test]
    fn an_answer_to_another_request_is_not_ours() {
        let mut found = Vec::new();
        let mut bytes = answer(&[route(254, Some("10.1.0.0"), 16)], 6);
        bytes.extend(done(6));
        assert!(!read_messages(&bytes, 7, &mut found).unwrap());
        assert!(found.is_empty());
    }

    #[test]
    fn a_message_cut_off_is_an_error_and_not_an_endless_loop() {
        let whole = answer(&[route(254, Some("10.1.0.0"), 16)], 7);
        assert!(matches!(
            read_messages(&whole[..whole.len() - 1], 7, &mut Vec::new()),
            Err(NetlinkError::Answer(_))
        ));
        assert!(read_messages(&[0; 64], 7, &mut Vec::new()).is_err(), "length 0");
    }

    /// Runs itself again in a network namespace whose routes are known: more than one read of a dump takes.
    #[test]
    fn the_kernels_routes_are_listed_whole() {
        const NAME: &str = "control::net::host_routes::tests::the_kernels_routes_are_listed_whole";
        const INSIDE: &str = "VSWITCH_TEST_HOST_ROUTES";
        const ROUTES: &str = "ip link set lo up && ip route add default dev lo && \
             ip route add 10.9.0.0/16 dev lo table 1000 && ip -6 route add 2001:db8:77::/48 dev lo && \
             for a in 0 1 2 3 4; do for b in $(seq 0 255); do echo route add 10.$a.$b.0/24 dev lo; done; done | \
             ip -batch -";
        if std::env::var_os(INSIDE).is_none() {
            let script = format!("{ROUTES} && exec \"$0\" --exact {NAME}");
            let run = std::process::Command::new("unshare")
                .args(["--user", "--map-root-user", "--net", "sh", "-c", &script])
                .arg(std::env::current_exe().unwrap())
                .env(INSIDE, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&run.stdout);
            assert!(run.status.success() && said.contains("1 passed"), "{run:?}");
            return;
        }
        let v4 = (0..5u8).flat_map(|a| (0..=255u8).map(move |b| IpAddr::from([10, a, b, 0])));
        let mut expected: Vec<IpNet> = v4.map(|address| IpNet::new(address, 24).unwrap()).collect();
        expected.push("2001:db8:77::/48".parse().unwrap());
        let found = host_routes().unwrap();
        // The kernel may put lo's own address into IPv6's main table.
        let found: Vec<IpNet> = found.into_iter().filter(|r| r.to_string() != "::1/128").collect();
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), sequence in 0u32..2) {
            let _ = read_messages(&bytes, sequence, &mut Vec::new());
        }

        #[test]
        fn a_damaged_answer_does_not_make_it_panic(at in 0usize..1000, with: u8) {
            let mut bytes = answer(&[route(254, Some("10.1.0.0"), 16), route(254, Some("fd00::"), 8)], 7);
            let at = at % bytes.len();
            bytes[at] = with;
            let _ = read_messages(&bytes, 7, &mut Vec::new());
        }
    }
}

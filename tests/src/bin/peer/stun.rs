//! A STUN server with two addresses and two ports (RFC 5780; RFC 3489 for older clients).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;

use super::Outcome;

const PORTS: [u16; 2] = [3478, 3479];
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_RESPONSE: u16 = 0x0101;
const MAPPED_ADDRESS: u16 = 0x0001;
const CHANGE_REQUEST: u16 = 0x0003;
const SOURCE_ADDRESS: u16 = 0x0004;
const CHANGED_ADDRESS: u16 = 0x0005;
const CHANGE_IP: u8 = 4;
const CHANGE_PORT: u8 = 2;

/// Serves at two ports of both addresses.
pub(super) fn serve(address: Ipv4Addr, other: Ipv4Addr) -> Outcome {
    let mut sockets = Vec::new();
    for ip in [address, other] {
        for port in PORTS {
            sockets.push(UdpSocket::bind((ip, port))?);
        }
    }
    println!("listening");
    let sockets = Arc::new(sockets);
    let threads: Vec<_> = (0..sockets.len())
        .map(|own| {
            let sockets = sockets.clone();
            std::thread::spawn(move || {
                let mut buf = [0; 2048];
                loop {
                    let Some(socket) = sockets.get(own) else { return };
                    let Ok((len, client)) = socket.recv_from(&mut buf) else { continue };
                    let _ = answer(&sockets, own, client, buf.get(..len).unwrap_or(&[]));
                }
            })
        })
        .collect();
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

fn attribute(message: &mut Vec<u8>, kind: u16, address: SocketAddr) {
    let (IpAddr::V4(ip), port) = (address.ip(), address.port()) else { return };
    message.extend(kind.to_be_bytes());
    message.extend(8u16.to_be_bytes());
    message.extend([0, 1]);
    message.extend(port.to_be_bytes());
    message.extend(ip.octets());
}

fn answer(sockets: &[UdpSocket], own: usize, client: SocketAddr, request: &[u8]) -> Option<()> {
    let (head, mut rest) = request.split_at_checked(20)?;
    if head.get(..2)? != BINDING_REQUEST.to_be_bytes() {
        return None;
    }
    let mut change = 0;
    while let Some((header, body)) = rest.split_at_checked(4) {
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if kind == CHANGE_REQUEST {
            change = *body.get(3)?;
        }
        rest = body.get(len.next_multiple_of(4)..).unwrap_or(&[]);
    }
    // Two bits: which address, which port.
    let other = |ip: bool, port: bool| own ^ (usize::from(ip) << 1) ^ usize::from(port);
    let from = other(change & CHANGE_IP != 0, change & CHANGE_PORT != 0);
    let address = |at: usize| sockets.get(at)?.local_addr().ok();
    let mut body = Vec::new();
    attribute(&mut body, MAPPED_ADDRESS, client);
    attribute(&mut body, SOURCE_ADDRESS, address(from)?);
    attribute(&mut body, CHANGED_ADDRESS, address(other(true, true))?);
    let mut message = BINDING_RESPONSE.to_be_bytes().to_vec();
    message.extend(u16::try_from(body.len()).ok()?.to_be_bytes());
    message.extend(head.get(4..)?);
    message.extend(body);
    let SocketAddr::V4(SocketAddrV4 { .. }) = client else { return None };
    println!("asked by {client}, change {change}");
    sockets.get(from)?.send_to(&message, client).ok()?;
    Some(())
}

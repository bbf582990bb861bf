//! UDP.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::Outcome;

/// How long an answer may take before the question is put again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is put.
const TIMES: usize = 10;

/// Says whom each datagram is from, and answers with that and the datagram.
pub(super) fn serve(at: &[SocketAddr]) -> Outcome {
    let sockets: Vec<UdpSocket> = at.iter().map(UdpSocket::bind).collect::<Result<_, _>>()?;
    println!("listening");
    let threads: Vec<_> = sockets
        .into_iter()
        .map(|socket| {
            std::thread::spawn(move || {
                let mut buf = vec![0; 65_536];
                loop {
                    let Ok((len, client)) = socket.recv_from(&mut buf) else { continue };
                    let text = String::from_utf8_lossy(buf.get(..len).unwrap_or(&[])).into_owned();
                    let shown = if len > 100 { format!("{len} bytes") } else { text.clone() };
                    println!("udp {client} {shown}");
                    let _ = socket.send_to(format!("{client} {text}").as_bytes(), client);
                }
            })
        })
        .collect();
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

/// Sends a text and prints the answer, which must come from where it was sent to.
pub(super) fn ask(to: SocketAddr, text: &str, from: Option<SocketAddr>) -> Outcome {
    let any = if to.is_ipv6() {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    };
    let socket = UdpSocket::bind(from.unwrap_or(any))?;
    socket.connect(to)?;
    // Errors that may pass, as "no route", are told to those only who ask for them (ip(7)).
    if to.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
    }
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buf = vec![0; 65_536];
    for _ in 0..TIMES {
        socket.send(text.as_bytes())?;
        match socket.recv(&mut buf) {
            Ok(len) => {
                let answer = String::from_utf8_lossy(buf.get(..len).unwrap_or(&[])).into_owned();
                let answer = if len > 200 { format!("{len} bytes") } else { answer };
                println!("{answer} from {}", socket.local_addr()?);
                return Ok(());
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err("no answer".into())
}

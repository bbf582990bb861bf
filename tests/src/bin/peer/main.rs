//! The other end of a flow, which says what it sees.
//!
//! ```text
//! peer serve tcp|udp ADDRESS:PORT...     prints a line for each client; answers with its address, and echoes
//! peer ask tcp|udp ADDRESS:PORT [TEXT [FROM]]   prints the answer to a text, from a port or address of its own
//! peer talk ADDRESS:PORT                 sends the lines of its standard input by one TCP connection
//! peer open ADDRESS:PORT COUNT           opens so many TCP connections at once and holds them
//! peer push ADDRESS:PORT COUNT           opens as many, writes all that they take, and reads nothing
//! peer flood ADDRESS:PORT COUNT          begins so many TCP connections and waits for none
//! peer http ADDRESS:PORT                 serves GET /BYTES and PUT, and prints what it was asked
//! peer stun ADDRESS OTHER                a STUN server with two addresses (RFC 5780)
//! ```

mod http;
mod stun;
mod tcp;
mod udp;

use std::error::Error;
use std::net::SocketAddr;

type Outcome = Result<(), Box<dyn Error>>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Err(error) = run(&words) {
        eprintln!("peer: {error}");
        std::process::exit(1);
    }
}

fn run(words: &[&str]) -> Outcome {
    match words {
        ["serve", "tcp", at @ ..] => tcp::serve(&addresses(at)?),
        ["serve", "udp", at @ ..] => udp::serve(&addresses(at)?),
        ["ask", "tcp", to] => tcp::ask(to.parse()?, "hello", None),
        ["ask", "tcp", to, text] => tcp::ask(to.parse()?, text, None),
        ["ask", "tcp", to, text, from] => tcp::ask(to.parse()?, text, Some(from.parse()?)),
        ["ask", "udp", to] => udp::ask(to.parse()?, "hello", None),
        ["ask", "udp", to, text] => udp::ask(to.parse()?, text, None),
        ["ask", "udp", to, text, from] => udp::ask(to.parse()?, text, Some(from.parse()?)),
        ["talk", to] => tcp::talk(to.parse()?),
        ["open", to, count] => tcp::open(to.parse()?, count.parse()?),
        ["push", to, count] => tcp::push(to.parse()?, count.parse()?),
        ["flood", to, count] => tcp::flood(to.parse()?, count.parse()?),
        ["http", at] => http::serve(at.parse()?),
        ["stun", address, other] => stun::serve(address.parse()?, other.parse()?),
        _ => Err("peer serve|ask|talk|open|push|flood|http|stun ...".into()),
    }
}

fn addresses(words: &[&str]) -> Result<Vec<SocketAddr>, Box<dyn Error>> {
    words.iter().map(|word| Ok(word.parse()?)).collect()
}

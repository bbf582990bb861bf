//! `capture`.

use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Write};

use packet::pcapng::{Block, Direction, Reader};

use crate::args::Capture;
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};

/// Bytes of each frame that a readable line is made from.
const LINE_SNAPLEN: u32 = 512;

/// Watches frames until interrupted, or `--count` of them passed.
///
/// # Errors
/// The daemon's own sentence, or why the file cannot be written.
pub fn run(client: &Client, args: &Capture) -> Outcome {
    let filter = args.filter.join(" ");
    // A line needs the headers only.
    let snaplen = if args.write.is_none() && args.snaplen == 0 { LINE_SNAPLEN } else { args.snaplen };
    let mut path = format!("/vswitch/capture?on={}&snaplen={snaplen}", quote(&args.interface));
    if !filter.is_empty() {
        path.push_str("&filter=");
        path.push_str(&quote(&filter));
    }
    if let Some(count) = args.count {
        path.push_str("&count=");
        path.push_str(&count.to_string());
    }
    let file: Option<Box<dyn Write>> = match &args.write {
        None => None,
        Some(path) if path.as_os_str() == "-" => {
            if std::io::stdout().is_terminal() {
                return Err(Failure::usage(
                    "pcapng is not for a terminal: pipe it into `tshark -r -`, or write to a file with -w FILE",
                ));
            }
            Some(Box::new(std::io::stdout()))
        }
        Some(path) => {
            Some(Box::new(File::create(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?))
        }
    };
    let mut stream = client.stream(&path)?;
    let mut sink =
        Sink { file, reader: Reader::new(), raw: Vec::new(), packets: 0, lost: 0, interfaces: Vec::new() };
    let mut interrupts = client.interrupts()?;
    eprintln!("vswitch: capturing on {}, end with Ctrl-C", crate::format::escape(&args.interface));
    loop {
        let Some(piece) = stream.piece_or(&mut interrupts)? else { break };
        match sink.take(&piece) {
            // Whoever read from us has seen enough.
            Err(e) if e.kind() == ErrorKind::BrokenPipe => break,
            other => other?,
        }
    }
    sink.flush()?;
    eprintln!("vswitch: {} packets captured, {} dropped by the capture", sink.packets, sink.lost);
    Ok(0)
}

struct Sink {
    file: Option<Box<dyn Write>>,
    reader: Reader,
    /// Bytes that came and were not written: the beginning of a block.
    raw: Vec<u8>,
    packets: u64,
    lost: u64,
    interfaces: Vec<String>,
}

impl Sink {
    /// Writes whole blocks only, so that a file is right wherever the capture ends.
    fn take(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.reader.feed(piece);
        let mut text = String::new();
        loop {
            let block = match self.reader.next_block() {
                Ok(Some(block)) => block,
                Ok(None) => break,
                Err(e) => {
                    return Err(std::io::Error::other(format!("the daemon's capture makes no sense: {e}")));
                }
            };
            match block {
                Block::Interface(interface) => {
                    self.interfaces.push(interface.name.unwrap_or("?").to_owned());
                }
                Block::Packet(packet) => {
                    self.packets += 1;
                    if self.file.is_none() {
                        let interface =
                            usize::try_from(packet.interface).ok().and_then(|i| self.interfaces.get(i));
                        line(&mut text, &packet, interface.map_or("?", String::as_str));
                    }
                }
                Block::Statistics(statistics) => self.lost = statistics.dropped.unwrap_or(self.lost),
                _ => {}
            }
        }
        if let Some(file) = &mut self.file {
            self.raw.extend_from_slice(piece);
            let whole = self.raw.len().saturating_sub(self.reader.pending());
            file.write_all(&self.raw[..whole])?;
            self.raw.drain(..whole);
            return file.flush();
        }
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self.file.as_mut().map(Write::flush) {
            Some(Err(e)) if e.kind() != ErrorKind::BrokenPipe => Err(e),
            _ => Ok(()),
        }
    }
}

fn line(text: &mut String, packet: &packet::pcapng::Packet<'_>, interface: &str) {
    use std::fmt::Write;
    let (seconds, nanos) = (packet.timestamp / 1_000_000_000, packet.timestamp % 1_000_000_000);
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let way = match packet.direction {
        Direction::Inbound => "In ",
        Direction::Outbound => "Out",
        Direction::Unknown => "?  ",
    };
    let description = packet::describe(packet.data, packet::Offload::NONE);
    let _ = write!(text, "{h:02}:{m:02}:{s:02}.{:06} {interface} {way} {description}", nanos / 1000);
    if let Some(comment) = packet.comment {
        let _ = write!(text, " [{comment}]");
    }
    text.push('\n');
}

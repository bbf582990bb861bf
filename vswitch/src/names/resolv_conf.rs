//! The host's servers, from its resolv.conf (resolv.conf(5)), followed as it changes.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// How many servers are asked, of a container's or the host's (MAXNS of resolv.conf(5)).
pub const MAX_SERVERS: usize = 3;
/// Bytes that are read of the file.
const MAX_FILE: u64 = 64 * 1024;
/// A file changed so short a time ago may change again within one tick of its time stamp.
const UNSETTLED: Duration = Duration::from_secs(2);

/// What tells a changed file from the one that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    file: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(m: &Metadata) -> Self {
        Self {
            file: (m.dev(), m.ino()),
            len: m.len(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

#[derive(Debug)]
struct Last {
    stamp: Option<Stamp>,
    servers: Arc<[SocketAddr]>,
}

/// The host's servers. Every look costs a stat(2); the file is read again when it has changed,
/// also by being replaced or by its symbolic link leading elsewhere.
#[derive(Debug)]
pub struct HostServers {
    path: PathBuf,
    port: u16,
    last: Mutex<Last>,
}

impl HostServers {
    /// Follows the file at `path`; its servers are asked at `port`.
    pub fn new(path: &Path, port: u16) -> Self {
        Self { path: path.into(), port, last: Mutex::new(Last { stamp: None, servers: local(port) }) }
    }

    /// The servers of this moment, three at most. Without a file, and where it names none, it is
    /// the one on this machine, as resolv.conf(5) has it.
    pub fn get(&self) -> Arc<[SocketAddr]> {
        let stamp = fs::metadata(&self.path).ok().map(|m| Stamp::from(&m));
        let mut last = self.last.lock();
        if stamp.is_none() || stamp != last.stamp {
            let (stamp, servers) = read(&self.path).unwrap_or_default();
            last.stamp = stamp;
            last.servers = if servers.is_empty() {
                local(self.port)
            } else {
                servers.into_iter().map(|s| with_port(s, self.port)).collect()
            };
        }
        last.servers.clone()
    }
}

fn local(port: u16) -> Arc<[SocketAddr]> {
    [SocketAddr::from((Ipv4Addr::LOCALHOST, port))].into()
}

fn with_port(mut server: SocketAddr, port: u16) -> SocketAddr {
    server.set_port(port);
    server
}

/// The file's servers, and its stamp unless it is too new to be told from the next.
fn read(path: &Path) -> io::Result<(Option<Stamp>, Vec<SocketAddr>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let now = SystemTime::now();
    let settled = metadata.modified().ok().and_then(|m| now.duration_since(m).ok());
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text)?;
    let stamp = settled.filter(|&age| age > UNSETTLED).map(|_| Stamp::from(&metadata));
    Ok((stamp, parse(&String::from_utf8_lossy(&text))))
}

/// The servers that a resolv.conf names, the first three, at port 0.
pub fn parse(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            if words.next()? != "nameserver" {
                return None;
            }
            address(words.next()?)
        })
        .take(MAX_SERVERS)
        .collect()
}

/// An address, of IPv6 with the name or number of its interface where it needs one.
fn address(text: &str) -> Option<SocketAddr> {
    if let Some((address, interface)) = text.split_once('%') {
        let address: Ipv6Addr = address.parse().ok()?;
        let scope = match interface.parse() {
            Ok(number) => number,
            Err(_) => nix::net::if_::if_nametoindex(interface).ok()?,
        };
        return Some(SocketAddrV6::new(address, 0, 0, scope).into());
    }
    Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, 0))
}

#[cfg(test)]
#[path = "resolv_conf_tests.rs"]
mod tests;

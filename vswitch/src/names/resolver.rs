//! From a query to its answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::cache::Key;
use super::encode::{self, Reply, TTL};
use super::forward::{Forwarder, NoAnswer, Way};
use super::resolv_conf::{HostServers, MAX_SERVERS};
use super::response::Response;
use super::stats::{Counter, Counters, Unanswered};
use super::view::View;
use super::wire::{self, Query, Reject, rcode, rtype};

/// How a resolver works.
#[derive(Clone, Debug)]
pub struct Config {
    /// The host's resolv.conf, followed as it changes.
    pub resolv_conf: PathBuf,
    /// The servers' UDP and TCP port.
    pub port: u16,
    /// How long one server is waited for.
    pub timeout: Duration,
    /// Bytes of servers' answers that are kept.
    pub cache_bytes: u64,
    /// How many different queries may wait for servers, of all containers together.
    pub in_flight: usize,
    /// How many queries of one container may wait, so that none takes the others' share.
    pub in_flight_each: usize,
    /// How many TCP connections clients may have, together.
    pub tcp: usize,
    /// How many of them one container may have.
    pub tcp_each: usize,
    /// After what time without a query, or without taking an answer, a connection is closed.
    pub tcp_idle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            port: 53,
            timeout: Duration::from_secs(4),
            cache_bytes: 4 << 20,
            in_flight: 1024,
            in_flight_each: 256,
            tcp: 256,
            tcp_each: 32,
            tcp_idle: Duration::from_secs(10),
        }
    }
}

/// How a query came, and its answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// In a datagram. The answer is as long as the client takes, and no longer than this, in
    /// bytes: what the way carries unfragmented, or `u16::MAX` over a loopback.
    Udp(u16),
    /// In a stream: as long as it must be.
    Tcp,
}

impl Transport {
    /// Bytes an answer may have.
    fn limit(self, query: &Query<'_>) -> usize {
        match self {
            Self::Tcp => usize::from(u16::MAX),
            Self::Udp(most) => {
                let client = query.edns.map_or(0, |e| usize::from(e.size));
                client.min(most.into()).max(wire::MIN_UDP)
            }
        }
    }
}

/// What was done about a query at once.
#[derive(Debug)]
pub enum Step {
    /// The answer is written.
    Answered,
    /// It is worth none.
    Dropped,
    /// Somebody else must be asked.
    Forward(Pending),
}

/// A query that must be forwarded.
#[derive(Debug)]
pub struct Pending {
    bytes: Box<[u8]>,
    transport: Transport,
    key: Key,
}

/// The name service: answers the queries of all containers, each by its own [`View`].
#[derive(Debug)]
pub struct Resolver {
    pub(super) config: Config,
    pub(super) counters: Arc<Counters>,
    pub(super) connections: Arc<Semaphore>,
    host: HostServers,
    forwarder: Arc<Forwarder>,
}

impl Resolver {
    /// A resolver without a socket.
    pub fn new(config: Config) -> Arc<Self> {
        let counters = Arc::new(Counters::default());
        Arc::new(Self {
            host: HostServers::new(&config.resolv_conf, config.port),
            forwarder: Forwarder::new(counters.clone(), config.cache_bytes, config.timeout, config.in_flight),
            connections: Arc::new(Semaphore::new(config.tcp.min(Semaphore::MAX_PERMITS))),
            counters,
            config,
        })
    }

    /// What was counted, by name; what is zero is left out.
    pub fn stats(&self) -> BTreeMap<&'static str, u64> {
        self.counters.snapshot()
    }

    /// The answer to a message, which may be anything; `None` for one that is worth none.
    ///
    /// Names of the view's networks are answered at once, whatever the servers do.
    pub async fn answer(&self, view: &View, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(wire::MIN_UDP);
        match self.answer_local(view, message, transport, &mut out) {
            Step::Answered => Some(out),
            Step::Dropped => None,
            Step::Forward(pending) => Some(self.forward(pending).await),
        }
    }

    /// As [`answer`](Self::answer), as far as it can be done without waiting: the answer is
    /// written to `out`, instead of what is there.
    pub fn answer_local(&self, view: &View, message: &[u8], transport: Transport, out: &mut Vec<u8>) -> Step {
        self.counters.count(Counter::Queries);
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(reject) => return self.reject(reject, message, out),
        };
        let limit = transport.limit(&query);
        if query.edns.is_some_and(|e| e.version != 0) {
            encode::empty(&query, limit, rcode::BADVERS, out);
            return self.answered(Counter::BadVersion);
        }
        if query.is_internet() {
            if let Some(truncated) = local(view, &query, limit, out) {
                if truncated {
                    self.counters.count(Counter::Truncated);
                }
                return self.answered(Counter::Local);
            }
            let address = matches!(query.qtype, rtype::A | rtype::AAAA);
            if view.ndots_set && address && query.name.label_count() == 1 {
                encode::empty(&query, limit, rcode::NOERROR, out);
                return self.answered(Counter::SingleLabel);
            }
        }
        if !view.forward {
            encode::empty(&query, limit, rcode::SERVFAIL, out);
            return self.answered(Counter::NotForwarded);
        }
        let key = Key::new(&query, self.servers(view));
        if let Some(fetched) = self.forwarder.cached(&key) {
            self.render(&query, transport, Some(&fetched.response), fetched.age(), out);
            return self.answered(Counter::Cached);
        }
        Step::Forward(Pending { bytes: message.into(), transport, key })
    }

    /// The servers a container's queries go to, in their order.
    fn servers(&self, view: &View) -> Arc<[SocketAddr]> {
        if view.servers.is_empty() {
            return self.host.get();
        }
        view.servers.iter().take(MAX_SERVERS).map(|&ip| (ip, self.config.port).into()).collect()
    }

    #[cfg(test)]
    pub(super) fn forwarder(&self) -> &Forwarder {
        &self.forwarder
    }

    fn answered(&self, counter: Counter) -> Step {
        self.counters.count(counter);
        Step::Answered
    }

    fn reject(&self, reject: Reject, message: &[u8], out: &mut Vec<u8>) -> Step {
        let (counter, code) = match reject {
            Reject::TooShort => (Counter::TooShort, None),
            Reject::IsResponse => (Counter::IsResponse, None),
            Reject::Oversized => (Counter::Oversized, None),
            Reject::NotImplemented => (Counter::NotImplemented, Some(rcode::NOTIMP)),
            Reject::Malformed => (Counter::FormatError, Some(rcode::FORMERR)),
        };
        self.counters.count(counter);
        match (code, wire::header(message)) {
            (Some(code), Some([id, flags, ..])) => {
                encode::refuse(id, flags, code, out);
                Step::Answered
            }
            _ => Step::Dropped,
        }
    }

    /// The answer to a query that is not known here: a server's, else an error.
    pub async fn forward(&self, pending: Pending) -> Vec<u8> {
        let mut out = Vec::with_capacity(wire::MIN_UDP);
        // It was in order before.
        let Ok(query) = Query::parse(&pending.bytes) else { return out };
        let unanswered = Unanswered::new(&self.counters);
        let outcome = self.forwarder.ask(pending.key, pending.transport == Transport::Tcp).await;
        unanswered.done();
        let (counter, response, age) = match outcome {
            Ok((fetched, way)) => {
                let counter = match way {
                    Way::Cached => Counter::Cached,
                    Way::Merged => Counter::Merged,
                    Way::Asked => Counter::Forwarded,
                };
                let age = fetched.age();
                (counter, Some(fetched.response), age)
            }
            Err(NoAnswer::Limit) => (Counter::ForwardLimit, None, 0),
            Err(NoAnswer::Failed(last)) => (Counter::UpstreamFailed, last, 0),
        };
        self.counters.count(counter);
        self.render(&query, pending.transport, response.as_deref(), age, &mut out);
        out
    }

    fn render(
        &self,
        query: &Query<'_>,
        transport: Transport,
        response: Option<&Response>,
        age: u32,
        out: &mut Vec<u8>,
    ) {
        let limit = transport.limit(query);
        match response {
            Some(response) => {
                if response.render(query, age, limit, out) {
                    self.counters.count(Counter::Truncated);
                }
            }
            None => encode::empty(query, limit, rcode::SERVFAIL, out),
        }
    }

    /// Refuses a query that would have to wait, its container having too many waiting.
    pub(super) fn refuse_waiting(&self, pending: &Pending, out: &mut Vec<u8>) {
        self.counters.count(Counter::ForwardLimit);
        if let Ok(query) = Query::parse(&pending.bytes) {
            self.render(&query, pending.transport, None, 0, out);
        }
    }
}

/// Answers what is known here; `None` where nothing is. True when records were left out.
fn local(view: &View, query: &Query<'_>, limit: usize, out: &mut Vec<u8>) -> Option<bool> {
    if let Some(hosts) = view.find(&query.name) {
        return Some(encode::hosts(query, limit, hosts.iter().map(|h| &**h), out));
    }
    if let Some(address) = query.name.reverse_address() {
        if let Some(host) = view.host_at(address) {
            return Some(encode::reverse(query, limit, host.fqdn.as_deref(), out));
        }
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        return loopback
            .contains(&address)
            .then(|| encode::reverse(query, limit, Some(b"\x09localhost\0"), out));
    }
    if is_localhost(query.name.as_bytes()) {
        return Some(localhost(query, limit, out));
    }
    if query.qtype == rtype::SRV { service(view, query, limit, out) } else { None }
}

/// `localhost` and all names under it (RFC 6761, section 6.3).
fn is_localhost(name: &[u8]) -> bool {
    wire::Labels(name).last() == Some(&b"localhost"[..])
}

fn localhost(query: &Query<'_>, limit: usize, out: &mut Vec<u8>) -> bool {
    let mut reply = Reply::new(query, limit, out);
    if matches!(query.qtype, rtype::A | rtype::ANY) {
        reply.record(rtype::A, TTL, &Ipv4Addr::LOCALHOST.octets());
    }
    if matches!(query.qtype, rtype::AAAA | rtype::ANY) {
        reply.record(rtype::AAAA, TTL, &Ipv6Addr::LOCALHOST.octets());
    }
    reply.finish(rcode::NOERROR)
}

/// The services of a known name: `_name._protocol.host` (RFC 2782).
fn service(view: &View, query: &Query<'_>, limit: usize, out: &mut Vec<u8>) -> Option<bool> {
    let name = query.name.as_bytes();
    let (service, host) = {
        let mut labels = query.name.labels();
        let len = labels.next()?.len() + labels.next()?.len() + 2;
        name.split_at_checked(len)?
    };
    let hosts = view.find_wire(host)?;
    let ports = hosts.iter().flat_map(|host| {
        let of = host.services.iter().filter(|(name, _)| **name == *service);
        of.map(|&(_, port)| (&**host, port))
    });
    match encode::services(query, limit, ports, out) {
        Ok(truncated) => Some(truncated),
        Err(error) => {
            tracing::warn!(%error, name = ?query.name, "a service record could not be written");
            encode::empty(query, limit, rcode::SERVFAIL, out);
            Some(false)
        }
    }
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;

//! What the name service has counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What is counted. Every message is a `Queries` and exactly one of those from `Local` to
        /// `Abandoned`; the rest says what happened on the way.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Counter { $($(#[$doc])* $name,)* }

        impl Counter {
            /// Every counter, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name it is shown under.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

counters! {
    /// Messages that came in.
    Queries = "queries",
    /// Answered from the names of networks, or `localhost`.
    Local = "local",
    /// Answered from the cache.
    Cached = "cached",
    /// Answered by a server that was asked for this query.
    Forwarded = "forwarded",
    /// Answered by a server that was being asked the same already.
    Merged = "merged",
    /// An unknown name of one label, which the container's `ndots` keeps in.
    SingleLabel = "single_label",
    /// FORMERR: not one question, a name that is none, bytes left over.
    FormatError = "format_error",
    /// NOTIMP: another opcode than QUERY, a zone transfer, a transaction key.
    NotImplemented = "not_implemented",
    /// BADVERS: a version of EDNS other than 0.
    BadVersion = "bad_version",
    /// SERVFAIL: unknown, and the container may ask nobody outside.
    NotForwarded = "not_forwarded",
    /// SERVFAIL: too many queries wait for servers already.
    ForwardLimit = "forward_limit",
    /// SERVFAIL, or a server's own error: no server answered.
    UpstreamFailed = "upstream_failed",
    /// Dropped: shorter than a header.
    TooShort = "too_short",
    /// Dropped: a response.
    IsResponse = "is_response",
    /// Dropped: longer than a query can be.
    Oversized = "oversized",
    /// The client or its container went before the answer came.
    Abandoned = "abandoned",
    /// Answers that were cut to the client's size.
    Truncated = "truncated",
    /// Datagrams sent to servers.
    UpstreamUdp = "upstream_udp",
    /// Queries sent to servers over TCP.
    UpstreamTcp = "upstream_tcp",
    /// Servers that did not answer in time.
    UpstreamTimeout = "upstream_timeout",
    /// Servers that could not be reached.
    UpstreamUnreachable = "upstream_unreachable",
    /// Servers that answered with an error: SERVFAIL, REFUSED and all but NXDOMAIN.
    UpstreamError = "upstream_error",
    /// Servers that answered with what is no DNS message.
    UpstreamMalformed = "upstream_malformed",
    /// Datagrams that pretended to be an answer: wrong source, identifier or question.
    Forged = "forged",
    /// TCP connections that were taken.
    TcpConnections = "tcp_connections",
    /// TCP connections that were closed at once, there being too many.
    TcpLimit = "tcp_limit",
    /// TCP connections that were closed because nothing happened on them.
    TcpIdle = "tcp_idle",
    /// Answers the kernel would not send.
    SendFailed = "send_failed",
    /// Errors of the listening sockets.
    ReceiveFailed = "receive_failed",
}

/// The counters of a resolver.
#[derive(Debug)]
pub struct Counters([AtomicU64; Counter::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counters {
    /// One more.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// So many more.
    pub fn add(&self, counter: Counter, by: u64) {
        if let Some(c) = self.0.get(counter as usize) {
            c.fetch_add(by, Relaxed);
        }
    }

    /// How many there are.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).map_or(0, |c| c.load(Relaxed))
    }

    /// All of them by name; those that are zero are left out.
    pub fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        Counter::ALL.iter().map(|&c| (c.name(), self.get(c))).filter(|&(_, n)| n > 0).collect()
    }
}

/// Counts `Abandoned` unless the answer was made.
pub struct Unanswered<'a>(Option<&'a Counters>);

impl<'a> Unanswered<'a> {
    /// Watches from now on.
    pub const fn new(counters: &'a Counters) -> Self {
        Self(Some(counters))
    }

    /// The answer was made.
    pub fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(counters) = self.0 {
            counters.count(Counter::Abandoned);
        }
    }
}

//! What a server says to what a client says (RFC 2131, section 4.3).

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::endpoints::Entry;
use super::message::{Kind, Request};
use super::options::{Writer, code};
use crate::gateway::config::{DhcpConfig, State};

/// Seconds of the shortest lease a client can ask for.
const MIN_LEASE: u32 = 60;

/// What becomes of a request.
pub(super) enum Outcome<'a> {
    Reply(Reply<'a>),
    /// The station, or an address for it, is not known.
    Unknown,
    /// The station asks too often.
    Limited,
    /// The request makes no sense.
    Invalid,
    /// The client has chosen another server.
    OtherServer,
    /// The client gives its address back. It stays its own.
    Released,
    /// The client found its address in use.
    Declined,
}

/// One reply.
pub(super) struct Reply<'a> {
    /// Offer, Ack or Nak.
    pub(super) kind: Kind,
    /// The gateway's address in the client's subnet.
    pub(super) server: Ipv4Addr,
    /// Where a client that has an address gets the reply.
    pub(super) ciaddr: Ipv4Addr,
    /// The address it is given.
    pub(super) yiaddr: Ipv4Addr,
    /// None in a refusal.
    pub(super) lease: Option<Lease<'a>>,
}

/// Everything a client is told.
pub(super) struct Lease<'a> {
    /// None for a client that has its address from elsewhere.
    seconds: Option<u32>,
    subnet: Ipv4Net,
    state: &'a State,
    config: &'a DhcpConfig,
    endpoint: &'a Entry,
}

/// The answer to a request of the station behind `endpoint`, sent from `source`.
pub(super) fn respond<'a>(
    state: &'a State,
    endpoint: &'a Entry,
    request: &Request<'_>,
    source: Ipv4Addr,
) -> Outcome<'a> {
    let Some(config) = &state.config.dhcp else { return Outcome::Unknown };
    let Some(address) = endpoint.address else { return Outcome::Unknown };
    let Some(&subnet) = state.config.v4.iter().find(|net| net.contains(&address)) else {
        return Outcome::Unknown;
    };
    let server = subnet.addr();
    let lease = |seconds| Some(Lease { seconds, subnet, state, config, endpoint });
    let given = |kind, ciaddr| {
        let seconds = request.lease.map_or(config.lease, |wanted| wanted.max(MIN_LEASE).min(config.lease));
        Outcome::Reply(Reply { kind, server, ciaddr, yiaddr: address, lease: lease(Some(seconds)) })
    };
    let none = Ipv4Addr::UNSPECIFIED;
    match request.kind {
        Kind::Discover => given(Kind::Offer, none),
        Kind::Request => {
            if request.server.is_some_and(|chosen| !state.owns4(chosen)) {
                return Outcome::OtherServer;
            }
            let has = Some(request.ciaddr).filter(|has| !has.is_unspecified());
            // The address is in one place or the other, by the client's state (section 4.3.6).
            match request.requested.or(has) {
                None => Outcome::Invalid,
                Some(wanted) if wanted == address && has.is_none_or(|has| has == address) => {
                    given(Kind::Ack, request.ciaddr)
                }
                Some(_) => {
                    Outcome::Reply(Reply { kind: Kind::Nak, server, ciaddr: none, yiaddr: none, lease: None })
                }
            }
        }
        Kind::Inform => {
            let has = if request.ciaddr.is_unspecified() { source } else { request.ciaddr };
            if !state.is_peer4(has) || !subnet.contains(&has) {
                return Outcome::Invalid;
            }
            Outcome::Reply(Reply { kind: Kind::Ack, server, ciaddr: has, yiaddr: none, lease: lease(None) })
        }
        Kind::Decline | Kind::Release if request.server.is_some_and(|chosen| !state.owns4(chosen)) => {
            Outcome::OtherServer
        }
        Kind::Decline => Outcome::Declined,
        Kind::Release => Outcome::Released,
        Kind::Offer | Kind::Ack | Kind::Nak => Outcome::Invalid,
    }
}

impl Reply<'_> {
    /// What a client cannot do without.
    pub(super) fn write_options(&self, options: &mut Writer<'_>) {
        let Some(lease) = &self.lease else { return };
        if let Some(seconds) = lease.seconds {
            options.put(code::LEASE_TIME, &seconds.to_be_bytes());
            if seconds < u32::MAX {
                options.put(code::RENEWAL_TIME, &(seconds / 2).to_be_bytes());
                options.put(code::REBINDING_TIME, &(seconds - seconds / 8).to_be_bytes());
            }
        }
        options.put(code::SUBNET_MASK, &lease.subnet.netmask().octets());
        if lease.state.config.router {
            options.put(code::ROUTER, &self.server.octets());
        }
        let servers = &lease.config.servers;
        if !servers.is_empty() {
            let mut list = [0; 4 * MAX_SERVERS];
            let (list_servers, _) = list.as_chunks_mut();
            for (to, server) in list_servers.iter_mut().zip(servers) {
                *to = server.octets();
            }
            let len = 4 * servers.len().min(MAX_SERVERS);
            options.put(code::NAME_SERVER, list.get(..len).unwrap_or_default());
        } else if lease.state.config.dns.is_some() {
            options.put(code::NAME_SERVER, &self.server.octets());
        }
        // The option's least value is 68 (RFC 2132, section 5.1).
        if let Ok(mtu @ 68..) = u16::try_from(lease.state.config.mtu) {
            options.put(code::MTU, &mtu.to_be_bytes());
        }
    }
}

/// Name servers in one lease.
const MAX_SERVERS: usize = 8;

impl Lease<'_> {
    /// What a client would rather know.
    pub(super) fn write_rest(&self, options: &mut Writer<'_>) {
        options.put(code::HOST_NAME, &self.endpoint.hostname);
        options.put(code::DOMAIN, self.config.domain.as_deref().unwrap_or_default().as_bytes());
        if self.subnet.prefix_len() < 31 {
            options.put(code::BROADCAST, &self.subnet.broadcast().octets());
        }
        options.put(code::SEARCH, &self.endpoint.search);
    }
}

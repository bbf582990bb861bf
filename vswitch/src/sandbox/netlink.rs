//! The few requests to rtnetlink(7) that set an interface up.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use packet::MacAddr;

/// Why the kernel did not do it.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket failed.
    #[error("rtnetlink does not answer: {0}")]
    Socket(#[from] std::io::Error),
    /// The kernel refused.
    #[error("the kernel refused to {what}: {error}")]
    Refused {
        /// What was asked.
        what: String,
        /// Its errno.
        error: std::io::Error,
    },
    /// The answer makes no sense.
    #[error("an answer of rtnetlink that cannot be read: {0}")]
    Answer(String),
}

/// A socket in the network namespace in which it was made.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the caller's network namespace.
    ///
    /// # Errors
    /// [`NetlinkError::Socket`].
    pub fn new() -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    fn exchange(
        &mut self,
        what: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Option<RouteNetlinkMessage>, NetlinkError> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut reply = Vec::with_capacity(32 * 1024);
        loop {
            reply.clear();
            self.socket.recv(&mut reply, 0)?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&reply)
                .map_err(|e| NetlinkError::Answer(e.to_string()))?;
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            return match answer.payload {
                NetlinkPayload::Error(e) if e.code.is_some() => {
                    Err(NetlinkError::Refused { what: what.to_owned(), error: e.to_io() })
                }
                NetlinkPayload::InnerMessage(inner) => Ok(Some(inner)),
                _ => Ok(None),
            };
        }
    }

    /// The index of an interface.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] when there is none of that name.
    pub fn index_of(&mut self, name: &str) -> Result<u32, NetlinkError> {
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.exchange(&format!("find interface {name}"), RouteNetlinkMessage::GetLink(link), 0)? {
            Some(RouteNetlinkMessage::NewLink(found)) => Ok(found.header.index),
            _ => Err(NetlinkError::Answer(format!("no index for {name}"))),
        }
    }

    fn set_link(
        &mut self,
        what: &str,
        index: u32,
        up: bool,
        attributes: Vec<LinkAttribute>,
    ) -> Result<(), NetlinkError> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        if up {
            link.header.flags = LinkFlags::Up;
            link.header.change_mask = LinkFlags::Up;
        }
        link.attributes = attributes;
        self.exchange(what, RouteNetlinkMessage::SetLink(link), NLM_F_ACK).map(drop)
    }

    /// Sets an interface up.
    ///
    /// # Errors
    /// [`NetlinkError`].
    pub fn set_up(&mut self, index: u32) -> Result<(), NetlinkError> {
        self.set_link("set the interface up", index, true, Vec::new())
    }

    /// Sets hardware address, MTU and transmit queue length of an interface that is down.
    ///
    /// # Errors
    /// [`NetlinkError`].
    pub fn configure(
        &mut self,
        index: u32,
        mac: MacAddr,
        mtu: u32,
        txqueuelen: u32,
    ) -> Result<(), NetlinkError> {
        let attributes = vec![
            LinkAttribute::Address(mac.0.to_vec()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::TxQueueLen(txqueuelen),
        ];
        self.set_link(&format!("give the interface address {mac} and MTU {mtu}"), index, false, attributes)
    }

    /// Removes an interface.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] with ENODEV when it is gone.
    pub fn remove(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        self.exchange("remove the interface", RouteNetlinkMessage::DelLink(link), NLM_F_ACK).map(drop)
    }

    /// Moves an interface to another network namespace, under the name it is to have there.
    ///
    /// # Errors
    /// [`NetlinkError::Refused`] with EEXIST when the name is taken there.
    pub fn move_to(&mut self, index: u32, netns: BorrowedFd<'_>, name: &str) -> Result<(), NetlinkError> {
        let attributes =
            vec![LinkAttribute::NetNsFd(netns.as_raw_fd()), LinkAttribute::IfName(name.to_owned())];
        self.set_link(&format!("move the interface into the namespace as {name}"), index, false, attributes)
    }

    /// Adds an address. IPv6 addresses are used at once: the switch gives each only once, so
    /// duplicate address detection (RFC 4862) would only delay them.
    ///
    /// # Errors
    /// [`NetlinkError`].
    pub fn add_address(&mut self, index: u32, address: IpNet) -> Result<(), NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = address.prefix_len();
        message.header.family = family(address.addr());
        message.attributes.push(AddressAttribute::Address(address.addr()));
        match address {
            IpNet::V4(net) => {
                message.attributes.push(AddressAttribute::Local(address.addr()));
                if net.prefix_len() < 31 {
                    message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
                }
            }
            IpNet::V6(_) => message.header.flags = AddressHeaderFlags::Nodad,
        }
        let what = format!("add address {address}");
        self.exchange(&what, RouteNetlinkMessage::NewAddress(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
            .map(drop)
    }

    /// Adds a route to a subnet, or the default route.
    ///
    /// # Errors
    /// [`NetlinkError`].
    pub fn add_route(&mut self, index: u32, to: Option<IpNet>, gateway: IpAddr) -> Result<(), NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(gateway);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Boot;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        message.attributes.push(RouteAttribute::Oif(index));
        let what = match to {
            Some(subnet) => {
                message.header.destination_prefix_length = subnet.prefix_len();
                message.attributes.push(RouteAttribute::Destination(subnet.network().into()));
                format!("add a route to {subnet} via {gateway}")
            }
            None => format!("add the default route via {gateway}"),
        };
        self.exchange(&what, RouteNetlinkMessage::NewRoute(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
            .map(drop)
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

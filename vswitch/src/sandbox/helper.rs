//! The helper: a short-lived process that does one thing in somebody's namespace.
//!
//! A TAP's descriptor keeps alive the network namespace in which /dev/net/tun was opened. Opened
//! in the container's it would keep a deleted namespace from ever going away. So the helper makes
//! the TAP in an empty namespace of its own and moves it over: the descriptor then holds nothing
//! but that, and says POLLERR when the container's namespace is gone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use super::channel::{Channel, ChannelError};
use super::netlink::{Netlink, NetlinkError};
use super::ns::{self, NsError};
use super::spec::{DefaultRoute, HelperJob, HelperReply, HelperSpec, MadePort, Place, PortSpec};
use crate::sys::tun::{self, NewTap, TunError};

/// Frames the kernel keeps for the switch in each queue before it drops.
const TXQUEUELEN: u32 = 1000;

/// Where a container finds its name service. All of 127.0.0.0/8 is the namespace's own, and this is
/// the address Docker's users know.
pub const NAME_SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)), 53);

/// Why the interface could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// No way into the namespace.
    #[error(transparent)]
    Namespace(#[from] NsError),
    /// No TAP.
    #[error(transparent)]
    Tun(#[from] TunError),
    /// It could not be set up.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Somebody has the name service's address.
    #[error("the name service cannot listen on {NAME_SERVICE} in the namespace: {0}")]
    NameService(std::io::Error),
    /// The name is taken.
    #[error("the namespace already has an interface named {0}: detach it first")]
    InterfaceExists(String),
}

/// The helper's whole life: one request from the channel, one answer.
///
/// # Errors
/// When nobody is there to hear the answer.
pub fn main(channel: &Channel) -> Result<(), ChannelError> {
    let (spec, _): (HelperSpec, _) = channel.recv()?;
    let done = match &spec.job {
        HelperJob::SetUp { ports, name_service } => {
            set_up(&spec.place, ports, *name_service).map(|(made, fds)| (HelperReply::Ready(made), fds))
        }
        HelperJob::DefaultRoute(route) => {
            default_route(&spec.place, route).map(|()| (HelperReply::Done, Vec::new()))
        }
    };
    match done {
        Ok((reply, fds)) => {
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            channel.send(&reply, &fds)
        }
        Err(error) => channel.send(&HelperReply::Failed(error.to_string()), &[]),
    }
}

/// The UDP and the TCP socket of the name service, in the caller's namespace.
fn name_service() -> Result<[OwnedFd; 2], HelperError> {
    let udp = UdpSocket::bind(NAME_SERVICE).map_err(HelperError::NameService)?;
    let tcp = TcpListener::bind(NAME_SERVICE).map_err(HelperError::NameService)?;
    Ok([udp.into(), tcp.into()])
}

fn default_route(place: &Place, route: &DefaultRoute) -> Result<(), HelperError> {
    let target = ns::open(place)?;
    ns::enter_owner(&target)?;
    ns::enter(&target)?;
    let mut inside = Netlink::new()?;
    let index = inside.index_of(&route.interface)?;
    add_default_routes(&mut inside, index, &route.gateways)
}

fn add_default_routes(inside: &mut Netlink, index: u32, gateways: &[IpAddr]) -> Result<(), HelperError> {
    for gateway in gateways {
        match inside.add_default_route(index, *gateway) {
            // A namespace that has a way out keeps it.
            Err(NetlinkError::Refused { error, .. }) if error.raw_os_error() == Some(libc::EEXIST) => {}
            other => other?,
        }
    }
    Ok(())
}

fn set_up(
    place: &Place,
    ports: &[PortSpec],
    with_names: bool,
) -> Result<(Vec<MadePort>, Vec<OwnedFd>), HelperError> {
    let target = ns::open(place)?;
    ns::enter_owner(&target)?;
    let taps = if ports.is_empty() { Vec::new() } else { make_and_move(&target, ports)? };

    ns::enter(&target)?;
    let mut inside = Netlink::new()?;
    let lo = inside.index_of("lo")?;
    inside.set_up(lo)?;
    for port in ports {
        let index = inside.index_of(&port.interface)?;
        for address in &port.addresses {
            inside.add_address(index, *address)?;
        }
        inside.set_up(index)?;
        add_default_routes(&mut inside, index, &port.gateways)?;
    }
    let made = taps.iter().map(|tap| MadePort { offloads: tap.offloads, queues: tap.queues.len() }).collect();
    let mut fds: Vec<OwnedFd> = taps.into_iter().flat_map(|tap| tap.queues).collect();
    if with_names {
        fds.extend(name_service()?);
    }
    Ok((made, fds))
}

/// Makes TAPs in an empty namespace and moves them to where they belong.
fn make_and_move(target: &OwnedFd, ports: &[PortSpec]) -> Result<Vec<NewTap>, HelperError> {
    ns::unshare_net()?;
    let mut nursery = Netlink::new()?;
    let mut taps = Vec::with_capacity(ports.len());
    for port in ports {
        let tap = tun::create_tap(&port.interface, port.queues.clamp(1, 16))?;
        let index = nursery.index_of(&port.interface)?;
        nursery.configure(index, port.mac, port.mtu, TXQUEUELEN)?;
        nursery.move_to(index, target.as_fd(), &port.interface).map_err(|error| match error {
            NetlinkError::Refused { error, .. } if error.raw_os_error() == Some(libc::EEXIST) => {
                HelperError::InterfaceExists(port.interface.clone())
            }
            other => other.into(),
        })?;
        taps.push(tap);
    }
    Ok(taps)
}

//! The helper: one thing is done in somebody's namespace, by a thread where its rights suffice,
//! else by a process that takes on the rights of the namespace's owner.
//!
//! A TAP's descriptor keeps alive the network namespace in which /dev/net/tun was opened. Opened in
//! one that others made it would keep a deleted namespace from ever going away. So there the helper
//! makes the TAP in an empty namespace of its own and moves it over: the descriptor then holds
//! nothing but that, and says POLLERR when the container's namespace is gone. The move waits for
//! all that the kernel has yet to free (`rcu_barrier`), ten milliseconds and more; a namespace that
//! ends with our own processes does without.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use ipnet::IpNet;
use nix::errno::Errno;

use super::channel::{Channel, ChannelError};
use super::netlink::{Netlink, NetlinkError};
use super::ns::{self, NsError};
use super::spec::{DefaultRoute, HelperJob, HelperReply, HelperSpec, MadePort, Place, PortSpec};
use crate::sys::tun::{self, NewTap, TunError};

/// Frames the kernel keeps for the switch in each queue before it drops.
const TXQUEUELEN: u32 = 1000;

/// Bytes of the stack of a helper that is a thread.
const STACK: usize = 256 * 1024;

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

/// The life of a helper that is a process: one request from the channel, one answer.
///
/// # Errors
/// When nobody is there to hear the answer.
pub fn main(channel: &Channel) -> Result<(), ChannelError> {
    let (spec, _): (HelperSpec, _) = channel.recv()?;
    let (reply, fds) = work(&spec);
    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
    channel.send(&reply, &fds)
}

/// Does it in a thread, where no other rights than the caller's are needed: namespaces of the network
/// are a thread's own (setns(2)), user namespaces are a process's.
pub fn in_thread(spec: &HelperSpec) -> Option<(HelperReply, Vec<OwnedFd>)> {
    if !ns::open(&spec.place).is_ok_and(|target| ns::may_enter(&target)) {
        return None;
    }
    let spec = spec.clone();
    let thread = thread::Builder::new().name("helper".into()).stack_size(STACK).spawn(move || work(&spec));
    thread.ok()?.join().ok()
}

fn work(spec: &HelperSpec) -> (HelperReply, Vec<OwnedFd>) {
    let done = match &spec.job {
        HelperJob::SetUp { ports, name_service, ours } => set_up(&spec.place, ports, *name_service, *ours)
            .map(|(made, fds)| (HelperReply::Ready(made), fds)),
        HelperJob::DefaultRoute(route) => {
            default_route(&spec.place, route).map(|()| (HelperReply::Done, Vec::new()))
        }
    };
    done.unwrap_or_else(|error| (HelperReply::Failed(error.to_string()), Vec::new()))
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
    gateways.iter().try_for_each(|gateway| add_route(inside, index, None, *gateway))
}

/// A namespace that has such a route keeps it.
fn add_route(
    inside: &mut Netlink,
    index: u32,
    to: Option<IpNet>,
    gateway: IpAddr,
) -> Result<(), HelperError> {
    match inside.add_route(index, to, gateway) {
        Err(NetlinkError::Refused { error, .. }) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
        other => Ok(other?),
    }
}

fn set_up(
    place: &Place,
    ports: &[PortSpec],
    with_names: bool,
    ours: bool,
) -> Result<(Vec<MadePort>, Vec<OwnedFd>), HelperError> {
    let target = ns::open(place)?;
    ns::enter_owner(&target)?;
    let mut taps = if ours || ports.is_empty() { Vec::new() } else { make_and_move(&target, ports)? };

    ns::enter(&target)?;
    let mut inside = Netlink::new()?;
    if ours {
        for port in ports {
            if inside.index_of(&port.interface).is_ok() {
                return Err(HelperError::InterfaceExists(port.interface.clone()));
            }
            taps.push(make(&mut inside, port)?.0);
        }
    }
    let lo = inside.index_of("lo")?;
    inside.set_up(lo)?;
    for port in ports {
        let index = inside.index_of(&port.interface)?;
        for address in &port.addresses {
            inside.add_address(index, *address)?;
        }
        inside.set_up(index)?;
        for (subnet, gateway) in &port.routes {
            add_route(&mut inside, index, Some(*subnet), *gateway)?;
        }
        add_default_routes(&mut inside, index, &port.gateways)?;
    }
    let made = taps.iter().map(|tap| MadePort { offloads: tap.offloads, queues: tap.queues.len() }).collect();
    let mut fds: Vec<OwnedFd> = taps.into_iter().flat_map(|tap| tap.queues).collect();
    if with_names {
        fds.extend(name_service()?);
    }
    Ok((made, fds))
}

/// Makes a TAP where the caller is; it and its index.
fn make(here: &mut Netlink, port: &PortSpec) -> Result<(NewTap, u32), HelperError> {
    let tap = tun::create_tap(&port.interface, port.queues.clamp(1, 16)).map_err(|error| match error {
        TunError::Create { errno: Errno::EBUSY, name } => HelperError::InterfaceExists(name),
        other => other.into(),
    })?;
    let index = here.index_of(&port.interface)?;
    here.configure(index, port.mac, port.mtu, TXQUEUELEN)?;
    Ok((tap, index))
}

/// Makes TAPs in an empty namespace and moves them to where they belong.
fn make_and_move(target: &OwnedFd, ports: &[PortSpec]) -> Result<Vec<NewTap>, HelperError> {
    ns::unshare_net()?;
    let mut nursery = Netlink::new()?;
    let mut taps = Vec::with_capacity(ports.len());
    for port in ports {
        let (tap, index) = make(&mut nursery, port)?;
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

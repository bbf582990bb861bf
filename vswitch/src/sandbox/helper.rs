//! The helper: a short-lived process that makes one interface in somebody's namespace.
//!
//! A TAP's descriptor keeps alive the network namespace in which /dev/net/tun was opened. Opened
//! in the container's it would keep a deleted namespace from ever going away. So the helper makes
//! the TAP in an empty namespace of its own and moves it over: the descriptor then holds nothing
//! but that, and says POLLERR when the container's namespace is gone.

use std::os::fd::AsFd;

use super::channel::{Channel, ChannelError};
use super::netlink::{Netlink, NetlinkError};
use super::ns::{self, NsError};
use super::spec::{HelperReply, HelperSpec};
use crate::sys::tun::{self, NewTap, TunError};

/// Frames the kernel keeps for the switch in each queue before it drops.
const TXQUEUELEN: u32 = 1000;

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
    match make(&spec) {
        Ok(tap) => {
            let fds: Vec<_> = tap.queues.iter().map(AsFd::as_fd).collect();
            channel.send(&HelperReply::Ready(tap.offloads), &fds)
        }
        Err(error) => channel.send(&HelperReply::Failed(error.to_string()), &[]),
    }
}

fn make(spec: &HelperSpec) -> Result<NewTap, HelperError> {
    let port = &spec.port;
    let target = ns::open(&spec.target)?;
    ns::enter_owner(&target)?;
    ns::unshare_net()?;
    let tap = tun::create_tap(&port.interface, port.queues.clamp(1, 16))?;

    let mut nursery = Netlink::new()?;
    let index = nursery.index_of(&port.interface)?;
    nursery.configure(index, port.mac, port.mtu, TXQUEUELEN)?;
    nursery.move_to(index, target.as_fd(), &port.interface).map_err(|error| match error {
        NetlinkError::Refused { error, .. } if error.raw_os_error() == Some(libc::EEXIST) => {
            HelperError::InterfaceExists(port.interface.clone())
        }
        other => other.into(),
    })?;

    ns::enter(&target)?;
    let mut inside = Netlink::new()?;
    let lo = inside.index_of("lo")?;
    inside.set_up(lo)?;
    let index = inside.index_of(&port.interface)?;
    for address in &port.addresses {
        inside.add_address(index, *address)?;
    }
    inside.set_up(index)?;
    for gateway in &port.gateways {
        match inside.add_default_route(index, *gateway) {
            // A namespace that has a way out keeps it.
            Err(NetlinkError::Refused { error, .. }) if error.raw_os_error() == Some(libc::EEXIST) => {}
            other => other?,
        }
    }
    Ok(tap)
}

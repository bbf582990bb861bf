//! The host's own interface on a network: a TAP in the daemon's network namespace that is called as
//! Docker's bridge would be, and has the gateway's MAC and addresses.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use ipnet::IpNet;
use nix::errno::Errno;
use packet::Frame;
use rustix::thread::{CapabilitySet, capabilities};

use crate::control::error::ControlError;
use crate::dataplane::tap::{TapReceive, TapTransmit, tap_port};
use crate::dataplane::{Receive, Received};
use crate::gateway::{GatewayConfig, link_local};
use crate::sandbox::netlink::{Netlink, NetlinkError};
use crate::sys::tun::{self, TunError};

/// Frames the kernel keeps for the switch before it drops.
const TXQUEUELEN: u32 = 1000;

/// Why a network has no interface on the host.
#[derive(Debug, thiserror::Error)]
pub(super) enum HostInterfaceError {
    /// The caller may not.
    #[error(
        "--host-interface makes interfaces in the daemon's own network namespace, for which it needs CAP_NET_ADMIN \
         there: start the daemon as root, or leave the flag out"
    )]
    NotAllowed,
    /// Somebody has the name.
    #[error(
        "the host already has an interface named {0}: remove or rename it, or leave --host-interface out"
    )]
    NameTaken(String),
    /// The kernel means something else by it.
    #[error("\"{0}\" cannot be the name of the network's interface on the host")]
    Name(String),
    /// Somebody has the address.
    #[error(
        "the host's interface {interface} already has the address {address}, which is in the network's subnet \
         {subnet}: give the network another subnet"
    )]
    AddressTaken {
        /// Who has it.
        interface: String,
        /// What it has.
        address: IpAddr,
        /// Whose it would be.
        subnet: IpNet,
    },
    /// No TAP.
    #[error(transparent)]
    Tun(TunError),
    /// It could not be set up.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A call on it failed.
    #[error("the interface {0} cannot be used: {1}")]
    System(String, Errno),
}

impl From<HostInterfaceError> for ControlError {
    fn from(error: HostInterfaceError) -> Self {
        let text = error.to_string();
        match error {
            HostInterfaceError::NotAllowed => Self::Forbidden(text),
            HostInterfaceError::NameTaken(_) | HostInterfaceError::AddressTaken { .. } => {
                Self::Conflict(text)
            }
            HostInterfaceError::Name(_) | HostInterfaceError::Tun(TunError::Name(_)) => Self::Invalid(text),
            _ => Self::Failed(text),
        }
    }
}

/// Whether the caller may make interfaces at all. The kernel may still refuse: its network namespace
/// may be another user namespace's.
///
/// # Errors
/// [`HostInterfaceError::NotAllowed`].
pub(super) fn permitted() -> Result<(), HostInterfaceError> {
    let allowed = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_ADMIN));
    if allowed { Ok(()) } else { Err(HostInterfaceError::NotAllowed) }
}

/// An interface, the way to the host, and what the host sends.
type Made = (HostInterface, TapTransmit, Vec<Box<dyn Receive>>);

/// The interface is there as long as this and its port are.
pub(super) struct HostInterface {
    name: String,
    index: u32,
}

impl HostInterface {
    /// Makes the interface `name` with the MAC, the MTU and the addresses of a gateway, and sets it up.
    /// `subnets` are the network's.
    ///
    /// # Errors
    /// [`HostInterfaceError`]; there is no interface then.
    pub(super) fn make(
        name: &str,
        gateway: &GatewayConfig,
        subnets: &[IpNet],
    ) -> Result<Made, HostInterfaceError> {
        use HostInterfaceError::{Name, NameTaken, NotAllowed, System, Tun};
        // A template to the kernel, and two directories that are of all interfaces.
        if name.contains('%') || matches!(name, "all" | "default") {
            return Err(Name(name.to_owned()));
        }
        if nix::net::if_::if_nametoindex(name).is_ok() {
            return Err(NameTaken(name.to_owned()));
        }
        untaken(subnets)?;
        let tap = tun::create_tap(name, 1).map_err(|error| match error {
            TunError::Create { errno: Errno::EBUSY, name } => NameTaken(name),
            TunError::Create { errno: Errno::EPERM, .. } => NotAllowed,
            other => Tun(other),
        })?;
        // From here on the interface goes with the descriptors.
        let mut netlink = Netlink::new()?;
        let index = netlink.index_of(name)?;
        netlink.configure(index, gateway.mac, gateway.mtu, TXQUEUELEN)?;
        keep_to_itself(name, !gateway.v6.is_empty());
        let v4 = gateway.v4.iter().copied().map(IpNet::V4);
        let v6 = gateway.v6.iter().copied().map(IpNet::V6);
        // The gateway answers for this one too.
        let local =
            (!gateway.v6.is_empty()).then(|| IpNet::new(link_local(gateway.mac).into(), 64).ok()).flatten();
        for address in v4.chain(v6).chain(local) {
            netlink.add_address(index, address)?;
        }
        netlink.set_up(index)?;
        let (transmit, queues) =
            tap_port(tap.queues, tap.offloads).map_err(|e| System(name.to_owned(), e))?;
        let host = |queue| Box::new(HostReceive { queue, name: name.to_owned() }) as Box<dyn Receive>;
        Ok((Self { name: name.to_owned(), index }, transmit, queues.into_iter().map(host).collect()))
    }

    /// Removes it now, whoever else may have its port for a moment longer.
    pub(super) fn remove(&self) {
        match Netlink::new().and_then(|mut netlink| netlink.remove(self.index)) {
            Err(NetlinkError::Refused { error, .. }) if error.raw_os_error() == Some(libc::ENODEV) => {}
            Err(error) => tracing::warn!("the interface {} is left: {error}", self.name),
            Ok(()) => {}
        }
    }
}

/// No interface of the host has an address in one of the subnets.
fn untaken(subnets: &[IpNet]) -> Result<(), HostInterfaceError> {
    let all = nix::ifaddrs::getifaddrs().map_err(|e| HostInterfaceError::System("list".into(), e))?;
    for interface in all {
        let Some(address) = interface.address.and_then(|storage| {
            let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        }) else {
            continue;
        };
        // Every link has those.
        if matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            continue;
        }
        if let Some(subnet) = subnets.iter().find(|subnet| subnet.contains(&address)) {
            let (interface, subnet) = (interface.interface_name, *subnet);
            return Err(HostInterfaceError::AddressTaken { interface, address, subnet });
        }
    }
    Ok(())
}

/// Keeps the kernel from doing more with the interface than it is told. Where /proc/sys may not be
/// written the host only says a little more on the network: what containers could do to its routes
/// never reaches it.
fn keep_to_itself(name: &str, with_v6: bool) {
    let settings: &[(&str, &str)] = if with_v6 {
        // No routes from router advertisements; no link-local address but the gateway's, at once.
        &[("accept_ra", "0"), ("accept_redirects", "0"), ("addr_gen_mode", "1"), ("accept_dad", "0")]
    } else {
        &[("disable_ipv6", "1")]
    };
    let dir = PathBuf::from("/proc/sys/net/ipv6/conf").join(name);
    for (setting, value) in settings {
        // A kernel without IPv6 has none of them.
        if dir.exists()
            && let Err(error) = std::fs::write(dir.join(setting), value)
        {
            tracing::debug!("{setting} of {name} stays as it is: {error}");
        }
    }
}

/// What the host sends.
struct HostReceive {
    queue: TapReceive,
    name: String,
}

impl Receive for HostReceive {
    fn fd(&self) -> BorrowedFd<'_> {
        self.queue.fd()
    }

    fn recv(&mut self, frame: &mut Frame) -> Received {
        match self.queue.recv(frame) {
            // The gateway stays.
            Received::Gone => {
                tracing::warn!("the interface {} is gone; the next daemon makes it again", self.name);
                Received::Ended
            }
            other => other,
        }
    }
}

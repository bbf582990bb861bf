//! A raw socket on an interface (packet(7)), with the virtio-net header where it is wanted.
#![allow(unsafe_code)]

use std::io::{Error, IoSlice, Result};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendmsg, socket};

/// Bytes of the header that comes before a frame: without `num_buffers`.
pub const HEADER_LEN: usize = 10;

/// A socket that sends whole Ethernet frames out of one interface.
#[derive(Debug)]
pub struct PacketSocket {
    fd: OwnedFd,
    to: LinkAddr,
}

impl PacketSocket {
    /// Opens one; with `header` every frame is preceded by a virtio-net header.
    ///
    /// # Errors
    /// What the kernel says; it wants `CAP_NET_RAW`.
    pub fn open(interface: &str, header: bool) -> Result<Self> {
        let index = if_nametoindex(interface)?;
        let to = getifaddrs()?
            .filter(|entry| entry.interface_name == interface)
            .find_map(|entry| entry.address.and_then(|a| a.as_link_addr().copied()))
            .filter(|link| link.ifindex() == index as usize)
            .ok_or_else(|| Error::other(format!("{interface} has no link address")))?;
        let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
        if header {
            let on: libc::c_int = 1;
            // SAFETY: PACKET_VNET_HDR reads one int, which outlives the call.
            let r = unsafe {
                libc::setsockopt(
                    fd.as_raw_fd(),
                    libc::SOL_PACKET,
                    libc::PACKET_VNET_HDR,
                    (&raw const on).cast(),
                    size_of::<libc::c_int>() as libc::socklen_t,
                )
            };
            if r != 0 {
                return Err(Error::last_os_error());
            }
        }
        Ok(Self { fd, to })
    }

    /// Sends one frame, all of whose parts are given.
    ///
    /// # Errors
    /// What the kernel says: ENOBUFS when the interface's queue is full, EINVAL when it sees
    /// through the header.
    pub fn send(&self, parts: &[&[u8]]) -> Result<()> {
        let parts: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        sendmsg(self.fd.as_raw_fd(), &parts, &[], MsgFlags::empty(), Some(&self.to))?;
        Ok(())
    }

    /// As [`send`](Self::send), waiting while the interface's queue is full.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send_all(&self, frame: &[u8]) -> Result<()> {
        loop {
            match self.send(&[frame]) {
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => std::thread::yield_now(),
                other => return other,
            }
        }
    }

    /// The interface's own address.
    pub fn address(&self) -> [u8; 6] {
        self.to.addr().unwrap_or_default()
    }
}

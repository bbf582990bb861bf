//! The ioctls of /dev/net/tun (Linux Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h).
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use packet::offload::VNET_HEADER_LEN;
use packet::{GsoKind, Offload};
use serde::{Deserialize, Serialize};

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const TUNGETIFF: libc::c_ulong = 0x8004_54d2;
const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;

const IFF_TAP: libc::c_int = 0x0002;
const IFF_MULTI_QUEUE: libc::c_int = 0x0100;
const IFF_NO_PI: libc::c_int = 0x1000;
const IFF_TUN_EXCL: libc::c_int = 0x8000;
const IFF_VNET_HDR: libc::c_int = 0x4000;

const F_CSUM: libc::c_ulong = 0x01;
const F_TSO4: libc::c_ulong = 0x02;
const F_TSO6: libc::c_ulong = 0x04;
const F_TSO_ECN: libc::c_ulong = 0x08;
const F_USO: libc::c_ulong = 0x20 | 0x40;

/// Where TAP devices come from.
pub const TUN_PATH: &str = "/dev/net/tun";

/// What a TAP takes undone. The kernel that takes a kind of super-frame also sends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools)]
pub struct TapOffloads {
    /// Partial checksums.
    pub checksum: bool,
    /// TCP super-frames over IPv4.
    pub tso4: bool,
    /// TCP super-frames over IPv6.
    pub tso6: bool,
    /// TCP super-frames whose first segment has CWR.
    pub ecn: bool,
    /// UDP super-frames over either version (Linux 6.2 and later).
    pub uso: bool,
}

impl TapOffloads {
    /// Whether a frame can be written as it is.
    pub fn accept(self, offload: Offload) -> bool {
        let partial = matches!(offload.checksum, packet::Checksum::Partial { .. });
        (self.checksum || !partial)
            && offload.gso.is_none_or(|gso| {
                (self.ecn || !gso.ecn)
                    && match gso.kind {
                        GsoKind::Tcp4 => self.tso4,
                        GsoKind::Tcp6 => self.tso6,
                        GsoKind::UdpL4 => self.uso,
                    }
            })
    }

    /// The names as `info` prints them.
    pub fn names(self) -> Vec<&'static str> {
        [
            (self.checksum, "csum"),
            (self.tso4, "tso4"),
            (self.tso6, "tso6"),
            (self.ecn, "tso-ecn"),
            (self.uso, "uso"),
        ]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
        .collect()
    }
}

/// Why no TAP could be made.
#[derive(Debug, thiserror::Error)]
pub enum TunError {
    /// There is no device node, or no driver behind it.
    #[error(
        "{TUN_PATH} is missing: load the driver with `modprobe tun`, or give this sandbox the device ({0})"
    )]
    NoDevice(Errno),
    /// The node exists and may not be opened.
    #[error("{TUN_PATH} may not be opened: as root, `chmod 0666 {TUN_PATH}`, as distributions have it ({0})")]
    NotAllowed(Errno),
    /// TUNSETIFF was refused for another reason than the header.
    #[error("the kernel refused a TAP named {name}: {errno}")]
    Create {
        /// The name asked for.
        name: String,
        /// What it said.
        errno: Errno,
    },
    /// The interface name cannot be one.
    #[error("\"{0}\" cannot be an interface name: 1 to 15 bytes without \"/\", white space or \":\"")]
    Name(String),
}

fn open() -> Result<File, TunError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(TUN_PATH)
        .map_err(|e| {
            let errno = Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
            match errno {
                Errno::EACCES | Errno::EPERM => TunError::NotAllowed(errno),
                _ => TunError::NoDevice(errno),
            }
        })
}

fn ifreq(name: &str, flags: libc::c_int) -> Result<libc::ifreq, TunError> {
    let valid = (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b > b' ' && b < 0x7f && b != b'/' && b != b':');
    if !valid {
        return Err(TunError::Name(name.to_owned()));
    }
    // SAFETY: ifreq is plain data, for which all zeroes is a valid value.
    let mut req: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in req.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    req.ifr_ifru.ifru_flags = flags as libc::c_short;
    Ok(req)
}

fn set_iff(fd: BorrowedFd<'_>, name: &str, flags: libc::c_int) -> Result<(), TunError> {
    let mut req = ifreq(name, flags)?;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which outlives the call.
    let r = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETIFF, &raw mut req) };
    Errno::result(r).map(drop).map_err(|errno| TunError::Create { name: name.to_owned(), errno })
}

fn set_offload(fd: BorrowedFd<'_>, bits: libc::c_ulong) -> bool {
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETOFFLOAD, bits) == 0 }
}

/// Asks for one set of offloads after another, as an older kernel refuses a request whole.
fn probe_offloads(fd: BorrowedFd<'_>) -> TapOffloads {
    let mut granted = TapOffloads::default();
    let mut bits = 0;
    let mut grant = |more: libc::c_ulong| {
        let ok = set_offload(fd, bits | more);
        if ok {
            bits |= more;
        }
        ok
    };
    granted.checksum = grant(F_CSUM);
    // Segments need checksums: without the first the kernel drops the others by itself.
    if granted.checksum {
        granted.tso4 = grant(F_TSO4);
        granted.tso6 = grant(F_TSO6);
        granted.ecn = (granted.tso4 || granted.tso6) && grant(F_TSO_ECN);
        granted.uso = grant(F_USO);
    }
    // A refused request leaves the set as it was on some kernels and empty on others.
    set_offload(fd, bits);
    granted
}

/// A TAP just made in the network namespace of the caller.
#[derive(Debug)]
pub struct NewTap {
    /// One descriptor a queue.
    pub queues: Vec<OwnedFd>,
    /// What the kernel granted; `None` where it refused the virtio-net header, and every read and
    /// write is one bare wire frame.
    pub offloads: Option<TapOffloads>,
}

/// Makes a TAP named `name` with up to `queues` queues in the caller's network namespace. Never one that is
/// there already: without `IFF_TUN_EXCL` the kernel would give a queue of that. (A TAP without the virtio-net header comes
/// from the tun-tap crate, which does not ask for it.)
///
/// # Errors
/// [`TunError`] says what the caller's administrator can do; [`TunError::Create`] with EBUSY that there is an
/// interface of that name.
pub fn create_tap(name: &str, queues: usize) -> Result<NewTap, TunError> {
    let multi = if queues > 1 { IFF_MULTI_QUEUE } else { 0 };
    let base = IFF_TAP | IFF_NO_PI;
    let first = open()?;
    match set_iff(first.as_fd(), name, base | IFF_VNET_HDR | multi | IFF_TUN_EXCL) {
        Ok(()) => {}
        Err(TunError::Create { errno: Errno::EINVAL, .. }) if multi != 0 => {
            drop(first);
            return create_tap(name, 1);
        }
        Err(TunError::Create { errno: Errno::EINVAL | Errno::EOPNOTSUPP, .. }) => {
            drop(first);
            return create_plain_tap(name);
        }
        Err(error) => return Err(error),
    }
    if !set_header_len(first.as_fd()) {
        drop(first);
        return create_plain_tap(name);
    }
    let offloads = probe_offloads(first.as_fd());
    let mut fds = vec![OwnedFd::from(first)];
    for _ in 1..queues {
        let queue = open()?;
        set_iff(queue.as_fd(), name, base | IFF_VNET_HDR | multi)?;
        fds.push(queue.into());
    }
    Ok(NewTap { queues: fds, offloads: Some(offloads) })
}

fn set_header_len(fd: BorrowedFd<'_>) -> bool {
    let len: libc::c_int = const { VNET_HEADER_LEN as libc::c_int };
    // SAFETY: TUNSETVNETHDRSZ reads one int, which outlives the call.
    unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETVNETHDRSZ, &raw const len) == 0 }
}

/// A TAP without the virtio-net header: gVisor's, and kernels before 2.6.27.
///
/// # Errors
/// As [`create_tap`].
pub fn create_plain_tap(name: &str) -> Result<NewTap, TunError> {
    ifreq(name, 0)?;
    let refused = |e: std::io::Error| TunError::Create {
        name: name.to_owned(),
        errno: Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)),
    };
    let tap = tun_tap::Iface::without_packet_info(name, tun_tap::Mode::Tap).map_err(refused)?;
    // SAFETY: `tap` owns the descriptor and lives until after the borrow.
    let fd = unsafe { BorrowedFd::borrow_raw(tap.as_raw_fd()) };
    let queue = fd.try_clone_to_owned().map_err(refused)?;
    Ok(NewTap { queues: vec![queue], offloads: None })
}

/// The name the interface behind a TAP descriptor has now, wherever it was moved or renamed to.
///
/// # Errors
/// EBADFD when its namespace was deleted.
pub fn interface_name(fd: BorrowedFd<'_>) -> Result<String, Errno> {
    // SAFETY: ifreq is plain data, for which all zeroes is a valid value.
    let mut req: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: TUNGETIFF writes one ifreq, which outlives the call.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), TUNGETIFF, &raw mut req) })?;
    let bytes: Vec<u8> = req.ifr_name.iter().map(|c| c.cast_unsigned()).take_while(|&b| b != 0).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

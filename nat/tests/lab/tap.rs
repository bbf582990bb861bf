//! A TAP with the virtio-net header in another namespace, as the switch has them.
#![allow(unsafe_code)]

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

use packet::{Frame, offload::VNET_HEADER_LEN};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETOFFLOAD: libc::c_ulong = 0x4004_54d0;
const TUNSETVNETHDRSZ: libc::c_ulong = 0x4004_54d8;
const IFF_TAP_NO_PI_VNET: libc::c_int = 0x0002 | 0x1000 | 0x4000;
/// Checksums, TSO over IPv4 and IPv6.
const OFFLOADS: libc::c_ulong = 1 | 2 | 4;

pub struct Tap(OwnedFd);

impl Tap {
    /// Makes a TAP in the network namespace at `path`.
    pub fn open(path: &Path, name: &str) -> io::Result<Self> {
        let netns = File::open(path)?;
        let name = name.to_owned();
        std::thread::spawn(move || {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
            Self::create(&name)
        })
        .join()
        .expect("the thread that makes the TAP")
    }

    fn create(name: &str) -> io::Result<Self> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        let tun = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/net/tun")?;
        // SAFETY: ifreq is plain data, for which all zeroes is a valid value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = IFF_TAP_NO_PI_VNET as libc::c_short;
        let header: libc::c_int = VNET_HEADER_LEN as libc::c_int;
        // SAFETY: each ioctl reads or writes what its argument points to, which outlives the call,
        // or takes its argument by value.
        let done = unsafe {
            libc::ioctl(tun.as_raw_fd(), TUNSETIFF, &raw mut request) == 0
                && libc::ioctl(tun.as_raw_fd(), TUNSETVNETHDRSZ, &raw const header) == 0
                && libc::ioctl(tun.as_raw_fd(), TUNSETOFFLOAD, OFFLOADS) == 0
        };
        if done { Ok(Self(tun.into())) } else { Err(io::Error::last_os_error()) }
    }

    /// Reads a frame; false if there is none.
    pub fn read(&self, frame: &mut Frame) -> bool {
        match rustix::io::read(&self.0, frame.vnet_area()) {
            Ok(n) => frame.commit_vnet(n).is_ok(),
            Err(_) => false,
        }
    }

    pub fn write(&self, frame: &mut Frame) -> rustix::io::Result<()> {
        let bytes = frame.with_vnet().expect("headroom");
        rustix::io::write(&self.0, bytes).map(drop)
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

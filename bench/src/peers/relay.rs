//! The least that a switch of TAPs can be: two TAPs, a thread for each direction, a blocking read and then a write.
//!
//! With the virtio-net header passed through it is the measure of what TAPs cost by themselves; without (`plain-relay`)
//! it shows what every segment as a frame of its own costs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{MTU, Peer, Switch, address};
use crate::error::{Doing, Error, Result};
use crate::netns::Netns;
use crate::process::Process;
use crate::sys::{Offloads, open_tap};

/// The first argument with which the benchmark's own program is a relay.
pub(crate) const ARGUMENT: &str = "relay-between-stdin-and-stdout";

/// Room for the largest frame: 64 KiB, Ethernet header, VLAN tag, virtio-net header.
const ROOM: usize = 65_536 + 14 + 4 + 12;

/// A bare relay between two TAPs.
pub(crate) struct Relay {
    name: &'static str,
    offloads: Offloads,
}

impl Relay {
    /// A relay whose TAPs have these offloads.
    pub(crate) fn new(name: &'static str, offloads: Offloads) -> Self {
        Self { name, offloads }
    }
}

impl Peer for Relay {
    fn name(&self) -> &str {
        self.name
    }

    fn description(&self) -> String {
        match self.offloads {
            Offloads::All | Offloads::Tcp4 => {
                "two TAPs with the virtio-net header and all offloads, a thread a direction, read then write"
            }
            Offloads::None => "two TAPs without the virtio-net header, a thread a direction, read then write",
        }
        .to_owned()
    }

    fn lacks(&self) -> Option<String> {
        (!Path::new("/dev/net/tun").exists()).then(|| "there is no /dev/net/tun".to_owned())
    }

    fn limit(&self) -> Option<usize> {
        Some(2)
    }

    fn start(&self, _directory: &Path, _tag: &str) -> Result<Box<dyn Switch>> {
        Ok(Box::new(Running { offloads: self.offloads, taps: Vec::new(), process: None }))
    }
}

struct Running {
    offloads: Offloads,
    taps: Vec<File>,
    process: Option<Process>,
}

impl Switch for Running {
    fn attach(&mut self, netns: &Netns) -> Result<()> {
        let offloads = self.offloads;
        let index = self.taps.len();
        let tap = netns.within(|| open_tap("eth0", offloads).doing(|| "make a TAP".to_owned()))?;
        netns.ip(&format!("addr add {}/16 dev eth0\nlink set eth0 mtu {MTU} up\n", address(index)))?;
        self.taps.push(tap);
        if let [a, b] = &self.taps[..] {
            let own = std::env::current_exe().doing(|| "find the benchmark's own program file".to_owned())?;
            let mut relay = Command::new(own);
            relay.arg(ARGUMENT);
            let duplicate = |tap: &File| tap.try_clone().doing(|| "duplicate a TAP's descriptor".to_owned());
            relay.stdin(Stdio::from(duplicate(a)?));
            relay.stdout(Stdio::from(duplicate(b)?));
            self.process = Some(Process::spawn_with_output(relay, None)?);
        }
        Ok(())
    }

    fn processes(&self) -> Vec<u32> {
        self.process.iter().map(Process::id).collect()
    }

    fn check(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check)
    }
}

/// What the child process does: relays between the TAPs that are its standard input and standard output.
pub(crate) fn child() -> Result<()> {
    let owned =
        |descriptor: io::Result<OwnedFd>| descriptor.map(File::from).doing(|| "duplicate a TAP".to_owned());
    let a = owned(io::stdin().as_fd().try_clone_to_owned())?;
    let b = owned(io::stdout().as_fd().try_clone_to_owned())?;
    let forth = std::thread::scope(|scope| {
        scope.spawn(|| copy(&a, &b));
        copy(&b, &a)
    });
    Err(Error::Io { what: "read a frame".to_owned(), source: forth })
}

/// Copies frames until a read fails, and says why it did.
fn copy(mut from: &File, mut to: &File) -> io::Error {
    let mut frame = vec![0; ROOM];
    loop {
        match from.read(&mut frame) {
            // A frame that cannot be written (its TAP is down or full) is lost, as on a wire.
            Ok(length) => drop(to.write(&frame[..length])),
            Err(error) => return error,
        }
    }
}

//! Network namespaces: made, entered, asked for their eth0, removed.

use std::fmt;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns};
use serde_json::Value;

use crate::congestion;
use crate::error::{Doing, Error, Result};
use crate::process::{command, confine, output};

/// Without IPv6 a namespace says nothing by itself: no router solicitations, no multicast reports. What is measured of
/// an idle switch is then the switch.
const NO_IPV6: &str = "/proc/sys/net/ipv6/conf/default/disable_ipv6";

/// A named network namespace with its loopback up and without IPv6, removed when dropped.
#[derive(Debug)]
pub(crate) struct Netns {
    name: String,
    path: PathBuf,
    file: File,
}

impl fmt::Display for Netns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "network namespace {}", self.name)
    }
}

impl Netns {
    /// Makes `/run/netns/NAME`.
    pub(crate) fn create(name: &str) -> Result<Self> {
        output(command("ip", ["netns", "add", name]), None)?;
        Self::named(name)
    }

    /// Makes `/run/netns/NAME` of the namespace that a process is in.
    pub(crate) fn of_process(name: &str, id: u32) -> Result<Self> {
        output(command("ip", ["netns", "attach", name, &id.to_string()]), None)?;
        Self::named(name)
    }

    fn named(name: &str) -> Result<Self> {
        let path = Path::new("/run/netns").join(name);
        let file = File::open(&path).doing(|| format!("open {}", path.display()))?;
        let netns = Self { name: name.to_owned(), path, file };
        netns.ip("link set lo up\n")?;
        netns.within(|| match fs::write(NO_IPV6, "1") {
            // A kernel without IPv6 has no such file.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done.doing(|| format!("write to {NO_IPV6}")),
        })?;
        netns.within(congestion::set_default)?;
        Ok(netns)
    }

    /// Lets connections leave from nearly all ports, for those that are closed keep theirs for a minute.
    pub(crate) fn many_ports(&self) -> Result<()> {
        const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
        self.within(|| fs::write(RANGE, "10000 65535").doing(|| format!("write to {RANGE}")))
    }

    /// The name, as `ip -n` takes it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for the namespace.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An open descriptor of the namespace.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Runs `ip` commands, one a line, inside the namespace.
    pub(crate) fn ip(&self, lines: &str) -> Result<()> {
        batch(Some(self), lines)
    }

    /// Runs `bridge` commands, one a line, inside the namespace.
    pub(crate) fn bridge(&self, lines: &str) -> Result<()> {
        batch_of("bridge", Some(self), lines)
    }

    /// Calls `work` on a thread that has entered the namespace; what it opens there stays there.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let entered = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).doing(|| format!("enter {self}"))?;
            work()
        };
        std::thread::scope(|scope| scope.spawn(entered).join())
            .unwrap_or_else(|_| Err(Error::sentence(format!("a thread in {self} panicked"))))
    }

    /// What eth0 in the namespace is: its address, link address and index; `None` until it is up with an address.
    pub(crate) fn eth0(&self) -> Result<Option<Eth0>> {
        let Ok(text) = output(command("ip", ["-n", &self.name, "-j", "addr", "show", "dev", "eth0"]), None)
        else {
            return Ok(None);
        };
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| Error::sentence(format!("`ip -j addr` gave no JSON in {self}: {error}")))?;
        Ok(Eth0::parse(&value))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // The mount namespace that holds it ends with this process in any case.
        let _ = output(command("ip", ["netns", "del", &self.name]), None);
    }
}

/// Runs `ip` commands, one a line, in `netns` or here.
pub(crate) fn batch(netns: Option<&Netns>, lines: &str) -> Result<()> {
    batch_of("ip", netns, lines)
}

/// Runs commands of a program of iproute2, one a line.
fn batch_of(program: &str, netns: Option<&Netns>, lines: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.args(["-batch", "-"]);
    confine(&mut command, netns)?;
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().doing(|| format!("run `{program}`, which the package iproute2 holds"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(lines.as_bytes()).doing(|| format!("write to `{program} -batch`"))?;
    }
    let done = child.wait_with_output().doing(|| format!("wait for `{program} -batch`"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().replace('\n', " / ");
    Err(Error::Command {
        command: format!("{program} {}", lines.trim().replace('\n', "; ")),
        status: done.status.to_string(),
        said,
    })
}

/// The interface a peer gave to a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Eth0 {
    /// Its IPv4 address.
    pub(crate) address: Ipv4Addr,
    /// Its Ethernet address.
    pub(crate) mac: [u8; 6],
    /// Its index in the namespace.
    pub(crate) index: i32,
    /// Its MTU in bytes.
    pub(crate) mtu: u64,
}

impl Eth0 {
    /// Reads one interface from `ip -j addr show dev eth0`.
    fn parse(value: &Value) -> Option<Self> {
        let link = value.get(0)?;
        let up = link.get("flags")?.as_array()?.iter().any(|flag| flag == "LOWER_UP");
        let addresses = link.get("addr_info")?.as_array()?;
        let inet = addresses.iter().find(|entry| entry["family"] == "inet")?;
        let address = inet.get("local")?.as_str()?.parse().ok()?;
        let mut mac = [0; 6];
        for (byte, text) in mac.iter_mut().zip(link.get("address")?.as_str()?.split(':')) {
            *byte = u8::from_str_radix(text, 16).ok()?;
        }
        let index = i32::try_from(link.get("ifindex")?.as_i64()?).ok()?;
        let mtu = link.get("mtu")?.as_u64()?;
        up.then_some(Self { address, mac, index, mtu })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn eth0_is_read_once_it_is_up_with_an_address() {
        let mut link = json!([{
            "ifindex": 2, "ifname": "eth0", "flags": ["BROADCAST", "UP", "LOWER_UP"], "mtu": 1500,
            "address": "02:42:ac:11:00:02",
            "addr_info": [{"family": "inet6", "local": "fe80::1"}, {"family": "inet", "local": "172.17.0.2", "prefixlen": 16}]
        }]);
        let expected = Eth0 {
            address: Ipv4Addr::new(172, 17, 0, 2),
            mac: [2, 0x42, 0xac, 0x11, 0, 2],
            index: 2,
            mtu: 1500,
        };
        assert_eq!(Eth0::parse(&link), Some(expected));
        link[0]["flags"] = json!(["BROADCAST"]);
        assert_eq!(Eth0::parse(&link), None);
        assert_eq!(Eth0::parse(&json!([])), None);
    }
}

//! A link of one's own between an inside and its way out: the inside's interface becomes a port of a kernel's bridge, and
//! its address and link address move to the far end of the link, behind the bridge's other port.

use serde_json::Value;

use super::Link;
use crate::error::{Error, Result};
use crate::netns::Netns;
use crate::process::{Process, command, output};

/// The new inside, with the process of the link if it has one. The old one stays as what lies between.
pub(super) fn extend(middle: &Netns, link: Link, mtu: u32, name: &str) -> Result<(Netns, Option<Process>)> {
    let address = show(middle, &["addr", "show", "dev", "eth0"])?;
    let route = show(middle, &["route", "show", "default"])?;
    let inet = address["addr_info"].as_array().into_iter().flatten().find(|entry| entry["family"] == "inet");
    let found = (|| {
        let inet = inet?;
        let (local, bits) = (inet["local"].as_str()?, inet["prefixlen"].as_u64()?);
        Some((local, bits, address["address"].as_str()?, route["gateway"].as_str()?))
    })();
    let Some((local, bits, mac, gateway)) = found else {
        return Err(Error::sentence(format!("eth0 in {middle} has no address, or no gateway")));
    };
    middle.ip("addr flush dev eth0\nlink set eth0 down\nlink set eth0 address 02:00:5e:00:53:01\n\
         link set eth0 name eth1\n")?;
    let inside = Netns::create(name)?;
    let process = link.join(&inside, middle, mtu)?;
    middle.ip("link add br0 type bridge\nlink set eth0 master br0\nlink set eth1 master br0\n\
         link set eth0 up\nlink set eth1 up\nlink set br0 up\n")?;
    inside.ip(&format!(
        "link set eth0 address {mac}\naddr add {local}/{bits} dev eth0\nlink set eth0 up\n\
         route add default via {gateway}\n"
    ))?;
    Ok((inside, process))
}

/// The first of what `ip -j` shows.
fn show(netns: &Netns, words: &[&str]) -> Result<Value> {
    let mut ip = command("ip", ["-n", netns.name(), "-j"]);
    ip.args(words);
    let text = output(ip, None)?;
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    Ok(value.get(0).cloned().unwrap_or_default())
}

//! Questions that several tests ask.

use serde_json::Value;
use tests::{Background, Daemon, eventually};

/// What a port has counted, under one name.
#[track_caller]
pub(crate) fn counted(daemon: &Daemon, container: &str, counter: &str) -> u64 {
    stats(daemon, container)[counter].as_u64().unwrap_or_else(|| panic!("no {counter}"))
}

/// How many frames of a port were dropped for a reason, `way` being `RxDrops` or `TxDrops`.
#[track_caller]
pub(crate) fn dropped(daemon: &Daemon, container: &str, way: &str, reason: &str) -> u64 {
    stats(daemon, container)[way][reason].as_u64().unwrap_or(0)
}

/// A port's statistics.
#[track_caller]
pub(crate) fn stats(daemon: &Daemon, container: &str) -> Value {
    let text = daemon.ok(&["stats", container, "--format", "json"]);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"))
}

/// The addresses in the forwarding table of the default network, but for the gateway's.
#[track_caller]
pub(crate) fn stations(daemon: &Daemon) -> Vec<String> {
    let text = daemon.ok(&["bridge", "fdb", "bridge", "--format", "json"]);
    let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let macs = entries.filter(|entry| entry["Local"] != true).map(|entry| entry["Mac"].clone());
    macs.map(|mac| mac.as_str().unwrap().to_owned()).collect()
}

/// The containers' ports on the default network.
#[track_caller]
pub(crate) fn ports(daemon: &Daemon) -> Vec<String> {
    bridge(daemon)["Ports"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| p["Local"] != true)
        .map(|p| p["Name"].as_str().unwrap().to_owned())
        .collect()
}

/// The default network's bridge.
#[track_caller]
pub(crate) fn bridge(daemon: &Daemon) -> Value {
    serde_json::from_str(daemon.ok(&["bridge", "show", "--format", "json"]).lines().next().unwrap()).unwrap()
}

/// Waits until a port of this name is on the default network, or until it is not.
#[track_caller]
pub(crate) fn until_port(daemon: &Daemon, name: &str, there: bool) {
    eventually(&format!("port {name} there: {there}"), || {
        (ports(daemon).iter().any(|port| port == name) == there).then_some(())
    });
}

/// The interfaces a container sees, by name.
#[track_caller]
pub(crate) fn interfaces(daemon: &Daemon, container: &str) -> Vec<String> {
    let text = daemon.exec(container, &["ip", "-o", "link"]).ok();
    let names = text.lines().filter_map(|line| line.split([':', '@']).nth(1));
    let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    names.sort();
    names
}

/// The IPv4 addresses of a container's interface, with their prefixes.
#[track_caller]
pub(crate) fn addresses(daemon: &Daemon, container: &str, interface: &str) -> Vec<String> {
    let text = daemon.exec(container, &["ip", "-o", "-4", "address", "show", interface]).ok();
    text.lines().filter_map(|line| line.split_whitespace().nth(3)).map(str::to_owned).collect()
}

/// Whether a container's own resolver finds a name.
#[track_caller]
pub(crate) fn resolves(daemon: &Daemon, container: &str, name: &str) -> bool {
    daemon.exec(container, &["getent", "ahostsv4", name]).status == 0
}

/// The translated flows.
#[track_caller]
pub(crate) fn flows(daemon: &Daemon) -> Vec<Value> {
    let text = daemon.ok(&["nat", "ls", "--format", "json"]);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"))).collect()
}

/// The translated flows with plain numbers.
#[track_caller]
pub(crate) fn api_flows(daemon: &Daemon) -> Vec<Value> {
    let answer = daemon.api("GET", "/vswitch/nat", &Value::Null).json();
    answer["Flows"].as_array().unwrap().clone()
}

/// What the engines of address translation have counted under a name.
#[track_caller]
pub(crate) fn engine_count(daemon: &Daemon, name: &str) -> u64 {
    daemon.api("GET", "/vswitch/nat", &Value::Null).json()["Counters"][name].as_u64().unwrap_or(0)
}

/// Waits until a network is there.
pub(crate) fn until_network(daemon: &Daemon, name: &str) -> Value {
    eventually(&format!("network {name}"), || {
        daemon
            .ok(&["network", "ls", "--format", "{{.Name}}"])
            .lines()
            .any(|line| line == name)
            .then(|| daemon.network(name))
    })
}

/// Waits until so many endpoints of a network are known, here and elsewhere.
pub(crate) fn until_members(daemon: &Daemon, network: &str, count: usize) -> Value {
    eventually(&format!("{count} on {network}"), || {
        let shown = daemon.network(network)["Containers"].take();
        (shown.as_object()?.len() == count).then_some(shown)
    })
}

/// A ping that goes on: what it says at its end.
pub(crate) struct Pinging {
    ping: Background,
    /// The number of the last answer that was waited for.
    last: u32,
}

/// The number of an answer, of a line that is one.
fn answered(line: &str) -> Option<u32> {
    let number = line.split_once(" bytes from ")?.1.split_once("icmp_seq=")?.1;
    number.split(' ').next()?.parse().ok()
}

impl Pinging {
    pub(crate) fn start(daemon: &Daemon, from: &str, to: &str) -> Self {
        let words = ["ping", "-i", "0.1", "-W", "30", to];
        let mut pinging = Background::start(&mut daemon.exec_command(from, &words));
        pinging.line(|line| line.contains("icmp_seq=3 "));
        Self { ping: pinging, last: 3 }
    }

    /// Waits for one more answer than there were.
    pub(crate) fn goes_on(&mut self) {
        for _ in 0..3 {
            let line = self.ping.line(|line| answered(line).is_some());
            self.last = answered(&line).unwrap_or(self.last);
        }
    }

    /// Waits for the first answer after some that were lost.
    pub(crate) fn comes_back(&mut self) {
        let mut last = self.last;
        self.ping.line(|line| {
            let Some(number) = answered(line) else { return false };
            let lost = number > last + 1;
            last = number;
            lost
        });
        self.last = last;
    }

    /// Ends it; all that were lost were lost in a row, which are given: the first and the last.
    pub(crate) fn lost_in_a_row(self) -> (u32, u32) {
        let (_, said) = self.ping.interrupt();
        let numbers: Vec<u32> = said.lines().filter_map(answered).collect();
        let gaps = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1);
        let gaps: Vec<(u32, u32)> = gaps.map(|pair| (pair[0] + 1, pair[1] - 1)).collect();
        assert!(numbers.first() == Some(&1) && gaps.len() == 1, "{gaps:?} in {said}");
        gaps[0]
    }

    /// Ends it; none was lost. Only for the last the answer may have been under way still.
    pub(crate) fn lost_none(self) {
        let (_, said) = self.ping.interrupt();
        let number =
            |text: &str| text.split_whitespace().next().and_then(|number| number.parse::<u32>().ok());
        let summary = said.split_once(" packets transmitted, ");
        let sent = summary.and_then(|(before, _)| number(before.lines().last()?));
        let answered = summary.and_then(|(_, after)| number(after));
        let last = said.rsplit_once("icmp_seq=").and_then(|(_, after)| number(after));
        let (Some(sent), Some(answered), Some(last)) = (sent, answered, last) else { panic!("{said}") };
        assert!(answered == sent || answered + 1 == sent && last == answered, "{said}");
    }
}

/// How the store is doing, as `info` says.
pub(crate) fn store_info(daemon: &Daemon) -> Value {
    let text = daemon.ok(&["info", "--format", "json"]);
    let all: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"));
    all["Vswitch"]["Store"].clone()
}

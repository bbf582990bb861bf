//! Translated flows.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use nat::engine::{Direction, FlowInfo};
use nat::flow::Protocol;
use serde_json::{Value, json};

use crate::control::daemon::{Daemon, off_the_runtime};
use crate::outside::{News, Outside, What};

/// How long names of containers are taken for true: they may be renamed.
const FRESH: Duration = Duration::from_secs(1);

/// Ports beyond which those that are gone are forgotten.
const REMEMBERED: usize = 16_384;

/// A container, as the one whose flow it is.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Who has which port, those included that were there once.
#[derive(Debug)]
pub struct Owners {
    by_port: HashMap<u64, Owner>,
    since: Instant,
}

impl Owners {
    /// As of now.
    pub fn new(daemon: &Daemon) -> Self {
        let mut owners = Self { by_port: HashMap::new(), since: Instant::now() };
        owners.look(daemon);
        owners
    }

    fn look(&mut self, daemon: &Daemon) {
        self.since = Instant::now();
        if self.by_port.len() > REMEMBERED {
            self.by_port.clear();
        }
        for view in daemon.views() {
            let owner = Owner { id: view.record.id, name: view.record.name };
            self.by_port.extend(view.ports.iter().map(|plugged| (plugged.port.uid(), owner.clone())));
        }
    }

    /// Who has a port, as of at most a second ago, or had it last.
    pub fn of(&mut self, daemon: &Daemon, port: u64) -> Option<&Owner> {
        if self.since.elapsed() > FRESH || !self.by_port.contains_key(&port) {
            self.look(daemon);
        }
        self.by_port.get(&port)
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
    }
}

fn flow(owner: &Owner, f: &FlowInfo) -> Value {
    json!({
        "Container": owner.name,
        "ContainerID": owner.id,
        "Protocol": protocol(f.protocol),
        "Direction": match f.direction { Direction::Outbound => "out", Direction::Published => "in" },
        "Inside": f.local.to_string(),
        "Outside": f.outside.map(|a| a.to_string()).unwrap_or_default(),
        "Remote": f.remote.to_string(),
        "State": f.state,
        "Age": f.age.as_secs(),
        "Idle": f.idle.as_secs(),
        "BytesOut": f.bytes_out,
        "BytesIn": f.bytes_in,
        "PacketsOut": f.packets_out,
        "PacketsIn": f.packets_in,
    })
}

/// Every flow, or those of the container with this id, by container and age; and what the engines
/// have counted, by name.
pub fn flows(daemon: &Daemon, of: Option<&str>) -> Value {
    let owners = Owners::new(daemon);
    let mut all = off_the_runtime(|| Outside::flows(daemon.switch()));
    all.sort_by_key(|flow| (flow.port, std::cmp::Reverse(flow.info.age)));
    let shown = all.iter().filter_map(|f| {
        let owner = owners.by_port.get(&f.port)?;
        of.is_none_or(|wanted| wanted == owner.id).then(|| flow(owner, &f.info))
    });
    let shown: Vec<Value> = shown.collect();
    let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
    for counters in off_the_runtime(|| Outside::counters(daemon.switch())) {
        for (reason, n) in counters.reasons() {
            *counted.entry(reason.name()).or_default() += n;
        }
        *counted.entry("flows_opened").or_default() += counters.flows_opened;
    }
    json!({"Flows": shown, "Counters": counted})
}

/// What has become of a container's flow: the flow with `Event` and `Time`.
pub fn flow_event(owner: &Owner, news: &News) -> Value {
    let mut event = flow(owner, &news.flow.info);
    event["Event"] = json!(match news.what {
        What::Live => "live",
        What::New => "new",
        What::Changed => "changed",
        What::Gone => "gone",
    });
    event["Time"] = json!(news.time);
    event
}

/// So many events were lost.
pub fn lost(count: u64) -> Value {
    json!({"Event": "lost", "Lost": count})
}

//! Translated flows.

use std::collections::{BTreeMap, HashMap};

use nat::engine::{Direction, FlowInfo};
use nat::flow::Protocol;
use serde_json::{Value, json};

use crate::control::daemon::{Daemon, off_the_runtime};
use crate::outside::Outside;

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
    }
}

fn flow(owner: &str, id: &str, f: &FlowInfo) -> Value {
    json!({
        "Container": owner,
        "ContainerID": id,
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
    let owners: HashMap<u64, (String, String)> = daemon
        .views()
        .into_iter()
        .flat_map(|view| {
            let (id, name) = (view.record.id, view.record.name);
            view.ports.into_iter().map(move |p| (p.port.uid(), (id.clone(), name.clone())))
        })
        .collect();
    let mut all = off_the_runtime(|| Outside::flows(daemon.switch()));
    all.sort_by_key(|flow| (flow.port, std::cmp::Reverse(flow.info.age)));
    let shown = all.iter().filter_map(|f| {
        let (id, name) = owners.get(&f.port)?;
        of.is_none_or(|wanted| wanted == id).then(|| flow(name, id, &f.info))
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

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

/// How long it is taken for true that a port is nobody's: a container that starts has it before it is in the books.
const FRESH_MISS: Duration = Duration::from_millis(50);

/// Who has which port, those included that were there once.
#[derive(Debug)]
pub struct Owners {
    /// `None` where nobody had it when it was asked for.
    by_port: HashMap<u64, Option<Owner>>,
    since: Instant,
}

impl Owners {
    /// As of now.
    pub fn new(daemon: &Daemon) -> Self {
        let mut owners = Self { by_port: HashMap::new(), since: Instant::now() };
        owners.learn(Instant::now(), look(daemon));
        owners
    }

    fn learn(&mut self, now: Instant, all: Vec<(u64, Owner)>) {
        self.since = now;
        if self.by_port.len() > REMEMBERED {
            self.by_port.clear();
        }
        self.by_port.extend(all.into_iter().map(|(port, owner)| (port, Some(owner))));
    }

    /// Who has a port, as of at most a second ago, or had it last.
    pub fn of(&mut self, daemon: &Daemon, port: u64) -> Option<&Owner> {
        self.find(port, Instant::now(), || look(daemon))
    }

    fn find(&mut self, port: u64, now: Instant, look: impl FnOnce() -> Vec<(u64, Owner)>) -> Option<&Owner> {
        let fresh = self.by_port.get(&port).map(|owner| if owner.is_some() { FRESH } else { FRESH_MISS });
        if fresh.is_none_or(|fresh| now.saturating_duration_since(self.since) > fresh) {
            self.learn(now, look());
        }
        self.by_port.entry(port).or_default().as_ref()
    }
}

/// Who has which port at this moment.
fn look(daemon: &Daemon) -> Vec<(u64, Owner)> {
    let mut all = Vec::new();
    for view in off_the_runtime(|| daemon.views()) {
        let owner = Owner { id: view.record.id, name: view.record.name };
        all.extend(view.ports.iter().map(|plugged| (plugged.port.uid(), owner.clone())));
    }
    all
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
        let owner = owners.by_port.get(&f.port)?.as_ref()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner { id: name.repeat(2), name: name.into() }
    }

    #[test]
    fn who_has_a_port_is_asked_once_a_second_and_whose_it_was_is_remembered() {
        let start = Instant::now();
        let mut owners = Owners { by_port: HashMap::new(), since: start };
        owners.learn(start, vec![(1, owner("a"))]);
        let known = owners.find(1, start + FRESH, || unreachable!("it is known"));
        assert_eq!(known.unwrap().name, "a");
        let later = start + FRESH * 2;
        assert_eq!(owners.find(1, later, || vec![(1, owner("b"))]).unwrap().name, "b");
        assert_eq!(owners.find(1, later + FRESH * 2, Vec::new).unwrap().name, "b");
    }

    #[test]
    fn a_port_of_nobodys_is_not_asked_for_again_at_once_and_may_become_somebodys() {
        let start = Instant::now();
        let mut owners = Owners { by_port: HashMap::new(), since: start };
        let mut looks = 0;
        for n in 0..100 {
            let now = start + FRESH_MISS / 100 * n;
            let look = || {
                looks += 1;
                Vec::new()
            };
            assert!(owners.find(7, now, look).is_none());
        }
        assert_eq!(looks, 1);
        let later = start + FRESH_MISS * 2;
        assert_eq!(owners.find(7, later, || vec![(7, owner("late"))]).unwrap().name, "late");
    }
}

//! What happens to networks and containers, for `docker events`.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::broadcast;

use super::net::NetworkRecord;
use super::record::Container;

/// Past events that are kept for `--since`, as many as Docker keeps.
const KEPT: usize = 256;

/// Events a listener may lag behind before it misses some.
const LAG: usize = 1024;

/// Who something happened to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Actor {
    /// 64 hexadecimal digits.
    #[serde(rename = "ID")]
    pub id: String,
    /// What is known of it.
    pub attributes: BTreeMap<String, String>,
}

/// One event, in the form of Docker's API.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// The action again, of containers; for clients older than API 1.22.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// The container again.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// `container` or `network`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// What happened.
    #[serde(rename = "Action")]
    pub action: &'static str,
    /// To whom.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// `local`.
    pub scope: &'static str,
    /// Seconds since 1970.
    pub time: u64,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub time_nano: u64,
}

/// The last events, and whoever listens for more.
pub struct Events {
    kept: Mutex<VecDeque<Event>>,
    live: broadcast::Sender<Event>,
}

impl Default for Events {
    fn default() -> Self {
        Self { kept: Mutex::default(), live: broadcast::Sender::new(LAG) }
    }
}

impl Events {
    /// Something happened to a container.
    pub fn container(&self, action: &'static str, record: &Container) {
        self.container_with(action, record, []);
    }

    /// Something happened to a container, with more to say about it.
    pub fn container_with<const N: usize>(
        &self,
        action: &'static str,
        record: &Container,
        more: [(&str, String); N],
    ) {
        let mut attributes = record.labels.clone();
        attributes.insert("image".into(), String::new());
        attributes.insert("name".into(), record.name.clone());
        attributes.extend(more.map(|(k, v)| (k.to_owned(), v)));
        let actor = Actor { id: record.id.clone(), attributes };
        self.push("container", action, actor, (action.to_owned(), record.id.clone()));
    }

    /// Something happened to a network, or to a container on it.
    pub fn network(&self, action: &'static str, record: &NetworkRecord, container: Option<&str>) {
        let mut attributes = BTreeMap::new();
        attributes.insert("name".into(), record.name.clone());
        attributes.insert("type".into(), record.driver.clone());
        if let Some(id) = container {
            attributes.insert("container".into(), id.to_owned());
        }
        self.push("network", action, Actor { id: record.id.clone(), attributes }, Default::default());
    }

    /// Unused networks were removed.
    pub fn pruned(&self) {
        let attributes = [("reclaimed".to_owned(), "0".to_owned())].into();
        self.push("network", "prune", Actor { id: String::new(), attributes }, Default::default());
    }

    fn push(&self, kind: &'static str, action: &'static str, actor: Actor, (status, id): (String, String)) {
        let mut kept = self.kept.lock();
        // Under the lock: kept in the order of their times.
        let time_nano = super::daemon::now();
        let event = Event {
            status,
            id,
            kind,
            action,
            actor,
            scope: "local",
            time: time_nano / 1_000_000_000,
            time_nano,
        };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        let _ = self.live.send(event);
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.live.receiver_count()
    }

    /// What is kept, oldest first, and everything that follows.
    pub fn listen(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let kept = self.kept.lock();
        (kept.iter().cloned().collect(), self.live.subscribe())
    }
}

//! Who watches flows come and go.
//!
//! While somebody does, a worker passes on at the end of each batch what has become of its flows, into
//! a bounded queue for each watcher. A full queue means that the watcher cannot keep up: it loses the
//! event and is told how many it has lost. Without a watcher the engines note nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use nat::engine::{Change, Engine, FlowEvent};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::Flow;
use super::shard::Ways;

/// Events between the workers and a watcher.
const EVENTS: usize = 4096;

/// What has become of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// It was there when the watch began.
    Live,
    /// It is new.
    New,
    /// Its state is another than it was.
    Changed,
    /// It is gone, and was last like this.
    Gone,
}

/// Something that has become of a flow.
#[derive(Clone, Debug)]
pub struct News {
    /// Nanoseconds since 1970.
    pub time: u64,
    /// What.
    pub what: What,
    /// The flow, and whose it is.
    pub flow: Flow,
}

/// How many events were lost that nobody has been told of yet.
#[derive(Default)]
struct Lost {
    count: AtomicU64,
    /// For a watcher that waits: it may be long until the next event.
    grown: Notify,
}

/// A watcher's end, in a worker.
#[derive(Clone)]
pub(super) struct Watcher {
    events: mpsc::Sender<News>,
    lost: Arc<Lost>,
}

/// All flows, as they come and go. Ends when it is dropped.
pub struct Watch {
    live: VecDeque<News>,
    events: mpsc::Receiver<News>,
    lost: Arc<Lost>,
}

/// What comes out of a [`Watch`].
#[derive(Clone, Debug)]
pub enum Next {
    /// An event.
    News(Box<News>),
    /// So many events were lost since nobody took them in time.
    Lost(u64),
}

impl Watch {
    pub(super) fn new() -> (Self, Watcher) {
        let (sender, events) = mpsc::channel(EVENTS);
        let lost = Arc::new(Lost::default());
        let live = VecDeque::new();
        (Self { live, events, lost: lost.clone() }, Watcher { events: sender, lost })
    }

    pub(super) fn are_live(&mut self, flows: Vec<Flow>) {
        let time = now();
        self.live.extend(flows.into_iter().map(|flow| News { time, what: What::Live, flow }));
    }

    /// What was live at the beginning, then the next event, or how many there were that were lost. `None` when the switch has ended.
    pub async fn next(&mut self) -> Option<Next> {
        if let Some(live) = self.live.pop_front() {
            return Some(Next::News(Box::new(live)));
        }
        loop {
            match self.lost.count.swap(0, Relaxed) {
                0 => {}
                lost => return Some(Next::Lost(lost)),
            }
            tokio::select! {
                biased;
                () = self.lost.grown.notified() => {}
                news = self.events.recv() => return news.map(|news| Next::News(Box::new(news))),
            }
        }
    }
}

impl Watcher {
    /// False when nobody takes events any more.
    fn tell(&self, news: News) -> bool {
        match self.events.try_send(news) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.lose(1);
                true
            }
            Err(TrySendError::Closed(_)) => false,
        }
    }

    fn lose(&self, count: u64) {
        self.lost.count.fetch_add(count, Relaxed);
        self.lost.grown.notify_one();
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// The watchers of a worker's flows.
#[derive(Default)]
pub(super) struct Watchers(Vec<Watcher>);

impl Watchers {
    /// One more, who knows what there is.
    pub(super) fn add(&mut self, engine: &mut Engine, watcher: Watcher) {
        engine.watch(true);
        self.0.retain(|watcher| !watcher.events.is_closed());
        self.0.push(watcher);
    }

    /// Tells them what has happened since the last time.
    pub(super) fn pass_on(&mut self, engine: &mut Engine, ways: &Ways) {
        if !self.0.is_empty() {
            self.pass_on_events(engine, ways);
        }
    }

    #[cold]
    fn pass_on_events(&mut self, engine: &mut Engine, ways: &Ways) {
        let Self(watchers) = self;
        let time = now();
        let lost = engine.take_events(|FlowEvent { change, flow: info }| {
            let what = match change {
                Change::New => What::New,
                Change::State => What::Changed,
                Change::Gone => What::Gone,
            };
            if let Some(flow) = ways.flow(info) {
                let news = News { time, what, flow };
                watchers.retain(|watcher| watcher.tell(news.clone()));
            }
        });
        if lost > 0 {
            for watcher in watchers.iter() {
                watcher.lose(lost);
            }
        }
        if watchers.is_empty() {
            engine.watch(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nat::engine::{Direction, FlowInfo, InsideId};
    use nat::flow::{Endpoint, Protocol};

    use super::*;

    fn news(port: u64) -> News {
        let info = FlowInfo {
            protocol: Protocol::Tcp,
            inside: InsideId(1),
            direction: Direction::Outbound,
            local: Endpoint::new([10, 0, 0, 1], 7),
            outside: None,
            remote: Endpoint::new([10, 0, 0, 2], 7),
            state: "SYN_SENT",
            age: Duration::ZERO,
            idle: Duration::ZERO,
            bytes_out: 0,
            bytes_in: 0,
            packets_out: 0,
            packets_in: 0,
        };
        News { time: 0, what: What::New, flow: Flow { port, info } }
    }

    #[tokio::test]
    async fn who_cannot_keep_up_is_told_how_much_was_lost() {
        let (mut watch, watcher) = Watch::new();
        for port in 0..EVENTS as u64 + 5 {
            assert!(watcher.tell(news(port)));
        }
        assert!(matches!(watch.next().await, Some(Next::Lost(5))));
        for port in 0..EVENTS as u64 {
            assert!(matches!(watch.next().await, Some(Next::News(news)) if news.flow.port == port));
        }
        assert!(watcher.tell(news(1)));
        assert!(matches!(watch.next().await, Some(Next::News(_))));
        drop(watch);
        assert!(!watcher.tell(news(1)));
    }

    #[tokio::test]
    async fn a_loss_is_told_at_once_though_no_event_follows() {
        let (mut watch, watcher) = Watch::new();
        let waiting = tokio::spawn(async move { watch.next().await });
        // It has had its turn, and waits.
        tokio::task::yield_now().await;
        watcher.lose(3);
        assert!(matches!(waiting.await.unwrap(), Some(Next::Lost(3))));
    }

    #[tokio::test]
    async fn a_watch_ends_with_the_switch() {
        let (mut watch, watcher) = Watch::new();
        watcher.tell(news(1));
        drop(watcher);
        assert!(watch.next().await.is_some());
        assert!(watch.next().await.is_none());
    }
}

//! Asking servers for what is not known here: each query once at a time, in bounded number.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::cache::{Cache, Fetched, Key};
use super::response::Response;
use super::stats::{Counter, Counters};
use super::upstream;

/// How an answer was come by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// It was kept.
    Cached,
    /// Somebody had asked already.
    Merged,
    /// A server was asked.
    Asked,
}

/// Why there is none.
#[derive(Clone, Debug)]
pub enum NoAnswer {
    /// Too many queries wait already.
    Limit,
    /// No server had one; this is the last error one of them sent.
    Failed(Option<Arc<Response>>),
}

/// What became of a query: an answer, or the last error of a server.
type Outcome = Result<Fetched, Option<Arc<Response>>>;

/// A query under way: what was asked, and whether over TCP.
type Flight = (Arc<Key>, bool);

/// Asks servers.
#[derive(Debug)]
pub struct Forwarder {
    counters: Arc<Counters>,
    cache: Cache,
    wait: Duration,
    limit: usize,
    flights: Mutex<HashMap<Flight, watch::Receiver<Option<Outcome>>>>,
}

impl Forwarder {
    /// At most `limit` queries wait for servers, `wait` for each; answers are kept in
    /// `cache_bytes`.
    pub fn new(counters: Arc<Counters>, cache_bytes: u64, wait: Duration, limit: usize) -> Arc<Self> {
        let flights = Mutex::default();
        Arc::new(Self { counters, cache: Cache::new(cache_bytes), wait, limit, flights })
    }

    /// The answer that is kept, if one is.
    pub fn cached(&self, key: &Key) -> Option<Fetched> {
        self.cache.get(key)
    }

    /// The answer to a query; `whole`, if a truncated one is of no use. Who asks may go away: the
    /// servers are asked on for the others, and for the cache.
    ///
    /// # Errors
    /// When no server has an answer, or too many queries wait already.
    pub async fn ask(self: &Arc<Self>, key: Key, whole: bool) -> Result<(Fetched, Way), NoAnswer> {
        if let Some(fetched) = self.cached(&key) {
            return Ok((fetched, Way::Cached));
        }
        let (way, mut receiver) = self.board((Arc::new(key), whole)).ok_or(NoAnswer::Limit)?;
        let outcome = match receiver.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        match outcome {
            Some(Ok(fetched)) => Ok((fetched, way)),
            Some(Err(last)) => Err(NoAnswer::Failed(last)),
            None => Err(NoAnswer::Failed(None)),
        }
    }

    /// Joins the query under way, or sets one out; `None` where there are too many.
    fn board(self: &Arc<Self>, flight: Flight) -> Option<(Way, watch::Receiver<Option<Outcome>>)> {
        let mut flights = self.flights.lock();
        if let Some(receiver) = flights.get(&flight) {
            return Some((Way::Merged, receiver.clone()));
        }
        if flights.len() >= self.limit {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(flight.clone(), receiver.clone());
        drop(flights);
        let landing = Landing { forwarder: self.clone(), flight, sender };
        tokio::spawn(async move {
            let outcome = landing.forwarder.fly(&landing.flight).await;
            if let Ok(fetched) = &outcome {
                landing.forwarder.cache.put(&landing.flight.0, fetched);
            }
            landing.sender.send_replace(Some(outcome));
        });
        Some((Way::Asked, receiver))
    }

    /// Asks one server after the other.
    async fn fly(&self, (key, whole): &Flight) -> Outcome {
        let mut last = None;
        for &server in key.servers.iter() {
            let Ok(response) = upstream::ask(server, key, *whole, self.wait, &self.counters).await else {
                continue;
            };
            let response = Arc::new(response);
            if response.is_answer() {
                return Ok(Fetched { response, at: Instant::now() });
            }
            self.counters.count(Counter::UpstreamError);
            last = Some(response);
        }
        Err(last)
    }

    /// How many queries wait for servers.
    #[cfg(test)]
    pub fn in_flight(&self) -> usize {
        self.flights.lock().len()
    }
}

/// Takes a query off the list when it is over, however it ends.
struct Landing {
    forwarder: Arc<Forwarder>,
    flight: Flight,
    sender: watch::Sender<Option<Outcome>>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.forwarder.flights.lock().remove(&self.flight);
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;

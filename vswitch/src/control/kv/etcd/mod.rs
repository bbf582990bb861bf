//! etcd v3 as the store that hosts share.
//!
//! Its gateway for JSON is spoken to (`/v3/...`, etcd 3.4 and later), over the HTTP client that is
//! there already: the calls are the ones of its gRPC interface, in a form that needs no generated code
//! and so no `protoc`. Keys and values are base64, numbers of 64 bits are text.

mod http;
mod messages;
mod tls;
mod watch;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{Change, Condition, Kv, KvError, Lease, Outcome, PATIENCE, Snapshot, StoreAddress, Watch};
use messages::{Authenticated, Granted, Kept, Nothing, Range, Streamed, Transaction, encode, end_of};

pub use tls::{Tls, TlsError};

/// How long one member has to answer before the next is asked.
const PATIENCE_WITH_ONE: Duration = Duration::from_secs(2);

/// How long the last one has: nobody is asked instead, and what it was told it may still carry out.
const PATIENCE_WITH_LAST: Duration = Duration::from_secs(4);

/// By how much earlier than everybody else this gives up, so that what it has to say is heard.
const MARGIN: Duration = Duration::from_millis(250);

/// A user of the cluster.
#[derive(Clone)]
pub struct Credentials {
    /// Name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A cluster of etcd.
pub struct Etcd {
    members: Vec<String>,
    tls: Option<Tls>,
    /// The member that answered last.
    current: AtomicUsize,
    credentials: Option<Credentials>,
    token: Mutex<Option<String>>,
}

/// Where one is reached.
#[derive(Clone)]
pub(super) struct Member {
    /// `HOST:PORT`.
    address: String,
    tls: Option<Tls>,
}

/// Why one member did not do what it was asked for.
pub(super) enum Refusal {
    /// Another one may.
    Elsewhere(String),
    /// The token is no longer good.
    Token,
    /// No other one will.
    Final(KvError),
}

impl Etcd {
    /// A cluster; nothing is sent yet.
    ///
    /// # Errors
    /// [`TlsError::Missing`] and [`TlsError::Unwanted`]: `tls` is to be there if, and only if, the address says
    /// so. Otherwise a password would go over a way that nobody has protected.
    pub fn new(
        address: &StoreAddress,
        tls: Option<Tls>,
        credentials: Option<Credentials>,
    ) -> Result<Self, TlsError> {
        match (address.tls, &tls) {
            (true, None) => return Err(TlsError::Missing),
            (false, Some(_)) => return Err(TlsError::Unwanted),
            _ => {}
        }
        Ok(Self {
            members: address.members.clone(),
            tls,
            current: AtomicUsize::new(0),
            credentials,
            token: Mutex::default(),
        })
    }

    /// Asks one member after the other, beginning with the one that answered last, until one
    /// answers or the time is over.
    async fn ask<T, F: Future<Output = Result<T, Refusal>>>(
        &self,
        attempt: impl Fn(Member, Option<String>) -> F,
    ) -> Result<T, KvError> {
        let end = Instant::now() + PATIENCE.saturating_sub(MARGIN);
        // What each of them said last.
        let mut said: Vec<(&str, String)> = Vec::new();
        let mut say = |member, why| {
            said.retain(|(of, _)| *of != member);
            said.push((member, why));
        };
        // Each member twice: once with a token that has become worthless.
        for turn in 0..self.members.len().saturating_mul(2) {
            let at = self.current.load(Relaxed);
            let Some(member) = self.members.get(at % self.members.len().max(1)) else { break };
            // So that all of them are asked before the time is over.
            let left = self.members.len().saturating_sub(turn).max(1);
            let share =
                end.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
            let patience = share.min(if left == 1 { PATIENCE_WITH_LAST } else { PATIENCE_WITH_ONE });
            let until = Instant::now() + patience;
            let one = async {
                let member = Member { address: member.clone(), tls: self.tls.clone() };
                let token = self.authenticated(&member).await?;
                attempt(member, token).await
            };
            match timeout_at(until, one).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(Refusal::Final(error))) => return Err(error),
                Ok(Err(Refusal::Token)) => {
                    *self.token.lock() = None;
                    say(member, "it does not know its own token".into());
                    continue;
                }
                Ok(Err(Refusal::Elsewhere(why))) => say(member, why),
                Err(_) => say(member, format!("no answer within {:.1} s", patience.as_secs_f32())),
            }
            // Whoever else failed here has gone on already.
            let _ = self.current.compare_exchange(at, at.wrapping_add(1), Relaxed, Relaxed);
            if Instant::now() >= end || turn + 1 >= self.members.len() {
                break;
            }
        }
        let all: Vec<String> = said.iter().map(|(member, why)| format!("{member}: {why}")).collect();
        Err(KvError::Unreachable(if all.is_empty() { "it has no members".into() } else { all.join("; ") }))
    }

    async fn authenticated(&self, member: &Member) -> Result<Option<String>, Refusal> {
        let Some(Credentials { user, password }) = &self.credentials else { return Ok(None) };
        let known = self.token.lock().clone();
        if known.is_some() {
            return Ok(known);
        }
        let body = json!({"name": user, "password": password});
        let answer = http::call(member, None, "/v3/auth/authenticate", &body).await;
        let answer: Authenticated = answer.map_err(|refusal| match refusal {
            Refusal::Final(KvError::Refused(why)) if why.contains("authentication failed") => Refusal::Final(
                KvError::Refused(format!("the user {user:?} or the password is wrong ({why})")),
            ),
            other => other,
        })?;
        *self.token.lock() = Some(answer.token.clone());
        Ok(Some(answer.token))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: impl Serialize,
    ) -> Result<T, KvError> {
        let body = serde_json::to_value(body).map_err(|e| KvError::Malformed(e.to_string()))?;
        let body = &body;
        self.ask(|member, token| async move { http::call(&member, token.as_deref(), path, body).await }).await
    }
}

impl Kv for Etcd {
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Snapshot, KvError>> {
        Box::pin(async move {
            let body = json!({"key": encode(prefix), "range_end": encode(end_of(prefix))});
            let range: Range = self.call("/v3/kv/range", body).await?;
            let entries = range.entries()?;
            Ok(Snapshot { entries, revision: range.header.revision })
        })
    }

    fn commit<'a>(
        &'a self,
        when: &'a [Condition],
        then: &'a [Change],
    ) -> BoxFuture<'a, Result<Outcome, KvError>> {
        Box::pin(async move {
            let body = messages::transaction(when, then);
            let answer: Transaction = self.call("/v3/kv/txn", body).await?;
            if answer.succeeded { Ok(Outcome::Done(answer.header.revision)) } else { answer.refused() }
        })
    }

    fn watch<'a>(&'a self, prefix: &'a str, after: u64) -> BoxFuture<'a, Result<Watch, KvError>> {
        Box::pin(async move {
            let body = json!({"create_request": {
                "key": encode(prefix),
                "range_end": encode(end_of(prefix)),
                "start_revision": after.saturating_add(1).to_string(),
            }});
            let body = &body;
            let lines =
                self.ask(|member, token| async move { watch::begin(&member, token.as_deref(), body).await });
            Ok(watch::follow(lines.await?, after))
        })
    }

    fn grant(&self, seconds: u32) -> BoxFuture<'_, Result<Lease, KvError>> {
        Box::pin(async move {
            let granted: Granted = self.call("/v3/lease/grant", json!({"TTL": seconds.to_string()})).await?;
            Ok(Lease(granted.id))
        })
    }

    fn keep(&self, Lease(id): Lease) -> BoxFuture<'_, Result<bool, KvError>> {
        Box::pin(async move {
            let kept: Streamed<Kept> =
                self.call("/v3/lease/keepalive", json!({"ID": id.to_string()})).await?;
            Ok(kept.result.ttl > 0)
        })
    }

    fn revoke(&self, Lease(id): Lease) -> BoxFuture<'_, Result<(), KvError>> {
        Box::pin(async move {
            let revoked = self.call("/v3/lease/revoke", json!({"ID": id.to_string()})).await;
            match revoked {
                Ok(Nothing {}) => Ok(()),
                // It has ended by itself.
                Err(KvError::Refused(why)) if why.contains("lease not found") => Ok(()),
                Err(error) => Err(error),
            }
        })
    }
}

#[cfg(test)]
pub(crate) mod server;
#[cfg(test)]
mod tests;

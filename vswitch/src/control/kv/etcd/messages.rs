//! The gateway's messages: protobuf's JSON mapping of etcd's `rpc.proto`.

use std::fmt;

use data_encoding::BASE64;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::super::{Change, Condition, Entry, KvError, Outcome};

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64.encode(bytes.as_ref())
}

/// What follows the last key that begins with `prefix`.
pub(super) fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    // Every key there is.
    vec![0]
}

/// Numbers of 64 bits come as text; zero is left out.
fn number<'de, D: Deserializer<'de>, N: TryFrom<i128>>(from: D) -> Result<N, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = i128;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, or one in quotes")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<i128, E> {
            text.parse().map_err(E::custom)
        }
        fn visit_u64<E>(self, number: u64) -> Result<i128, E> {
            Ok(number.into())
        }
        fn visit_i64<E>(self, number: i64) -> Result<i128, E> {
            Ok(number.into())
        }
    }
    let number = from.deserialize_any(Number)?;
    N::try_from(number).map_err(|_| de::Error::custom("a number out of range"))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) revision: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KeyValue {
    pub(super) key: String,
    value: String,
    #[serde(deserialize_with = "number")]
    pub(super) mod_revision: u64,
    #[serde(deserialize_with = "number")]
    create_revision: u64,
}

fn malformed(what: impl fmt::Display) -> KvError {
    KvError::Malformed(what.to_string())
}

impl KeyValue {
    /// The key as text. Keys that are none are not of this program.
    pub(super) fn key(&self) -> Result<Option<String>, KvError> {
        let key = BASE64.decode(self.key.as_bytes()).map_err(malformed)?;
        Ok(String::from_utf8(key).ok())
    }

    pub(super) fn entry(&self) -> Result<Option<Entry>, KvError> {
        let Some(key) = self.key()? else { return Ok(None) };
        let value = BASE64.decode(self.value.as_bytes()).map_err(malformed)?;
        Ok(Some(Entry { key, value, version: self.mod_revision, created: self.create_revision }))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Range {
    pub(super) header: Header,
    kvs: Vec<KeyValue>,
}

impl Range {
    pub(super) fn entries(&self) -> Result<Vec<Entry>, KvError> {
        self.kvs.iter().filter_map(|kv| kv.entry().transpose()).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Response {
    response_range: Option<Range>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Transaction {
    pub(super) header: Header,
    pub(super) succeeded: bool,
    responses: Vec<Response>,
}

impl Transaction {
    pub(super) fn refused(&self) -> Result<Outcome, KvError> {
        let ranges = self.responses.iter().filter_map(|response| response.response_range.as_ref());
        let found: Result<Vec<Vec<Entry>>, KvError> = ranges.map(Range::entries).collect();
        Ok(Outcome::Refused(found?.concat()))
    }
}

/// The body of a transaction: where a condition is not true, what is at its key is read.
pub(super) fn transaction(when: &[Condition], then: &[Change]) -> Value {
    let compare = |condition: &Condition| match condition {
        Condition::Absent(key) => {
            json!({"key": encode(key), "target": "CREATE", "create_revision": "0", "result": "EQUAL"})
        }
        Condition::Present(key) => {
            json!({"key": encode(key), "target": "CREATE", "create_revision": "0", "result": "GREATER"})
        }
        Condition::NoneBelow(prefix) => json!({
            "key": encode(prefix), "range_end": encode(end_of(prefix)),
            "target": "CREATE", "create_revision": "0", "result": "EQUAL",
        }),
        Condition::Version(key, version) => {
            json!({"key": encode(key), "target": "MOD", "mod_revision": version.to_string(), "result": "EQUAL"})
        }
        Condition::Value(key, value) => {
            json!({"key": encode(key), "target": "VALUE", "value": encode(value), "result": "EQUAL"})
        }
    };
    let read = |condition: &Condition| match condition {
        Condition::NoneBelow(prefix) => json!({"request_range": {
            "key": encode(prefix), "range_end": encode(end_of(prefix)), "limit": "1",
        }}),
        Condition::Absent(key)
        | Condition::Present(key)
        | Condition::Version(key, _)
        | Condition::Value(key, _) => json!({"request_range": {"key": encode(key)}}),
    };
    let change = |change: &Change| match change {
        Change::Put { key, value, lease } => {
            let lease = lease.map_or(0, |lease| lease.0).to_string();
            json!({"request_put": {"key": encode(key), "value": encode(value), "lease": lease}})
        }
        Change::Delete(key) => json!({"request_delete_range": {"key": encode(key)}}),
    };
    json!({
        "compare": when.iter().map(compare).collect::<Vec<_>>(),
        "success": then.iter().map(change).collect::<Vec<_>>(),
        "failure": when.iter().map(read).collect::<Vec<_>>(),
    })
}

#[derive(Deserialize)]
pub(super) struct Authenticated {
    pub(super) token: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Granted {
    #[serde(rename = "ID", deserialize_with = "number")]
    pub(super) id: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    #[serde(rename = "TTL", deserialize_with = "number")]
    pub(super) ttl: i64,
}

/// An answer without anything of interest.
#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

/// One message of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct Streamed<T> {
    pub(super) result: T,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WatchedEvent {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) kv: KeyValue,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Watched {
    pub(super) created: bool,
    pub(super) canceled: bool,
    pub(super) cancel_reason: String,
    #[serde(deserialize_with = "number")]
    pub(super) compact_revision: u64,
    pub(super) events: Vec<WatchedEvent>,
}

/// Why a call was refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failure {
    pub(super) error: Value,
    pub(super) message: String,
    pub(super) code: i32,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_behind_all_that_begins_with_it() {
        assert_eq!(end_of("/a/"), b"/a0");
        assert_eq!(end_of(""), [0]);
        assert_eq!(end_of("é"), [0xc3, 0xaa]);
    }

    proptest! {
        #[test]
        fn nothing_a_server_says_does_harm(text in any::<String>(), number in any::<i64>()) {
            let _ = serde_json::from_str::<Watched>(&text);
            let odd = json!({"kvs": [{"key": text, "value": text, "mod_revision": number}], "header": {"revision": "7"}});
            if let Ok(range) = serde_json::from_value::<Range>(odd) {
                let _ = range.entries();
            }
        }

        #[test]
        fn numbers_are_read_with_and_without_quotes(number in any::<u64>()) {
            for value in [json!({"revision": number}), json!({"revision": number.to_string()})] {
                prop_assert_eq!(serde_json::from_value::<Header>(value).unwrap().revision, number);
            }
        }
    }
}

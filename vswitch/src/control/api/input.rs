//! What a request brings: path, query and body, checked and within bounds before a handler sees it.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::control::error::ControlError;
use crate::control::net::filters::Filters;

/// Bytes of the largest request body.
pub const MAX_BODY: usize = 2 << 20;

/// Bytes of a body that is read at once; of larger ones only so many at a time.
const SMALL_BODY: usize = 64 << 10;

/// Larger bodies that are read at the same time.
const LARGE_BODIES: usize = 32;

/// Bytes of a body that is too large and read to its end all the same: who is still writing would not
/// see the answer.
const DISCARDED: usize = 4 * MAX_BODY;

/// How bodies are taken in.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    /// A body must be complete within this time.
    patience: Duration,
    /// A permit for each body larger than [`SMALL_BODY`].
    large: Arc<Semaphore>,
}

impl Intake {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, large: Arc::new(Semaphore::new(LARGE_BODIES)) }
    }

    /// A body as a whole. Whoever is slow, or sends too much, is refused.
    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, ControlError> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let waits = headers.contains_key(header::EXPECT);
        if announced > DISCARDED || (waits && announced > MAX_BODY) {
            return Err(ControlError::TooLarge(MAX_BODY));
        }
        match tokio::time::timeout(self.patience, self.collect(body)).await {
            Ok(result) => result,
            Err(_) => Err(ControlError::TooSlow),
        }
    }

    async fn collect(&self, mut body: Body) -> Result<Bytes, ControlError> {
        let (mut whole, mut size) = (Vec::new(), 0usize);
        let mut permit = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| ControlError::Invalid(format!("the body cannot be read: {e}")))?;
            let Ok(data) = frame.into_data() else { continue };
            size = size.saturating_add(data.len());
            if size > DISCARDED {
                break;
            }
            if size > MAX_BODY {
                whole = Vec::new();
                continue;
            }
            if size > SMALL_BODY && permit.is_none() {
                permit = self.large.acquire().await.ok();
            }
            whole.extend_from_slice(&data);
        }
        if size > MAX_BODY { Err(ControlError::TooLarge(MAX_BODY)) } else { Ok(whole.into()) }
    }
}

/// The segments in braces of a path.
#[derive(FromRequestParts)]
#[from_request(via(Path), rejection(ControlError))]
pub(super) struct Id<T>(pub(super) T);

impl From<PathRejection> for ControlError {
    fn from(e: PathRejection) -> Self {
        Self::Invalid(e.body_text())
    }
}

/// A query string. As in Go a name's first value counts, and names nobody asks for do no harm.
pub(super) struct Params(BTreeMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ControlError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ControlError> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Params {
    fn parse(query: &str) -> Result<Self, ControlError> {
        let mut all = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            all.entry(unescape(name)?).or_insert(unescape(value)?);
        }
        Ok(Self(all))
    }

    /// A value; an empty one is none.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A value that is a number.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, ControlError> {
        let refusal = |text| {
            ControlError::Invalid(format!("invalid value for {name}: {text:?} is no number it can be"))
        };
        self.text(name).map(|text| text.parse().map_err(|_| refusal(text))).transpose()
    }

    /// Docker's idea of a boolean: everything but nothing, 0, no, false and none is true.
    pub(super) fn flag(&self, name: &str) -> bool {
        let text = self.text(name).unwrap_or_default().trim().to_ascii_lowercase();
        !matches!(text.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// The `filters`, all of them among those accepted.
    pub(super) fn filters(&self, accepted: &[&str]) -> Result<Filters, ControlError> {
        let filters = Filters::parse(self.text("filters").unwrap_or_default())?;
        filters.validate(accepted)?;
        Ok(filters)
    }

    /// The `filters`, whatever they are.
    pub(super) fn any_filters(&self) -> Result<Filters, ControlError> {
        Ok(Filters::parse(self.text("filters").unwrap_or_default())?)
    }
}

/// One word of a query string in application/x-www-form-urlencoded. Bytes that are no UTF-8 become
/// the replacement character.
fn unescape(word: &str) -> Result<String, ControlError> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
                let digits = digits.filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
                let Some(byte) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) else {
                    let escape = &rest[..rest.len().min(2)];
                    let escape = String::from_utf8_lossy(escape);
                    return Err(ControlError::Invalid(format!("invalid URL escape \"%{escape}\"")));
                };
                bytes.push(byte);
                rest = &tail[2..];
            }
            other => bytes.push(other),
        }
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// A body that says it is JSON, unread.
pub(super) struct RawJson(pub(super) Bytes);

impl<S: Sync> FromRequest<S> for RawJson {
    type Rejection = ControlError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ControlError> {
        let (parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        let intake = parts.extensions.get::<Intake>().ok_or_else(|| {
            ControlError::Failed("a request that did not come in through the API's door".into())
        })?;
        intake.read(&parts.headers, body).await.map(Self)
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), ControlError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        // Nothing can do without a name for what it is.
        let empty = !headers.contains_key(header::TRANSFER_ENCODING)
            && headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0");
        return if empty { Ok(()) } else { Err(wrong_type("")) };
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let media = text.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(wrong_type(&text)) }
}

fn wrong_type(text: &str) -> ControlError {
    ControlError::Invalid(format!("Content-Type specified ({text}) must be 'application/json'"))
}

/// A body that is a JSON object.
pub(super) struct Json<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ControlError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ControlError> {
        let RawJson(body) = RawJson::from_request(request, state).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(ControlError::Invalid("got EOF while reading request body".into()));
        }
        // Serde would take an array for a structure too.
        serde_json::from_slice::<Map<String, Value>>(&body)
            .and_then(|object| T::deserialize(Value::Object(object)))
            .map(Self)
            .map_err(|e| ControlError::Invalid(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_is_read_as_go_reads_it() {
        let params = Params::parse("a=1&a=2&b=x+y%20z&c&&=d&e=%C3%A4%ff").unwrap();
        assert_eq!(params.text("a"), Some("1"));
        assert_eq!(params.text("b"), Some("x y z"));
        assert_eq!((params.text("c"), params.text("nothing")), (None, None));
        assert_eq!(params.text("e"), Some("ä\u{fffd}"));
        assert_eq!(params.number::<i64>("a").unwrap(), Some(1));
        assert!(params.number::<i64>("b").is_err());
        for bad in ["a=%", "a=%4", "%zz=1", "a=%+1", "a=%é"] {
            let refused = Params::parse(bad).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(refused.starts_with("invalid URL escape \"%"), "{bad}: {refused}");
        }
    }

    #[test]
    fn a_flag_is_what_docker_takes_for_one() {
        for (query, value) in [
            ("", false),
            ("f", false),
            ("f=", false),
            ("f=0", false),
            ("f=False", false),
            ("f=none", false),
            ("f=no", false),
            ("f=1", true),
            ("f=true", true),
            ("f=yes", true),
            ("f=x", true),
        ] {
            assert_eq!(Params::parse(query).unwrap().flag("f"), value, "{query}");
        }
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(query in "[a-c%&=+0-9A-F é]{0,40}") {
            let _ = Params::parse(&query);
        }
    }
}

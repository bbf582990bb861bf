//! HTTP/1.1 as far as a test needs it: one request, one answer, over a unix socket.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::wait::DEADLINE;

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields, names in small letters.
    pub headers: Vec<(String, String)>,
    /// Body, without the marks of its pieces.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null where there is none.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }

    /// Status and sentence of a refusal.
    #[track_caller]
    pub fn refusal(&self) -> (u16, String) {
        let sentence = self.json()["message"].as_str().map(str::to_owned);
        (self.status, sentence.unwrap_or_else(|| panic!("no sentence in {self:?}")))
    }

    /// The body as JSON, if the request succeeded.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{}: {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        self.json()
    }

    /// A header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Sends a request with a body, which may be empty.
///
/// # Panics
/// When there is no answer.
#[track_caller]
pub fn ask(socket: &Path, method: &str, path: &str, body: &[u8]) -> Answer {
    try_ask(socket, method, path, body).unwrap_or_else(|| panic!("{method} {path}: no answer"))
}

/// As [`ask`]; `None` when there is no answer, or not all of one.
pub fn try_ask(socket: &Path, method: &str, path: &str, body: &[u8]) -> Option<Answer> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    if !body.is_empty() {
        let _ = write!(request, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    request.push_str("\r\n");
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    // A server that has read enough to refuse may close before it has read all.
    let _ = stream.write_all(&[request.as_bytes(), body].concat());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let pieces = headers.iter().any(|(key, value)| key == "transfer-encoding" && value == "chunked");
    let body = if pieces { joined(body)? } else { body.to_vec() };
    let len = headers.iter().find(|(key, _)| key == "content-length").and_then(|(_, len)| len.parse().ok());
    if len.is_some_and(|len: usize| len != body.len()) {
        return None;
    }
    Some(Answer { status, headers, body })
}

/// Joins the chunks of RFC 9112, section 7.1.
fn joined(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if len == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + len)?);
        rest = rest.get(end + 4 + len..)?;
    }
}

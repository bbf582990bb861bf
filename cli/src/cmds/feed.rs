//! Streams of JSON.

use serde_json::Value;

use crate::client::Stream;
use crate::error::Failure;

/// Bytes that one value may have.
const LIMIT: usize = 4 << 20;

/// JSON values one after the other.
pub(super) struct Feed<'a> {
    stream: Stream<'a>,
    buffer: Vec<u8>,
}

impl<'a> Feed<'a> {
    pub(super) const fn new(stream: Stream<'a>) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The next value, waiting for it; `None` when there is no more.
    pub(super) fn next(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            if let Some(event) = take(&mut self.buffer)? {
                return Ok(Some(event));
            }
            match self.stream.piece()? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }
}

/// Takes the first value out of `buffer`; `None` while it is not whole.
fn take(buffer: &mut Vec<u8>) -> Result<Option<Value>, Failure> {
    let mut values = serde_json::Deserializer::from_slice(buffer).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => {
            let end = values.byte_offset();
            buffer.drain(..end);
            Ok(Some(value))
        }
        Some(Err(e)) if !e.is_eof() || buffer.len() > LIMIT => {
            Err(Failure::new(format!("the daemon's answer makes no sense: {e}")))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_read_however_they_are_cut() {
        let sent = format!(
            "{}\n{}{}\n",
            json!({"Type": "network", "Action": "connect"}),
            json!({"Type": "container"}),
            json!({"Type": "ä"})
        );
        for size in 1..=sent.len() {
            let (mut buffer, mut seen) = (Vec::new(), Vec::new());
            for piece in sent.as_bytes().chunks(size) {
                buffer.extend_from_slice(piece);
                while let Some(event) = take(&mut buffer).unwrap() {
                    seen.push(event["Type"].clone());
                }
            }
            assert_eq!(seen, ["network", "container", "ä"], "{size}");
        }
        assert!(take(&mut b"{\"Type\": nonsense}".to_vec()).is_err());
        assert!(take(&mut [b"\"".as_slice(), &vec![b'x'; LIMIT]].concat()).is_err());
    }
}

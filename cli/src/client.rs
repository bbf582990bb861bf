//! The command's end of the API: HTTP over the daemon's socket.

use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Cause, Failure};

/// A client of one daemon. It has no threads of its own.
pub struct Client {
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
}

/// A response's body, piece by piece.
pub struct Stream<'a> {
    client: &'a Client,
    body: Incoming,
}

impl Stream<'_> {
    /// The next piece; `None` when there is no more.
    ///
    /// # Errors
    /// When the daemon goes away in the middle.
    pub fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = self.client.runtime.block_on(self.body.frame());
            match data(frame)? {
                Piece::Data(data) => return Ok(Some(data)),
                Piece::Other => {}
                Piece::End => return Ok(None),
            }
        }
    }

    /// The next piece; `None` when there is no more, or the user has had enough.
    ///
    /// # Errors
    /// When the daemon goes away in the middle.
    pub fn piece_or(&mut self, interrupts: &mut Interrupts) -> Result<Option<Bytes>, Failure> {
        loop {
            let Interrupts([int, term, hup]) = interrupts;
            let frame = self.client.runtime.block_on(async {
                tokio::select! {
                    _ = int.recv() => None,
                    _ = term.recv() => None,
                    _ = hup.recv() => None,
                    frame = self.body.frame() => frame,
                }
            });
            match data(frame)? {
                Piece::Data(data) => return Ok(Some(data)),
                Piece::Other => {}
                Piece::End => return Ok(None),
            }
        }
    }
}

enum Piece {
    Data(Bytes),
    Other,
    End,
}

fn data(frame: Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>) -> Result<Piece, Failure> {
    let Some(frame) = frame else { return Ok(Piece::End) };
    let frame = frame.map_err(|_| Failure::new("the daemon ended in the middle of its answer"))?;
    Ok(frame.into_data().map_or(Piece::Other, Piece::Data))
}

/// The signals by which a user ends a command that would go on for ever.
pub struct Interrupts([Signal; 3]);

impl Client {
    /// A client of the daemon at `socket`; nothing is connected yet.
    ///
    /// # Errors
    /// When the system refuses an epoll descriptor.
    pub fn new(socket: PathBuf) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        Ok(Self { socket, runtime })
    }

    /// Where the daemon listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn unreachable(&self, e: &std::io::Error) -> Failure {
        let socket = self.socket.display();
        match e.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::new(format!(
                "you may not use the daemon at {socket}: run as its user, or name another with -H unix://PATH"
            )),
            _ => Failure::new(format!(
                "no daemon listens on {socket}: `vswitch run` starts one, and so does `vswitch daemon` ({e})"
            ))
            .because(Cause::NoDaemon),
        }
    }

    fn send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Result<Response<Incoming>, Failure> {
        self.runtime.block_on(async {
            let stream = UnixStream::connect(&self.socket).await.map_err(|e| self.unreachable(&e))?;
            let broken = |e: hyper::Error| {
                Failure::new(format!("the daemon does not answer: {e}")).because(Cause::NoAnswer)
            };
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
            tokio::spawn(connection);
            let mut request = Request::builder().method(method).uri(path).header("host", "vswitch");
            if body.is_some() {
                request = request.header("content-type", "application/json");
            }
            let request = request
                .body(Full::new(Bytes::from(body.unwrap_or_default())))
                .map_err(|e| Failure::usage(format!("this cannot be asked of the daemon: {e}")))?;
            sender.send_request(request).await.map_err(broken)
        })
    }

    fn checked(&self, response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.collect(response.into_body())?;
        let parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message =
            parsed["message"].as_str().map_or_else(|| format!("the daemon says {status}"), str::to_owned);
        let code = parsed["exitCode"].as_i64().and_then(|c| i32::try_from(c).ok()).unwrap_or(1);
        Err(Failure::new(message).with_code(code).because(Cause::Refused(status.as_u16())))
    }

    fn collect(&self, body: Incoming) -> Result<Bytes, Failure> {
        let collected = self.runtime.block_on(body.collect());
        Ok(collected
            .map_err(|e| {
                Failure::new(format!("the daemon's answer broke off: {e}")).because(Cause::NoAnswer)
            })?
            .to_bytes())
    }

    fn json(&self, response: Response<Incoming>) -> Result<Value, Failure> {
        let response = self.checked(response)?;
        let body = self.collect(response.into_body())?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|e| Failure::new(format!("the daemon's answer makes no sense: {e}")))
    }

    /// GET, as JSON.
    ///
    /// # Errors
    /// The daemon's own sentence, or that there is none.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(self.send("GET", path, None)?)
    }

    /// POST, as JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).map_err(|e| Failure::new(e.to_string()))?;
        self.json(self.send("POST", path, Some(body))?)
    }

    /// DELETE.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn delete(&self, path: &str) -> Result<(), Failure> {
        self.json(self.send("DELETE", path, None)?).map(drop)
    }

    /// From now on the user's signals are for [`Stream::piece_or`].
    ///
    /// # Errors
    /// When the system refuses.
    pub fn interrupts(&self) -> Result<Interrupts, Failure> {
        let _context = self.runtime.enter();
        Ok(Interrupts([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// GET, piece by piece.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn stream(&self, path: &str) -> Result<Stream<'_>, Failure> {
        let response = self.checked(self.send("GET", path, None)?)?;
        Ok(Stream { client: self, body: response.into_body() })
    }
}

/// Text as one segment of a path or one value of a query (RFC 3986, section 2.3).
pub fn quote(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn everything_but_the_unreserved_is_quoted() {
        assert_eq!(super::quote("a-b_c.d~1"), "a-b_c.d~1");
        assert_eq!(super::quote("../x?y=ä &"), "..%2Fx%3Fy%3D%C3%A4%20%26");
    }
}

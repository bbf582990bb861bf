//! One call, one connection.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::super::KvError;
use super::messages::Failure;
use super::{Member, Refusal};

/// Bytes of the largest answer.
const MAX_ANSWER: usize = 256 << 20;

/// Codes of gRPC (`google.rpc.Code`).
const DEADLINE_EXCEEDED: i32 = 4;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

fn elsewhere(error: impl std::fmt::Display) -> Refusal {
    Refusal::Elsewhere(error.to_string())
}

/// Sends a request to a member; its answer once it begins.
pub(super) async fn send(
    member: &Member,
    token: Option<&str>,
    path: &str,
    body: &Value,
) -> Result<Response<Incoming>, Refusal> {
    let stream = TcpStream::connect(&member.address).await.map_err(elsewhere)?;
    let _ = stream.set_nodelay(true);
    let mut sender = match &member.tls {
        Some(tls) => shake_hands(tls.connect(&member.address, stream).await.map_err(elsewhere)?).await?,
        None => shake_hands(stream).await?,
    };
    let mut request = Request::post(path)
        .header(header::HOST, member.address.as_str())
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, token);
    }
    let request = request.body(Full::new(Bytes::from(body.to_string())));
    let request = request.map_err(|e| Refusal::Final(KvError::Malformed(e.to_string())))?;
    let response = sender.send_request(request).await.map_err(|error| match &member.tls {
        // As etcd behind TLS does.
        None if error.is_incomplete_message() => {
            elsewhere("it ends the connection without a word: if it wants TLS, give etcds://")
        }
        _ => elsewhere(error),
    })?;
    let status = response.status();
    if status == StatusCode::OK { Ok(response) } else { Err(refusal(status, &read(response).await?)) }
}

async fn shake_hands(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, Refusal> {
    let hands = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (sender, connection) = hands.await.map_err(elsewhere)?;
    // Ends with the answer, or when nobody reads it any more.
    tokio::spawn(connection);
    Ok(sender)
}

async fn read(response: Response<Incoming>) -> Result<Bytes, Refusal> {
    let whole = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    whole.map(http_body_util::Collected::to_bytes).map_err(elsewhere)
}

/// A call with one answer.
pub(super) async fn call<T: DeserializeOwned>(
    member: &Member,
    token: Option<&str>,
    path: &str,
    body: &Value,
) -> Result<T, Refusal> {
    let answer = read(send(member, token, path, body).await?).await?;
    serde_json::from_slice(&answer)
        .map_err(|e| Refusal::Final(KvError::Malformed(format!("{path} of {}: {e}", member.address))))
}

/// What an answer other than 200 means.
fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    let Ok(failure) = serde_json::from_slice::<Failure>(body) else {
        return Refusal::Elsewhere(format!("it answers {status}, which is not etcd's way"));
    };
    let why = match &failure.error {
        Value::String(why) => why.clone(),
        _ => failure.message,
    };
    match failure.code {
        UNAUTHENTICATED => Refusal::Token,
        DEADLINE_EXCEEDED | RESOURCE_EXHAUSTED | UNAVAILABLE => Refusal::Elsewhere(why),
        // The password was right when the token was given, and has been changed since.
        _ if why.contains("invalid auth token") => Refusal::Token,
        _ if status.is_server_error() && status != StatusCode::INTERNAL_SERVER_ERROR => {
            Refusal::Elsewhere(why)
        }
        _ if why.contains("user name is empty") => {
            Refusal::Final(KvError::Refused(format!("it wants a user and a password ({why})")))
        }
        _ => Refusal::Final(KvError::Refused(why)),
    }
}

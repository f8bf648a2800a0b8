//! One HTTP call to another role. Every call opens its own connection unless the peer is told to reuse them: a Service
//! balances connections, so a kept one would pin this pod to one other pod, and to its death.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use super::SERVED_BY;

/// Answers larger than this are refused.
const MAX_BODY: usize = 64 << 20;
/// Idle connections kept to a peer that reuses them.
const MAX_IDLE: usize = 16;

/// Another role, reached through its Service.
#[derive(Clone, Debug)]
pub struct Peer {
    name: &'static str,
    authority: Arc<str>,
    idle: Option<Arc<Mutex<IdleConnections>>>,
}

type IdleConnections = Vec<SendRequest<Full<Bytes>>>;

/// A URL that names no peer.
#[derive(Debug, thiserror::Error)]
#[error(
    "failed to read the address of {peer}: '{url}' is not http://HOST:PORT\nhint: a literal $(NAME) means that the Service did not exist when the pod started"
)]
pub struct PeerError {
    peer: &'static str,
    url: String,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing was sent: the call had no effect.
    #[error("failed to connect to {0}: {1}")]
    Refused(&'static str, std::io::Error),
    /// The connection broke before the answer: the call may have had its effect.
    #[error("failed to get an answer from {0}: {1}")]
    Broken(&'static str, String),
    /// No answer in time: the call may have had its effect.
    #[error("failed to get an answer from {0} within {1:?}")]
    TimedOut(&'static str, Duration),
    /// An answer that cannot be understood.
    #[error("failed to read the answer of {0}: {1}")]
    Garbled(&'static str, String),
}

/// What to ask.
#[derive(Clone, Debug)]
pub struct Call {
    /// HTTP method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Besides the usual ones.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON, or empty.
    pub body: Bytes,
}

impl Call {
    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// A POST of `body` as JSON.
    pub fn post(path: impl Into<String>, body: &impl Serialize) -> Self {
        // Wire types are maps with string keys and finite numbers: writing them cannot fail.
        let body = serde_json::to_vec(body).unwrap_or_default().into();
        Self { method: Method::POST, path: path.into(), headers: Vec::new(), body }
    }

    /// Adds a header; a value that no header can carry is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// Whole body.
    pub body: Bytes,
    peer: &'static str,
}

impl Reply {
    /// The pods that served it.
    pub fn served_by(&self) -> &str {
        self.headers.get(SERVED_BY).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body of an answer with a 2xx status.
    ///
    /// # Errors
    /// [`CallError::Garbled`] for another status or a body of another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        if !self.status.is_success() {
            let text = String::from_utf8_lossy(&self.body).chars().take(200).collect::<String>();
            return Err(CallError::Garbled(self.peer, format!("{} {text}", self.status)));
        }
        serde_json::from_slice(&self.body).map_err(|error| CallError::Garbled(self.peer, error.to_string()))
    }
}

impl Peer {
    /// A peer that gets a new connection for every call.
    ///
    /// # Errors
    /// [`PeerError`] when `url` is not `http://HOST:PORT`.
    pub fn new(name: &'static str, url: &str) -> Result<Self, PeerError> {
        let wrong = || PeerError { peer: name, url: url.into() };
        let authority = url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        let port_ok = port.parse::<u16>().is_ok_and(|port| port > 0);
        let host_ok = !host.is_empty() && !host.contains(['/', '$', '(', ' ', '@']);
        if !port_ok || !host_ok {
            return Err(wrong());
        }
        Ok(Self { name, authority: authority.into(), idle: None })
    }

    /// Keeps connections open between calls: right for a peer with one pod, wrong for one that is balanced.
    #[must_use]
    pub fn reusing_connections(self) -> Self {
        Self { idle: Some(Arc::default()), ..self }
    }

    /// Makes one attempt.
    ///
    /// # Errors
    /// [`CallError`] when there is no answer; an answer with an error status is an answer.
    pub async fn call(&self, call: &Call, timeout: Duration) -> Result<Reply, CallError> {
        tokio::time::timeout(timeout, self.attempt(call)).await.unwrap_or(Err(CallError::TimedOut(self.name, timeout)))
    }

    async fn attempt(&self, call: &Call) -> Result<Reply, CallError> {
        if let Some(sender) = self.take_idle() {
            // The other end may have closed an idle connection: only then is a second attempt made here.
            match self.send(sender, call).await {
                Err(CallError::Broken(..)) => {}
                answered => return answered,
            }
        }
        let stream =
            TcpStream::connect(&*self.authority).await.map_err(|error| CallError::Refused(self.name, error))?;
        stream.set_nodelay(true).map_err(|error| CallError::Refused(self.name, error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        tokio::spawn(async move {
            // An error here is also returned by the request that it broke.
            let _ = connection.await;
        });
        self.send(sender, call).await
    }

    async fn send(&self, mut sender: SendRequest<Full<Bytes>>, call: &Call) -> Result<Reply, CallError> {
        let mut request = Request::new(Full::new(call.body.clone()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.path.parse().map_err(|_| self.broken(&"the path is not valid"))?;
        let headers = request.headers_mut();
        headers.extend(call.headers.iter().cloned());
        headers.insert(HOST, HeaderValue::from_str(&self.authority).map_err(|error| self.broken(&error))?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.idle.is_none() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        sender.ready().await.map_err(|error| self.broken(&error))?;
        let (parts, body) = sender.send_request(request).await.map_err(|error| self.broken(&error))?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| self.broken(&error))?.to_bytes();
        self.keep_idle(sender);
        Ok(Reply { status: parts.status, headers: parts.headers, body, peer: self.name })
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        idle.pop()
    }

    fn keep_idle(&self, sender: SendRequest<Full<Bytes>>) {
        let Some(idle) = &self.idle else { return };
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE && !sender.is_closed() {
            idle.push(sender);
        }
    }

    fn broken(&self, error: &impl ToString) -> CallError {
        CallError::Broken(self.name, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_services_that_do_not_exist_are_named() {
        assert!(Peer::new("trips", "http://10.0.0.1:8081").is_ok());
        assert!(Peer::new("trips", "http://trips.dispatch:80/").is_ok());
        for url in [
            "http://$(TRIPS_SERVICE_HOST):$(TRIPS_SERVICE_PORT)",
            "10.0.0.1:80",
            "http://x",
            "http://:80",
            "http://x:0",
        ] {
            let error = Peer::new("trips", url).unwrap_err().to_string();
            assert!(error.contains("trips") && error.contains(url) && error.contains("hint:"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_refused_and_not_unknown() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = Peer::new("eta", &url).unwrap().call(&Call::get("/"), Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, CallError::Refused("eta", _)), "{error}");
    }

    #[tokio::test]
    async fn a_connection_closed_before_the_answer_is_unknown() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { drop(listener.accept().await) });
        let error = Peer::new("eta", &url).unwrap().call(&Call::get("/"), Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, CallError::Broken("eta", _)), "{error}");
    }
}

//! One HTTP call to the API server with a deadline, and errors that say whether the server may have carried it out. All reads
//! and writes of this module go through it.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An answer that takes longer is a lost one.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Characters that are told of a refusal: some proxies answer with whole pages.
const LONGEST: usize = 1_000;

/// Why a namespace that is being deleted refuses a new object, as the API server tells it in the causes of its refusal.
const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";

/// Calls the API server.
#[derive(Clone)]
pub struct Caller {
    client: Client,
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server said no.
    #[error("failed to {what}: {}", said(status))]
    Refused {
        /// What was asked.
        what: String,
        /// The server's words.
        status: Box<Status>,
    },
    /// The server was not reached: nothing happened.
    #[error("failed to {what}: the server is out of reach: {message}")]
    Unreached {
        /// What was asked.
        what: String,
        /// Why.
        message: String,
    },
    /// There is no answer that can be understood: it may have happened.
    #[error("failed to {what}: {message}")]
    Lost {
        /// What was asked.
        what: String,
        /// Why.
        message: String,
    },
}

impl CallError {
    /// The server's status code, if it answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(status.code),
            Self::Unreached { .. } | Self::Lost { .. } => None,
        }
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether somebody else wrote first, or made it first.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Whether the permission is missing.
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// Whether whoever asked was turned away: see [`is_turned_away`].
    pub fn is_turned_away(&self) -> bool {
        self.code().is_some_and(turns_away)
    }

    /// Whether nothing new is taken because the namespace is being deleted.
    pub fn is_namespace_terminating(&self) -> bool {
        let Self::Refused { status, .. } = self else { return false };
        let mut causes = status.details.iter().flat_map(|details| &details.causes);
        status.code == 403 && causes.any(|cause| cause.reason == NAMESPACE_TERMINATING)
    }

    /// Whether asking again may help: there is no answer, or one of a moment.
    pub fn is_passing(&self) -> bool {
        self.code().is_none_or(is_passing)
    }

    /// Whether the server may have carried the request out all the same.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Refused { status, .. } => status.code >= 500,
            Self::Unreached { .. } => false,
            Self::Lost { .. } => true,
        }
    }
}

/// Whether an answer of this status code is one of a moment, so that asking again may help: the server is in trouble, or busy.
pub const fn is_passing(code: u16) -> bool {
    code >= 500 || matches!(code, 408 | 429)
}

/// Whether an error of a client is one of a moment, so that asking again may help: there is no answer, or that of a server that is in
/// trouble.
pub fn is_of_a_moment(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => is_passing(status.code),
        kube::Error::Service(_) | kube::Error::HyperError(_) => true,
        _ => false,
    }
}

/// Whether the server may have carried out what a client asked for, though that failed.
pub fn may_have_happened(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code >= 500,
        other => !is_unreached(other),
    }
}

/// What came of it that a client asked for an object to be changed or deleted by its name: what is not there needs no more doing, and
/// what was answered with an object that cannot be read is done.
pub fn done<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Ok(_) | Err(kube::Error::SerdeError(_)) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a client was told that the permission is missing.
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Whether a client was turned away, as it is not known, or may not do what it asked for. A server that has just been started turns
/// everybody away: see [`chaos_core::forbidden`].
pub fn is_turned_away(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if turns_away(status.code))
}

const fn turns_away(code: u16) -> bool {
    matches!(code, 401 | 403)
}

impl Caller {
    /// Calls through this client.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Reads an object.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let what = format!("read {path}");
        let bytes = self.call(TIMEOUT, Method::GET, path, Vec::new(), &what).await?;
        parse(&bytes, &what)
    }

    /// Reads an object that may not be there.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, CallError> {
        match self.get(path).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an object.
    pub async fn create<T: DeserializeOwned>(&self, path: &str, object: &impl Serialize) -> Result<T, CallError> {
        self.send(Method::POST, path, object, "create in").await
    }

    /// Replaces an object.
    pub async fn replace<T: DeserializeOwned>(&self, path: &str, object: &impl Serialize) -> Result<T, CallError> {
        self.send(Method::PUT, path, object, "write").await
    }

    /// Sends a body and reads the answer.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        object: &impl Serialize,
        verb: &str,
    ) -> Result<T, CallError> {
        self.send_within(TIMEOUT, method, path, object, verb).await
    }

    /// The same, for what must not be sent any more after that time, nor be on its way then: it is given up, and what was not begun
    /// by then never is. No call is waited for longer than others are.
    pub async fn send_within<T: DeserializeOwned>(
        &self,
        within: Duration,
        method: Method,
        path: &str,
        object: &impl Serialize,
        verb: &str,
    ) -> Result<T, CallError> {
        let what = format!("{verb} {path}");
        let body = serde_json::to_vec(object)
            .map_err(|error| CallError::Unreached { what: what.clone(), message: error.to_string() })?;
        let bytes = self.call(within.min(TIMEOUT), method, path, body, &what).await?;
        parse(&bytes, &what)
    }

    async fn call(
        &self,
        within: Duration,
        method: Method,
        path: &str,
        body: Vec<u8>,
        what: &str,
    ) -> Result<Vec<u8>, CallError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json")
            .body(Body::from(body))
            .map_err(|error| CallError::Unreached { what: what.to_owned(), message: error.to_string() })?;
        let lost = |message: String| CallError::Lost { what: what.to_owned(), message };
        let answer = async {
            let response = self.client.send(request).await.map_err(|error| not_answered(&error, what))?;
            let status = response.status();
            let mut body = response.into_body();
            // Piece by piece: what is collected first is in memory twice.
            let mut bytes = Vec::new();
            while let Some(frame) = body.frame().await {
                let data = frame.map_err(|error| lost(error.to_string()))?.into_data();
                data.into_iter().for_each(|data| bytes.extend_from_slice(&data));
            }
            Ok((status, bytes))
        };
        let (status, body) = tokio::time::timeout(within, answer)
            .await
            .map_err(|_| lost(format!("no answer within {} ms", within.as_millis())))??;
        if status.is_success() { Ok(body) } else { Err(refused(status, &body, what)) }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, CallError> {
    serde_json::from_slice(bytes)
        .map_err(|error| CallError::Lost { what: what.to_owned(), message: format!("unreadable answer: {error}") })
}

fn refused(code: StatusCode, body: &[u8], what: &str) -> CallError {
    let status = serde_json::from_slice::<Status>(body).ok().filter(|status| status.code != 0);
    let status = status.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        Status::failure(&text, code.canonical_reason().unwrap_or("Unknown")).with_code(code.as_u16())
    });
    CallError::Refused { what: what.to_owned(), status: Box::new(status) }
}

/// An error of the transport.
fn not_answered(error: &kube::Error, what: &str) -> CallError {
    let (what, message) = (what.to_owned(), chain(error));
    if is_unreached(error) { CallError::Unreached { what, message } } else { CallError::Lost { what, message } }
}

/// Whether a connection was never made: it carried nothing.
fn is_unreached(error: &kube::Error) -> bool {
    let is_connect = |error: &hyper_util::client::legacy::Error| error.is_connect();
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if cause.downcast_ref().is_some_and(is_connect) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// What the server said no with, and its code, in one line: `pods "a" not found (404)`.
pub fn said(status: &Status) -> String {
    let message = match status.message.as_str() {
        _ if is_unserved(status) => "the server serves no such kind",
        "" => status.reason.as_str(),
        message => message,
    };
    let words: Vec<&str> = message.split_whitespace().collect();
    let text: String = words.join(" ").chars().take(LONGEST).collect();
    format!("{text} ({})", status.code)
}

/// Whether the server knows no such kind at all, as one without our CRDs says.
pub fn is_unserved(status: &Status) -> bool {
    let no_path = ["404 page not found", "the server could not find the requested resource"];
    status.code == 404 && no_path.contains(&status.message.trim())
}

/// An error of a client in one line: the server's own words, or what came between, with its causes.
pub fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => said(status),
        other => chain(other),
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_the_words_of_the_server_and_its_code() {
        for (message, reason, code, expected) in [
            ("pods \"a\" not found", "NotFound", 404, "pods \"a\" not found (404)"),
            ("404 page not found", "Failed to parse error data", 404, "the server serves no such kind (404)"),
            ("<html>\n  <b>no</b>\n</html>", "Failed to parse error data", 502, "<html> <b>no</b> </html> (502)"),
            ("", "Forbidden", 403, "Forbidden (403)"),
        ] {
            let error = kube::Error::Api(Status::failure(message, reason).with_code(code).boxed());
            assert_eq!(told(&error), expected);
        }
        let long = Status::failure(&"x".repeat(5_000), "").with_code(500);
        assert_eq!(said(&long).len(), LONGEST + " (500)".len());
    }

    #[test]
    fn a_namespace_that_goes_is_told_by_the_cause_of_a_refusal_and_not_by_its_words() {
        let refused = |reason: &str, code: u16| {
            let status = json!({
                "status": "Failure", "code": code, "reason": "Forbidden",
                "message": "unable to create new content in namespace a because it is being terminated",
                "details": {"causes": [{"reason": reason, "field": "metadata.namespace"}]},
            });
            CallError::Refused { what: String::new(), status: serde_json::from_value(status).unwrap() }
        };
        assert!(refused("NamespaceTerminating", 403).is_namespace_terminating());
        assert!(!refused("", 403).is_namespace_terminating());
        assert!(!refused("NamespaceTerminating", 409).is_namespace_terminating());
    }
}

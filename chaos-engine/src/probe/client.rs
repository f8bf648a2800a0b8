//! The http client of probes that ask a question now and then (the load has its own). No retry, no redirect, no proxy from
//! the environment: what answers is what the manifest names.

use std::error::Error;
use std::time::Duration;

use super::look::NoAnswer;
use super::tls::Trust;

/// A client whose every answer is whole within `timeout`, or an error.
pub(super) fn client(timeout: Duration) -> Result<reqwest::Client, NoAnswer> {
    trusting(&Trust::default(), timeout)
}

/// The same, for servers whose certificates are of these authorities.
pub(super) fn trusting(trust: &Trust, timeout: Duration) -> Result<reqwest::Client, NoAnswer> {
    let config = trust.client_config(&[]).map_err(|error| NoAnswer::new("tls", error))?;
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .user_agent(concat!("chaos/", env!("CARGO_PKG_VERSION")))
        .timeout(timeout);
    builder.build().map_err(|error| NoAnswer::new("client", error))
}

/// Why there was no answer, from any error that a request may end with.
pub(super) fn no_answer(error: &(dyn Error + 'static)) -> NoAnswer {
    let (mut reason, mut message) = ("failed", String::new());
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(request) = error.downcast_ref::<reqwest::Error>() {
            reason = match request {
                error if error.is_timeout() => "timeout",
                error if error.is_connect() => "unreachable",
                error if error.is_decode() => "unparsable",
                error if error.is_body() || error.is_request() => "unreachable",
                _ => reason,
            };
        }
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&error.to_string());
        cause = error.source();
    }
    NoAnswer::new(reason, message)
}

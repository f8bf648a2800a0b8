//! A Prometheus, asked with suspicion: every answer is bounded in size and time, and what the server itself warns about is
//! no answer. Requests and types of results are those of `prometheus-http-query`.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use http::header::AUTHORIZATION;
use prometheus_http_query::response::Data;
use prometheus_http_query::{Client, InstantQueryBuilder, RangeQueryBuilder};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::client;
use super::super::look::NoAnswer;
use super::access::{Access, Token};

/// Largest answer, in bytes.
const LARGEST: usize = 16 << 20;

/// Who is asked.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    timeout: Duration,
    bearer_token_file: Option<PathBuf>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.client.base_url())
    }
}

/// What every answer of the API is wrapped in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<T> {
    status: String,
    data: Option<T>,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

impl Server {
    pub(super) fn new(access: &Access, timeout: Duration) -> Result<Self, NoAnswer> {
        let (http, url) = (client::trusting(&access.trust()?, timeout)?, &access.url);
        let client = Client::from(http, url).map_err(|error| NoAnswer::new("badUrl", format!("{url}: {error}")))?;
        Ok(Self { client, timeout, bearer_token_file: access.bearer_token_file.clone() })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The value for now.
    pub(super) async fn instant(&self, query: &str) -> Result<Data, NoAnswer> {
        let request = self.client.query(query).timeout(self.millis());
        self.ask(request, |request, token| request.header(AUTHORIZATION, token), InstantQueryBuilder::get_raw).await
    }

    /// The values at `start`, `start + step`, … up to `end`, in seconds since 1970.
    pub(super) async fn range(&self, query: &str, (start, end): (i64, i64), step: f64) -> Result<Data, NoAnswer> {
        let request = self.client.query_range(query, start, end, step).timeout(self.millis());
        self.ask(request, |request, token| request.header(AUTHORIZATION, token), RangeQueryBuilder::get_raw).await
    }

    /// Another part of the API, by its path and query.
    pub(super) async fn api<T: DeserializeOwned>(&self, path: &str) -> Result<T, NoAnswer> {
        let url = format!("{}{path}", self.client.base_url().as_str().trim_end_matches('/'));
        let request = self.client.inner().get(url);
        self.ask(request, |request, token| request.header(AUTHORIZATION, token), RequestBuilder::send).await
    }

    /// Asks with the token as it is now, and reads the answer without it. The builders of requests share no trait, so how one
    /// is `shown` the token, and `sent`, are arguments.
    async fn ask<R, T, S, E>(
        &self,
        request: R,
        shown: impl FnOnce(R, HeaderValue) -> R,
        sent: impl FnOnce(R) -> S,
    ) -> Result<T, NoAnswer>
    where
        T: DeserializeOwned,
        S: Future<Output = Result<reqwest::Response, E>>,
        E: std::error::Error + 'static,
    {
        let token = self.token().await?;
        let request = match &token {
            Some(token) => shown(request, token.header.clone()),
            None => request,
        };
        read(sent(request).await.map_err(|error| client::no_answer(&error))?, token.as_ref()).await
    }

    /// What it is shown, as it is now.
    async fn token(&self) -> Result<Option<Token>, NoAnswer> {
        match &self.bearer_token_file {
            Some(file) => Token::of_file(file).await.map(Some),
            None => Ok(None),
        }
    }

    /// What the server is told: to go on for longer than anybody waits would only load it.
    fn millis(&self) -> i64 {
        i64::try_from(self.timeout.as_millis().max(1)).unwrap_or(i64::MAX)
    }
}

async fn read<T: DeserializeOwned>(mut response: reqwest::Response, token: Option<&Token>) -> Result<T, NoAnswer> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| client::no_answer(&error))? {
        if body.len() + chunk.len() > LARGEST {
            return Err(NoAnswer::new("tooLarge", format!("the answer is larger than {LARGEST} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    if let Some(token) = token {
        body = token.hidden_in(body);
    }
    let envelope: Envelope<T> = serde_json::from_slice(&body).map_err(|error| {
        // What stands before a server that is gone often answers in its place.
        if status.is_success() {
            return NoAnswer::new("unparsable", error);
        }
        let reason = if matches!(status.as_u16(), 401 | 403) { "refused" } else { "unreachable" };
        NoAnswer::new(reason, format!("http status {status}, and no answer of a Prometheus"))
    })?;
    match (envelope.status.as_str(), envelope.data) {
        ("success", Some(_)) if !envelope.warnings.is_empty() => Err(NoAnswer::new(
            "warned",
            format!("the server warns of its own answer: {}", envelope.warnings.join("; ")),
        )),
        ("success", Some(data)) if status.is_success() => Ok(data),
        ("error", _) => {
            let reason = match envelope.error_type.as_str() {
                "timeout" | "canceled" => "timeout",
                "bad_data" => "badQuery",
                "unavailable" => "unreachable",
                _ => "failed",
            };
            Err(NoAnswer::new(reason, envelope.error))
        }
        (told, _) => Err(NoAnswer::new("unparsable", format!("http status {status} with status {told:?}"))),
    }
}

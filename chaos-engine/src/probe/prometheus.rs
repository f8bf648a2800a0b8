//! One value from a Prometheus. Everything that is not exactly one finite number for now has a cause of its own: empty
//! results, NaN, infinities, several series, ranges, old answers, refusals. What a query hides (a dead target that a rate
//! over minutes still covers) cannot be seen here: such probes end as `observed` at best.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_http_query::response::Data;
use prometheus_http_query::{Client, Error};
use serde_json::Value;

use super::client;
use super::look::NoAnswer;

/// An answer for a time further from this machine's clock, in seconds, is an old one (of a cache), or a clock is wrong.
const OLDEST: f64 = 60.0;
/// Series that a message names.
const NAMED_SERIES: usize = 3;

/// A query to ask.
#[derive(Clone)]
pub struct PrometheusLook {
    client: Client,
    query: String,
    timeout: Duration,
}

impl std::fmt::Debug for PrometheusLook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrometheusLook").field("query", &self.query).finish_non_exhaustive()
    }
}

impl PrometheusLook {
    /// A query to the Prometheus at a base URL.
    pub fn new(url: &str, query: &str, timeout: Duration) -> Result<Self, NoAnswer> {
        let http = client::client(timeout)?;
        let client = Client::from(http, url).map_err(|error| NoAnswer::new("badUrl", format!("{url}: {error}")))?;
        Ok(Self { client, query: query.to_owned(), timeout })
    }

    /// The one value.
    pub(super) async fn value(&self) -> Result<Value, NoAnswer> {
        let seconds = i64::try_from(self.timeout.as_secs().max(1)).unwrap_or(i64::MAX);
        let result = self.client.query(&self.query).timeout(seconds).get();
        let result = tokio::time::timeout(self.timeout, result).await;
        let result =
            result.map_err(|_| NoAnswer::new("timeout", format!("no answer in {} ms", self.timeout.as_millis())))?;
        one_value(result.map_err(|error| cause(&error))?.data(), Timestamp::now())
    }
}

fn one_value(data: &Data, now: Timestamp) -> Result<Value, NoAnswer> {
    let sample = match data {
        Data::Scalar(sample) => sample,
        Data::Vector(series) => match series.as_slice() {
            [] => return Err(NoAnswer::new("noData", "the query gave no series")),
            [one] => one.sample(),
            several => {
                let named: Vec<_> = several.iter().take(NAMED_SERIES).map(|series| labels(series.metric())).collect();
                let message = format!("the query gave {} series, such as {}", several.len(), named.join(", "));
                return Err(NoAnswer::new("severalSeries", message));
            }
        },
        Data::Matrix(_) => return Err(NoAnswer::new("badQuery", "the query gave a range, not a value for now")),
    };
    let age = now.as_duration().as_secs_f64() - sample.timestamp();
    if age.abs() > OLDEST {
        return Err(NoAnswer::new("stale", format!("the answer is for a time {age:.0} s before this machine's clock")));
    }
    match sample.value() {
        value if value.is_nan() => Err(NoAnswer::new("nan", "the value is not a number (0 / 0?)")),
        value if value.is_infinite() => Err(NoAnswer::new("infinite", format!("the value is {value}"))),
        value => Ok(Value::from(value)),
    }
}

fn labels(metric: &HashMap<String, String>) -> String {
    let mut labels: Vec<_> = metric.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    labels.sort_unstable();
    format!("{{{}}}", labels.join(", "))
}

fn cause(error: &Error) -> NoAnswer {
    use prometheus_http_query::error::PrometheusError;
    let of = |error: &PrometheusError| match error {
        error if error.is_timeout() => "timeout",
        error if error.is_bad_data() => "badQuery",
        error if error.is_unavailable() => "unreachable",
        _ => "failed",
    };
    match error {
        Error::Prometheus(told) => NoAnswer::new(of(told), told.message()),
        error => client::no_answer(error),
    }
}

#[cfg(test)]
mod tests;

//! Values from a Prometheus. Everything that is not exactly one finite number for now (with `range`: one at each point) has a
//! cause of its own: empty results, gaps, NaN, infinities, several series, old samples, refusals. What a query hides (a dead
//! target that a rate over minutes still covers) cannot be seen here: such probes end as `observed` at best.

mod access;
mod alerts;
mod server;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chaos_core::model::{MetricQuestion, PrometheusProbe, QueryRange};
use chaos_core::units;
use futures::future::try_join_all;
use jiff::Timestamp;
use prometheus_http_query::response::{Data, Sample};
use serde::Deserialize;
use serde_json::Value;

pub use self::access::Access;
pub use self::alerts::AlertLook;
use self::server::Server;
use super::look::NoAnswer;

/// An answer for a time further from this machine's clock, in seconds, is an old one (of a cache), or a clock is wrong.
const OLDEST: f64 = 60.0;
/// What game days and guards ask for is often recorded by a rule: nothing that it rests on may be older than this.
const OLDEST_RECORDED: Duration = Duration::from_secs(300);
/// Series that a message names.
const NAMED_SERIES: usize = 3;
/// Points are where they were asked for, within so many seconds.
const POINT_TOLERANCE: f64 = 0.01;

/// A query to ask.
#[derive(Debug, Clone)]
pub struct PrometheusLook {
    server: Server,
    query: String,
    /// Selectors of what it reads now.
    reads: Vec<String>,
    max_age: Option<Duration>,
    range: Option<QueryRange>,
}

impl PrometheusLook {
    /// A query to the Prometheus at a base URL, whose one value for now is taken as it comes.
    pub fn new(url: &str, query: &str, timeout: Duration) -> Result<Self, NoAnswer> {
        Self::of(&Access::from(url), query, timeout)
    }

    /// The same, to one that may want credentials.
    pub fn of(access: &Access, query: &str, timeout: Duration) -> Result<Self, NoAnswer> {
        let server = Server::new(access, timeout)?;
        Ok(Self { server, query: query.to_owned(), reads: Vec::new(), max_age: None, range: None })
    }

    /// The query of a validated probe.
    pub fn of_probe(access: &Access, probe: &PrometheusProbe) -> Result<Self, NoAnswer> {
        Ok(Self {
            reads: probe.facts.reads.clone(),
            max_age: probe.max_age.map(units::Duration::std),
            range: probe.range,
            ..Self::of(access, &probe.query, probe.timeout.std())?
        })
    }

    /// A question of a validated game day or monkey.
    pub(crate) fn of_question(access: &Access, question: &MetricQuestion) -> Result<Self, NoAnswer> {
        let look = Self::of(access, &question.query, question.timeout.std())?;
        Ok(Self { reads: question.reads.clone(), max_age: Some(OLDEST_RECORDED), ..look })
    }

    /// The one value; with a range the values of its points, as a list.
    pub(crate) async fn value(&self) -> Result<Value, NoAnswer> {
        within(self.server.timeout(), async {
            let value = match self.range {
                None => one_value(&self.server.instant(&self.query).await?, Timestamp::now())?,
                Some(range) => {
                    let (end, step) = (Timestamp::now().as_second(), range.step.as_secs_f64());
                    let start = end - i64::try_from(range.over.std().as_secs()).unwrap_or(i64::MAX);
                    points(&self.server.range(&self.query, (start, end), step).await?, (start, end), step)?
                }
            };
            self.is_fresh().await?;
            Ok(value)
        })
        .await
    }

    /// Whether what the query reads was scraped lately: its oldest sample is asked for, selector by selector.
    async fn is_fresh(&self) -> Result<(), NoAnswer> {
        let Some(max_age) = self.max_age.filter(|_| !self.reads.is_empty()) else { return Ok(()) };
        let ages = self.reads.iter().map(async |selector| {
            let query = format!("max(time() - timestamp({selector}))");
            match one_value(&self.server.instant(&query).await?, Timestamp::now()) {
                Ok(age) => Ok((selector, age.as_f64())),
                Err(cause) if cause.reason == "noData" => Ok((selector, None)),
                Err(cause) => Err(cause),
            }
        });
        let ages = try_join_all(ages).await?;
        if ages.iter().all(|(_, age)| age.is_none()) {
            let message =
                "the value rests on no sample: nothing that the query reads has been there in the last minutes";
            return Err(NoAnswer::new("stale", message));
        }
        let limit = max_age.as_secs_f64();
        // A sample from the future is as wrong as one from the past.
        let old = ages.iter().filter_map(|(selector, age)| age.map(|age| (selector, age)));
        match old.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())) {
            Some((selector, age)) if age.abs() > limit => {
                Err(NoAnswer::new("stale", format!("a sample of {selector} is {age:.0} s old, more than {limit:.0} s")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the server answers at all, and whether every rate has two scrapes in its window: by the server's own word, else
    /// by the interval that the probe declares. Gives the selectors of those of which neither tells it.
    pub(super) async fn check(
        &self,
        windows: &[(String, units::Duration)],
        declared: Option<units::Duration>,
    ) -> Result<Vec<String>, Unready> {
        let alive = within(self.server.timeout(), self.server.instant("vector(1)")).await;
        alive.map_err(Unready::Silent)?;
        let mut unknown = Vec::new();
        for (selector, window) in windows {
            let asked = within(self.server.timeout(), self.scrape_interval(selector)).await;
            match asked.ok().flatten().or(declared.map(units::Duration::std)) {
                None => unknown.push(selector.clone()),
                Some(interval) if window.std() < interval.saturating_mul(2) => {
                    let (selector, interval) = (selector.clone(), interval.into());
                    return Err(Unready::FewScrapes { selector, window: *window, interval });
                }
                Some(_) => {}
            }
        }
        Ok(unknown)
    }

    /// The longest interval at which the series of a selector are scraped, where the server says so.
    async fn scrape_interval(&self, selector: &str) -> Result<Option<Duration>, NoAnswer> {
        let Data::Vector(jobs) = self.server.instant(&format!("count by (job) ({selector})")).await? else {
            return Ok(None);
        };
        let jobs: BTreeSet<String> = jobs.iter().filter_map(|series| series.metric().get("job").cloned()).collect();
        let targets: Targets = self.server.api("/api/v1/targets?state=active").await?;
        let of_jobs = targets
            .active_targets
            .iter()
            .filter(|target| target.labels.get("job").is_some_and(|job| jobs.contains(job)));
        let intervals = of_jobs.filter_map(|target| target.scrape_interval.parse::<units::Duration>().ok());
        Ok(intervals.max().map(units::Duration::std))
    }
}

/// Why a query should not be asked in a run.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unready {
    /// The server gives no answer.
    #[error("{0}")]
    Silent(NoAnswer),
    /// A rate has no two samples to go by.
    #[error(
        "a window of {window} over {selector} holds less than two scrapes, which are {interval} apart; hint: take at least {}, four scrapes are usual",
        units::Duration::from(interval.std().saturating_mul(2))
    )]
    FewScrapes {
        /// Of what.
        selector: String,
        /// The window of the query.
        window: units::Duration,
        /// The time between two scrapes.
        interval: units::Duration,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Targets {
    active_targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    #[serde(default)]
    labels: HashMap<String, String>,
    #[serde(default)]
    scrape_interval: String,
}

/// What is asked ends in time, however many requests it takes.
async fn within<T>(timeout: Duration, asked: impl Future<Output = Result<T, NoAnswer>>) -> Result<T, NoAnswer> {
    match tokio::time::timeout(timeout, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(NoAnswer::new("timeout", format!("no answer in {} ms", timeout.as_millis()))),
    }
}

fn one_value(data: &Data, now: Timestamp) -> Result<Value, NoAnswer> {
    let sample = match data {
        Data::Scalar(sample) => sample,
        Data::Vector(series) => match series.as_slice() {
            [] => return Err(NoAnswer::new("noData", "the query gave no series")),
            [one] => one.sample(),
            several => {
                return Err(several_series(several.iter().map(prometheus_http_query::response::InstantVector::metric)));
            }
        },
        Data::Matrix(_) => return Err(NoAnswer::new("badQuery", "the query gave a range, not a value for now")),
    };
    let age = now.as_duration().as_secs_f64() - sample.timestamp();
    // A time that is no number is refused as well.
    if age.is_nan() || age.abs() > OLDEST {
        return Err(NoAnswer::new("stale", format!("the answer is for a time {age:.0} s before this machine's clock")));
    }
    finite(sample)
}

/// The values of all points that were asked for, in their order.
fn points(data: &Data, (start, end): (i64, i64), step: f64) -> Result<Value, NoAnswer> {
    let Data::Matrix(series) = data else {
        return Err(NoAnswer::new("badQuery", "the query gave one value, not a range"));
    };
    let samples = match series.as_slice() {
        [] => return Err(NoAnswer::new("noData", "the query gave no series")),
        [one] => one.samples(),
        several => {
            return Err(several_series(several.iter().map(prometheus_http_query::response::RangeVector::metric)));
        }
    };
    let (mut values, mut given) = (Vec::new(), samples.iter());
    let mut at = start as f64;
    while at <= end as f64 + POINT_TOLERANCE {
        match given.next() {
            Some(sample) if (sample.timestamp() - at).abs() <= POINT_TOLERANCE => values.push(finite(sample)?),
            _ => {
                let ago = end as f64 - at;
                return Err(NoAnswer::new(
                    "gap",
                    format!("there is no value for the point {ago:.0} s before the look"),
                ));
            }
        }
        at += step;
    }
    match given.next() {
        None => Ok(Value::Array(values)),
        Some(_) => Err(NoAnswer::new("unparsable", "the answer has more points than were asked for")),
    }
}

fn finite(sample: &Sample) -> Result<Value, NoAnswer> {
    match sample.value() {
        value if value.is_nan() => Err(NoAnswer::new("nan", "the value is not a number (0 / 0?)")),
        value if value.is_infinite() => Err(NoAnswer::new("infinite", format!("the value is {value}"))),
        value => Ok(Value::from(value)),
    }
}

fn several_series<'a>(series: impl ExactSizeIterator<Item = &'a HashMap<String, String>>) -> NoAnswer {
    let count = series.len();
    let named: Vec<String> = series.take(NAMED_SERIES).map(labels).collect();
    NoAnswer::new("severalSeries", format!("the query gave {count} series, such as {}", named.join(", ")))
}

fn labels(metric: &HashMap<String, String>) -> String {
    let mut labels: Vec<_> = metric.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    labels.sort_unstable();
    format!("{{{}}}", labels.join(", "))
}

#[cfg(test)]
mod tests;

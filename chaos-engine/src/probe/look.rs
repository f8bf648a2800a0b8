//! One look of a probe that asks for a value: the kinds, and what they have in common. A look ends with a value or with a
//! cause, within a bound of time; whether the value is good is asked afterwards.

use std::fmt::Display;
use std::time::Duration;

use chaos_core::model::{Moment, Patience};
use chaos_core::record::{Answer, Event, RunTime, Sample};
use serde_json::Value;

use super::{CommandLook, Expected, GrpcLook, KubernetesLook, PrometheusLook, TcpLook};

/// Longest text that a record keeps of an answer or a cause, in characters.
const LONGEST: usize = 4_096;
/// From a look without an answer to the next attempt.
pub(crate) const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);

/// A probe that asks for a value.
#[derive(Debug)]
pub struct LookPlan {
    /// Unique in the run.
    pub name: String,
    /// When it looks.
    pub when: Moment,
    /// What every value must be.
    pub expected: Expected,
    /// Where the value comes from.
    pub look: Look,
    /// How patiently it looks.
    pub patience: Patience,
}

/// Where a value comes from.
#[derive(Debug)]
pub enum Look {
    /// A Prometheus.
    Prometheus(PrometheusLook),
    /// An object of the cluster.
    Kubernetes(Box<KubernetesLook>),
    /// A program.
    Command(CommandLook),
    /// A connection.
    Tcp(TcpLook),
    /// A gRPC server.
    Grpc(Box<GrpcLook>),
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct NoAnswer {
    /// Stable, in lower camel case.
    pub reason: &'static str,
    /// The facts, for people.
    pub message: String,
}

impl NoAnswer {
    /// A cause with its facts, cut to a length that a record may hold.
    pub(super) fn new(reason: &'static str, message: impl Display) -> Self {
        Self { reason, message: message.to_string().chars().take(LONGEST).collect() }
    }

    /// The record of it.
    pub(super) fn event(self, probe: &str, at: RunTime) -> Event {
        let answer = Answer::Error { reason: self.reason.to_owned(), message: self.message };
        Event::Sample(Sample { probe: probe.to_owned(), at, answer, met: None })
    }
}

impl LookPlan {
    /// Looks once; the record of it says that it was asked at `at`.
    pub(super) async fn sample(&self, at: RunTime) -> Event {
        let mut attempts = Attempts::new(self.patience);
        let value = loop {
            if let Some(end) = attempts.end(self.value().await).await {
                break end;
            }
        };
        match value {
            Ok(value) => {
                let met = Some(self.expected.is_met_by(&value));
                Event::Sample(Sample { probe: self.name.clone(), at, answer: Answer::Value(abridged(value)), met })
            }
            Err(cause) => cause.event(&self.name, at),
        }
    }

    async fn value(&self) -> Result<Value, NoAnswer> {
        match &self.look {
            Look::Prometheus(look) => look.value().await,
            Look::Kubernetes(look) => look.value().await,
            Look::Command(look) => look.value().await,
            Look::Tcp(look) => look.value().await,
            Look::Grpc(look) => look.value().await,
        }
    }
}

/// Counts the attempts of one look.
pub(super) struct Attempts {
    left: u32,
    made: u32,
}

impl Attempts {
    /// As many as the probe may make.
    pub(super) fn new(patience: Patience) -> Self {
        Self { left: patience.attempts, made: 0 }
    }

    /// The end of the look, or `None` after a pause where it is to be tried once more. An answer stands, whatever it is; the
    /// last cause says how often it was tried.
    pub(super) async fn end<T>(&mut self, result: Result<T, NoAnswer>) -> Option<Result<T, NoAnswer>> {
        self.made += 1;
        self.left = self.left.saturating_sub(1);
        match result {
            Err(_) if self.left > 0 => {
                tokio::time::sleep(BETWEEN_ATTEMPTS).await;
                None
            }
            Err(cause) if self.made > 1 => {
                Some(Err(NoAnswer::new(cause.reason, format!("{} (attempt {})", cause.message, self.made))))
            }
            end => Some(end),
        }
    }
}

/// The value as a record may hold it; long ones are told by their size.
fn abridged(value: Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > LONGEST => {
            Value::String(text.chars().take(LONGEST).chain("…".chars()).collect())
        }
        Value::Array(_) | Value::Object(_) => {
            let size = value.to_string().len();
            if size > LONGEST { Value::String(format!("({size} bytes of JSON)")) } else { value }
        }
        value => value,
    }
}

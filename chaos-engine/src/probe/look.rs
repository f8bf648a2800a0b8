//! One look of a probe that asks for a value: the kinds, and what they have in common. A look ends with a value or with a
//! cause, within a bound of time; whether the value is good is asked afterwards.

use std::fmt::Display;

use chaos_core::model::{BETWEEN_ATTEMPTS, Moment, Patience};
use chaos_core::record::{Answer, Event, RunTime, Sample};
use serde_json::Value;

use super::{CommandLook, Expected, GrpcLook, KubernetesLook, PrometheusLook, TcpLook};

/// Longest text that a record keeps of an answer or a cause, in characters.
const LONGEST: usize = 4_096;

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

    /// Whether nobody was heard at all, which says nothing about the system under test. Whatever else there is instead of a
    /// value (no series, no such object or field, several values, an old sample) may be the outage itself.
    fn is_silence(&self) -> bool {
        matches!(self.reason, "timeout" | "unreachable" | "failed" | "status" | "killed")
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
        match patiently(self.patience, || self.value()).await {
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

/// Tries until a look ends. Only silence is tried once more, after a pause: an answer stands, whatever it is, and so does the
/// lack of a value in it. The last cause says how often it was tried.
pub(super) async fn patiently<T, F>(patience: Patience, mut attempt: impl FnMut() -> F) -> Result<T, NoAnswer>
where
    F: Future<Output = Result<T, NoAnswer>>,
{
    let mut made = 1;
    loop {
        match attempt().await {
            Err(cause) if made < patience.attempts && cause.is_silence() => {
                tokio::time::sleep(BETWEEN_ATTEMPTS).await;
                made += 1;
            }
            Err(cause) if made > 1 => {
                return Err(NoAnswer::new(cause.reason, format!("{} (attempt {made})", cause.message)));
            }
            end => return end,
        }
    }
}

/// Leaves so many characters of a text, and a mark where there were more.
pub(super) fn cut(text: &mut String, most: usize) {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
}

/// The value as a record may hold it; long ones are told by their size.
fn abridged(value: Value) -> Value {
    match value {
        Value::String(mut text) => {
            cut(&mut text, LONGEST);
            Value::String(text)
        }
        Value::Array(_) | Value::Object(_) => {
            let size = value.to_string().len();
            if size > LONGEST { Value::String(format!("({size} bytes of JSON)")) } else { value }
        }
        value => value,
    }
}

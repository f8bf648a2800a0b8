//! Probes as they are meant: each kind carries exactly what it needs. They run in `chaos-engine`.

use serde_json::Value;
use serde_json_path::JsonPath;

use super::{Endpoint, HttpProbe};
use crate::units::Duration;

/// One probe.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Probe {
    /// Unique in the experiment.
    pub name: String,
    /// What it does.
    pub kind: ProbeKind,
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq)]
pub enum ProbeKind {
    /// Open-loop load over the whole run, with a promise.
    Http(Box<HttpProbe>),
    /// A PromQL query, with an expectation.
    Prometheus(PrometheusProbe),
    /// A field of an object of the cluster, with an expectation.
    Kubernetes(Box<KubernetesProbe>),
    /// A program, with an expectation. Runs driven by the CLI only.
    Command(CommandProbe),
    /// A TCP connection that must succeed.
    Tcp(TcpProbe),
    /// The application's own checker of its business rules.
    Invariants(InvariantsProbe),
}

/// When a probe looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Once, before the fault.
    Before,
    /// Once, after recovery.
    After,
    /// Once before and once after.
    Edge,
    /// From the baseline to the end of recovery, at this interval.
    Continuous {
        /// Time between two looks.
        every: Duration,
    },
}

/// A PromQL query that must give exactly one value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PrometheusProbe {
    /// Who is asked.
    pub source: PrometheusSource,
    /// The query; it parses.
    pub query: String,
    /// A source that takes longer did not answer.
    pub timeout: Duration,
    /// When it looks.
    pub when: Moment,
    /// What every answer must be.
    pub expect: Expectation,
}

/// Which Prometheus is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrometheusSource {
    /// One of the configuration.
    Named(String),
    /// A literal URL; for the CLI only.
    Url(String),
}

/// A field of an object of the cluster.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KubernetesProbe {
    /// API group; empty: core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Path to the field.
    pub json_path: JsonPath,
    /// When it looks.
    pub when: Moment,
    /// What every answer must be.
    pub expect: Expectation,
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CommandProbe {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The program is killed after this.
    pub timeout: Duration,
    /// When it runs.
    pub when: Moment,
    /// What every answer must be.
    pub expect: Expectation,
}

/// A TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpProbe {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// A connection that takes longer failed.
    pub timeout: Duration,
    /// When it looks.
    pub when: Moment,
    /// How long it may fail before it counts.
    pub tolerate: Duration,
}

/// The application's own checker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvariantsProbe {
    /// Who answers.
    pub endpoint: Endpoint,
    /// Path and query.
    pub path: String,
    /// A checker that takes longer did not answer.
    pub timeout: Duration,
    /// When it is asked; never continuously.
    pub when: Moment,
}

/// What an answer must be. Everything given must hold; types are never coerced.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Expectation {
    /// Not below.
    pub min: Option<f64>,
    /// Not above.
    pub max: Option<f64>,
    /// Equal.
    pub equals: Option<Value>,
    /// One of these; empty: not asked.
    pub one_of: Vec<Value>,
    /// Exit code of a command.
    pub exit_code: Option<i32>,
    /// How long it may be off before it counts.
    pub tolerate: Duration,
}

impl Probe {
    /// The http load of this probe, if that is what it is.
    pub fn http(&self) -> Option<&HttpProbe> {
        match &self.kind {
            ProbeKind::Http(http) => Some(http),
            _ => None,
        }
    }
}

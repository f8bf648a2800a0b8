//! Probes as they are meant: each kind carries exactly what it needs. They run in `chaos-engine`.

use serde_json::Value;
use serde_json_path::JsonPath;

use super::{Endpoint, HttpProbe, Selector};
use crate::api::QueryRange;
use crate::promql::Facts;
use crate::units::Duration;

/// One probe.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Probe {
    /// Unique in the experiment.
    pub name: String,
    /// What it does.
    pub kind: ProbeKind,
    /// How patiently it looks.
    pub patience: Patience,
}

/// How patiently a probe looks. Never such that an outage is healed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often a look is tried until there is an answer, at least 1. An answer stands, whatever it is.
    pub attempts: u32,
    /// How long the first look is put off.
    pub initial_delay: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 1, initial_delay: Duration::default() }
    }
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
    /// The health check of a gRPC server, which must serve.
    Grpc(GrpcProbe),
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
    /// What it rests on.
    pub facts: Facts,
    /// The span whose points are judged; absent: the value for now.
    pub range: Option<QueryRange>,
    /// An answer that rests on older samples is an error; absent: not asked.
    pub max_age: Option<Duration>,
    /// Declared time between two scrapes.
    pub scrape_interval: Option<Duration>,
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

/// The state of objects of the cluster.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KubernetesProbe {
    /// API group; empty: core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Their namespace; not used for kinds without.
    pub namespace: String,
    /// What is asked.
    pub question: Question,
    /// When it looks.
    pub when: Moment,
    /// What every answer must be.
    pub expect: Expectation,
}

/// What is asked about objects of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// A field of one object.
    Field {
        /// Name of the object.
        name: String,
        /// Path to the field.
        path: JsonPath,
    },
    /// The status of a condition of one object.
    Condition {
        /// Name of the object.
        name: String,
        /// The condition.
        condition: Condition,
    },
    /// How many objects there are.
    Count {
        /// Labels that they must have.
        selector: Selector,
        /// The condition that they must have, if one is asked for.
        condition: Option<Condition>,
    },
}

/// A condition and the status that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its type.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.kind, self.status)
    }
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
    /// Path to the one value of its JSON output that is judged; absent: the output as a whole.
    pub json_path: Option<JsonPath>,
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

/// The health check of a gRPC server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcProbe {
    /// Who is asked.
    pub endpoint: Endpoint,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The name that the check asks about; empty: the server as a whole.
    pub health_service: String,
    /// A server that takes longer does not serve.
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

/// From a look without an answer to the next attempt.
pub const BETWEEN_ATTEMPTS: std::time::Duration = std::time::Duration::from_millis(500);

/// Longest that the API server may take to answer a probe.
pub const KUBERNETES_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

impl Probe {
    /// When it looks; http load does all the time, at no interval.
    pub const fn when(&self) -> Option<Moment> {
        match &self.kind {
            ProbeKind::Http(_) => None,
            ProbeKind::Prometheus(query) => Some(query.when),
            ProbeKind::Kubernetes(object) => Some(object.when),
            ProbeKind::Command(command) => Some(command.when),
            ProbeKind::Tcp(tcp) => Some(tcp.when),
            ProbeKind::Grpc(grpc) => Some(grpc.when),
            ProbeKind::Invariants(checker) => Some(checker.when),
        }
    }

    /// Where its requests go, if they go by http or gRPC.
    pub const fn endpoint(&self) -> Option<&Endpoint> {
        match &self.kind {
            ProbeKind::Http(http) => Some(&http.load.endpoint),
            ProbeKind::Invariants(checker) => Some(&checker.endpoint),
            ProbeKind::Grpc(grpc) => Some(&grpc.endpoint),
            ProbeKind::Kubernetes(_) | ProbeKind::Prometheus(_) | ProbeKind::Command(_) | ProbeKind::Tcp(_) => None,
        }
    }

    /// How long its answers may be off before it counts.
    pub const fn tolerates(&self) -> Duration {
        match &self.kind {
            ProbeKind::Prometheus(query) => query.expect.tolerate,
            ProbeKind::Kubernetes(object) => object.expect.tolerate,
            ProbeKind::Command(command) => command.expect.tolerate,
            ProbeKind::Tcp(tcp) => tcp.tolerate,
            ProbeKind::Grpc(grpc) => grpc.tolerate,
            ProbeKind::Http(_) | ProbeKind::Invariants(_) => Duration::ZERO,
        }
    }

    /// Longest that one look may take, with all its attempts; zero for http load. The delay of the first look is not part of it.
    pub fn longest_look(&self) -> std::time::Duration {
        let timeout = match &self.kind {
            ProbeKind::Http(_) => return std::time::Duration::ZERO,
            ProbeKind::Prometheus(query) => query.timeout.std(),
            ProbeKind::Kubernetes(_) => KUBERNETES_TIMEOUT,
            ProbeKind::Command(command) => command.timeout.std(),
            ProbeKind::Tcp(tcp) => tcp.timeout.std(),
            ProbeKind::Grpc(grpc) => grpc.timeout.std(),
            ProbeKind::Invariants(checker) => checker.timeout.std(),
        };
        let attempts = self.patience.attempts.max(1);
        timeout.saturating_mul(attempts).saturating_add(BETWEEN_ATTEMPTS.saturating_mul(attempts - 1))
    }

    /// The http load of this probe, if that is what it is.
    pub fn http(&self) -> Option<&HttpProbe> {
        match &self.kind {
            ProbeKind::Http(http) => Some(http),
            _ => None,
        }
    }
}

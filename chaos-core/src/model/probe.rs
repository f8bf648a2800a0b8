//! Probes as they are meant: each kind carries exactly what it needs. They run in `chaos-engine`.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json_path::JsonPath;

use super::{Arrival, Slo};
use crate::placeholder::Template;
use crate::units::{Duration, Rate};

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

/// Where an http request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Service of the cluster.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Name of its port; absent: it has only one.
        port: Option<String>,
    },
    /// A literal base URL; for the CLI only.
    Url(String),
}

/// Requests on a fixed schedule, whatever the answers do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HttpProbe {
    /// Where requests go.
    pub endpoint: Endpoint,
    /// GET, POST, …
    pub method: String,
    /// Path and query.
    pub path: Template,
    /// Headers by their names in lower case.
    pub headers: BTreeMap<String, Template>,
    /// Body.
    pub body: Option<Template>,
    /// Requests in a second.
    pub rate: Rate,
    /// Spacing of the requests.
    pub arrival: Arrival,
    /// A request without a whole answer by then is a failure.
    pub timeout: Duration,
    /// A request sent later than this after its due time is not evidence.
    pub max_lag: Duration,
    /// Whether connections are kept for later requests.
    pub keep_alive: bool,
    /// Statuses that are good; empty: 200 to 299.
    pub success_status: Vec<u16>,
    /// What the body must hold.
    pub success_body: Option<BodyCheck>,
    /// The response header that lists the pods that served a request, if there is one.
    pub exposure_header: Option<String>,
    /// The promise.
    pub slo: Slo,
}

/// What a JSON body must hold.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyCheck {
    /// The path selects something.
    Exists(JsonPath),
    /// The path selects nothing.
    Absent(JsonPath),
    /// The first value that the path selects equals this.
    Equals(JsonPath, Value),
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

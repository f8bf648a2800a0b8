//! `spec.probes`: how the promise is measured while things die.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::HttpProbe;
use super::slo::Slo;
use crate::units::Duration;

/// One probe: a name, exactly one kind, when it looks, and either an SLO (http) or an expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.http), has(self.prometheus), has(self.kubernetes), has(self.command), has(self.tcp), has(self.grpc), has(self.invariants)].exists_one(given, given)").message("give exactly one of http, prometheus, kubernetes, command, tcp, grpc, invariants"))]
#[x_kube(validation = Rule::new("has(self.http) == has(self.slo)").message("http probes have an slo, and no other kind has"))]
#[x_kube(validation = Rule::new("!(has(self.prometheus) || has(self.command) || (has(self.kubernetes) && (has(self.kubernetes.jsonPath) || has(self.kubernetes.selector)))) || has(self.expect)").message("prometheus, command and kubernetes probes (but for a condition of one object) need expect"))]
#[x_kube(validation = Rule::new("!has(self.attempts) || self.attempts == 1 || has(self.prometheus) || has(self.kubernetes) || has(self.invariants) || (has(self.command) && self.when == 'Before')").message("several attempts would heal an outage here"))]
#[x_kube(validation = Rule::new("!has(self.http) || !has(self.initialDelay)").message("http probes begin with the run"))]
#[x_kube(validation = Rule::new("!(has(self.http) || has(self.invariants)) || !has(self.expect)").message("http and invariants probes have no expect"))]
#[x_kube(validation = Rule::new("!has(self.http) || self.when == 'Continuous'").message("http probes look continuously"))]
#[x_kube(validation = Rule::new("!has(self.command) || has(self.command.every) || self.when != 'Continuous'").message("a command that looks continuously needs every"))]
pub struct Probe {
    /// Unique in the experiment.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Built-in open-loop load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpProbe>,
    /// A PromQL query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusProbe>,
    /// A field of an object of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesProbe>,
    /// A program with arguments, never a shell. Runs driven by the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandProbe>,
    /// A TCP connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpProbe>,
    /// The health check of a gRPC server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcProbe>,
    /// The application's own checker of its business rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invariants: Option<InvariantsProbe>,
    /// When the probe looks.
    #[serde(default)]
    pub when: When,
    /// How often a look is tried until there is an answer; an answer that is not as expected stands. Only where that cannot
    /// heal an outage: prometheus, kubernetes, invariants, and a command before the fault.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// How long the first look is put off; never beyond the baseline. After the fault only for prometheus and invariants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Duration>,
    /// The promise, for http.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
    /// What every answer must be, for the kinds with answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
}

/// When a probe looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum When {
    /// Once, before the fault.
    Before,
    /// Once, after recovery.
    After,
    /// Once before and once after.
    Edge,
    /// From the baseline to the end of recovery.
    #[default]
    Continuous,
}

/// A PromQL query, asked at a fixed interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.source) != has(self.url)").message("give exactly one of source, url"))]
pub struct PrometheusProbe {
    /// A named source of the CLI's (or operator's) configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A literal URL; for the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The query. It must give exactly one value; with `range` one at each point.
    #[schemars(length(min = 1, max = 8_192))]
    pub query: String,
    /// Look back over a span and judge the value at each of its points; a point without one is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<QueryRange>,
    /// An answer that rests on samples older than this, or than the fault phase is long, is an error; `0s` does not ask.
    #[serde(default = "two_minutes")]
    pub max_age: Duration,
    /// Time between two scrapes of what the query reads, where the server cannot be asked for it: a rate needs two in its
    /// window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<Duration>,
    /// Time between two looks.
    pub every: Duration,
    /// A source that takes longer did not answer.
    #[serde(default = "five_seconds")]
    pub timeout: Duration,
}

/// A span of points in time, which ends at the look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QueryRange {
    /// How far back.
    pub over: Duration,
    /// From one point to the next.
    pub step: Duration,
}

/// The state of objects of the cluster, asked at a fixed interval: a field or a condition of one, or how many there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.name) != has(self.selector)").message("give exactly one of name, selector"))]
#[x_kube(validation = Rule::new("has(self.selector) ? !has(self.jsonPath) : has(self.jsonPath) != has(self.condition)").message("of one object give jsonPath or condition; selector counts, perhaps those with a condition"))]
pub struct KubernetesProbe {
    /// `group/version/Kind` (`apps/v1/Deployment`), or `version/Kind` for the core group.
    pub resource: String,
    /// Name of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels of the objects that are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// The namespace; absent: the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// An RFC 9535 path to the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
    /// A condition of `status.conditions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Time between two looks.
    #[serde(default = "one_second")]
    pub every: Duration,
}

/// A condition and the status that it must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// Its type, such as `Available`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Its status.
    #[serde(default)]
    pub status: ConditionStatus,
}

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ConditionStatus {
    #[default]
    True,
    False,
    Unknown,
}

impl ConditionStatus {
    /// As objects on a cluster have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CommandProbe {
    /// Program and arguments; no shell reads them.
    #[schemars(length(min = 1, max = 100))]
    pub argv: Vec<String>,
    /// The program is killed after this, and the probe has no answer.
    pub timeout: Duration,
    /// An RFC 9535 path to the one value of a JSON output that is judged; absent: the output as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
    /// Time between two looks, where the probe is continuous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
}

/// A TCP connection, tried at a fixed interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpProbe {
    /// `host:port`.
    pub address: String,
    /// A connection that takes longer failed.
    pub timeout: Duration,
    /// Time between two looks.
    #[serde(default = "one_second")]
    pub every: Duration,
}

/// The standard health check of a gRPC server (`grpc.health.v1.Health/Check`), asked at a fixed interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.service) != has(self.address)").message("give exactly one of service, address"))]
#[x_kube(validation = Rule::new("has(self.service) || (!has(self.namespace) && !has(self.port))").message("namespace and port belong to service"))]
pub struct GrpcProbe {
    /// A Service of the target cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its namespace; absent: the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of its port; needed where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// `host:port` instead; for the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether TLS is spoken.
    #[serde(default)]
    pub tls: bool,
    /// The name that the health check asks about; empty: the server as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub health_service: String,
    /// A server that takes longer does not serve.
    pub timeout: Duration,
    /// Time between two looks.
    #[serde(default = "one_second")]
    pub every: Duration,
}

/// The application's own checker: answers `{checked, violations: [{invariant, story}]}`. Any violation fails the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.service) != has(self.url)").message("give exactly one of service, url"))]
pub struct InvariantsProbe {
    /// The Service that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its namespace; absent: the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// A literal base URL instead; for the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Path and query.
    pub path: String,
    /// A checker that takes longer did not answer.
    #[serde(default = "thirty_seconds")]
    pub timeout: Duration,
}

/// What an answer must be. Everything given must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max").message("min must not be above max"))]
pub struct Expect {
    /// Not below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Not above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Equal, with the same type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_scalar")]
    pub equals: Option<serde_json::Value>,
    /// One of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "any_scalars")]
    pub one_of: Vec<serde_json::Value>,
    /// The exit code of a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// How long it may be off before it counts; printed in the claim.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub for_: Option<Duration>,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_one(count: &u32) -> bool {
    *count == 1
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn two_minutes() -> Duration {
    Duration::from_secs(120)
}

pub(super) fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

pub(super) fn any_scalar(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

fn any_scalars(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "array", "maxItems": 100, "items": {"x-kubernetes-preserve-unknown-fields": true}})
}

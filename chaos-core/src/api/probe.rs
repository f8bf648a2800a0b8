//! `spec.probes`: how the promise is measured while things die.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http::HttpProbe;
use super::rules;
use super::slo::Slo;
use crate::units::Duration;

/// One probe: a name, exactly one kind, when it looks, and either an SLO (http) or an expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.http), has(self.prometheus), has(self.kubernetes), has(self.command), has(self.tcp), has(self.grpc), has(self.invariants)].exists_one(given, given)").message("give exactly one of http, prometheus, kubernetes, command, tcp, grpc, invariants"))]
#[x_kube(validation = Rule::new("has(self.http) == has(self.slo)").message("http probes have an slo, and no other kind has"))]
#[x_kube(validation = Rule::new("!(has(self.prometheus) || has(self.command) || (has(self.kubernetes) && (has(self.kubernetes.jsonPath) || has(self.kubernetes.selector)))) || has(self.expect)").message("prometheus, command and kubernetes probes (but for a condition of one object) need expect"))]
#[x_kube(validation = Rule::new("!has(self.attempts) || self.attempts == 1 || has(self.prometheus) || has(self.kubernetes) || has(self.invariants) || (has(self.command) && self.when == 'Before')").message("several attempts would heal an outage here"))]
#[x_kube(validation = Rule::new("!has(self.http) || !has(self.initialDelay) || duration(self.initialDelay) == duration('0s')").message("http probes begin with the run"))]
#[x_kube(validation = rules::between_if_given("initialDelay", "0s", "1m"))]
#[x_kube(validation = Rule::new("!has(self.initialDelay) || self.when != 'After' || has(self.prometheus) || has(self.invariants) || duration(self.initialDelay) == duration('0s')").message("what is down after the recovery could heal while nobody looks: no initialDelay there"))]
#[x_kube(validation = rules::attempts("prometheus"))]
#[x_kube(validation = rules::attempts("command"))]
#[x_kube(validation = rules::attempts("invariants"))]
#[x_kube(validation = rules::looks("prometheus"))]
#[x_kube(validation = rules::looks("kubernetes"))]
#[x_kube(validation = rules::looks("command"))]
#[x_kube(validation = rules::looks("tcp"))]
#[x_kube(validation = rules::looks("grpc"))]
#[x_kube(validation = rules::outage("command"))]
#[x_kube(validation = rules::outage("tcp"))]
#[x_kube(validation = rules::outage("grpc"))]
#[x_kube(validation = Rule::new("!has(self.expect) || !has(self.expect.__for__) || self.when == 'Continuous' || duration(self.expect.__for__) == duration('0s')").message("a probe that looks once cannot be off for a while: leave expect.for out"))]
#[x_kube(validation = Rule::new("!has(self.expect) || !has(self.expect.exitCode) || has(self.command)").message("only a command has an exit code"))]
#[x_kube(validation = Rule::new("!(has(self.tcp) || has(self.grpc) || (has(self.kubernetes) && has(self.kubernetes.name) && has(self.kubernetes.condition))) || !has(self.expect) || !(has(self.expect.min) || has(self.expect.max))").message("it is as it should be or not, and has no value: leave min and max out"))]
#[x_kube(validation = Rule::new("!has(self.http) || !has(self.slo) || !has(self.slo.latency) || duration(self.slo.latency.under) <= duration(self.http.timeout)").message("slo.latency.under must not be longer than http.timeout"))]
#[x_kube(validation = Rule::new("!has(self.http) || !has(self.slo) || !has(self.slo.latency) || !has(self.http.success.within) || duration(self.slo.latency.under) < duration(self.http.success.within)").message("http.success.within must be longer than slo.latency.under, or be left out"))]
#[x_kube(validation = Rule::new("!has(self.http) || !has(self.slo) || has(self.http.exposure) || !(has(self.slo.evidence.harmlessKills) || has(self.slo.evidence.availability))").message("only kills of pods that served requests certify anything: add http.exposure, or ask for observed"))]
#[x_kube(validation = Rule::new("!(has(self.http) || has(self.invariants)) || !has(self.expect)").message("http and invariants probes have no expect"))]
#[x_kube(validation = Rule::new("!has(self.http) || self.when == 'Continuous'").message("http probes look continuously"))]
#[x_kube(validation = Rule::new("!has(self.command) || has(self.command.every) || self.when != 'Continuous'").message("a command that looks continuously needs every"))]
pub struct Probe {
    /// Unique in the experiment.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
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
#[x_kube(validation = Rule::new("!has(self.scrapeInterval) || duration(self.scrapeInterval) > duration('0s')").message("scrapeInterval must be above zero"))]
#[x_kube(validation = rules::timeout())]
pub struct PrometheusProbe {
    /// A named source of the CLI's (or operator's) configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub source: Option<String>,
    /// A literal URL; for the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2_048), regex(pattern = rules::BASE_URL))]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::above_zero("step"))]
#[x_kube(validation = Rule::new("duration(self.step).getMilliseconds() % 1000 == 0 && duration(self.over).getMilliseconds() % 1000 == 0").message("step and over must be whole seconds"))]
#[x_kube(validation = Rule::new("duration(self.over) >= duration(self.step)").message("over must not be shorter than a step"))]
#[x_kube(validation = Rule::new("duration(self.over).getSeconds() <= 1000 * duration(self.step).getSeconds()").message("more than 1000 points: a longer step, or a shorter span"))]
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
    #[schemars(length(min = 1, max = 400), regex(pattern = rules::RESOURCE))]
    pub resource: String,
    /// Name of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::SUBDOMAIN))]
    pub name: Option<String>,
    /// Labels of the objects that are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::selector_if_given")]
    pub selector: Option<LabelSelector>,
    /// The namespace; absent: the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub namespace: Option<String>,
    /// An RFC 9535 path to the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
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
    #[schemars(length(min = 1, max = 316), regex(pattern = rules::CONDITION))]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.argv[0] != ''").message("the program has no name"))]
#[x_kube(validation = rules::timeout())]
pub struct CommandProbe {
    /// Program and arguments; no shell reads them.
    #[schemars(length(min = 1, max = 100), inner(regex(pattern = rules::ARGUMENT)))]
    pub argv: Vec<String>,
    /// The program is killed after this, and the probe has no answer.
    pub timeout: Duration,
    /// An RFC 9535 path to the one value of a JSON output that is judged; absent: the output as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub json_path: Option<String>,
    /// Time between two looks, where the probe is continuous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
}

/// A TCP connection, tried at a fixed interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::timeout())]
pub struct TcpProbe {
    /// `host:port`.
    #[schemars(length(max = 320), regex(pattern = rules::ADDRESS))]
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
#[x_kube(validation = rules::of_service())]
#[x_kube(validation = rules::timeout())]
pub struct GrpcProbe {
    /// A Service of the target cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub service: Option<String>,
    /// Its namespace; absent: the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub namespace: Option<String>,
    /// Name of its port; needed where it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub port: Option<String>,
    /// `host:port` instead; for the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320), regex(pattern = rules::ADDRESS))]
    pub address: Option<String>,
    /// Whether TLS is spoken.
    #[serde(default)]
    pub tls: bool,
    /// The name that the health check asks about; empty: the server as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253), regex(pattern = rules::ONE_LINE))]
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
#[x_kube(validation = rules::of_service())]
#[x_kube(validation = rules::timeout())]
pub struct InvariantsProbe {
    /// The Service that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub service: Option<String>,
    /// Its namespace; absent: the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub namespace: Option<String>,
    /// Name of its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub port: Option<String>,
    /// A literal base URL instead; for the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2_048), regex(pattern = rules::BASE_URL))]
    pub url: Option<String>,
    /// Path and query.
    #[schemars(regex(pattern = rules::PATH))]
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

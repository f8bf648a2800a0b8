//! `probes[].http` and the flows of a `LoadTest`: requests on a fixed schedule, and what a good answer is.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::units::{Duration, Percent, Rate};

/// Requests on a fixed schedule, whatever the answers do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.service) != has(self.url)").message("give exactly one of service, url"))]
#[x_kube(validation = rules::of_service())]
#[x_kube(validation = rules::timeout())]
#[x_kube(validation = rules::above_zero("maxLag"))]
#[x_kube(validation = rules::no_body())]
#[x_kube(validation = rules::no_own_headers())]
#[x_kube(validation = Rule::new("!has(self.success.within) || (duration(self.success.within) > duration('0s') && duration(self.success.within) <= duration(self.timeout))").message("success.within must be above zero, and no longer than timeout"))]
#[x_kube(validation = Rule::new("!has(self.url) || !self.url.startsWith('http://') || (!has(self.caFile) && !has(self.serverName))").message("caFile and serverName belong to TLS, which this url does not speak"))]
#[x_kube(validation = Rule::new("!has(self.extract) || size(self.extract) == 0 || (has(self.then) && size(self.then) > 0)").message("nothing comes after this request that could use what is extracted: add then"))]
#[x_kube(validation = Rule::new("!has(self.then) || self.then.all(step, !has(step.extract) || step.extract.all(name, (!has(self.extract) || !(name in self.extract)) && self.then.exists_one(other, has(other.extract) && name in other.extract)))").message("a value is extracted twice"))]
#[x_kube(validation = Rule::new("!has(self.stages) || self.stages.map(stage, duration(stage.__for__).getSeconds()).sum() <= 86400").message("the stages last more than a day"))]
pub struct HttpProbe {
    /// A Service of the target cluster, in the experiment's namespace unless `namespace` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub service: Option<String>,
    /// Namespace of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub namespace: Option<String>,
    /// Name of the Service's port; needed where the Service has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL))]
    pub port: Option<String>,
    /// A literal base URL instead of a Service; for the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2_048), regex(pattern = rules::BASE_URL))]
    pub url: Option<String>,
    /// A PEM file of the certificates that are trusted, instead of the machine's own; for the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4_096))]
    pub ca_file: Option<String>,
    /// The name that the server's certificate must bear, where it is not the host that is connected to: a Service is
    /// connected to by address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::SUBDOMAIN))]
    pub server_name: Option<String>,
    /// GET, POST, …
    #[serde(default = "get")]
    #[schemars(length(max = 7), regex(pattern = rules::METHOD))]
    pub method: String,
    /// Path and query; placeholders allowed.
    #[serde(default = "slash")]
    #[schemars(regex(pattern = rules::PATH))]
    pub path: String,
    /// Headers; placeholders allowed in values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::headers")]
    pub headers: BTreeMap<String, String>,
    /// Body; placeholders allowed: `{{uuid}}`, `{{seq}}`, `{{choice a b c}}`, `{{int 1 9}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub body: Option<String>,
    /// Requests in a second; with stages: at the beginning.
    pub rate: Rate,
    /// How the rate changes, one stage after the other; after the last one it stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub stages: Vec<Stage>,
    /// Spacing of the requests.
    #[serde(default)]
    pub arrival: Arrival,
    /// A request (with `then`: the whole flow) without a whole answer by then is a failure.
    pub timeout: Duration,
    /// A request sent later than this after its due time is not evidence.
    #[serde(default = "fifty_millis")]
    pub max_lag: Duration,
    /// Whether connections are kept for later requests.
    #[serde(default = "yes")]
    pub keep_alive: bool,
    /// The version of HTTP that is spoken; never negotiated down.
    #[serde(default)]
    pub version: HttpVersion,
    /// What a good answer is.
    #[serde(default)]
    pub success: HttpSuccess,
    /// What later requests of the flow take from the answer: `{{NAME}}` there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::extracts")]
    pub extract: BTreeMap<String, Extract>,
    /// Requests that follow on a good answer, each on the one before it. The flow is one sample, due at its first request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub then: Vec<HttpStep>,
    /// How it is known which pods served a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
}

/// A stretch in which the rate changes evenly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stage {
    /// How long it takes; `0s`: the rate jumps.
    #[serde(rename = "for")]
    pub for_: Duration,
    /// The rate at its end.
    pub to: Rate,
}

/// A later request of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::no_body())]
#[x_kube(validation = rules::no_own_headers())]
#[x_kube(validation = Rule::new("!has(self.success.within)").message("a flow is one sample, with one bound: say within in the success of its first request"))]
pub struct HttpStep {
    /// GET, POST, …
    #[serde(default = "get")]
    #[schemars(length(max = 7), regex(pattern = rules::METHOD))]
    pub method: String,
    /// Path and query; placeholders and what was extracted allowed.
    #[schemars(regex(pattern = rules::LATER_PATH))]
    pub path: String,
    /// Headers, likewise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::headers")]
    pub headers: BTreeMap<String, String>,
    /// Body, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub body: Option<String>,
    /// What a good answer is.
    #[serde(default)]
    pub success: HttpSuccess,
    /// What later requests of the flow take from the answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::extracts")]
    pub extract: BTreeMap<String, Extract>,
}

/// A value of an answer: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.jsonPath) != has(self.header)").message("give exactly one of jsonPath, header"))]
pub struct Extract {
    /// An RFC 9535 path to one text, number or boolean of a JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub json_path: Option<String>,
    /// A response header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100), regex(pattern = rules::HEADER))]
    pub header: Option<String>,
}

/// Spacing of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Arrival {
    /// Evenly spaced.
    #[default]
    Constant,
    /// Exponential gaps, drawn from the run's seed.
    Poisson,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum HttpVersion {
    /// HTTP/1.1: one request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2: many at a time; without TLS by prior knowledge.
    Http2,
}

/// What a good answer is. Everything given must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.status) || self.status.all(status, status >= 200 && status <= 599)").message("a final status is 200 to 599"))]
pub struct HttpSuccess {
    /// Statuses that are good; empty: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub status: Vec<u16>,
    /// What headers of the answer must be, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::checked_headers")]
    pub headers: BTreeMap<String, HeaderCheck>,
    /// What the body must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyCheck>,
    /// Further checks of the body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub bodies: Vec<BodyCheck>,
    /// An answer later than this after the request was due is a failure (a slow answer to an `slo.latency` is not).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// A check of a response header: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.exists), has(self.equals), has(self.contains)].exists_one(given, given)").message("give exactly one of exists, equals, contains"))]
pub struct HeaderCheck {
    /// The header must (or must not) be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// One of its values must equal this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// One of its values must contain this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

/// A check of a body: of the text, or of what a path selects in a JSON body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.jsonPath) ? !has(self.contains) : !has(self.exists)").message("contains is about the text, exists and equals about what jsonPath selects"))]
#[x_kube(validation = Rule::new("has(self.jsonPath) || (has(self.contains) && self.contains != '')").message("give jsonPath, or contains"))]
pub struct BodyCheck {
    /// The text must contain this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// An RFC 9535 path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub json_path: Option<String>,
    /// The path must (or must not) select something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// The first selected value must equal this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::probe::any_scalar")]
    pub equals: Option<serde_json::Value>,
}

/// How it is known which pods served a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exposure {
    /// A response header that lists pod names, separated by commas.
    #[schemars(length(min = 1, max = 100), regex(pattern = rules::HEADER))]
    pub header: String,
}

/// The latency half of an SLO: `share` of the requests answered well within `under`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::provable("share"))]
#[x_kube(validation = rules::above_zero("under"))]
pub struct Latency {
    /// The bound.
    pub under: Duration,
    /// The share of requests that must be good and within it.
    pub share: Percent,
}

fn get() -> String {
    "GET".into()
}

fn slash() -> String {
    "/".into()
}

fn yes() -> bool {
    true
}

fn fifty_millis() -> Duration {
    Duration::from_millis(50)
}

//! `probes[].http` and the flows of a `LoadTest`: requests on a fixed schedule, and what a good answer is.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Percent, Rate};

/// Requests on a fixed schedule, whatever the answers do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.service) != has(self.url)").message("give exactly one of service, url"))]
#[x_kube(validation = Rule::new("has(self.service) || (!has(self.namespace) && !has(self.port))").message("namespace and port belong to service"))]
#[x_kube(validation = Rule::new("duration(self.timeout) > duration('0s') && duration(self.maxLag) > duration('0s')").message("timeout and maxLag must be above zero"))]
pub struct HttpProbe {
    /// A Service of the target cluster, in the experiment's namespace unless `namespace` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Namespace of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the Service's port; needed where the Service has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// A literal base URL instead of a Service; for the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A PEM file of the certificates that are trusted, instead of the machine's own; for the CLI only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4_096))]
    pub ca_file: Option<String>,
    /// The name that the server's certificate must bear, where it is not the host that is connected to: a Service is
    /// connected to by address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
    /// GET, POST, …
    #[serde(default = "get")]
    pub method: String,
    /// Path and query; placeholders allowed.
    #[serde(default = "slash")]
    pub path: String,
    /// Headers; placeholders allowed in values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpStep {
    /// GET, POST, …
    #[serde(default = "get")]
    pub method: String,
    /// Path and query; placeholders and what was extracted allowed.
    pub path: String,
    /// Headers, likewise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
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
    pub extract: BTreeMap<String, Extract>,
}

/// A value of an answer: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Extract {
    /// An RFC 9535 path to one text, number or boolean of a JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
    /// A response header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpSuccess {
    /// Statuses that are good; empty: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub status: Vec<u16>,
    /// What headers of the answer must be, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BodyCheck {
    /// The text must contain this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// An RFC 9535 path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    pub header: String,
}

/// The latency half of an SLO: `share` of the requests answered well within `under`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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

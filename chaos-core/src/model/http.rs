//! Http load as it is meant: where requests go, when they are due, what they say and what a good answer is. It runs in
//! `chaos-engine`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use serde_json_path::JsonPath;

use super::{Arrival, HttpVersion, Slo};
use crate::placeholder::Template;
use crate::slots::{RateCurve, RateStage};
use crate::units::{Duration, Rate};

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

/// Load with a promise about it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HttpProbe {
    /// The requests.
    pub load: HttpLoad,
    /// The promise.
    pub slo: Slo,
}

/// Requests on a fixed schedule, whatever the answers do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HttpLoad {
    /// Where requests go.
    pub endpoint: Endpoint,
    /// A PEM file of the certificates that are trusted, instead of the machine's own; for the CLI only.
    pub ca_file: Option<PathBuf>,
    /// The name that the server's certificate must bear, where it is not the host that is connected to.
    pub server_name: Option<String>,
    /// What is sent, one request after the other, each on a good answer to the one before; never empty. All together are
    /// one sample.
    pub steps: Vec<HttpStep>,
    /// Samples in a second; with stages: at the beginning.
    pub rate: Rate,
    /// How the rate changes.
    pub stages: Vec<RateStage>,
    /// Spacing of the samples.
    pub arrival: Arrival,
    /// A sample without its last answer by then is a failure.
    pub timeout: Duration,
    /// A sample sent later than this after its due time is not evidence.
    pub max_lag: Duration,
    /// An answer later than this after the due time is a failure.
    pub within: Option<Duration>,
    /// Whether connections are kept for later requests.
    pub keep_alive: bool,
    /// The version of HTTP that is spoken.
    pub version: HttpVersion,
    /// The response header that lists the pods that served a request, if there is one.
    pub exposure_header: Option<String>,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HttpStep {
    /// GET, POST, …
    pub method: String,
    /// Path and query.
    pub path: Template,
    /// Headers by their names in lower case.
    pub headers: BTreeMap<String, Template>,
    /// Body.
    pub body: Option<Template>,
    /// What a good answer is.
    pub success: Success,
    /// What later requests take from the answer.
    pub extract: Vec<Extract>,
}

/// What a good answer is. Everything given must hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Success {
    /// Statuses that are good; empty: 200 to 299.
    pub status: Vec<u16>,
    /// Headers, by their names in lower case.
    pub headers: Vec<(String, HeaderCheck)>,
    /// What the body must hold.
    pub bodies: Vec<BodyCheck>,
}

/// What a header must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderCheck {
    /// It is there.
    Exists,
    /// It is not there.
    Absent,
    /// One of its values equals this.
    Equals(String),
    /// One of its values contains this.
    Contains(String),
}

/// What a body must hold.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyCheck {
    /// The text contains this.
    Contains(String),
    /// The path selects something.
    Exists(JsonPath),
    /// The path selects nothing.
    Absent(JsonPath),
    /// The first value that the path selects equals this.
    Equals(JsonPath, Value),
}

/// A value of an answer that later requests take.
#[derive(Debug, Clone, PartialEq)]
pub struct Extract {
    /// `{{NAME}}` in later requests.
    pub name: String,
    /// Where it stands in the answer.
    pub from: Source,
}

/// Where a value stands in an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The one text, number or boolean that the path selects in a JSON body.
    Body(JsonPath),
    /// A header, by its name in lower case.
    Header(String),
}

impl HttpLoad {
    /// Samples that are due between two instants after the first one, Poisson arrivals on average.
    pub fn samples_between(&self, from: Duration, to: Duration) -> f64 {
        let nanos = |at: Duration| u64::try_from(at.std().as_nanos()).unwrap_or(u64::MAX);
        let curve = RateCurve::new(self.rate.per_second(), &self.stages);
        (curve.slots_before(nanos(to)) - curve.slots_before(nanos(from))).max(0.0)
    }

    /// The highest rate it ever has, in samples a second.
    pub fn peak_rate(&self) -> f64 {
        self.stages.iter().map(|stage| stage.to).fold(self.rate.per_second(), f64::max)
    }
}

//! An http probe as it is to be sent: everything parsed, resolved and checked by rendering it once. No network here.

use std::str::FromStr;
use std::time::Duration;

use chaos_core::model::{self, ClaimSpec, Extract, HttpVersion, Success};
use chaos_core::placeholder::Template;
use chaos_core::record::RateStage;
use http::{HeaderName, Method, Uri};

use super::request::Requests;
use crate::probe::tls::{Trust, TrustError};

/// Where requests go: scheme, host and port, and a path in front of the probe's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    pub(super) prefix: String,
}

/// Http load, ready to be sent.
#[derive(Debug, Clone)]
pub struct HttpPlan {
    /// Unique in the run.
    pub name: String,
    /// Where requests go.
    pub origin: Origin,
    /// What is sent for one sample, one request after the other; never empty.
    pub steps: Vec<StepPlan>,
    /// Slots in a second; with stages: at the beginning.
    pub rate: f64,
    /// How the rate changes.
    pub stages: Vec<RateStage>,
    /// Whether gaps are exponential instead of even.
    pub poisson: bool,
    /// A sample without its last whole answer this long after it was sent has failed.
    pub timeout: Duration,
    /// A slot sent later than this is not evidence.
    pub max_lag: Duration,
    /// A good answer later than this after its due time is slow.
    pub latency_bound: Option<Duration>,
    /// An answer later than this after its due time is a failure.
    pub within: Option<Duration>,
    /// Whether connections are used again.
    pub keep_alive: bool,
    /// The version of HTTP that is spoken.
    pub version: HttpVersion,
    /// Whose certificates are trusted.
    pub trust: Trust,
    /// The name that the server's certificate must bear; absent: the host of the origin.
    pub server_name: Option<String>,
    /// The response header that lists the pods that served a request.
    pub exposure: Option<HeaderName>,
}

/// One request of a sample.
#[derive(Debug, Clone)]
pub struct StepPlan {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub path: Template,
    /// Headers besides Host and Content-Length.
    pub headers: Vec<(HeaderName, Template)>,
    /// Body.
    pub body: Option<Template>,
    /// What a good answer is.
    pub success: Success,
    /// What later requests take from the answer.
    pub extract: Vec<Extract>,
}

/// Why a probe cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A base URL that is none.
    #[error("{url:?} is not a base URL; hint: write http://host:port or https://host:port")]
    Url {
        /// What was given.
        url: String,
    },
    /// A method, header or request that is none.
    #[error("probe {probe}: {what} {found:?} is not valid: {message}")]
    Part {
        /// The probe.
        probe: String,
        /// Which part.
        what: &'static str,
        /// What was given.
        found: String,
        /// Why.
        message: String,
    },
    /// Certificates that cannot be used.
    #[error("probe {probe}: {source}")]
    Trust {
        /// The probe.
        probe: String,
        /// Why.
        source: TrustError,
    },
    /// A server to be verified that cannot be.
    #[error(
        "probe {probe} gives caFile or serverName, and {origin} does not speak TLS; hint: the Service's port needs appProtocol: https"
    )]
    Plain {
        /// The probe.
        probe: String,
        /// Where requests would go.
        origin: String,
    },
}

impl FromStr for Origin {
    type Err = PlanError;

    fn from_str(url: &str) -> Result<Self, PlanError> {
        let error = || PlanError::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| error())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(error()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(error)?;
        if uri.query().is_some() || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(error());
        }
        Ok(Self {
            tls,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", if self.tls { "https" } else { "http" }, self.authority(), self.prefix)
    }
}

impl Origin {
    pub(in crate::probe) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.tls { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

impl HttpPlan {
    /// Validated load, at the place where its endpoint was found to be.
    pub fn new(name: &str, load: &model::HttpLoad, origin: Origin) -> Result<Self, PlanError> {
        if !origin.tls && (load.ca_file.is_some() || load.server_name.is_some()) {
            return Err(PlanError::Plain { probe: name.to_owned(), origin: origin.to_string() });
        }
        let trust = load.ca_file.as_deref().map(Trust::of_file).transpose();
        let trust = trust.map_err(|source| PlanError::Trust { probe: name.to_owned(), source })?;
        let steps = load.steps.iter().map(|step| StepPlan::new(name, step));
        let plan = Self {
            name: name.to_owned(),
            origin,
            steps: steps.collect::<Result<_, _>>()?,
            rate: load.rate.per_second(),
            stages: load.stages.clone(),
            poisson: matches!(load.arrival, model::Arrival::Poisson),
            timeout: load.timeout.std(),
            max_lag: load.max_lag.std(),
            latency_bound: None,
            within: load.within.map(chaos_core::units::Duration::std),
            keep_alive: load.keep_alive,
            version: load.version,
            trust: trust.unwrap_or_default(),
            server_name: load.server_name.clone(),
            exposure: load.exposure_header.as_ref().map(|text| header(name, text)).transpose()?,
        };
        let method = plan.steps.first().map_or("", |step| step.method.as_str());
        Requests::check(&plan).map_err(|message| wrong(name, "request", method, message))?;
        Ok(plan)
    }

    /// The same for a probe, whose promise may be about latency.
    pub fn of_probe(name: &str, probe: &model::HttpProbe, origin: Origin) -> Result<Self, PlanError> {
        let bounds = probe.slo.claims.iter().filter_map(|claim| match claim {
            ClaimSpec::Latency { under, .. } => Some(under.std()),
            ClaimSpec::Availability { .. } => None,
        });
        let latency_bound = bounds.min();
        Ok(Self { latency_bound, ..Self::new(name, &probe.load, origin)? })
    }
}

impl StepPlan {
    /// A plain GET.
    pub fn get(path: Template) -> Self {
        let (headers, body, success, extract) = (Vec::new(), None, Success::default(), Vec::new());
        Self { method: Method::GET, path, headers, body, success, extract }
    }

    fn new(probe: &str, step: &model::HttpStep) -> Result<Self, PlanError> {
        let headers = step.headers.iter().map(|(name, value)| Ok((header(probe, name)?, value.clone())));
        Ok(Self {
            method: Method::from_bytes(step.method.as_bytes())
                .map_err(|error| wrong(probe, "method", &step.method, error.to_string()))?,
            path: step.path.clone(),
            headers: headers.collect::<Result<_, _>>()?,
            body: step.body.clone(),
            success: step.success.clone(),
            extract: step.extract.clone(),
        })
    }
}

fn header(probe: &str, text: &str) -> Result<HeaderName, PlanError> {
    HeaderName::try_from(text).map_err(|error| wrong(probe, "header", text, error.to_string()))
}

fn wrong(probe: &str, what: &'static str, found: &str, message: String) -> PlanError {
    PlanError::Part { probe: probe.to_owned(), what, found: found.to_owned(), message }
}

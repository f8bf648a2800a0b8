//! An http probe ready to be sent: everything parsed, resolved and checked by rendering it once. No network here.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use chaos_core::model::{self, BodyCheck, ClaimSpec};
use chaos_core::placeholder::{SlotKey, Template};
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

/// Where requests go: scheme, host and port, and a path in front of the probe's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    prefix: String,
}

/// What a good answer is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Success {
    /// Statuses that are good; empty: 200 to 299.
    pub status: Vec<u16>,
    /// What the body must hold.
    pub body: Option<BodyCheck>,
}

/// One http probe, ready to be sent.
#[derive(Debug, Clone)]
pub struct HttpPlan {
    /// Unique in the run.
    pub name: String,
    /// Where requests go.
    pub origin: Origin,
    /// Method.
    pub method: Method,
    /// Path and query.
    pub path: Template,
    /// Headers besides Host and Content-Length.
    pub headers: Vec<(HeaderName, Template)>,
    /// Body.
    pub body: Option<Template>,
    /// Slots in a second.
    pub rate: f64,
    /// Whether gaps are exponential instead of even.
    pub poisson: bool,
    /// A request without a whole answer this long after it was sent has failed.
    pub timeout: Duration,
    /// A slot sent later than this is not evidence.
    pub max_lag: Duration,
    /// A good answer later than this after its due time is slow.
    pub latency_bound: Option<Duration>,
    /// Whether connections are used again.
    pub keep_alive: bool,
    /// What a good answer is.
    pub success: Success,
    /// The response header that lists the pods that served a request.
    pub exposure: Option<HeaderName>,
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
    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.tls { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

impl HttpPlan {
    /// The probe of a validated model, at the place where its endpoint was found to be.
    pub fn new(name: &str, probe: &model::HttpProbe, origin: Origin) -> Result<Self, PlanError> {
        let wrong = |what, found: &str, message: String| PlanError::Part {
            probe: name.to_owned(),
            what,
            found: found.to_owned(),
            message,
        };
        let header = |text: &String| {
            HeaderName::try_from(text.as_str()).map_err(|error| wrong("header", text, error.to_string()))
        };
        let headers = probe.headers.iter().map(|(name, value)| Ok((header(name)?, value.clone())));
        let bounds = probe.slo.claims.iter().filter_map(|claim| match claim {
            ClaimSpec::Latency { under, .. } => Some(under.std()),
            ClaimSpec::Availability { .. } => None,
        });
        let plan = Self {
            name: name.to_owned(),
            origin,
            method: Method::from_bytes(probe.method.as_bytes())
                .map_err(|error| wrong("method", &probe.method, error.to_string()))?,
            path: probe.path.clone(),
            headers: headers.collect::<Result<_, _>>()?,
            body: probe.body.clone(),
            rate: probe.rate.per_second(),
            poisson: matches!(probe.arrival, model::Arrival::Poisson),
            timeout: probe.timeout.std(),
            max_lag: probe.max_lag.std(),
            latency_bound: bounds.min(),
            keep_alive: probe.keep_alive,
            success: Success { status: probe.success_status.clone(), body: probe.success_body.clone() },
            exposure: probe.exposure_header.as_ref().map(header).transpose()?,
        };
        plan.request(SlotKey { slot: 0, seed: 0, run: 0 })
            .map_err(|message| wrong("request", &probe.method, message))?;
        Ok(plan)
    }

    /// The request of a slot; an error names the part that is not valid HTTP.
    pub(super) fn request(&self, key: SlotKey) -> Result<Request<Full<Bytes>>, String> {
        let mut target = self.origin.prefix.clone();
        self.path.render(key, &mut target);
        let target = PathAndQuery::try_from(target).map_err(|error| format!("path: {error}"))?;
        let body = self.body.as_ref().map(|body| {
            let mut text = String::new();
            body.render(key, &mut text);
            Bytes::from(text)
        });
        let mut request = Request::new(Full::new(body.unwrap_or_default()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(target);
        *request.headers_mut() = self.headers(key)?;
        Ok(request)
    }

    fn headers(&self, key: SlotKey) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 3);
        let host = HeaderValue::try_from(self.origin.authority()).map_err(|error| format!("host: {error}"))?;
        headers.insert(HOST, host);
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("chaos/", env!("CARGO_PKG_VERSION"))));
        for (name, template) in &self.headers {
            let mut value = String::new();
            template.render(key, &mut value);
            let value = HeaderValue::try_from(value).map_err(|error| format!("header {name}: {error}"))?;
            headers.insert(name, value);
        }
        if !self.keep_alive {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(headers)
    }
}

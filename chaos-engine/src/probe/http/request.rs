//! The requests of a plan, ready but for what differs from slot to slot. What is the same in all of them is made once: at
//! thousands of requests a second nothing is formatted, parsed or checked twice. No network here.

use bytes::Bytes;
use chaos_core::model::HttpVersion;
use chaos_core::placeholder::{Extracted, SlotKey, Template};
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use super::plan::{HttpPlan, StepPlan};

/// The requests of a plan.
#[derive(Debug)]
pub(super) struct Requests {
    /// In the order of the plan.
    pub(super) steps: Vec<StepRequest>,
    place: Place,
    prefix: String,
}

/// One request of a sample.
#[derive(Debug)]
pub(super) struct StepRequest {
    method: Method,
    path: Part<PathAndQuery>,
    headers: Vec<(HeaderName, Part<HeaderValue>)>,
    body: Part<Bytes>,
}

/// How a request says where it goes.
#[derive(Debug)]
enum Place {
    Http1 { host: HeaderValue, close: bool },
    Http2 { scheme: Scheme, authority: Authority },
}

/// A part of a request.
#[derive(Debug)]
enum Part<T> {
    /// The same for every slot.
    Fixed(T),
    /// Rendered for each.
    Drawn(Template),
}

impl Requests {
    /// The requests of this plan; an error names what of their place is not valid HTTP.
    pub(super) fn new(plan: &HttpPlan) -> Result<Self, String> {
        let (authority, prefix) = (plan.origin.authority(), plan.origin.prefix.clone());
        let place = match plan.version {
            HttpVersion::Http1 => Place::Http1 {
                host: HeaderValue::try_from(authority).map_err(|error| format!("host: {error}"))?,
                close: !plan.keep_alive,
            },
            HttpVersion::Http2 => Place::Http2 {
                scheme: if plan.origin.tls { Scheme::HTTPS } else { Scheme::HTTP },
                authority: Authority::try_from(authority).map_err(|error| format!("host: {error}"))?,
            },
        };
        let steps = plan.steps.iter().map(|step| StepRequest::new(step, &prefix)).collect();
        Ok(Self { steps, place, prefix })
    }

    /// Whether the first request of a plan is valid. Later ones depend on answers: whether they are shows only then.
    pub(super) fn check(plan: &HttpPlan) -> Result<(), String> {
        let requests = Self::new(plan)?;
        let Some(first) = requests.steps.first() else { return Ok(()) };
        requests.request(first, SlotKey { slot: 0, seed: 0, run: 0 }, &Extracted::new()).map(drop)
    }

    /// The request of a step for a slot; an error names the part that is not valid HTTP.
    pub(super) fn request(
        &self,
        step: &StepRequest,
        key: SlotKey,
        extracted: &Extracted,
    ) -> Result<Request<Full<Bytes>>, String> {
        let draw = |template: &Template, mut text: String| {
            template.render(key, extracted, &mut text);
            text
        };
        let target = step.path.get(|path| {
            PathAndQuery::try_from(draw(path, self.prefix.clone())).map_err(|error| format!("path: {error}"))
        })?;
        let body = step.body.get(|body| Ok::<_, String>(Bytes::from(draw(body, String::new()))))?;
        let mut headers = self.headers(step.headers.len());
        for (name, value) in &step.headers {
            let value = value.get(|value| {
                HeaderValue::try_from(draw(value, String::new())).map_err(|error| format!("header {name}: {error}"))
            })?;
            headers.insert(name, value);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = step.method.clone();
        *request.headers_mut() = headers;
        *request.uri_mut() = self.uri(target)?;
        Ok(request)
    }

    /// The headers of every request, with room for so many more.
    fn headers(&self, more: usize) -> HeaderMap {
        // Host, Connection, User-Agent, and Content-Length, which the connection adds.
        let mut headers = HeaderMap::with_capacity(more + 4);
        if let Place::Http1 { host, close } = &self.place {
            headers.insert(HOST, host.clone());
            if *close {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("chaos/", env!("CARGO_PKG_VERSION"))));
        headers
    }

    fn uri(&self, target: PathAndQuery) -> Result<Uri, String> {
        let Place::Http2 { scheme, authority } = &self.place else { return Ok(Uri::from(target)) };
        let mut parts = Parts::default();
        parts.scheme = Some(scheme.clone());
        parts.authority = Some(authority.clone());
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).map_err(|error| format!("path: {error}"))
    }
}

impl StepRequest {
    fn new(step: &StepPlan, prefix: &str) -> Self {
        let header = |(name, value): &(HeaderName, Template)| {
            (name.clone(), Part::new(value, |text| HeaderValue::try_from(text).ok()))
        };
        let body = |body: &Template| Part::new(body, |text| Some(Bytes::copy_from_slice(text.as_bytes())));
        Self {
            method: step.method.clone(),
            path: Part::new(&step.path, |text| PathAndQuery::try_from(format!("{prefix}{text}")).ok()),
            headers: step.headers.iter().map(header).collect(),
            body: step.body.as_ref().map_or(Part::Fixed(Bytes::new()), body),
        }
    }
}

impl<T: Clone> Part<T> {
    /// Made now where it is the same for every slot. What is not valid is left to be told with the request.
    fn new(template: &Template, make: impl FnOnce(&str) -> Option<T>) -> Self {
        template.fixed().and_then(make).map_or_else(|| Self::Drawn(template.clone()), Self::Fixed)
    }

    fn get<E>(&self, draw: impl FnOnce(&Template) -> Result<T, E>) -> Result<T, E> {
        match self {
            Self::Fixed(part) => Ok(part.clone()),
            Self::Drawn(template) => draw(template),
        }
    }
}

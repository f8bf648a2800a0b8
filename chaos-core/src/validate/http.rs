//! The http probe: where requests go, what they say, what a good answer is, and the promise.

use std::collections::BTreeMap;

use super::names;
use super::path::Path;
use super::probe::{Around, timeout};
use super::problem::Problems;
use super::queries::json_path;
use super::slo::slo;
use crate::api;
use crate::model::{BodyCheck, Endpoint, HttpProbe};
use crate::placeholder::Template;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Headers that follow from the request itself: one written by hand would contradict it.
const OWN_HEADERS: [&str; 5] = ["connection", "content-length", "host", "te", "transfer-encoding"];
/// Requests that may wait for an answer at once: rate × timeout.
const MOST_IN_FLIGHT: f64 = 20_000.0;

/// The probe, if it is valid.
pub(super) fn probe(
    raw: &api::HttpProbe,
    promise: Option<&api::Slo>,
    around: Around<'_>,
    at: &Path,
    problems: &mut Problems,
) -> Option<HttpProbe> {
    let at_kind = at.field("http");
    let place = Where {
        service: raw.service.as_ref(),
        namespace: raw.namespace.as_ref(),
        port: raw.port.as_ref(),
        url: raw.url.as_ref(),
    };
    let endpoint = endpoint(place, around.namespace, &at_kind, problems);
    if !METHODS.contains(&raw.method.as_str()) {
        problems
            .add(&at_kind.field("method"), format!("{:?} is no method", raw.method))
            .hint(format!("it is one of {}", METHODS.join(", ")));
    }
    timeout(raw.timeout, &at_kind.field("timeout"), problems);
    if raw.max_lag.is_zero() {
        problems.add(&at_kind.field("maxLag"), "every request leaves a little late").hint("50ms is the default");
    }
    let in_flight = raw.rate.per_second() * raw.timeout.as_secs_f64();
    if in_flight > MOST_IN_FLIGHT {
        problems
            .add(
                &at_kind.field("rate"),
                format!("{} for {} are {in_flight:.0} requests at once", raw.rate, raw.timeout),
            )
            .hint(format!("at most {MOST_IN_FLIGHT} may wait for an answer: lower rate or timeout"));
    }
    let path = path(&raw.path, &at_kind.field("path"), problems);
    let headers = headers(raw, &at_kind, problems);
    let body =
        raw.body.as_ref().map(|body| template(body, &at_kind.field("body"), problems).ok_or(Invalid)).transpose();
    if raw.body.is_some() && matches!(raw.method.as_str(), "GET" | "HEAD") {
        problems.add_at_key(&at_kind.field("body"), format!("{} sends no body", raw.method)).hint("method: POST?");
    }
    for (i, status) in raw.success.status.iter().enumerate().filter(|(_, status)| !(200..=599).contains(*status)) {
        problems.add(&at_kind.fields("success.status").index(i), format!("{status} is no final status (200 to 599)"));
    }
    let at_body = at_kind.fields("success.body");
    let success_body =
        raw.success.body.as_ref().map(|raw| body_check(raw, &at_body, problems).ok_or(Invalid)).transpose();
    if let Some(exposure) = &raw.exposure {
        super::target::name(&exposure.header, names::header, &at_kind.fields("exposure.header"), problems);
    }
    let slo = promise.map(|promise| slo(promise, raw, &at.field("slo"), problems));
    Some(HttpProbe {
        endpoint: endpoint?,
        method: raw.method.clone(),
        path: path?,
        headers: headers?,
        body: body.ok()?,
        rate: raw.rate,
        arrival: raw.arrival,
        timeout: raw.timeout,
        max_lag: raw.max_lag,
        keep_alive: raw.keep_alive,
        success_status: raw.success.status.clone(),
        success_body: success_body.ok()?,
        exposure_header: raw.exposure.as_ref().map(|exposure| exposure.header.to_ascii_lowercase()),
        slo: slo??,
    })
}

/// Something that is given and wrong: its problem has been told.
struct Invalid;

/// Where a request goes, as it is written.
#[derive(Clone, Copy)]
pub(super) struct Where<'a> {
    pub(super) service: Option<&'a String>,
    pub(super) namespace: Option<&'a String>,
    pub(super) port: Option<&'a String>,
    pub(super) url: Option<&'a String>,
}

/// A Service, or a literal URL; exactly one.
pub(super) fn endpoint(place: Where<'_>, own: &str, at: &Path, problems: &mut Problems) -> Option<Endpoint> {
    match (place.service, place.url) {
        (Some(service), None) => {
            super::target::name(service, names::dns_label, &at.field("service"), problems);
            if let Some(namespace) = place.namespace {
                super::target::name(namespace, names::dns_label, &at.field("namespace"), problems);
            }
            if let Some(port) = place.port {
                super::target::name(port, names::dns_label, &at.field("port"), problems);
            }
            Some(Endpoint::Service {
                namespace: place.namespace.map_or_else(|| own.to_owned(), Clone::clone),
                name: service.clone(),
                port: place.port.cloned(),
            })
        }
        (None, Some(url)) => {
            super::target::name(url, names::base_url, &at.field("url"), problems);
            for (field, given) in [("namespace", place.namespace), ("port", place.port)] {
                if given.is_some() {
                    problems.add_at_key(&at.field(field), format!("{field} belongs to a service, not to a url"));
                }
            }
            Some(Endpoint::Url(url.trim_end_matches('/').to_owned()))
        }
        (None, None) => {
            problems.add_at_key(at, "it is not said where requests go").hint("give service (and port), or url");
            None
        }
        (Some(_), Some(_)) => {
            problems.add_at_key(&at.field("url"), "service and url are both given").hint("keep one of them");
            None
        }
    }
}

/// A path with its placeholders.
pub(super) fn path(raw: &str, at: &Path, problems: &mut Problems) -> Option<Template> {
    let outside = raw.split("{{").enumerate().map(|(i, part)| match part.split_once("}}") {
        Some((_, after)) if i > 0 => after,
        _ => part,
    });
    if !raw.starts_with('/') {
        problems.add(at, format!("{raw:?} is no path")).hint("start it with a slash");
    } else if outside.into_iter().any(|part| !part.bytes().all(|b| b.is_ascii_graphic() && b != b'#')) {
        problems.add(at, "a path holds visible ASCII alone").hint("write other characters as %XX");
    }
    template(raw, at, problems)
}

fn headers(raw: &api::HttpProbe, at: &Path, problems: &mut Problems) -> Option<BTreeMap<String, Template>> {
    let mut headers = BTreeMap::new();
    let mut complete = true;
    for (header, value) in &raw.headers {
        let at = at.field("headers").field(header);
        let lower = header.to_ascii_lowercase();
        if let Err(rule) = names::header(header) {
            problems.add_at_key(&at, format!("{header:?} is no header")).hint(rule);
        } else if OWN_HEADERS.contains(&lower.as_str()) {
            problems.add_at_key(&at, format!("{header} follows from the request")).hint("leave it out");
        }
        if value.chars().any(char::is_control) {
            problems.add(&at, "a header's value cannot hold control characters or line breaks");
        }
        let Some(template) = template(value, &at, problems) else {
            complete = false;
            continue;
        };
        if headers.insert(lower, template).is_some() {
            problems.add_at_key(&at, format!("{header} is given twice, in different case"));
        }
    }
    complete.then_some(headers)
}

fn template(text: &str, at: &Path, problems: &mut Problems) -> Option<Template> {
    let parsed = text.parse::<Template>().map_err(|error| {
        let text = error.to_string();
        let (message, hint) = text.split_once("; hint: ").unwrap_or((&text, ""));
        let problem = problems.add(at, message);
        if !hint.is_empty() {
            problem.hint(hint);
        }
    });
    parsed.ok()
}

fn body_check(raw: &api::BodyCheck, at: &Path, problems: &mut Problems) -> Option<BodyCheck> {
    let path = json_path(&raw.json_path, &at.field("jsonPath"), problems);
    match (raw.exists, &raw.equals) {
        (Some(true), None) => path.map(BodyCheck::Exists),
        (Some(false), None) => path.map(BodyCheck::Absent),
        (None, Some(value)) => path.map(|path| BodyCheck::Equals(path, value.clone())),
        (None, None) => {
            problems.add_at_key(at, "nothing is asked of the body").hint("give exists or equals");
            None
        }
        (Some(_), Some(_)) => {
            problems.add_at_key(&at.field("equals"), "exists and equals are both given").hint("equals implies exists");
            None
        }
    }
}

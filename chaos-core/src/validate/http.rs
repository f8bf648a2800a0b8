//! Http load: where requests go and when they are due, and the promise of an http probe.

use super::names;
use super::path::Path;
use super::probe::{Around, timeout};
use super::problem::Problems;
use super::slo::slo;
use super::step::steps;
use crate::api;
use crate::model::{Endpoint, HttpLoad, HttpProbe};
use crate::slots::RateStage;
use crate::units::Duration;

/// Samples that may wait for an answer at once: rate × timeout.
const MOST_IN_FLIGHT: f64 = 20_000.0;
/// All stages together.
const LONGEST_RAMP: Duration = Duration::from_secs(24 * 3600);

/// The probe, if it is valid.
pub(super) fn probe(
    raw: &api::HttpProbe,
    promise: Option<&api::Slo>,
    around: Around<'_>,
    at: &Path,
    problems: &mut Problems,
) -> Option<HttpProbe> {
    let load = load(raw, around.namespace, &at.field("http"), problems);
    let slo = promise.map(|promise| slo(promise, raw, &at.field("slo"), problems));
    Some(HttpProbe { load: load?, slo: slo?? })
}

/// Load, if it is valid.
pub(super) fn load(raw: &api::HttpProbe, own: &str, at: &Path, problems: &mut Problems) -> Option<HttpLoad> {
    let place = Where {
        service: raw.service.as_ref(),
        namespace: raw.namespace.as_ref(),
        port: raw.port.as_ref(),
        url: raw.url.as_ref(),
    };
    let endpoint = endpoint(place, own, at, problems);
    tls(raw, at, problems);
    timeout(raw.timeout, &at.field("timeout"), problems);
    if raw.max_lag.is_zero() {
        problems.add(&at.field("maxLag"), "every request leaves a little late").hint("50ms is the default");
    }
    within(raw, &at.fields("success.within"), problems);
    let steps = steps(raw, at, problems);
    if let Some(exposure) = &raw.exposure {
        super::target::name(&exposure.header, names::header, &at.fields("exposure.header"), problems);
    }
    let load = HttpLoad {
        endpoint: endpoint?,
        ca_file: raw.ca_file.as_ref().map(Into::into),
        server_name: raw.server_name.clone(),
        steps: steps?,
        rate: raw.rate,
        stages: stages(&raw.stages, &at.field("stages"), problems),
        arrival: raw.arrival,
        timeout: raw.timeout,
        max_lag: raw.max_lag,
        within: raw.success.within,
        keep_alive: raw.keep_alive,
        version: raw.version,
        exposure_header: raw.exposure.as_ref().map(|exposure| exposure.header.to_ascii_lowercase()),
    };
    in_flight(&load, at, problems);
    Some(load)
}

/// What is said of TLS, where it is spoken. Whether a Service speaks it is found out before a run.
fn tls(raw: &api::HttpProbe, at: &Path, problems: &mut Problems) {
    if let Some(name) = &raw.server_name {
        super::target::name(name, names::dns_subdomain, &at.field("serverName"), problems);
    }
    if raw.ca_file.as_ref().is_some_and(String::is_empty) {
        problems.add(&at.field("caFile"), "no file has an empty name").hint("name a PEM file with CERTIFICATE blocks");
    }
    if raw.url.as_ref().is_some_and(|url| url.starts_with("http://")) {
        for (field, given) in [("caFile", &raw.ca_file), ("serverName", &raw.server_name)] {
            if given.is_some() {
                problems
                    .add_at_key(&at.field(field), format!("{field} belongs to TLS, which this url does not speak"))
                    .hint("write https://…, or leave it out");
            }
        }
    }
}

fn stages(raw: &[api::Stage], at: &Path, problems: &mut Problems) -> Vec<RateStage> {
    let total: std::time::Duration = raw.iter().map(|stage| stage.for_.std()).sum();
    if total > LONGEST_RAMP.std() {
        problems.add_at_key(at, format!("the stages last {}, more than a day", Duration::from(total)));
    }
    let nanos = |span: Duration| u64::try_from(span.std().as_nanos()).unwrap_or(u64::MAX);
    raw.iter().map(|stage| RateStage { span: nanos(stage.for_), to: stage.to.per_second() }).collect()
}

fn within(raw: &api::HttpProbe, at: &Path, problems: &mut Problems) {
    let Some(within) = raw.success.within else { return };
    if within.is_zero() {
        problems.add(at, "nothing answers in no time");
    } else if within > raw.timeout {
        problems
            .add(at, format!("{within} is longer than the timeout {}", raw.timeout))
            .hint("a request that is given up is a failure anyway: leave it out, or raise the timeout");
    }
}

fn in_flight(load: &HttpLoad, at: &Path, problems: &mut Problems) {
    let peak = load.peak_rate();
    let in_flight = peak * load.timeout.as_secs_f64();
    if in_flight > MOST_IN_FLIGHT {
        problems
            .add(&at.field("rate"), format!("{peak}/s for {} are {in_flight:.0} requests at once", load.timeout))
            .hint(format!("at most {MOST_IN_FLIGHT} may wait for an answer: lower rate or timeout"));
    }
}

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
            super::target::url(url, &at.field("url"), problems);
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

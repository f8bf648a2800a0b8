//! `spec.probes`: exactly one kind each, with what that kind needs and nothing that it would ignore.

use std::collections::HashMap;

use super::path::Path;
use super::problem::Problems;
use super::{http, looks, names, patience};
use crate::api::{self, When};
use crate::model::{Expectation, Moment, Probe, ProbeKind};
use crate::units::Duration;

/// Looks are at least this far apart: what is asked more often is load, and load is what http probes are for.
const MOST_OFTEN: Duration = Duration::from_millis(100);
/// No answer is waited for longer.
pub(super) const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);

/// What probes need to know of the experiment around them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    /// Namespace of the experiment.
    pub(super) namespace: &'a str,
    /// Length of the baseline.
    pub(super) baseline: Duration,
    /// Length of the fault phase.
    pub(super) fault: Duration,
}

/// All probes that are valid; what is not is a problem.
pub(super) fn probes(raw: &[api::Probe], around: Around<'_>, at: &Path, problems: &mut Problems) -> Vec<Probe> {
    let mut seen = HashMap::new();
    let mut valid = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let at = at.index(i);
        super::target::name(&raw.name, names::dns_label, &at.field("name"), problems);
        if let Some(first) = seen.insert(raw.name.as_str(), i) {
            problems
                .add(&at.field("name"), format!("{:?} is the name of probe {} already", raw.name, first + 1))
                .hint("results are told by name: give each probe its own");
        }
        valid.extend(probe(raw, around, &at, problems));
    }
    valid
}

/// The one kind that a probe is of.
pub(super) enum Raw<'a> {
    Http(&'a api::HttpProbe),
    Prometheus(&'a api::PrometheusProbe),
    Kubernetes(&'a api::KubernetesProbe),
    Command(&'a api::CommandProbe),
    Tcp(&'a api::TcpProbe),
    Grpc(&'a api::GrpcProbe),
    Invariants(&'a api::InvariantsProbe),
}

impl Raw<'_> {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Prometheus(_) => "prometheus",
            Self::Kubernetes(_) => "kubernetes",
            Self::Command(_) => "command",
            Self::Tcp(_) => "tcp",
            Self::Grpc(_) => "grpc",
            Self::Invariants(_) => "invariants",
        }
    }
}

fn probe(raw: &api::Probe, around: Around<'_>, at: &Path, problems: &mut Problems) -> Option<Probe> {
    let given = [
        raw.http.as_ref().map(Raw::Http),
        raw.prometheus.as_ref().map(Raw::Prometheus),
        raw.kubernetes.as_ref().map(Raw::Kubernetes),
        raw.command.as_ref().map(Raw::Command),
        raw.tcp.as_ref().map(Raw::Tcp),
        raw.grpc.as_ref().map(Raw::Grpc),
        raw.invariants.as_ref().map(Raw::Invariants),
    ];
    let mut given = given.into_iter().flatten();
    let Some(kind) = given.next() else {
        problems
            .add_at_key(at, format!("probe {:?} does not say how it measures", raw.name))
            .hint("give one of http, prometheus, kubernetes, command, tcp, grpc, invariants");
        return None;
    };
    if let Some(other) = given.next() {
        problems
            .add_at_key(&at.field(other.name()), format!("probe {:?} is {} already", raw.name, kind.name()))
            .hint("keep one kind, and make a probe of its own of the other");
        return None;
    }
    fits(raw, &kind, at, problems);
    let patience = patience::patience(raw, &kind, around, at, problems);
    let kind = match kind {
        Raw::Http(http) => {
            http::probe(http, raw.slo.as_ref(), around, at, problems).map(|probe| ProbeKind::Http(Box::new(probe)))
        }
        Raw::Prometheus(kind) => looks::prometheus(raw, kind, around, at, problems).map(ProbeKind::Prometheus),
        Raw::Kubernetes(kind) => {
            looks::kubernetes(raw, kind, around, at, problems).map(|p| ProbeKind::Kubernetes(Box::new(p)))
        }
        Raw::Command(kind) => looks::command(raw, kind, at, problems).map(ProbeKind::Command),
        Raw::Tcp(kind) => looks::tcp(raw, kind, at, problems).map(ProbeKind::Tcp),
        Raw::Grpc(kind) => looks::grpc(raw, kind, around, at, problems).map(ProbeKind::Grpc),
        Raw::Invariants(kind) => {
            let at = at.field("invariants");
            looks::invariants(raw.when, kind, around, &at, problems).map(ProbeKind::Invariants)
        }
    };
    let probe = Probe { name: raw.name.clone(), kind: kind?, patience };
    patience::between_looks(&probe, at, problems);
    Some(probe)
}

/// What a probe of that kind must have, and must not.
fn fits(raw: &api::Probe, kind: &Raw<'_>, at: &Path, problems: &mut Problems) {
    let kind_name = kind.name();
    match (kind, &raw.slo) {
        (Raw::Http(_), None) => problems
            .add_at_key(at, format!("probe {:?} has no slo: nothing says when it failed", raw.name))
            .hint("add slo: {availability: 99.9%, confidence: 95%, evidence: {…}}"),
        (Raw::Http(_), Some(_)) | (_, None) => {}
        (_, Some(_)) => problems
            .add_at_key(
                &at.field("slo"),
                format!("a promise is judged on requests, and a {kind_name} probe makes none"),
            )
            .hint("say what the answer must be in expect"),
    }
    match (kind, &raw.expect) {
        (Raw::Http(_), Some(_)) => problems
            .add_at_key(&at.field("expect"), "an http probe has a promise, not an expectation")
            .hint("say what a good answer is in http.success, and the promise in slo"),
        (Raw::Invariants(_), Some(_)) => problems
            .add_at_key(&at.field("expect"), "any violation of an invariant fails the run: there is nothing to expect")
            .hint("leave it out"),
        (Raw::Kubernetes(api::KubernetesProbe { selector: None, condition: Some(_), .. }), None) => {}
        (Raw::Prometheus(_) | Raw::Kubernetes(_) | Raw::Command(_), None) => problems
            .add_at_key(at, format!("probe {:?} has no expect: nothing says when it failed", raw.name))
            .hint("add expect, such as expect: {min: 1}"),
        _ => {}
    }
    if matches!(kind, Raw::Http(_)) && raw.when != When::Continuous {
        problems
            .add(&at.field("when"), "http load runs from the baseline to the end of recovery")
            .hint("leave when out; use tcp, grpc, command or invariants to look once");
    }
}

pub(super) fn moment(when: When, every: Option<Duration>, at: &Path, problems: &mut Problems) -> Option<Moment> {
    match (when, every) {
        (When::Before, _) => Some(Moment::Before),
        (When::After, _) => Some(Moment::After),
        (When::Edge, _) => Some(Moment::Edge),
        (When::Continuous, Some(every)) => {
            if every < MOST_OFTEN {
                problems.add(&at.field("every"), format!("{every} is less than {MOST_OFTEN}"));
            }
            Some(Moment::Continuous { every })
        }
        (When::Continuous, None) => {
            problems
                .add_at_key(at, "it is not said how often")
                .hint("give every, or when: Before, After or Edge to look once");
            None
        }
    }
}

pub(super) fn timeout(timeout: Duration, at: &Path, problems: &mut Problems) {
    if timeout.is_zero() {
        problems.add(at, "nothing answers in no time").hint("give a timeout above zero");
    } else if timeout > LONGEST_TIMEOUT {
        problems.add(at, format!("{timeout} is longer than {LONGEST_TIMEOUT}"));
    }
}

/// What the answers must be; `None` where it is not said.
pub(super) fn expectation(
    raw: &api::Probe,
    of_command: bool,
    at: &Path,
    problems: &mut Problems,
) -> Option<Expectation> {
    let at = at.field("expect");
    let raw_when = raw.when;
    let raw = raw.expect.as_ref()?;
    let asks = raw.min.is_some() || raw.max.is_some() || raw.equals.is_some() || !raw.one_of.is_empty();
    if !asks && raw.exit_code.is_none() {
        problems.add_at_key(&at, "nothing is expected").hint("give min, max, equals, oneOf or exitCode");
    }
    if let (Some(min), Some(max)) = (raw.min, raw.max)
        && min > max
    {
        problems.add(&at.field("min"), format!("{min} is above the max of {max}: no answer could be both"));
    }
    if raw.exit_code.is_some() && !of_command {
        problems.add_at_key(&at.field("exitCode"), "only a command has an exit code");
    }
    let scalar = |value: &serde_json::Value| !(value.is_array() || value.is_object());
    if raw.equals.as_ref().is_some_and(|value| !scalar(value)) {
        problems.add(&at.field("equals"), "an answer is one value: text, a number, true, false or null");
    }
    for (i, _) in raw.one_of.iter().enumerate().filter(|(_, value)| !scalar(value)) {
        problems.add(&at.field("oneOf").index(i), "an answer is one value: text, a number, true, false or null");
    }
    if raw.for_.is_some_and(|span| !span.is_zero()) && raw_when != When::Continuous {
        problems
            .add_at_key(&at.field("for"), "a probe that looks once cannot be off for a while")
            .hint("leave for out, or look continuously");
    }
    Some(Expectation {
        min: raw.min,
        max: raw.max,
        equals: raw.equals.clone(),
        one_of: raw.one_of.clone(),
        exit_code: raw.exit_code,
        tolerate: raw.for_.unwrap_or_default(),
    })
}

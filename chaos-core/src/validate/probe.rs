//! `spec.probes`: exactly one kind each, with what that kind needs and nothing that it would ignore.

use std::collections::HashMap;

use super::http::{self, endpoint};
use super::names;
use super::path::Path;
use super::problem::Problems;
use super::queries::{json_path, promql};
use crate::api::{self, When};
use crate::model::{
    CommandProbe, Expectation, InvariantsProbe, KubernetesProbe, Moment, Probe, ProbeKind, PrometheusProbe,
    PrometheusSource, TcpProbe,
};
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
enum Raw<'a> {
    Http(&'a api::HttpProbe),
    Prometheus(&'a api::PrometheusProbe),
    Kubernetes(&'a api::KubernetesProbe),
    Command(&'a api::CommandProbe),
    Tcp(&'a api::TcpProbe),
    Invariants(&'a api::InvariantsProbe),
}

impl Raw<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Prometheus(_) => "prometheus",
            Self::Kubernetes(_) => "kubernetes",
            Self::Command(_) => "command",
            Self::Tcp(_) => "tcp",
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
        raw.invariants.as_ref().map(Raw::Invariants),
    ];
    let mut given = given.into_iter().flatten();
    let Some(kind) = given.next() else {
        problems
            .add_at_key(at, format!("probe {:?} does not say how it measures", raw.name))
            .hint("give one of http, prometheus, kubernetes, command, tcp, invariants");
        return None;
    };
    if let Some(other) = given.next() {
        problems
            .add_at_key(&at.field(other.name()), format!("probe {:?} is {} already", raw.name, kind.name()))
            .hint("keep one kind, and make a probe of its own of the other");
        return None;
    }
    fits(raw, &kind, at, problems);
    let at_kind = at.field(kind.name());
    let kind = match kind {
        Raw::Http(http) => {
            http::probe(http, raw.slo.as_ref(), around, at, problems).map(|probe| ProbeKind::Http(Box::new(probe)))
        }
        Raw::Prometheus(kind) => prometheus(raw, kind, around, at, problems).map(ProbeKind::Prometheus),
        Raw::Kubernetes(kind) => {
            kubernetes(raw, kind, around, at, problems).map(|p| ProbeKind::Kubernetes(Box::new(p)))
        }
        Raw::Command(kind) => command(raw, kind, at, problems).map(ProbeKind::Command),
        Raw::Tcp(kind) => tcp(raw, kind, at, problems).map(ProbeKind::Tcp),
        Raw::Invariants(kind) => invariants(raw.when, kind, around, &at_kind, problems).map(ProbeKind::Invariants),
    };
    kind.map(|kind| Probe { name: raw.name.clone(), kind })
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
        (Raw::Prometheus(_) | Raw::Kubernetes(_) | Raw::Command(_), None) => problems
            .add_at_key(at, format!("probe {:?} has no expect: nothing says when it failed", raw.name))
            .hint("add expect, such as expect: {min: 1}"),
        _ => {}
    }
    if matches!(kind, Raw::Http(_)) && raw.when != When::Continuous {
        problems
            .add(&at.field("when"), "http load runs from the baseline to the end of recovery")
            .hint("leave when out; use tcp, command or invariants to look once");
    }
}

fn prometheus(
    raw: &api::Probe,
    kind: &api::PrometheusProbe,
    around: Around<'_>,
    at: &Path,
    problems: &mut Problems,
) -> Option<PrometheusProbe> {
    let at_kind = at.field("prometheus");
    let source = match (&kind.source, &kind.url) {
        (Some(source), None) => {
            super::target::name(source, names::dns_label, &at_kind.field("source"), problems);
            Some(PrometheusSource::Named(source.clone()))
        }
        (None, Some(url)) => {
            super::target::name(url, names::base_url, &at_kind.field("url"), problems);
            Some(PrometheusSource::Url(url.clone()))
        }
        (None, None) => {
            problems
                .add_at_key(&at_kind, "it is not said who is asked")
                .hint("give source (a name of the configuration) or url");
            None
        }
        (Some(_), Some(_)) => {
            problems.add_at_key(&at_kind.field("url"), "source and url are both given").hint("keep one of them");
            None
        }
    };
    promql(&kind.query, around.fault, &at_kind.field("query"), problems);
    timeout(kind.timeout, &at_kind.field("timeout"), problems);
    let when = moment(raw.when, Some(kind.every), &at_kind, problems);
    let expect = expectation(raw, false, at, problems)?;
    Some(PrometheusProbe { source: source?, query: kind.query.clone(), timeout: kind.timeout, when: when?, expect })
}

fn kubernetes(
    raw: &api::Probe,
    kind: &api::KubernetesProbe,
    around: Around<'_>,
    at: &Path,
    problems: &mut Problems,
) -> Option<KubernetesProbe> {
    let at_kind = at.field("kubernetes");
    let parts: Vec<&str> = kind.resource.split('/').collect();
    let resource = match parts.as_slice() {
        [version, kind] => Some(("", *version, *kind)),
        [group, version, kind] => Some((*group, *version, *kind)),
        _ => None,
    };
    let valid = |(group, version, kind): &(&str, &str, &str)| {
        (group.is_empty() || names::dns_subdomain(group).is_ok())
            && version.starts_with('v')
            && names::dns_label(version).is_ok()
            && names::kind(kind).is_ok()
    };
    let resource = resource.filter(valid);
    if resource.is_none() {
        problems
            .add(&at_kind.field("resource"), format!("{:?} is no kind of object", kind.resource))
            .hint("write group/version/Kind such as apps/v1/Deployment, or v1/Pod");
    }
    super::target::name(&kind.name, names::dns_subdomain, &at_kind.field("name"), problems);
    if let Some(namespace) = &kind.namespace {
        super::target::name(namespace, names::dns_label, &at_kind.field("namespace"), problems);
    }
    let json_path = json_path(&kind.json_path, &at_kind.field("jsonPath"), problems);
    let when = moment(raw.when, Some(kind.every), &at_kind, problems);
    let expect = expectation(raw, false, at, problems)?;
    let (group, version, kind_name) = resource?;
    Some(KubernetesProbe {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind_name.to_owned(),
        name: kind.name.clone(),
        namespace: kind.namespace.clone().unwrap_or_else(|| around.namespace.to_owned()),
        json_path: json_path?,
        when: when?,
        expect,
    })
}

fn command(raw: &api::Probe, kind: &api::CommandProbe, at: &Path, problems: &mut Problems) -> Option<CommandProbe> {
    let at_kind = at.field("command");
    let (program, args) = kind.argv.split_first()?;
    if program.is_empty() {
        problems.add(&at_kind.field("argv").index(0), "the program has no name");
    }
    for (i, _) in kind.argv.iter().enumerate().filter(|(_, arg)| arg.contains('\0')) {
        problems.add(&at_kind.field("argv").index(i), "no argument can hold a zero byte");
    }
    timeout(kind.timeout, &at_kind.field("timeout"), problems);
    let when = moment(raw.when, kind.every, &at_kind, problems);
    let expect = expectation(raw, true, at, problems)?;
    Some(CommandProbe { program: program.clone(), args: args.to_vec(), timeout: kind.timeout, when: when?, expect })
}

fn tcp(raw: &api::Probe, kind: &api::TcpProbe, at: &Path, problems: &mut Problems) -> Option<TcpProbe> {
    let at_kind = at.field("tcp");
    timeout(kind.timeout, &at_kind.field("timeout"), problems);
    let when = moment(raw.when, Some(kind.every), &at_kind, problems);
    let others = raw.expect.clone().map(|expect| api::Expect { for_: None, ..expect });
    if others.is_some_and(|others| others != api::Expect::default()) {
        problems
            .add_at_key(&at.field("expect"), "a connection has no value: it succeeds or not")
            .hint("keep for alone, or leave expect out");
    }
    let address = kind.address.rsplit_once(':').and_then(|(host, port)| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some((host, port.parse::<u16>().ok().filter(|port| *port > 0)?)).filter(|(host, _)| !host.is_empty())
    });
    let Some((host, port)) = address else {
        problems.add(&at_kind.field("address"), format!("{:?} is no address", kind.address)).hint("write host:port");
        return None;
    };
    let tolerate = raw.expect.as_ref().and_then(|expect| expect.for_).unwrap_or_default();
    Some(TcpProbe { host: host.to_owned(), port, timeout: kind.timeout, when: when?, tolerate })
}

/// The checker reads the whole history and is asked once it is complete: `Continuous`, the default of `when`, means After here.
fn invariants(
    when: When,
    kind: &api::InvariantsProbe,
    around: Around<'_>,
    at: &Path,
    problems: &mut Problems,
) -> Option<InvariantsProbe> {
    let endpoint = endpoint(
        http::Where {
            service: kind.service.as_ref(),
            namespace: kind.namespace.as_ref(),
            port: kind.port.as_ref(),
            url: kind.url.as_ref(),
        },
        around.namespace,
        at,
        problems,
    );
    super::step::path(&kind.path, &[], &at.field("path"), problems);
    timeout(kind.timeout, &at.field("timeout"), problems);
    let when = match when {
        When::Before => Moment::Before,
        When::Edge => Moment::Edge,
        When::After | When::Continuous => Moment::After,
    };
    Some(InvariantsProbe { endpoint: endpoint?, path: kind.path.clone(), timeout: kind.timeout, when })
}

fn moment(when: When, every: Option<Duration>, at: &Path, problems: &mut Problems) -> Option<Moment> {
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
fn expectation(raw: &api::Probe, of_command: bool, at: &Path, problems: &mut Problems) -> Option<Expectation> {
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

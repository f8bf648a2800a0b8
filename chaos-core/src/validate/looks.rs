//! Probes that ask for an answer now and then: each kind with what it needs, and nothing that it would ignore.

use super::http::{self, endpoint};
use super::names;
use super::path::Path;
use super::probe::{Around, expectation, moment, timeout};
use super::problem::Problems;
use super::queries::{json_path, promql};
use super::target::{name, selector_of};
use crate::api::{self, When};
use crate::model::{
    CommandProbe, Condition, Endpoint, Expectation, GrpcProbe, InvariantsProbe, KubernetesProbe, Moment,
    PrometheusProbe, PrometheusSource, Question, TcpProbe,
};
use crate::promql::Facts;
use crate::units::Duration;

/// Points of a range.
const MOST_POINTS: f64 = 1_000.0;

pub(super) fn prometheus(
    raw: &api::Probe,
    kind: &api::PrometheusProbe,
    around: Around<'_>,
    at: &Path,
    problems: &mut Problems,
) -> Option<PrometheusProbe> {
    let at_kind = at.field("prometheus");
    let source = source(kind.source.as_ref(), kind.url.as_ref(), &at_kind, problems);
    let facts = promql(&kind.query, around.fault, &at_kind.field("query"), problems);
    timeout(kind.timeout, &at_kind.field("timeout"), problems);
    range(kind, around, &at_kind.field("range"), problems);
    scrapes(kind, facts.as_ref(), &at_kind, problems);
    let when = moment(raw.when, Some(kind.every), &at_kind, problems);
    let expect = expectation(raw, false, at, problems)?;
    Some(PrometheusProbe {
        source: source?,
        query: kind.query.clone(),
        facts: facts?,
        range: kind.range,
        max_age: Some(max_age(raw, kind, around)).filter(|age| !age.is_zero()),
        scrape_interval: kind.scrape_interval,
        timeout: kind.timeout,
        when: when?,
        expect,
    })
}

/// Which Prometheus is asked: exactly one of a name and a literal URL.
pub(super) fn source(
    named: Option<&String>,
    url: Option<&String>,
    at: &Path,
    problems: &mut Problems,
) -> Option<PrometheusSource> {
    match (named, url) {
        (Some(source), None) => {
            name(source, names::dns_label, &at.field("source"), problems);
            Some(PrometheusSource::Named(source.clone()))
        }
        (None, Some(url)) => {
            super::target::url(url, &at.field("url"), problems);
            Some(PrometheusSource::Url(url.clone()))
        }
        (None, None) => {
            problems
                .add_at_key(at, "it is not said who is asked")
                .hint("give source (a name of the configuration) or url");
            None
        }
        (Some(_), Some(_)) => {
            problems.add_at_key(&at.field("url"), "source and url are both given").hint("keep one of them");
            None
        }
    }
}

fn range(kind: &api::PrometheusProbe, around: Around<'_>, at: &Path, problems: &mut Problems) {
    let Some(range) = kind.range else { return };
    let whole_seconds = range.step.std().subsec_nanos() == 0 && range.over.std().subsec_nanos() == 0;
    if range.step.is_zero() || !whole_seconds {
        problems.add(&at.field("step"), "points are whole seconds apart").hint("step: 5s, over: 1m");
        return;
    }
    if range.over < range.step {
        problems.add(&at.field("over"), format!("{} is shorter than one step of {}", range.over, range.step));
    }
    let points = range.over.as_secs_f64() / range.step.as_secs_f64();
    if points > MOST_POINTS {
        problems
            .add(at, format!("{points:.0} points, more than {MOST_POINTS}"))
            .hint("a longer step, or a shorter span");
    }
    let run = around.baseline.std().saturating_add(around.fault.std());
    if range.over.std() > run {
        problems
            .add(
                &at.field("over"),
                format!("{} reaches back before the run, of {} until here", range.over, Duration::from(run)),
            )
            .hint("what was before it is not this run's doing");
    }
}

/// How old the samples of an answer may be. When the run ends, it must not rest on what was before the fault.
fn max_age(raw: &api::Probe, kind: &api::PrometheusProbe, around: Around<'_>) -> Duration {
    if raw.when == When::Before { kind.max_age } else { kind.max_age.min(around.fault) }
}

/// A rate over less than two declared scrapes has no value, or one now and then.
fn scrapes(kind: &api::PrometheusProbe, facts: Option<&Facts>, at: &Path, problems: &mut Problems) {
    let Some(interval) = kind.scrape_interval else { return };
    if interval.is_zero() {
        problems.add(&at.field("scrapeInterval"), "nothing is scraped all the time");
    }
    let twice = interval.std().saturating_mul(2);
    let short = facts.into_iter().flat_map(|facts| &facts.windows).find(|(_, window)| window.std() < twice);
    if let Some((selector, window)) = short {
        problems
            .add(
                &at.field("query"),
                format!("a window of {window} over {selector} holds less than two scrapes of {interval}"),
            )
            .hint(format!("take at least {}, four scrapes are usual", Duration::from(twice)));
    }
}

pub(super) fn kubernetes(
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
    if let Some(namespace) = &kind.namespace {
        name(namespace, names::dns_label, &at_kind.field("namespace"), problems);
    }
    let question = question(kind, &at_kind, problems);
    let when = moment(raw.when, Some(kind.every), &at_kind, problems);
    let expect = match &question {
        // The condition itself says what is expected.
        Some(Question::Condition { condition, .. }) => {
            let tolerate = span_alone(raw, "the condition says what is expected", at, problems);
            Some(Expectation { equals: Some(condition.status.clone().into()), tolerate, ..Expectation::default() })
        }
        _ => expectation(raw, false, at, problems),
    };
    let (group, version, kind_name) = resource?;
    Some(KubernetesProbe {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind_name.to_owned(),
        namespace: kind.namespace.clone().unwrap_or_else(|| around.namespace.to_owned()),
        question: question?,
        when: when?,
        expect: expect?,
    })
}

/// What is asked about objects: a field or a condition of one, or how many there are.
fn question(kind: &api::KubernetesProbe, at: &Path, problems: &mut Problems) -> Option<Question> {
    let condition = kind.condition.as_ref().map(|raw| {
        let valid =
            !raw.type_.is_empty() && raw.type_.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
        if !valid {
            problems
                .add(&at.fields("condition.type"), format!("{:?} is no type of a condition", raw.type_))
                .hint("one such as Available or Ready");
        }
        Condition { kind: raw.type_.clone(), status: raw.status.as_str().to_owned() }
    });
    match (&kind.name, &kind.selector) {
        (Some(object), None) => of_one(object, kind.json_path.as_deref(), condition, at, problems),
        (None, Some(selector)) => {
            if kind.json_path.is_some() {
                problems
                    .add_at_key(&at.field("jsonPath"), "objects that are selected are counted, not read")
                    .hint("leave it out, or name one object");
            }
            let selector = selector_of(selector, &at.field("selector"), problems);
            Some(Question::Count { selector, condition })
        }
        (None, None) => {
            problems
                .add_at_key(at, "it is not said which objects are meant")
                .hint("give name, or selector to count several");
            None
        }
        (Some(_), Some(_)) => {
            problems.add_at_key(&at.field("selector"), "name and selector are both given").hint("keep one of them");
            None
        }
    }
}

/// What is asked of one object: a field or a condition.
fn of_one(
    object: &str,
    path: Option<&str>,
    condition: Option<Condition>,
    at: &Path,
    problems: &mut Problems,
) -> Option<Question> {
    name(object, names::dns_subdomain, &at.field("name"), problems);
    match (path, condition) {
        (Some(path), None) => {
            let path = json_path(path, &at.field("jsonPath"), problems)?;
            Some(Question::Field { name: object.to_owned(), path })
        }
        (None, Some(condition)) => Some(Question::Condition { name: object.to_owned(), condition }),
        (None, None) => {
            problems
                .add_at_key(at, "it is not said what is asked of the object")
                .hint("give jsonPath, or condition: {type: Available}");
            None
        }
        (Some(_), Some(_)) => {
            problems
                .add_at_key(&at.field("condition"), "jsonPath and condition are both given")
                .hint("keep one, and make a probe of its own of the other");
            None
        }
    }
}

/// How long it may be off, of a probe for which nothing else can be expected.
fn span_alone(raw: &api::Probe, why: &str, at: &Path, problems: &mut Problems) -> Duration {
    let at = at.field("expect");
    let others = raw.expect.clone().map(|expect| api::Expect { for_: None, ..expect });
    if others.is_some_and(|others| others != api::Expect::default()) {
        problems.add_at_key(&at, why).hint("keep for alone, or leave expect out");
    }
    let span = raw.expect.as_ref().and_then(|expect| expect.for_).unwrap_or_default();
    if !span.is_zero() && raw.when != When::Continuous {
        problems
            .add_at_key(&at.field("for"), "a probe that looks once cannot be off for a while")
            .hint("leave for out, or look continuously");
    }
    span
}

pub(super) fn command(
    raw: &api::Probe,
    kind: &api::CommandProbe,
    at: &Path,
    problems: &mut Problems,
) -> Option<CommandProbe> {
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
    let json_path = match &kind.json_path {
        Some(path) => {
            let asks = expect.min.is_some() || expect.max.is_some() || expect.equals.is_some();
            if !asks && expect.one_of.is_empty() {
                problems
                    .add_at_key(&at_kind.field("jsonPath"), "nothing is expected of what it selects")
                    .hint("add min, max, equals or oneOf to expect");
            }
            Some(json_path(path, &at_kind.field("jsonPath"), problems)?)
        }
        None => None,
    };
    let (program, args, timeout) = (program.clone(), args.to_vec(), kind.timeout);
    Some(CommandProbe { program, args, timeout, json_path, when: when?, expect })
}

pub(super) fn tcp(raw: &api::Probe, kind: &api::TcpProbe, at: &Path, problems: &mut Problems) -> Option<TcpProbe> {
    let at_kind = at.field("tcp");
    timeout(kind.timeout, &at_kind.field("timeout"), problems);
    let when = moment(raw.when, Some(kind.every), &at_kind, problems);
    let tolerate = span_alone(raw, "a connection has no value: it succeeds or not", at, problems);
    let (host, port) = address(&kind.address, &at_kind.field("address"), problems)?;
    Some(TcpProbe { host, port, timeout: kind.timeout, when: when?, tolerate })
}

pub(super) fn grpc(
    raw: &api::Probe,
    kind: &api::GrpcProbe,
    around: Around<'_>,
    at: &Path,
    problems: &mut Problems,
) -> Option<GrpcProbe> {
    let at_kind = at.field("grpc");
    timeout(kind.timeout, &at_kind.field("timeout"), problems);
    let when = moment(raw.when, Some(kind.every), &at_kind, problems);
    let tolerate = span_alone(raw, "a server that is asked for its health serves or not", at, problems);
    if kind.health_service.chars().any(char::is_control) {
        problems.add(&at_kind.field("healthService"), "no name holds control characters");
    }
    let endpoint = match (&kind.service, &kind.address) {
        (None, Some(text)) => {
            for (field, given) in [("namespace", &kind.namespace), ("port", &kind.port)] {
                if given.is_some() {
                    problems.add_at_key(&at_kind.field(field), format!("{field} belongs to a service"));
                }
            }
            address(text, &at_kind.field("address"), problems).map(|(host, port)| {
                let scheme = if kind.tls { "https" } else { "http" };
                let host = if host.contains(':') { format!("[{host}]") } else { host };
                Endpoint::Url(format!("{scheme}://{host}:{port}"))
            })
        }
        (Some(_), None) => {
            let (service, namespace, port) = (kind.service.as_ref(), kind.namespace.as_ref(), kind.port.as_ref());
            endpoint(http::Where { service, namespace, port, url: None }, around.namespace, &at_kind, problems)
        }
        (None, None) => {
            problems.add_at_key(&at_kind, "it is not said who is asked").hint("give service (and port), or address");
            None
        }
        (Some(_), Some(_)) => {
            problems.add_at_key(&at_kind.field("address"), "service and address are both given").hint("keep one");
            None
        }
    };
    let (health_service, timeout) = (kind.health_service.clone(), kind.timeout);
    Some(GrpcProbe { endpoint: endpoint?, tls: kind.tls, health_service, timeout, when: when?, tolerate })
}

/// `host:port`.
fn address(text: &str, at: &Path, problems: &mut Problems) -> Option<(String, u16)> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let valid = !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/@?#".contains(&b));
        Some((host.to_owned(), port.parse::<u16>().ok().filter(|port| *port > 0)?)).filter(|_| valid)
    });
    if parts.is_none() {
        problems.add(at, format!("{text:?} is no address")).hint("write host:port");
    }
    parts
}

/// The checker reads the whole history and is asked once it is complete: `Continuous`, the default of `when`, means After here.
pub(super) fn invariants(
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

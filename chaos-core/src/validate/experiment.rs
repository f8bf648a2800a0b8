//! An Experiment as a whole: its parts, and what must hold between them.

use super::feasibility;
use super::looks::source;
use super::names;
use super::path::Path;
use super::probe::{Around, probes, timeout};
use super::problem::Problems;
use super::target::{name, target};
use super::{Meta, fault};
use crate::api;
use crate::model::{AlertGuard, BurnRate, Experiment, Guard, HttpProbe, Phases, Probe};
use crate::units::Duration;

const SHORTEST_PHASE: Duration = Duration::from_secs(1);
const LONGEST_PHASE: Duration = Duration::from_secs(24 * 3600);

/// The experiment, if it is valid.
pub(super) fn experiment(raw: &api::ExperimentSpec, meta: &Meta, problems: &mut Problems) -> Option<Experiment> {
    let at = Path::root().field("spec");
    meta.check(problems);
    if raw.hypothesis.trim().is_empty() || raw.hypothesis.chars().any(char::is_control) {
        problems.add(&at.field("hypothesis"), "a hypothesis is one sentence, in one line");
    }
    fault::limits(&raw.limits, &at.field("limits"), problems);
    phases(&raw.phases, &at.field("phases"), problems);
    let target = target(&raw.target, &meta.namespace, &at.field("target"), problems);
    let fault = fault::fault(raw, &at.field("fault"), problems);
    let around = Around { namespace: &meta.namespace, baseline: raw.phases.baseline, fault: raw.phases.fault };
    let probes = probes(&raw.probes, around, &at.field("probes"), problems);
    let guards = guards(&raw.abort, &probes, &raw.phases, &at.field("abort"), problems);
    let experiment = Experiment {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        hypothesis: raw.hypothesis.trim().to_owned(),
        target,
        fault: fault?,
        phases: raw.phases,
        probes,
        limits: raw.limits,
        guards,
        seed: raw.seed,
    };
    feasibility::check(&experiment, &raw.probes, problems);
    Some(experiment)
}

fn phases(raw: &Phases, at: &Path, problems: &mut Problems) {
    for (field, length) in [("baseline", raw.baseline), ("fault", raw.fault), ("recovery", raw.recovery)] {
        if length < SHORTEST_PHASE {
            problems
                .add(&at.field(field), format!("{length} is less than {SHORTEST_PHASE}: nothing can be seen in it"));
        } else if length > LONGEST_PHASE {
            problems.add(&at.field(field), format!("{length} is longer than a day"));
        }
    }
}

fn guards(raw: &[api::Guard], probes: &[Probe], phases: &Phases, at: &Path, problems: &mut Problems) -> Vec<Guard> {
    let mut guards = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let at = at.index(i);
        match (&raw.burn_rate, &raw.alert) {
            (Some(raw), None) => guards.push(burn_rate(raw, probes, phases, &at.field("burnRate"), problems)),
            (None, Some(raw)) => guards.extend(alert(raw, &at.field("alert"), problems)),
            (None, None) => {
                problems
                    .add_at_key(&at, "this guard guards nothing")
                    .hint("give burnRate: {probe, factor, long, short}, or alert: {source, matchers}");
            }
            (Some(_), Some(_)) => {
                problems
                    .add_at_key(&at.field("alert"), "this guard is a burnRate already")
                    .hint("make two guards of it");
            }
        }
    }
    guards
}

fn alert(raw: &api::AlertGuard, at: &Path, problems: &mut Problems) -> Option<Guard> {
    let source = source(raw.source.as_ref(), raw.url.as_ref(), at, problems);
    timeout(raw.timeout, &at.field("timeout"), problems);
    matchers(&raw.matchers, &at.field("matchers"), problems);
    Some(Guard::Alert(AlertGuard { source: source?, matchers: raw.matchers.clone(), timeout: raw.timeout }))
}

/// A guard that no share of failures could trip would only look like one.
fn can_trip(raw: &api::BurnRate, http: &HttpProbe, at: &Path, problems: &mut Problems) {
    let budgets = http.slo.claims.iter().map(|claim| claim.share().complement());
    let Some(budget) = budgets.min_by(f64::total_cmp) else { return };
    if raw.factor * budget > 1.0 {
        let most = 1.0 / budget;
        problems
            .judge(
                &at.field("factor"),
                format!(
                    "if all requests fail, a budget burns {most:.1} times too fast, and never {} times",
                    raw.factor
                ),
            )
            .hint("lower the factor, or promise more");
    }
}

/// Labels of alerts, as PromQL.
pub(super) fn matchers(raw: &[String], at: &Path, problems: &mut Problems) {
    if crate::promql::firing(raw).is_none() {
        problems
            .add(at, "these are no matchers of alerts")
            .hint("write each as label=\"value\", or with !=, =~ or !~; the state is firing already");
    }
}

fn burn_rate(raw: &api::BurnRate, probes: &[Probe], phases: &Phases, at: &Path, problems: &mut Problems) -> Guard {
    match probes.iter().find(|probe| probe.name == raw.probe).map(Probe::http) {
        Some(Some(http)) => can_trip(raw, http, at, problems),
        Some(None) => {
            problems.add(&at.field("probe"), format!("probe {:?} has no slo, so no budget that could burn", raw.probe));
        }
        None => {
            name(&raw.probe, names::dns_label, &at.field("probe"), problems);
            let problem = problems.add(&at.field("probe"), format!("there is no (valid) probe {:?}", raw.probe));
            let names = probes.iter().filter(|probe| probe.http().is_some()).map(|probe| probe.name.as_str());
            if let Some(meant) = super::suggest::closest(&raw.probe, names) {
                problem.hint(format!("did you mean {meant}?"));
            }
        }
    }
    if raw.short.is_zero() || raw.short >= raw.long {
        problems
            .add(&at.field("short"), format!("the short window {} is not within the long one {}", raw.short, raw.long));
    }
    if raw.long > phases.fault {
        problems.add(
            &at.field("long"),
            format!("the long window {} is never full in a fault phase of {}", raw.long, phases.fault),
        );
    }
    let (factor, long, short) = (raw.factor, raw.long, raw.short);
    Guard::BurnRate(BurnRate { probe: raw.probe.clone(), factor, long, short })
}

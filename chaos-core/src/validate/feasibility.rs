//! Whether the planned kills can prove what is claimed: what arithmetic rules out is refused before anything is touched,
//! with the numbers. What depends on the cluster (how many groups there are) is left to `plan`.

use super::path::Path;
use super::problem::Problems;
use crate::api;
use crate::model::{Evidence, Experiment, HttpProbe};
use crate::stats::{AvailabilityTerms, HarmlessTerms, kills_for_availability, kills_for_harmless};

/// Refuses a plan that cannot hold or cannot prove.
pub(super) fn check(experiment: &Experiment, raw_probes: &[api::Probe], problems: &mut Problems) {
    let at = Path::root().field("spec");
    window(experiment, &at, problems);
    for probe in &experiment.probes {
        let Some(http) = probe.http() else { continue };
        let index = raw_probes.iter().position(|raw| raw.name == probe.name).unwrap_or_default();
        evidence(experiment, http, &at.field("probes").index(index).fields("slo.evidence"), problems);
    }
}

fn window(experiment: &Experiment, at: &Path, problems: &mut Problems) {
    let (strikes, every, fault) = (experiment.fault.strikes(), experiment.fault.every(), experiment.phases.fault);
    let Some(streams) = experiment.streams() else { return };
    let expected = f64::from(strikes.target) / streams as f64 * every.mean.as_secs_f64();
    if expected <= fault.as_secs_f64() || every.mean.is_zero() {
        return;
    }
    let fitting = (fault.as_secs_f64() / every.mean.as_secs_f64() * streams as f64).floor();
    problems
        .add(
            &at.fields("phases.fault"),
            format!(
                "{} strikes at a mean of {} take about {expected:.0} s, and the fault phase ends after {fault}",
                strikes.target, every.mean
            ),
        )
        .hint(format!("allow at least {}s, or plan at most {fitting} strikes", (expected * 1.3).ceil()));
}

fn evidence(experiment: &Experiment, http: &HttpProbe, at: &Path, problems: &mut Problems) {
    let planned = experiment.planned_trials();
    match &http.slo.evidence {
        Evidence::Observed => {}
        Evidence::HarmlessKills { share, .. } => {
            let terms = HarmlessTerms { bad_share: share.complement(), alpha: http.slo.confidence.complement() };
            let Some(needed) = kills_for_harmless(terms, 0) else { return };
            if needed > planned {
                problems
                    .add(
                        &at.fields("harmlessKills.share"),
                        format!(
                            "that {share} of kills are harmless takes {needed} kills without a bad one at {} confidence; {planned} are planned{}",
                            http.slo.confidence,
                            as_one(experiment)
                        ),
                    )
                    .hint(format!("plan {needed} strikes or more (some slack for bad ones), or claim less"));
            }
        }
        Evidence::Availability { worst_loss_per_kill, .. } => {
            availability(experiment, http, *worst_loss_per_kill, &at.field("availability"), problems);
        }
    }
}

fn availability(experiment: &Experiment, http: &HttpProbe, worst: u64, at: &Path, problems: &mut Problems) {
    let planned = experiment.planned_trials();
    let at = at.field("worstLossPerKill");
    for claim in &http.slo.claims {
        let (budget, per_strike) = (experiment.budget_per_trial(http, *claim), experiment.kills_per_strike());
        let per_kill = budget / per_strike as f64;
        if worst as f64 <= per_kill {
            problems
                .add(
                    &at,
                    format!(
                        "each kill may cost {per_kill:.3} requests on average, and none costs more than {worst} by declaration: that would be the proof itself"
                    ),
                )
                .hint("ask for evidence: {observed: {}}, or declare what a kill can really cost");
            continue;
        }
        let max = worst.saturating_mul(per_strike);
        let terms = AvailabilityTerms { max, budget, alpha: http.slo.confidence.complement() };
        match kills_for_availability(terms, 0) {
            Some(needed) if needed > planned => {
                problems
                    .add(
                        &at,
                        format!(
                            "{} with a worst loss of {worst} and {per_kill:.3} requests to lose a kill takes {needed} kills without loss; {planned} are planned{}",
                            claim.share(),
                            as_one(experiment)
                        ),
                    )
                    .hint(format!("plan {needed} strikes or more, or claim less"));
            }
            _ => {}
        }
    }
}

/// What is counted where a strike has several victims.
fn as_one(experiment: &Experiment) -> &'static str {
    if experiment.kills_per_strike() > 1 { ", for those of one strike count as one" } else { "" }
}

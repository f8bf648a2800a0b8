//! Whether the planned kills can prove what is claimed, and how likely a healthy platform passes.

use serde::Serialize;

use super::arithmetic::{OutageBound, bound};
use crate::model::{ClaimSpec, Evidence, Experiment, HttpProbe};
use crate::population::Population;
use crate::stats::{
    AvailabilityTerms, HarmlessTerms, bad_kills_allowed, kills_for_availability, kills_for_harmless, loss_allowed,
    power_of_availability, power_of_harmless, share_provable, worst_loss_provable,
};
use crate::verdict::rule::requests_for;
use crate::victims::Groups;

/// One claim of an experiment, before the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimPlan {
    /// The probe.
    pub probe: String,
    /// What is promised, in words.
    pub promise: String,
    /// What a pass would prove, in words.
    pub proves: String,
    /// Exposed kills planned. Those of one strike count as one, here and below.
    pub kills_planned: u64,
    /// Exposed kills that are needed if none goes wrong; absent: nothing is certified.
    pub kills_needed: Option<u64>,
    /// Bad kills (harmlessKills) or lost requests (availability) with which the planned kills still pass.
    pub slack: Option<u64>,
    /// How likely the planned kills pass.
    pub power: Vec<Power>,
    /// Requests of the fault and recovery phases that are planned.
    pub requests_planned: u64,
    /// Requests of these phases at most, if they last as long as they may.
    pub requests_at_most: u64,
    /// Requests that are needed before the promise can be seen to be kept at all.
    pub requests_needed: u64,
    /// Requests that one kill may cost on average, each of a strike by itself.
    pub budget_per_kill: f64,
    /// `K` for `M`: exposed kills without loss that certify the promise, by the worst loss of a kill.
    pub kills_by_worst_loss: Vec<KillsForLoss>,
    /// `M` for `K`: the largest worst loss of a kill for which the planned kills are enough.
    pub worst_loss_provable: Option<u64>,
    /// The largest share of harmless kills that the planned kills can certify.
    pub harmless_share_provable: f64,
    /// What a killed pod costs by declaration.
    pub by_design: Option<OutageBound>,
    /// The service's budget of 30 days, where the manifest gives its requests.
    pub budget_30d: Option<Budget30d>,
}

/// Kills that a worst loss takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KillsForLoss {
    /// `M`.
    pub worst_loss: u64,
    /// `K`.
    pub kills: u64,
}

/// The error budget of a service.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget30d {
    /// Requests of the service in 30 days.
    pub requests: u64,
    /// Of them may be bad.
    pub allowed: f64,
    /// Of these, what this run may use without breaking its promise.
    pub share_of_run: f64,
}

/// How likely a run passes if the truth is this.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Power {
    /// Share of kills that cost anything, in truth.
    pub bad_share: f64,
    /// Probability of a pass.
    pub pass: f64,
}

/// Truths that power is told for: no kill, one in a thousand, one in a hundred, one in twenty is bad.
const TRUTHS: [f64; 4] = [0.0, 0.001, 0.01, 0.05];

/// Worst losses that `K` for `M` is told for: those of the table of the rule.
const LOSSES: [u64; 6] = [1, 2, 4, 10, 24, 67];

/// The claims of all http probes.
pub(super) fn claims(experiment: &Experiment, population: &Population, groups: &Groups<'_>) -> Vec<ClaimPlan> {
    let probes = experiment.probes.iter().filter_map(|probe| Some((&probe.name, probe.http()?)));
    let of_probe = |(name, http): (&String, &HttpProbe)| {
        let by_design = bound(experiment, &http.slo, population, groups);
        let claims = http.slo.claims.iter();
        claims
            .map(|spec| ClaimPlan { by_design: by_design.clone(), ..claim(experiment, name, http, *spec) })
            .collect::<Vec<_>>()
    };
    probes.flat_map(of_probe).collect()
}

fn claim(experiment: &Experiment, probe: &str, http: &HttpProbe, spec: ClaimSpec) -> ClaimPlan {
    let kills = experiment.planned_trials();
    let alpha = http.slo.confidence.complement();
    let power = |pass: &dyn Fn(f64) -> f64| TRUTHS.map(|bad_share| Power { bad_share, pass: pass(bad_share) }).to_vec();
    let (proves, kills_needed, slack, power) = match &http.slo.evidence {
        Evidence::Observed => {
            ("nothing is certified: the observed share is not below the promise".into(), None, None, Vec::new())
        }
        Evidence::HarmlessKills { share, max_loss } => {
            let terms = HarmlessTerms { bad_share: share.complement(), alpha };
            (
                format!(
                    "at least {share} of such kills cost at most {max_loss} requests ({} confidence)",
                    http.slo.confidence
                ),
                kills_for_harmless(terms, 0),
                bad_kills_allowed(terms, kills),
                power(&|bad| power_of_harmless(terms, kills, bad)),
            )
        }
        Evidence::Availability { worst_loss_per_kill, source } => {
            let budget = experiment.budget_per_trial(http, spec);
            let max = worst_loss_per_kill.saturating_mul(experiment.kills_per_strike());
            let terms = AvailabilityTerms { max, budget, alpha };
            (
                format!(
                    "at least {} under kills at this rate, if no kill costs more than {worst_loss_per_kill} requests (declared: {source})",
                    spec.share()
                ),
                kills_for_availability(terms, 0),
                loss_allowed(terms, kills),
                power(&|bad| power_of_availability(terms, kills, bad)),
            )
        }
    };
    let promise = match spec {
        ClaimSpec::Availability { share } => format!("{share} of requests answered well"),
        ClaimSpec::Latency { under, share } => format!("{share} of requests answered well within {under}"),
    };
    ClaimPlan { promise, proves, kills_needed, slack, power, ..figures(experiment, probe, http, spec) }
}

/// What does not depend on the evidence that is asked for.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; `as` saturates")]
fn figures(experiment: &Experiment, probe: &str, http: &HttpProbe, spec: ClaimSpec) -> ClaimPlan {
    let (kills, alpha, q) = (experiment.planned_trials(), http.slo.confidence.complement(), spec.share().complement());
    let (budget, per_strike) = (experiment.budget_per_trial(http, spec), experiment.kills_per_strike());
    let requests = budget * kills as f64 / q;
    let by_loss = |worst_loss: u64| {
        let max = worst_loss.saturating_mul(per_strike);
        let kills = kills_for_availability(AvailabilityTerms { max, budget, alpha }, 0)?;
        Some(KillsForLoss { worst_loss, kills })
    };
    let provable = worst_loss_provable(budget, alpha, kills).map(|of_strike| of_strike / per_strike);
    let budget_30d = http.slo.requests_per_30d.map(|of_service| {
        let allowed = q * of_service as f64;
        Budget30d { requests: of_service, allowed, share_of_run: q * requests / allowed }
    });
    ClaimPlan {
        probe: probe.to_owned(),
        promise: String::new(),
        proves: String::new(),
        kills_planned: kills,
        kills_needed: None,
        slack: None,
        power: Vec::new(),
        requests_planned: requests.round() as u64,
        requests_at_most: experiment.most_requests(http),
        requests_needed: requests_for(q),
        budget_per_kill: budget / per_strike as f64,
        kills_by_worst_loss: LOSSES.into_iter().filter_map(by_loss).collect(),
        worst_loss_provable: provable.filter(|worst| (worst * per_strike) as f64 > budget),
        harmless_share_provable: share_provable(alpha, kills),
        by_design: None,
        budget_30d,
    }
}

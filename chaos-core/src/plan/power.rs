//! Whether the planned kills can prove what is claimed, and how likely a healthy platform passes.

use serde::Serialize;

use crate::model::{ClaimSpec, Evidence, Experiment, HttpProbe};
use crate::stats::{
    AvailabilityTerms, HarmlessTerms, bad_kills_allowed, kills_for_availability, kills_for_harmless, loss_allowed,
    power_of_availability, power_of_harmless,
};

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
    /// Exposed kills planned.
    pub kills_planned: u64,
    /// Exposed kills that are needed if none goes wrong; absent: nothing is certified.
    pub kills_needed: Option<u64>,
    /// Bad kills (harmlessKills) or lost requests (availability) with which the planned kills still pass.
    pub slack: Option<u64>,
    /// How likely the planned kills pass.
    pub power: Vec<Power>,
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

/// The claims of all http probes.
pub(super) fn claims(experiment: &Experiment) -> Vec<ClaimPlan> {
    let probes = experiment.probes.iter().filter_map(|probe| Some((&probe.name, probe.http()?)));
    probes.flat_map(|(name, http)| http.slo.claims.iter().map(|spec| claim(experiment, name, http, *spec))).collect()
}

fn claim(experiment: &Experiment, probe: &str, http: &HttpProbe, spec: ClaimSpec) -> ClaimPlan {
    let kills = experiment.planned_kills();
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
            let budget = experiment.budget_per_kill(http, spec);
            let terms = AvailabilityTerms { max: *worst_loss_per_kill, budget, alpha };
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
    ClaimPlan { probe: probe.to_owned(), promise, proves, kills_planned: kills, kills_needed, slack, power }
}

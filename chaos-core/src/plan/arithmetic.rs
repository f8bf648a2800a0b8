//! What a killed pod costs by design. With `N` equal pods of a workload, a kill of it every `T`, a dead pod that goes on getting
//! its share of the requests for `D`, and retries that rescue the share `r` of them, at least
//! `U = (1/N)·(D/T)·(1 − r)` of the requests fail. A promise that allows less is ruled out before anything is touched.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{ClaimSpec, DeclaredOutage, Experiment, Fault, Slo};
use crate::population::{Population, WorkloadFacts};
use crate::units::CountOrPercent;
use crate::victims::Groups;

/// The share of requests that fail by design, for the workload of the target that it is largest for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutageBound {
    /// `Kind/name` of that workload.
    pub workload: String,
    /// `N`.
    pub pods: u32,
    /// `T`: mean seconds between two of its kills.
    pub every_seconds: f64,
    /// `D`, in seconds.
    pub detection_seconds: f64,
    /// `r`.
    pub rescued: f64,
    /// `U`.
    pub unavailability: f64,
    /// `q`: what the strictest promise of the probe allows.
    pub allowed: f64,
    /// The longest `D` that the promise allows, in seconds.
    pub detection_allowed_seconds: f64,
}

impl OutageBound {
    /// Whether the promise cannot hold, by declaration.
    pub fn is_ruled_out(&self) -> bool {
        self.unavailability > self.allowed
    }
}

/// The bound of a probe's promise; `None` where nothing is declared, or nothing is there to be killed.
pub(super) fn bound(
    experiment: &Experiment,
    slo: &Slo,
    population: &Population,
    groups: &Groups<'_>,
) -> Option<OutageBound> {
    let DeclaredOutage { detection, rescued } = slo.declared?;
    let allowed = slo.claims.iter().map(|claim: &ClaimSpec| claim.share().complement()).fold(f64::INFINITY, f64::min);
    let (detection, rescued) = (detection.as_secs_f64(), rescued.ratio());
    let kills = kills_per_second(experiment, population, groups);
    let of_workload = |(workload, per_second): (&WorkloadFacts, f64)| {
        let per_detection = (1.0 - rescued) * per_second / f64::from(workload.desired.max(1));
        OutageBound {
            workload: format!("{}/{}", workload.key.kind, workload.key.name),
            pods: workload.desired,
            every_seconds: 1.0 / per_second,
            detection_seconds: detection,
            rescued,
            // Where pods are killed faster than their traffic goes away there are none but dead ones, and no more can fail.
            unavailability: (per_detection * detection).min(1.0 - rescued),
            allowed,
            detection_allowed_seconds: allowed / per_detection,
        }
    };
    kills.into_iter().map(of_workload).max_by(|a, b| a.unavailability.total_cmp(&b.unavailability))
}

/// How often each workload is hit: every group in turn (or each with its own stream), and within a group each pod alike.
fn kills_per_second<'p>(
    experiment: &Experiment,
    population: &'p Population,
    groups: &Groups<'_>,
) -> Vec<(&'p WorkloadFacts, f64)> {
    let strikes_per_second = match experiment.fault {
        Fault::PodKill(_) => 1.0 / groups.members.len().max(1) as f64,
        Fault::Monkey(_) => 1.0,
    } / experiment.fault.every().mean.as_secs_f64();
    let mut rates: BTreeMap<&str, f64> = BTreeMap::new();
    for members in groups.members.values() {
        for key in members.iter().filter_map(|pod| pod.workload.as_ref()) {
            *rates.entry(&key.uid).or_default() += strikes_per_second / members.len() as f64;
        }
    }
    let found = rates.into_iter().filter_map(|(uid, rate)| Some((population.workload(uid)?, rate)));
    found.map(|(workload, rate)| (workload, rate * victims(experiment, workload.desired))).collect()
}

/// Pods of one strike on a workload of that size.
fn victims(experiment: &Experiment, desired: u32) -> f64 {
    match &experiment.fault {
        Fault::PodKill(kill) => match kill.victims {
            CountOrPercent::Count(count) => f64::from(count),
            share @ CountOrPercent::Percent(_) => share.of(desired as usize).max(usize::from(kill.at_least_one)) as f64,
        },
        Fault::Monkey(_) => 1.0,
    }
}

//! When the kills of a seed would come if each happened at its instant: the same gaps, numbers and choices as the killer's.

use serde::Serialize;

use crate::killer::{SINGLE_STREAM, gap};
use crate::model::{Experiment, Fault};
use crate::victims::{self, Groups};

/// A strike as it would come.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectedStrike {
    /// Its number.
    pub strike: u64,
    /// Seconds from the start of the fault phase.
    pub after_seconds: f64,
    /// The group it hits.
    pub group: String,
    /// `namespace/name` of the pod it hits, for the first strike of a group: whoever replaces that pod is not known yet.
    pub victim: Option<String>,
}

/// The strikes that fit into the fault phase, in order, at most as many as are planned.
pub(super) fn expected(experiment: &Experiment, seed: i64, groups: &Groups<'_>) -> Vec<ExpectedStrike> {
    let names: Vec<&str> = groups.members.keys().map(String::as_str).collect();
    let streams = match &experiment.fault {
        _ if names.is_empty() => Vec::new(),
        Fault::PodKill(_) => vec![SINGLE_STREAM],
        Fault::Monkey(_) => names.clone(),
    };
    let every = experiment.fault.every();
    let draw = |stream: &str, number: u64| gap(&every, seed, stream, number).as_secs_f64();
    // Next strike of each stream: (seconds, number of the strike, stream, strikes drawn in it). Numbers are given when a
    // strike is drawn, first to every stream, then to the one whose strike is done.
    let mut next: Vec<(f64, u64, &str, u64)> =
        (0..).zip(&streams).map(|(strike, stream)| (draw(stream, 0), strike, *stream, 1)).collect();
    let mut drawn = next.len() as u64;
    let mut strikes = Vec::new();
    let mut struck = std::collections::BTreeSet::new();
    while strikes.len() < experiment.fault.strikes().target as usize {
        let Some(soonest) = next.iter_mut().min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))) else { break };
        let (at, strike, stream, number) = *soonest;
        if at >= experiment.phases.fault.as_secs_f64() {
            break;
        }
        *soonest = (at + draw(stream, number), drawn, stream, number + 1);
        drawn += 1;
        let group = match &experiment.fault {
            Fault::PodKill(_) => victims::group_order(seed, strike, names.iter().copied())[0],
            Fault::Monkey(_) => stream,
        };
        let members = groups.members.get(group).map(Vec::as_slice).unwrap_or_default();
        let first = struck.insert(group.to_owned()).then(|| victims::victim(seed, strike, members)).flatten();
        strikes.push(ExpectedStrike {
            strike,
            after_seconds: (at * 1000.0).round() / 1000.0,
            group: group.to_owned(),
            victim: first.map(super::full_name),
        });
    }
    strikes
}

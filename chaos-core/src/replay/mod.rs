//! Plans a recorded run again, from its seed and what its record says of the population, and tells every difference: who
//! might be killed, who was, in which order, and when at the earliest. The same `eligible`, `victims` and gaps as the run
//! itself; a pure function of the record.
//!
//! The record does not hold what the killer read before each strike, but the population at the start and every change that
//! was seen since. Around a strike some pods may or may not have been candidates (they became Ready, or left, within two seconds
//! of it): such a pod is never held against the run. A pod that certainly was one and ranks before the victim is.

mod track;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::api::{Outcome, VictimRef, switch};
use crate::eligible::{Judged, eligible};
use crate::killer::{SINGLE_STREAM, gap};
use crate::model::{Experiment, Fault, PodKill, Policy};
use crate::population::{PodFacts, Population};
use crate::record::{Event, Excluded, Kill, Phase, RunTime, Started};
use crate::units::CountOrPercent;
use crate::victims;
use track::Tracks;

/// Instants of two clocks, and what lies between a decision and its call, agree this well.
const TOLERANCE_NANOS: u64 = 50_000_000;

/// What planning a run again came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// Which run.
    pub run: String,
    /// The seed in force.
    pub seed: i64,
    /// Pods that might be killed at the start, by the record.
    pub eligible: u64,
    /// Pods that might not.
    pub excluded: u64,
    /// Every kill call, in the order of the strikes.
    pub strikes: Vec<Replayed>,
    /// Everything in which the record and the plan differ; empty: nothing.
    pub differences: Vec<Difference>,
}

/// One kill call, planned again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Number of the strike.
    pub strike: u64,
    /// When the call was made, in seconds of run time.
    pub at_seconds: f64,
    /// The instant that seed and kills before it give: the strike may be later, never earlier.
    pub due_seconds: f64,
    /// Its group.
    pub group: String,
    /// `namespace/name` of the pod that was hit.
    pub victim: String,
    /// Pods that certainly might have been hit instead.
    pub candidates: u64,
    /// Pods of which that is not known.
    pub uncertain: u64,
    /// Whether the plan gives the same victim; absent where nothing is known of it: its owner had no pod at the start.
    pub same: Option<bool>,
}

/// Something in which record and plan differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What differs.
    pub kind: DifferenceKind,
    /// Both sides, for people.
    pub message: String,
}

/// What can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum DifferenceKind {
    /// Who might be killed at the start.
    Eligible,
    /// Who might not, or why.
    Excluded,
    /// A strike hit another pod than the plan gives.
    Victim,
    /// A strike hit another group than the plan gives.
    Order,
    /// A strike came before its instant.
    Instant,
}

/// Why a record cannot be planned again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// No start of a run.
    #[error("failed to find the start of the run in its record")]
    NoStart,
    /// No population.
    #[error("failed to find the population in the record; hint: the run died before it had read the cluster")]
    NoPopulation,
}

/// Plans the run of this record again.
pub fn replay(experiment: &Experiment, events: &[Event]) -> Result<Replay, ReplayError> {
    let record = Record::of(events)?;
    let mut replay = Replay {
        run: record.started.run_id.clone(),
        seed: record.started.seed,
        eligible: record.eligible.len() as u64,
        excluded: record.excluded.iter().filter(|excluded| excluded.is_pod()).count() as u64,
        strikes: Vec::new(),
        differences: Vec::new(),
    };
    compare_start(experiment, &record, &mut replay.differences);
    let mut strikes = Strikes::new(experiment, &record);
    for kill in &record.kills {
        let (replayed, differences) = strikes.replay(kill);
        replay.strikes.push(replayed);
        replay.differences.extend(differences);
    }
    Ok(replay)
}

/// What of a record a plan is made of.
struct Record<'a> {
    started: &'a Started,
    population: &'a Population,
    eligible: &'a [String],
    excluded: &'a [Excluded],
    /// Whether an operator drove it: then the pods were chosen by its rights.
    by_operator: bool,
    fault: RunTime,
    /// By strike, then instant.
    kills: Vec<&'a Kill>,
    /// Numbers of the strikes that were skipped, by stream.
    skipped: Vec<(u64, &'a str)>,
    tracks: Tracks,
}

impl<'a> Record<'a> {
    fn of(events: &'a [Event]) -> Result<Self, ReplayError> {
        let Some(Event::Started(started)) = events.first() else { return Err(ReplayError::NoStart) };
        let planned = events.iter().find_map(|event| match event {
            Event::Planned { population, eligible, excluded, .. } => Some((population, eligible, excluded)),
            _ => None,
        });
        let (population, eligible, excluded) = planned.ok_or(ReplayError::NoPopulation)?;
        let fault = events.iter().find_map(|event| match event {
            Event::Phase { at, phase: Phase::Fault } => Some(*at),
            _ => None,
        });
        let mut kills: Vec<&Kill> =
            events.iter().filter_map(|event| if let Event::Kill(kill) = event { Some(kill) } else { None }).collect();
        kills.sort_by_key(|kill| (kill.at, kill.strike));
        let skipped = events.iter().filter_map(|event| match event {
            Event::Skipped { skip, .. } => Some((skip.strike, skip.group.as_str())),
            _ => None,
        });
        Ok(Self {
            started,
            population,
            eligible,
            excluded,
            by_operator: events.iter().any(|event| matches!(event, Event::Told { .. })),
            fault: fault.unwrap_or_default(),
            kills,
            skipped: skipped.collect(),
            tracks: Tracks::of(started.started_at, population, events),
        })
    }
}

/// By whose rights pods were chosen.
fn policy(experiment: &Experiment, by_operator: bool) -> Policy {
    if by_operator {
        Policy::operator(&experiment.namespace, switch::NAMESPACE)
    } else {
        Policy::cli(experiment.namespace.clone())
    }
}

/// The exclusions at the start: exactly what was recorded, pod by pod and reason by reason.
fn compare_start(experiment: &Experiment, record: &Record<'_>, differences: &mut Vec<Difference>) {
    let policy = policy(experiment, record.by_operator);
    let judged = eligible(&experiment.target, &policy, record.population, record.population.taken_at);
    let mut differ = |kind, message: String| differences.push(Difference { kind, message });
    let recorded: BTreeSet<&str> = record.eligible.iter().map(String::as_str).collect();
    for judged in &judged {
        let (name, uid) = (format!("{}/{}", judged.pod.namespace, judged.pod.name), judged.pod.uid.as_str());
        let why = judged.reasons.first().map(|reason| reason.exclusion.as_str());
        let was = record.excluded.iter().find(|excluded| excluded.uid == uid).map(|excluded| excluded.reason.as_str());
        match (why, recorded.contains(uid)) {
            (None, true) => {}
            (None, false) => differ(
                DifferenceKind::Eligible,
                format!("{name} might be killed by the plan; the record excludes it ({})", was.unwrap_or("no reason")),
            ),
            (Some(why), true) => {
                differ(DifferenceKind::Eligible, format!("{name} might be killed by the record; the plan says {why}"));
            }
            (Some(why), false) if was == Some(why) => {}
            (Some(why), false) => differ(
                DifferenceKind::Excluded,
                format!("{name} is excluded as {why} by the plan and as {} by the record", was.unwrap_or("nothing")),
            ),
        }
    }
    let known: BTreeSet<&str> = judged.iter().map(|judged| judged.pod.uid.as_str()).collect();
    for uid in recorded.difference(&known) {
        differ(
            DifferenceKind::Eligible,
            format!("the record counts pod UID {uid}, which its population does not hold"),
        );
    }
}

/// The strikes so far, while they are planned again.
struct Strikes<'a> {
    experiment: &'a Experiment,
    record: &'a Record<'a>,
    policy: Policy,
    /// Pods that were hit, or may have been, by their UIDs.
    hit: BTreeMap<&'a str, &'a Kill>,
    /// The last strike of each stream.
    last: BTreeMap<String, Last<'a>>,
}

/// The last strike of a stream.
#[derive(Clone, Copy)]
struct Last<'a> {
    /// Its first kill: the next gap counts from there.
    kill: &'a Kill,
    /// How many strikes there were, with this one.
    strikes: u64,
}

impl<'a> Strikes<'a> {
    fn new(experiment: &'a Experiment, record: &'a Record<'a>) -> Self {
        let policy = policy(experiment, record.by_operator || matches!(experiment.fault, Fault::Monkey(_)));
        Self { experiment, record, policy, hit: BTreeMap::new(), last: BTreeMap::new() }
    }

    fn replay(&mut self, kill: &'a Kill) -> (Replayed, Vec<Difference>) {
        let around = self.record.tracks.around(kill.at, kill.uncertainty, &kill.victim);
        let judged = eligible(&self.experiment.target, &self.policy, &around.certain, around.certain.taken_at);
        let by = self.experiment.fault.group();
        let meant = judged.iter().filter(|j| j.reasons.iter().all(|r| r.exclusion.may_pass())).map(|j| j.pod);
        let groups = victims::groups(by, meant, &around.certain);
        let group =
            around.victim().and_then(|pod| victims::group_of(by, pod, &around.certain).ok()).unwrap_or_default();
        let able: BTreeSet<&str> = judged.iter().filter(|j| j.is_eligible()).map(|j| j.pod.uid.as_str()).collect();
        let members = groups.members.get(&group).map(Vec::as_slice).unwrap_or_default();
        let shared = self.shared(kill, &group);
        let is_shared = |pod: &PodFacts| shared.is_none_or(|uid| pod.workload.as_ref().is_some_and(|it| it.uid == uid));
        let may_be_hit = |pod: &&PodFacts| {
            able.contains(pod.uid.as_str()) && !self.hit.contains_key(pod.uid.as_str()) && is_shared(pod)
        };
        let candidates: Vec<&PodFacts> = members.iter().copied().filter(may_be_hit).collect();
        let known = around.victim().is_some();
        let wrong = if known { self.wrong_victim(kill, &judged, &candidates) } else { None };
        let same = known.then_some(wrong.is_none());
        let mut differences: Vec<Difference> = wrong.into_iter().collect();
        let names: Vec<&str> = groups.members.keys().map(String::as_str).collect();
        if known && around.groups_are_certain(by) {
            differences.extend(self.order(kill, &group, &names));
        }
        let (due, tolerance) = self.due(kill, &group);
        differences.extend(too_early(kill, due, tolerance));
        let (candidates, uncertain) = (candidates.len() as u64, around.uncertain);
        self.remember(kill, &group);
        let replayed = Replayed {
            strike: kill.strike,
            at_seconds: seconds(kill.at),
            due_seconds: seconds(due),
            group,
            victim: name(&kill.victim),
            candidates,
            uncertain,
            same,
        };
        (replayed, differences)
    }

    /// The UID of the workload that the strike has to stay with, as it has hit a pod of it already and its victims are a share of it.
    fn shared(&self, kill: &Kill, group: &str) -> Option<&'a str> {
        let Fault::PodKill(PodKill { victims: CountOrPercent::Percent(_), .. }) = &self.experiment.fault else {
            return None;
        };
        let first =
            self.last.get(self.stream(group)).map(|last| last.kill).filter(|first| first.strike == kill.strike)?;
        Some(first.victim.workload_uid.as_str())
    }

    /// The victim must be one that the plan allows, and no pod that certainly might be hit may come before it.
    fn wrong_victim(&self, kill: &Kill, judged: &[Judged<'_>], candidates: &[&PodFacts]) -> Option<Difference> {
        let seed = self.record.started.seed;
        let own = victims::rank(seed, kill.strike, &kill.victim.uid);
        let rules = judged.iter().filter(|judged| judged.pod.uid == kill.victim.uid).flat_map(|judged| &judged.reasons);
        let forbidden = rules.clone().find(|reason| !reason.exclusion.may_pass());
        let before = candidates.iter().find(|pod| victims::rank(seed, kill.strike, &pod.uid) < own);
        let before_it = self.hit.get(kill.victim.uid.as_str());
        let was_hit = before_it.is_some_and(|it| it.outcome == Outcome::Killed && it.nonce != kill.nonce);
        let plan = match (forbidden, before) {
            _ if was_hit => "it was hit before, and no pod is drawn twice".to_owned(),
            (Some(reason), _) => format!("the plan excludes it as {}", reason.exclusion.as_str()),
            (None, Some(pod)) => format!("by the plan {} came before it", full_name(pod)),
            (None, None) => return None,
        };
        let message = format!("strike {} hit {}; {plan}", kill.strike, name(&kill.victim));
        Some(Difference { kind: DifferenceKind::Victim, message })
    }

    /// Where one stream goes to the groups in turn, the turn must be the seed's.
    fn order(&self, kill: &Kill, group: &str, names: &[&str]) -> Option<Difference> {
        if matches!(self.experiment.fault, Fault::Monkey(_)) {
            return None;
        }
        // The first victim of a strike says which group it is.
        if self.last.get(SINGLE_STREAM).is_some_and(|last| last.kill.strike == kill.strike) {
            return None;
        }
        let order = victims::group_order(self.record.started.seed, kill.strike, names.iter().copied());
        let first = order.first().copied().filter(|first| *first != group)?;
        let message = format!("strike {} hit group {group}; by the plan it was {first}'s turn", kill.strike);
        Some(Difference { kind: DifferenceKind::Order, message })
    }

    /// The earliest instant of a strike (one gap after the strike before it in its stream, or after the fault began), and how
    /// well that is known, in nanoseconds.
    fn due(&self, kill: &Kill, group: &str) -> (RunTime, u64) {
        let stream = self.stream(group);
        let last = self.last.get(stream);
        if let Some(last) = last.filter(|last| last.kill.strike == kill.strike) {
            return (last.kill.at, last.kill.uncertainty);
        }
        let passed = |(strike, of): &&(u64, &str)| *of == stream && *strike < kill.strike;
        let skipped = self.record.skipped.iter().filter(passed).count() as u64;
        let (anchor, uncertainty, strikes) =
            last.map_or((self.record.fault, 0, 0), |last| (last.kill.at, last.kill.uncertainty, last.strikes));
        let gap = gap(&self.experiment.fault.every(), self.record.started.seed, stream, strikes + skipped);
        let gap = u64::try_from(gap.as_nanos()).unwrap_or(u64::MAX);
        (RunTime(anchor.0.saturating_add(gap)), uncertainty)
    }

    fn stream<'s>(&self, group: &'s str) -> &'s str {
        match self.experiment.fault {
            Fault::PodKill(_) => SINGLE_STREAM,
            Fault::Monkey(_) => group,
        }
    }

    fn remember(&mut self, kill: &'a Kill, group: &str) {
        if !matches!(kill.outcome, Outcome::Killed | Outcome::Unknown) {
            return;
        }
        self.hit.insert(&kill.victim.uid, kill);
        let stream = self.stream(group).to_owned();
        let strikes = self.last.get(&stream).map_or(0, |last| last.strikes);
        // The victims of one strike are one strike: its first kill counts.
        if self.last.get(&stream).is_none_or(|last| last.kill.strike != kill.strike) {
            self.last.insert(stream, Last { kill, strikes: strikes + 1 });
        }
    }
}

fn too_early(kill: &Kill, due: RunTime, tolerance: u64) -> Option<Difference> {
    let tolerance = kill.uncertainty.saturating_add(tolerance).saturating_add(TOLERANCE_NANOS);
    (kill.at.0.saturating_add(tolerance) < due.0).then(|| Difference {
        kind: DifferenceKind::Instant,
        message: format!(
            "strike {} came at {:.3} s; by the plan it was not due before {:.3} s",
            kill.strike,
            seconds(kill.at),
            seconds(due)
        ),
    })
}

fn seconds(at: RunTime) -> f64 {
    at.micros() as f64 / 1e6
}

fn name(victim: &VictimRef) -> String {
    format!("{}/{}", victim.namespace, victim.pod)
}

fn full_name(pod: &PodFacts) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

//! Every pod of a record through time: who certainly was there and Ready around an instant, and of whom that is not known.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::api::VictimRef;
use crate::model::GroupBy;
use crate::population::{PodFacts, Population};
use crate::record::{Event, PodChange, PodSighting, RunTime};

/// A change this near to a strike may have been before it or after it for whoever decided: between the look at the cluster and
/// the call lie two writes, and a sighting is as late as the watch.
const MARGIN_NANOS: u64 = 2_000_000_000;

/// The pods of a record.
pub(super) struct Tracks {
    started_at: Timestamp,
    population: Population,
    pods: BTreeMap<String, Track>,
}

/// One pod.
struct Track {
    /// As it was at the start, or as its siblings were: pods of one owner come from one template.
    facts: Option<PodFacts>,
    created: RunTime,
    /// When it became Ready, or ceased to be, in order.
    ready: Vec<(RunTime, bool)>,
    leaving: Option<RunTime>,
}

/// The pods around one strike.
pub(super) struct Around {
    /// The population, with only those pods that certainly were there; they are Ready if they certainly were.
    pub(super) certain: Population,
    /// Pods that may have been candidates.
    pub(super) uncertain: u64,
    victim: String,
}

impl Tracks {
    pub(super) fn of(started_at: Timestamp, population: &Population, events: &[Event]) -> Self {
        let mut pods: BTreeMap<String, Track> = population
            .pods
            .iter()
            .map(|pod| {
                let leaving = pod.terminating.then_some(RunTime(0));
                let ready = vec![(RunTime(0), pod.ready)];
                (pod.uid.clone(), Track { facts: Some(pod.clone()), created: RunTime(0), ready, leaving })
            })
            .collect();
        let mut sightings: Vec<&PodSighting> =
            events.iter().filter_map(|event| if let Event::Pod(seen) = event { Some(seen) } else { None }).collect();
        sightings.sort_by_key(|seen| seen.at);
        for seen in sightings {
            let fresh = || Track {
                facts: like_its_siblings(population, seen, started_at),
                created: seen.at,
                ready: Vec::new(),
                leaving: None,
            };
            pods.entry(seen.uid.clone()).or_insert_with(fresh).take(seen);
        }
        Self { started_at, population: population.clone(), pods }
    }

    /// What is known of all pods at an instant that is known to `uncertainty` nanoseconds.
    pub(super) fn around(&self, at: RunTime, uncertainty: u64, victim: &VictimRef) -> Around {
        let margin = MARGIN_NANOS.saturating_add(uncertainty);
        let (from, to) = (RunTime(at.0.saturating_sub(margin)), RunTime(at.0.saturating_add(margin)));
        let taken_at = self.utc(from);
        let mut certain = Population { taken_at, pods: Vec::new(), ..self.population.clone() };
        let mut uncertain = 0;
        for (uid, track) in &self.pods {
            let is_victim = *uid == victim.uid;
            let stays = track.created <= from && track.leaving.is_none_or(|leaving| leaving > to);
            let (Some(facts), true) = (&track.facts, stays || is_victim) else {
                let may_be = track.created <= to && track.leaving.is_none_or(|leaving| leaving >= from);
                uncertain += u64::from(may_be);
                continue;
            };
            let ready = track.ready_throughout(from, to);
            uncertain += u64::from(!ready && !is_victim && track.ready_at_all(from, to));
            certain.pods.push(PodFacts {
                ready,
                ready_since: ready.then_some(taken_at),
                phase: "Running".into(),
                terminating: false,
                node: facts.node.clone(),
                ..facts.clone()
            });
        }
        Around { certain, uncertain, victim: victim.uid.clone() }
    }

    fn utc(&self, at: RunTime) -> Timestamp {
        let nanos = i64::try_from(at.0).unwrap_or(i64::MAX);
        self.started_at.checked_add(SignedDuration::from_nanos(nanos)).unwrap_or(Timestamp::MAX)
    }
}

impl Track {
    fn take(&mut self, seen: &PodSighting) {
        match seen.what {
            PodChange::Ready => self.ready.push((seen.at, true)),
            PodChange::NotReady => self.ready.push((seen.at, false)),
            PodChange::Terminating | PodChange::Deleted => {
                self.leaving = Some(self.leaving.map_or(seen.at, |at| at.min(seen.at)));
            }
            PodChange::Created | PodChange::Scheduled | PodChange::Started | PodChange::EndpointOut => {}
        }
        if let (Some(facts), Some(node)) = (&mut self.facts, &seen.node) {
            facts.node = Some(node.clone());
        }
    }

    fn ready_throughout(&self, from: RunTime, to: RunTime) -> bool {
        let before = self.ready.iter().rev().find(|(at, _)| *at <= from).is_some_and(|(_, ready)| *ready);
        before && self.ready.iter().filter(|(at, _)| from < *at && *at <= to).all(|(_, ready)| *ready)
    }

    fn ready_at_all(&self, from: RunTime, to: RunTime) -> bool {
        let before = self.ready.iter().rev().find(|(at, _)| *at <= from).is_some_and(|(_, ready)| *ready);
        before || self.ready.iter().any(|(at, ready)| from < *at && *at <= to && *ready)
    }
}

impl Around {
    /// The pod that was hit, if anything is known of it.
    pub(super) fn victim(&self) -> Option<&PodFacts> {
        self.certain.pods.iter().find(|pod| pod.uid == self.victim)
    }

    /// Whether the names of all groups are known: a pod that may not have been there can be the only one of its group, where
    /// groups are not made of what all pods of a workload have in common.
    pub(super) fn groups_are_certain(&self, by: &GroupBy) -> bool {
        matches!(by, GroupBy::Workload | GroupBy::Namespace) || self.uncertain == 0
    }
}

/// What a pod that came later must have been like, by another pod of the same direct owner.
fn like_its_siblings(population: &Population, seen: &PodSighting, started_at: Timestamp) -> Option<PodFacts> {
    let owner = seen.owner_uid.as_deref()?;
    let sibling = population.pods.iter().find(|pod| pod.owner.as_ref().is_some_and(|found| found.uid == owner))?;
    let nanos = i64::try_from(seen.at.0).unwrap_or(i64::MAX);
    Some(PodFacts {
        name: seen.pod.clone(),
        uid: seen.uid.clone(),
        node: seen.node.clone(),
        created_at: started_at.checked_add(SignedDuration::from_nanos(nanos)).unwrap_or(Timestamp::MAX),
        ready: false,
        ready_since: None,
        terminating: false,
        ..sibling.clone()
    })
}

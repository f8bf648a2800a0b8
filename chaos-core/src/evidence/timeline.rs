//! What followed each kill, from the sightings of pods: the victim's end and its own replacement, matched by the UID of the
//! direct owner and by creation after the kill, never by name.

use std::collections::{BTreeMap, BTreeSet};

use super::fold::Recorded;
use crate::api::{Outcome, VictimRef};
use crate::record::{Kill, PodChange, PodSighting, RunTime};

/// What followed one kill.
#[derive(Debug, Clone, Default)]
pub struct Timeline<'a> {
    /// Whether a pod was really killed: accepted, or of unknown outcome and the victim was seen to go.
    pub done: bool,
    /// The victim carried a deletionTimestamp.
    pub terminating: Option<RunTime>,
    /// The victim's endpoint was out.
    pub endpoint_out: Option<RunTime>,
    /// The victim's object was gone.
    pub deleted: Option<RunTime>,
    /// The pod that replaced it.
    pub replacement: Option<Replacement<'a>>,
}

/// The pod that replaced a victim.
#[derive(Debug, Clone)]
pub struct Replacement<'a> {
    /// Its name.
    pub pod: &'a str,
    /// Its UID.
    pub uid: &'a str,
    /// Its object appeared.
    pub created: RunTime,
    /// It was bound to a node.
    pub scheduled: Option<RunTime>,
    /// Its containers ran.
    pub started: Option<RunTime>,
    /// It was Ready.
    pub ready: Option<RunTime>,
}

impl Timeline<'_> {
    /// Whether the victim of an accepted kill was seen to be gone. One that was still there when the record ends proves
    /// nothing: nothing died.
    pub const fn victim_is_gone(&self) -> bool {
        self.done && self.deleted.is_some()
    }

    /// When the replacement was Ready.
    pub fn ready(&self) -> Option<RunTime> {
        self.replacement.as_ref()?.ready
    }
}

/// First sightings of every change of every pod.
type Firsts<'a> = BTreeMap<(&'a str, PodChange), RunTime>;

/// A pod that appeared while the run watched.
struct Appeared<'a> {
    at: RunTime,
    pod: &'a str,
    uid: &'a str,
    owner_uid: &'a str,
}

/// One timeline for each kill of the record, in the same order.
pub(super) fn timelines<'a>(recorded: &Recorded<'a>) -> Vec<Timeline<'a>> {
    let mut firsts = Firsts::new();
    for sighting in &recorded.sightings {
        firsts.entry((&sighting.uid, sighting.what)).or_insert(sighting.at);
    }
    let appeared = appeared(recorded, &mut firsts);
    let mut taken = BTreeSet::new();
    recorded.kills.iter().map(|kill| timeline(kill, &appeared, &firsts, &mut taken)).collect()
}

/// All pods that appeared, in that order. Only pods that are Ready are hit: where nobody saw that one appeared or became Ready (a
/// watch was broken, or the process that watched died before it wrote what it saw), it had when it was hit, at the latest.
fn appeared<'a>(recorded: &Recorded<'a>, firsts: &mut Firsts<'a>) -> Vec<Appeared<'a>> {
    let sighted = recorded.sightings.iter().filter(|sighting| sighting.what == PodChange::Created);
    let sighted = sighted.filter_map(|sighting| {
        let PodSighting { at, pod, uid, owner_uid, .. } = *sighting;
        Some(Appeared { at: *at, pod, uid, owner_uid: owner_uid.as_deref()? })
    });
    let mut appeared: Vec<_> = sighted.collect();
    // What was there from the start is known only where the population is.
    if let Some((population, ..)) = recorded.planned {
        let mut known: BTreeSet<&str> = population.pods.iter().map(|pod| pod.uid.as_str()).collect();
        known.extend(recorded.sightings.iter().map(|sighting| sighting.uid.as_str()));
        for kill in &recorded.kills {
            let (at, VictimRef { pod, uid, owner_uid, .. }) = (kill.at, &kill.victim);
            if known.insert(uid) {
                firsts.insert((uid, PodChange::Created), at);
                appeared.push(Appeared { at, pod, uid, owner_uid });
            }
            if firsts.contains_key(&(uid.as_str(), PodChange::Created)) {
                firsts.entry((uid, PodChange::Ready)).or_insert(at);
            }
        }
    }
    no_later_than_hit(recorded, &mut appeared, firsts);
    appeared.sort_by_key(|pod| pod.at);
    appeared
}

/// A pod that was sighted late (a watch was broken) had appeared, and was Ready, when it was hit: it stands for no kill that came later.
fn no_later_than_hit<'a>(recorded: &Recorded<'a>, appeared: &mut [Appeared<'a>], firsts: &mut Firsts<'a>) {
    // Backwards, so that the first of several calls for one pod is what is kept.
    let hits: BTreeMap<&str, RunTime> =
        recorded.kills.iter().rev().map(|kill| (kill.victim.uid.as_str(), kill.at)).collect();
    for pod in appeared {
        pod.at = hits.get(pod.uid).map_or(pod.at, |hit| pod.at.min(*hit));
    }
    for (uid, hit) in hits {
        for what in [PodChange::Created, PodChange::Ready] {
            firsts.entry((uid, what)).and_modify(|first| *first = hit.min(*first));
        }
    }
}

fn timeline<'a>(
    kill: &Kill,
    appeared: &[Appeared<'a>],
    firsts: &Firsts<'a>,
    taken: &mut BTreeSet<&'a str>,
) -> Timeline<'a> {
    let of_victim = |what: PodChange| firsts.get(&(kill.victim.uid.as_str(), what)).copied();
    let (terminating, deleted) = (of_victim(PodChange::Terminating), of_victim(PodChange::Deleted));
    let done = match kill.outcome {
        Outcome::Killed => true,
        Outcome::Unknown => terminating.is_some() || deleted.is_some(),
        Outcome::WouldKill | Outcome::Blocked | Outcome::Gone | Outcome::Failed => false,
    };
    if !done {
        return Timeline::default();
    }
    let replacement = appeared
        .iter()
        .find(|pod| is_replacement(kill, pod) && !taken.contains(pod.uid))
        .map(|pod| replacement(pod, firsts));
    taken.extend(replacement.as_ref().map(|replacement| replacement.uid));
    Timeline { done, terminating, endpoint_out: of_victim(PodChange::EndpointOut), deleted, replacement }
}

fn is_replacement(kill: &Kill, pod: &Appeared<'_>) -> bool {
    pod.owner_uid == kill.victim.owner_uid
        && pod.uid != kill.victim.uid
        && pod.at.0.saturating_add(kill.uncertainty) >= kill.at.0
}

fn replacement<'a>(appeared: &Appeared<'a>, firsts: &Firsts<'a>) -> Replacement<'a> {
    let first = |what: PodChange| firsts.get(&(appeared.uid, what)).copied();
    Replacement {
        pod: appeared.pod,
        uid: appeared.uid,
        created: appeared.at,
        scheduled: first(PodChange::Scheduled),
        started: first(PodChange::Started),
        ready: first(PodChange::Ready),
    }
}

//! What followed each kill, from the sightings of pods: the victim's end and its own replacement, matched by the UID of the
//! direct owner and by creation after the kill, never by name.

use std::collections::{BTreeMap, BTreeSet};

use super::fold::Recorded;
use crate::api::Outcome;
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

/// One timeline for each kill of the record, in the same order.
pub(super) fn timelines<'a>(recorded: &Recorded<'a>) -> Vec<Timeline<'a>> {
    let mut firsts = Firsts::new();
    for sighting in &recorded.sightings {
        firsts.entry((&sighting.uid, sighting.what)).or_insert(sighting.at);
    }
    let mut taken = BTreeSet::new();
    recorded.kills.iter().map(|kill| timeline(kill, recorded, &firsts, &mut taken)).collect()
}

fn timeline<'a>(
    kill: &Kill,
    recorded: &Recorded<'a>,
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
    let replacement = recorded
        .sightings
        .iter()
        .copied()
        .find(|sighting| is_replacement(kill, sighting) && !taken.contains(sighting.uid.as_str()))
        .map(|sighting| replacement(sighting, firsts));
    taken.extend(replacement.as_ref().map(|replacement| replacement.uid));
    Timeline { done, terminating, endpoint_out: of_victim(PodChange::EndpointOut), deleted, replacement }
}

fn is_replacement(kill: &Kill, sighting: &PodSighting) -> bool {
    sighting.what == PodChange::Created
        && sighting.owner_uid.as_deref() == Some(kill.victim.owner_uid.as_str())
        && sighting.uid != kill.victim.uid
        && sighting.at.0.saturating_add(kill.uncertainty) >= kill.at.0
}

fn replacement<'a>(created: &'a PodSighting, firsts: &Firsts<'a>) -> Replacement<'a> {
    let first = |what: PodChange| firsts.get(&(created.uid.as_str(), what)).copied();
    Replacement {
        pod: &created.pod,
        uid: &created.uid,
        created: created.at,
        scheduled: first(PodChange::Scheduled),
        started: first(PodChange::Started),
        ready: first(PodChange::Ready),
    }
}

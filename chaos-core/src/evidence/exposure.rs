//! Which kills met a probe's traffic: a request of the probe reached the victim in the five seconds before the kill. A victim
//! that never went met nothing: its kill certifies as little as one of an idle pod.

use super::fold::{RawLoad, Recorded};
use super::timeline::Timeline;
use crate::record::{Kill, PodChange, RunTime};

/// A kill is exposed if the victim served a request due at most this long before it.
const LOOK_BACK_NANOS: u64 = 5_000_000_000;

/// Whether a kill met a probe's traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exposure {
    /// It is known that it did not: it certifies nothing.
    No,
    /// It cannot be known: it certifies nothing either.
    Unknown,
    /// It did.
    Yes,
}

/// Whether this kill met the traffic of this probe.
pub(super) fn exposure(recorded: &Recorded<'_>, load: &RawLoad<'_>, kill: &Kill, timeline: &Timeline<'_>) -> Exposure {
    if !timeline.victim_is_gone() {
        return Exposure::No;
    }
    if !load.schedule.is_some_and(|schedule| schedule.exposure_known) {
        return Exposure::Unknown;
    }
    let since = RunTime(kill.at.0.saturating_sub(LOOK_BACK_NANOS)).max(appeared(recorded, kill));
    let first = load.served.partition_point(|(at, _)| *at < since);
    let met = load.served[first..].iter().take_while(|(at, _)| *at <= kill.at).any(|(_, pod)| *pod == kill.victim.pod);
    match met {
        false => Exposure::No,
        true if shares_its_name(recorded, kill) => Exposure::Unknown,
        true => Exposure::Yes,
    }
}

/// When the victim came into being: another pod may have had its name before (a StatefulSet's do).
fn appeared(recorded: &Recorded<'_>, kill: &Kill) -> RunTime {
    recorded
        .sightings
        .iter()
        .find(|sighting| sighting.what == PodChange::Created && sighting.uid == kill.victim.uid)
        .map_or(RunTime::default(), |sighting| sighting.at)
}

/// Whether a pod of another namespace has the same name: then a name in an answer does not say which of them served.
fn shares_its_name(recorded: &Recorded<'_>, kill: &Kill) -> bool {
    let foreign = |namespace: &str, pod: &str| pod == kill.victim.pod && namespace != kill.victim.namespace;
    recorded.sightings.iter().any(|sighting| foreign(&sighting.namespace, &sighting.pod))
        || recorded
            .planned
            .is_some_and(|(population, ..)| population.pods.iter().any(|pod| foreign(&pod.namespace, &pod.name)))
}

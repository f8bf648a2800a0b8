//! From the record of a run to what can be counted: phases, kill windows, exposure, the slots of every probe and the
//! timeline of every kill. A pure fold over the events; it counts and matches, and judges nothing.

mod exposure;
mod fold;
mod load;
mod neighbours;
mod outages;
mod timeline;
mod windows;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use exposure::Exposure;
pub use fold::{Check, Phases, Recorded, Span, instant};
pub use load::{Load, State, TrialLoad};
pub use timeline::Timeline;
pub use windows::{Trial, trials};

use crate::record::Event;

/// Everything that verdict and report need to know about a run, counted.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The events, sorted by kind.
    pub recorded: Recorded<'a>,
    /// Kill windows, in order.
    pub trials: Vec<Trial>,
    /// What followed each kill of `recorded.kills`, in the same order.
    pub timelines: Vec<Timeline<'a>>,
    /// The http probes, in the order of their schedules.
    pub loads: Vec<Load<'a>>,
}

/// A record that contradicts itself: nothing counted from it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The journal does not begin with the run.
    #[error("failed to find the start of the run in its record; hint: the journal is damaged or of another tool")]
    NoStart,
    /// A probe has two schedules.
    #[error("probe {probe:?} has more than one schedule in the record")]
    TwoSchedules {
        /// The probe.
        probe: String,
    },
    /// An event of a probe that has no schedule.
    #[error("probe {probe:?} has requests but no schedule in the record")]
    NoSchedule {
        /// The probe.
        probe: String,
    },
    /// A rate that no generator can follow.
    #[error("probe {probe:?} has a rate of {rate}/s in the record")]
    BadRate {
        /// The probe.
        probe: String,
        /// The rate as it was read.
        rate: String,
    },
    /// A bad slot whose due time is not that of the schedule.
    #[error("slot {slot} of probe {probe:?} is recorded as due at {recorded} ns, its schedule says {scheduled} ns")]
    DueTime {
        /// The probe.
        probe: String,
        /// The slot.
        slot: u64,
        /// As recorded.
        recorded: u64,
        /// As recomputed.
        scheduled: u64,
    },
    /// The bad slots of a second are not those that its bin leaves.
    #[error(
        "the second from slot {first_slot} of probe {probe:?} leaves {expected} bad requests, but {found} are recorded"
    )]
    BinMismatch {
        /// The probe.
        probe: String,
        /// First slot of the bin.
        first_slot: u64,
        /// Slots without success by the bin.
        expected: u64,
        /// Bad slots that are recorded.
        found: u64,
    },
    /// More slots in a second than any load generator sends.
    #[error(
        "the second from slot {first_slot} of probe {probe:?} holds {slots} requests, more than can be sent in one"
    )]
    FullSecond {
        /// The probe.
        probe: String,
        /// First slot of the bin.
        first_slot: u64,
        /// Its slots.
        slots: u64,
    },
    /// The record ends so late that most of its slots were never recorded.
    #[error(
        "probe {probe:?} would have had more than {most} requests before the last instant of the record, which does not hold them"
    )]
    TooManySlots {
        /// The probe.
        probe: String,
        /// As many as there can have been.
        most: u64,
    },
    /// The windows do not add up to the whole.
    #[error("the kill windows of probe {probe:?} hold {in_windows} bad requests, fault and recovery {in_phases}")]
    WindowSum {
        /// The probe.
        probe: String,
        /// In the windows.
        in_windows: u64,
        /// In the phases.
        in_phases: u64,
    },
}

/// Counts a record.
pub fn evidence(events: &[Event]) -> Result<Evidence<'_>, EvidenceError> {
    let recorded = Recorded::fold(events)?;
    let timelines = timeline::timelines(&recorded);
    let trials = trials(&recorded, &timelines);
    let loads =
        recorded.probes().map(|probe| load::load(&recorded, probe, &timelines, &trials)).collect::<Result<_, _>>()?;
    Ok(Evidence { recorded, trials, timelines, loads })
}

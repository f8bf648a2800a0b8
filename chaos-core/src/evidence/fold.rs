//! Sorts the events of a record by kind, in one pass, and finds the phases. No counting, no matching.

use std::collections::BTreeMap;

use super::EvidenceError;
use crate::api::SkipRecord;
use crate::population::Population;
use crate::record::{
    BadSlot, Bin, Event, Excluded, Kill, Phase, PodSighting, ProbeSchedule, RunTime, Sample, Started, StopCause,
    Violation,
};

/// The events of a run, by kind, each kind in the order of the record.
#[derive(Debug)]
pub struct Recorded<'a> {
    /// The run itself.
    pub started: &'a Started,
    /// Population, UIDs of the eligible pods, and the others.
    pub planned: Option<(&'a Population, &'a [String], &'a [Excluded])>,
    /// When each phase was.
    pub phases: Phases,
    /// Kill calls, by their instants.
    pub kills: Vec<&'a Kill>,
    /// Strikes that did not happen.
    pub skips: Vec<&'a SkipRecord>,
    /// Strikes that had to wait, and why, each reason once.
    pub put_off: Vec<(u64, &'a str)>,
    /// What happened to pods, by the instants of the sightings.
    pub sightings: Vec<&'a PodSighting>,
    /// Answers of probes that are not http load.
    pub samples: Vec<&'a Sample>,
    /// Answers of the application's own checkers.
    pub checks: Vec<Check<'a>>,
    /// What asked the run to end early.
    pub stops: Vec<(RunTime, &'a StopCause)>,
    /// What was left when everything was undone; `None`: the record ends before that.
    pub left: Option<&'a [String]>,
    /// Warnings for the report.
    pub notes: Vec<&'a str>,
    loads: BTreeMap<&'a str, RawLoad<'a>>,
    order: Vec<&'a str>,
}

/// An answer of a checker.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// The probe.
    pub probe: &'a str,
    /// When it was asked.
    pub at: RunTime,
    /// Things that were checked.
    pub checked: u64,
    /// What was broken.
    pub violations: &'a [Violation],
    /// How many more were broken, without their stories.
    pub untold: u64,
}

/// The events of one http probe.
#[derive(Debug, Default)]
pub(super) struct RawLoad<'a> {
    pub(super) schedule: Option<&'a ProbeSchedule>,
    pub(super) bins: Vec<&'a Bin>,
    pub(super) bad: Vec<&'a BadSlot>,
    pub(super) served: Vec<(RunTime, &'a str)>,
}

/// A span of run time; `end` is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First instant.
    pub start: RunTime,
    /// First instant after.
    pub end: RunTime,
}

/// The phases that were reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// Measuring without faults.
    pub baseline: Option<Span>,
    /// Kills.
    pub fault: Option<Span>,
    /// Measuring on.
    pub recovery: Option<Span>,
    /// Undoing.
    pub wind_down: Option<Span>,
    /// The last instant of the record.
    pub last: RunTime,
}

impl Phases {
    /// What is judged: fault and recovery.
    pub fn judged(&self) -> Option<Span> {
        let fault = self.fault?;
        let end = self.recovery.map_or(fault.end, |recovery| recovery.end);
        // In a record from elsewhere the phases may come in any order.
        Some(Span { start: fault.start, end: end.max(fault.start) })
    }

    /// The phases that were reached, in order.
    pub fn reached(&self) -> impl Iterator<Item = (Phase, Span)> {
        [
            (Phase::Baseline, self.baseline),
            (Phase::Fault, self.fault),
            (Phase::Recovery, self.recovery),
            (Phase::WindDown, self.wind_down),
        ]
        .into_iter()
        .filter_map(|(phase, span)| Some((phase, span?)))
    }

    fn of(mut begins: Vec<(RunTime, Phase)>, last: RunTime) -> Self {
        begins.sort_by_key(|(at, _)| *at);
        let mut phases = Self { last, ..Self::default() };
        for (i, (start, phase)) in begins.iter().enumerate() {
            let end = begins.get(i + 1).map_or(last, |(next, _)| *next);
            let slot = match phase {
                Phase::Baseline => &mut phases.baseline,
                Phase::Fault => &mut phases.fault,
                Phase::Recovery => &mut phases.recovery,
                Phase::WindDown => &mut phases.wind_down,
            };
            slot.get_or_insert(Span { start: *start, end });
        }
        phases
    }
}

impl<'a> Recorded<'a> {
    /// Sorts the events.
    pub fn fold(events: &'a [Event]) -> Result<Self, EvidenceError> {
        let Some(Event::Started(started)) = events.first() else {
            return Err(EvidenceError::NoStart);
        };
        let mut recorded = Self {
            started,
            planned: None,
            phases: Phases::default(),
            kills: Vec::new(),
            skips: Vec::new(),
            put_off: Vec::new(),
            sightings: Vec::new(),
            samples: Vec::new(),
            checks: Vec::new(),
            stops: Vec::new(),
            left: None,
            notes: Vec::new(),
            loads: BTreeMap::new(),
            order: Vec::new(),
        };
        let mut begins = Vec::new();
        let mut last = RunTime::default();
        for event in events {
            last = last.max(instant(event));
            recorded.add(event, &mut begins)?;
        }
        recorded.phases = Phases::of(begins, last);
        recorded.kills.sort_by_key(|kill| (kill.at, kill.strike));
        recorded.sightings.sort_by_key(|sighting| sighting.at);
        recorded.loads.values_mut().for_each(RawLoad::sort);
        Ok(recorded)
    }

    /// Names of the http probes, in the order of their schedules.
    pub fn probes(&self) -> impl Iterator<Item = &'a str> {
        self.order.iter().copied()
    }

    pub(super) fn raw_load(&self, probe: &str) -> Option<&RawLoad<'a>> {
        self.loads.get(probe)
    }

    fn add(&mut self, event: &'a Event, begins: &mut Vec<(RunTime, Phase)>) -> Result<(), EvidenceError> {
        match event {
            Event::Planned { population, eligible, excluded, .. } => {
                self.planned = Some((population, eligible, excluded));
            }
            Event::Phase { at, phase } => begins.push((*at, *phase)),
            Event::Schedule(schedule) => self.add_schedule(schedule)?,
            Event::Bin(bin) => self.load(&bin.probe)?.bins.push(bin),
            Event::Bad(slot) => self.load(&slot.probe)?.bad.push(slot),
            Event::Served { probe, pod, at } => self.load(probe)?.served.push((*at, pod)),
            Event::Sample(sample) => self.samples.push(sample),
            Event::Invariants { probe, at, checked, violations, total } => {
                let untold = total.unwrap_or_default().saturating_sub(violations.len() as u64);
                self.checks.push(Check { probe, at: *at, checked: *checked, violations, untold });
            }
            Event::Kill(kill) => self.kills.push(kill),
            Event::Skipped { skip, .. } => self.skips.push(skip),
            Event::PutOff { strike, reason, .. } => self.put_off.push((*strike, reason)),
            Event::Pod(sighting) => self.sightings.push(sighting),
            Event::Stop { at, cause } => self.stops.push((*at, cause)),
            Event::WoundDown { left, .. } => self.left = Some(left),
            Event::Note { text, .. } => self.notes.push(text),
            Event::Started(_)
            | Event::Intent { .. }
            | Event::Clock { .. }
            | Event::Blind { .. }
            | Event::Sight { .. }
            | Event::Told { .. }
            | Event::Finished { .. } => {}
        }
        Ok(())
    }

    fn add_schedule(&mut self, schedule: &'a ProbeSchedule) -> Result<(), EvidenceError> {
        let probe = schedule.probe.as_str();
        if let Some(rate) = schedule.bad_rate() {
            return Err(EvidenceError::BadRate { probe: probe.to_owned(), rate: rate.to_string() });
        }
        let load = self.loads.entry(probe).or_default();
        if load.schedule.replace(schedule).is_some() {
            return Err(EvidenceError::TwoSchedules { probe: probe.to_owned() });
        }
        self.order.push(probe);
        Ok(())
    }

    fn load(&mut self, probe: &str) -> Result<&mut RawLoad<'a>, EvidenceError> {
        self.loads.get_mut(probe).ok_or_else(|| EvidenceError::NoSchedule { probe: probe.to_owned() })
    }
}

impl RawLoad<'_> {
    /// By slot; of several entries for one slot the one that says least for the system stays: a failure before a slow answer.
    fn sort(&mut self) {
        self.bins.sort_by_key(|bin| bin.first_slot);
        self.bad.sort_by_key(|slot| (slot.slot, !slot.class.is_failure()));
        self.bad.dedup_by_key(|slot| slot.slot);
        self.served.sort_unstable();
    }
}

/// When an event happened, as far as it says.
pub fn instant(event: &Event) -> RunTime {
    match event {
        Event::Planned { at, .. }
        | Event::Phase { at, .. }
        | Event::Served { at, .. }
        | Event::Invariants { at, .. }
        | Event::Intent { at, .. }
        | Event::Skipped { at, .. }
        | Event::PutOff { at, .. }
        | Event::Clock { at, .. }
        | Event::Blind { at, .. }
        | Event::Sight { at }
        | Event::Stop { at, .. }
        | Event::WoundDown { at, .. }
        | Event::Note { at, .. } => *at,
        Event::Bin(bin) => bin.at,
        Event::Bad(slot) => slot.due,
        Event::Sample(sample) => sample.at,
        Event::Kill(kill) => kill.at,
        Event::Pod(sighting) => sighting.at,
        // `Finished` is left out, so that a result is the same before and after that event is written. What the operator told is
        // of no instant of the run.
        Event::Started(_) | Event::Schedule(_) | Event::Told { .. } | Event::Finished { .. } => RunTime::default(),
    }
}

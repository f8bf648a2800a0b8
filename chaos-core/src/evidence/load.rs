//! The slots of one http probe, recounted one by one from its schedule: what became of each, phase by phase, second by
//! second and window by window.

use std::collections::BTreeMap;

use super::EvidenceError;
use super::exposure::{Exposure, exposure};
use super::fold::{RawLoad, Recorded, Span};
use super::neighbours::Neighbours;
use super::outages::Outages;
use super::timeline::Timeline;
use super::windows::Trial;
use crate::record::{BadClass, BadSlot, Bin, ProbeSchedule, RunTime};
use crate::result::{Counts, Outage};

/// A recorded due time may differ by this much from the recomputed one: logarithms differ in the last bit between platforms.
const DUE_TOLERANCE_NANOS: u64 = 1_000_000;
/// A probe that ends less than this before the last judged instant was stopped in order; what it did not send was not due.
const STOPPED_IN_ORDER_NANOS: u64 = SECOND_NANOS;
const SECOND_NANOS: u64 = 1_000_000_000;
/// No load generator is due to send more slots in a second: the highest rate is half of this.
const MOST_IN_A_SECOND: u64 = 200_000;
/// So many slots may be due of which the record says nothing: those of more than a day at 1,000 a second.
const MOST_UNRECORDED: u64 = 100_000_000;

/// What one http probe measured.
#[derive(Debug)]
pub struct Load<'a> {
    /// How its slots were due.
    pub schedule: &'a ProbeSchedule,
    /// Its seconds.
    pub bins: Vec<&'a Bin>,
    /// Its slots that were not a plain success in time, by slot.
    pub bad: Vec<&'a BadSlot>,
    /// Slots due before the fault, without those that failed in it, or ran out of time.
    pub baseline: Counts,
    /// Slots due in fault and recovery, and those due before that failed in them; what ran out of time across the border as unknown.
    pub judged: Counts,
    /// Slots due in recovery.
    pub recovery: Counts,
    /// The same by the second of the recovery in which they were due.
    pub recovery_seconds: BTreeMap<u64, Counts>,
    /// What each trial cost, in the order of the trials.
    pub trials: Vec<TrialLoad>,
    /// Whether each kill met its traffic, in the order of `Recorded::kills`.
    pub exposure: Vec<Exposure>,
    /// The longest run of failed slots in fault and recovery.
    pub worst_outage: Option<Outage>,
    /// Bad slots by class, how many and the first of them: of fault and recovery, or of the baseline where that is all there is.
    pub classes: BTreeMap<BadClass, (u64, &'a BadSlot)>,
    /// Slots of fault and recovery that were refused or reset while others of the probe were answered, by their due times.
    pub cut_off_alone: Vec<&'a BadSlot>,
}

/// What one trial cost one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialLoad {
    /// Slots due in it and what became of them.
    pub counts: Counts,
    /// Its kills.
    pub kills: u64,
    /// Whether one of its kills met the probe's traffic.
    pub exposure: Exposure,
    /// Due time of the first failed slot.
    pub first_failure: Option<RunTime>,
    /// Due time of the last failed slot.
    pub last_failure: Option<RunTime>,
    /// Due time of the first good slot after the last failed one.
    pub first_success: Option<RunTime>,
}

/// What became of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Answered well and in time.
    Good,
    /// Answered well, slower than the latency bound.
    Slow,
    /// The system failed.
    Failed,
    /// Says nothing about the system.
    Unknown,
}

impl State {
    /// Of a slot that was recorded as not plainly good. A slot that was sent too late says nothing, whatever came back.
    pub fn of(slot: &BadSlot, max_lag: u64) -> Self {
        let late = slot.lag.is_some_and(|lag| lag > max_lag);
        if late || slot.class.is_unknown() {
            Self::Unknown
        } else if slot.class.is_failure() {
            Self::Failed
        } else {
            Self::Slow
        }
    }
}

impl Counts {
    /// Counts one more slot.
    pub(crate) fn add(&mut self, state: State) {
        self.slots += 1;
        match state {
            State::Good => self.good += 1,
            State::Slow => self.slow += 1,
            State::Failed => self.failed += 1,
            State::Unknown => self.unknown += 1,
        }
    }
}

/// Recounts one probe.
pub(super) fn load<'a>(
    recorded: &Recorded<'a>,
    probe: &str,
    timelines: &[Timeline<'_>],
    trials: &[Trial],
) -> Result<Load<'a>, EvidenceError> {
    let no_schedule = || EvidenceError::NoSchedule { probe: probe.to_owned() };
    let raw = recorded.raw_load(probe).ok_or_else(no_schedule)?;
    let schedule = raw.schedule.ok_or_else(no_schedule)?;
    check_bins(raw, schedule)?;
    let kills = recorded.kills.iter().zip(timelines);
    let of_kill: Vec<Exposure> = kills.map(|(kill, timeline)| exposure(recorded, raw, kill, timeline)).collect();
    let of_trial = |trial: &Trial| {
        let exposure = trial.kills.iter().map(|kill| of_kill[*kill]).max().unwrap_or(Exposure::No);
        TrialLoad::new(trial.kills.len() as u64, exposure)
    };
    let mut load = Load {
        schedule,
        bins: raw.bins.clone(),
        bad: raw.bad.clone(),
        baseline: Counts::default(),
        judged: Counts::default(),
        recovery: Counts::default(),
        recovery_seconds: BTreeMap::new(),
        trials: trials.iter().map(of_trial).collect(),
        exposure: of_kill,
        worst_outage: None,
        classes: BTreeMap::new(),
        cut_off_alone: Vec::new(),
    };
    walk(&mut load, recorded, raw, trials)?;
    check_sum(&load, recorded, trials)?;
    Ok(load)
}

/// Visits every slot up to the end of what is judged, in order.
fn walk<'a>(
    load: &mut Load<'a>,
    recorded: &Recorded<'a>,
    raw: &RawLoad<'a>,
    trials: &[Trial],
) -> Result<(), EvidenceError> {
    let phases = &recorded.phases;
    let inside = |span: Option<Span>, due: RunTime| span.is_some_and(|span| span.start <= due && due < span.end);
    let end = phases.judged().or(phases.baseline).map_or(phases.last, |span| span.end);
    let mut slots = Slots::new(raw, load.schedule, end)?;
    let mut outages = Outages::default();
    let mut neighbours = Neighbours::default();
    let mut trial = 0;
    while let Some(mut slot) = slots.next()? {
        let is_due_in = inside(phases.judged(), slot.due);
        let is_judged = phases.judged().is_some_and(|judged| counts_for(judged, slot.due, slot.over_at()));
        if is_judged && slot.failed_at().is_none() && !is_due_in {
            slot.state = State::Unknown;
        }
        let is_quiet = !is_judged && inside(phases.baseline, slot.due);
        if is_quiet {
            load.baseline.add(slot.state);
        }
        if let Some(bad) = slot.bad.filter(|_| is_judged || (is_quiet && phases.judged().is_none())) {
            load.classes.entry(bad.class).or_insert((0, bad)).0 += 1;
        }
        if !is_judged {
            continue;
        }
        load.judged.add(slot.state);
        // Of those due before, only what failed is known here: they are no neighbours of each other.
        if is_due_in {
            outages.add(slot.due, slot.state);
            neighbours.add(slot.due, slot.state, slot.bad);
        }
        if let Some(recovery) = phases.recovery.filter(|_| inside(phases.recovery, slot.due)) {
            load.recovery.add(slot.state);
            let second = (slot.due.0 - recovery.start.0) / SECOND_NANOS;
            load.recovery_seconds.entry(second).or_default().add(slot.state);
        }
        while trials.get(trial).is_some_and(|trial| is_behind(slot.due, trial)) {
            trial += 1;
        }
        let (number, span) = window_of(&slot, trial, trials);
        if let Some(of_trial) = load.trials.get_mut(number) {
            of_trial.add(slot.state, slot.due.max(span.start));
        }
    }
    load.worst_outage = outages.worst();
    load.cut_off_alone = neighbours.found();
    Ok(())
}

/// Whether a slot counts for fault and recovery: it was due in them, or before and failed in them. What the first kill cuts off may
/// have been due in the baseline. What was under way then and ran out of time says nothing: of neither of them it is known to be bad.
fn counts_for(judged: Span, due: RunTime, failed: Option<RunTime>) -> bool {
    due < judged.end && failed.unwrap_or(due) >= judged.start
}

/// The window that a slot counts for: that in which it was due, unless it failed in a later one. What a kill cuts off was due
/// before it.
fn window_of(slot: &Slot<'_>, due_in: usize, trials: &[Trial]) -> (usize, Span) {
    let at = slot.failed_at().unwrap_or(slot.due);
    let later = trials.iter().skip(due_in).take_while(|trial| is_behind(at, trial)).count();
    let number = (due_in + later).min(trials.len().saturating_sub(1));
    (number, trials.get(number).map_or_else(Span::default, |trial| trial.span))
}

/// Whether a window is over at an instant. That of a kill belongs to the window of that kill.
fn is_behind(at: RunTime, trial: &Trial) -> bool {
    at >= trial.span.end
}

/// When a slot failed, as far as it is known. What ran out of time failed at no instant of its own.
fn failed_at(slot: &BadSlot) -> Option<RunTime> {
    let by_time = matches!(slot.class, BadClass::Timeout | BadClass::TooSlow);
    over_at(slot).filter(|_| !by_time)
}

/// When a slot was over, as far as it is known.
fn over_at(slot: &BadSlot) -> Option<RunTime> {
    slot.failed_after.or(slot.latency).map(|after| RunTime(slot.due.0.saturating_add(after)))
}

impl TrialLoad {
    const fn new(kills: u64, exposure: Exposure) -> Self {
        let counts = Counts { slots: 0, good: 0, slow: 0, failed: 0, unknown: 0 };
        Self { counts, kills, exposure, first_failure: None, last_failure: None, first_success: None }
    }

    fn add(&mut self, state: State, due: RunTime) {
        self.counts.add(state);
        match state {
            State::Failed => {
                self.first_failure.get_or_insert(due);
                self.last_failure = Some(due);
                self.first_success = None;
            }
            State::Good | State::Slow if self.last_failure.is_some() => {
                self.first_success.get_or_insert(due);
            }
            State::Good | State::Slow | State::Unknown => {}
        }
    }
}

/// One visited slot.
struct Slot<'a> {
    due: RunTime,
    state: State,
    bad: Option<&'a BadSlot>,
}

impl Slot<'_> {
    /// When the system failed it, as far as it is known.
    fn failed_at(&self) -> Option<RunTime> {
        self.bad.filter(|_| self.state == State::Failed).and_then(failed_at)
    }

    /// When it had failed, or had its answer too late.
    fn over_at(&self) -> Option<RunTime> {
        self.bad.filter(|_| matches!(self.state, State::Failed | State::Slow)).and_then(over_at)
    }
}

/// All slots of a probe that were due before an end.
struct Slots<'r, 'a> {
    probe: &'a str,
    due_times: std::iter::Peekable<std::iter::Enumerate<crate::slots::DueTimes>>,
    max_lag: u64,
    end: RunTime,
    bins: std::iter::Peekable<std::slice::Iter<'r, &'a Bin>>,
    bad: std::iter::Peekable<std::slice::Iter<'r, &'a BadSlot>>,
    recorded_until: u64,
    /// More slots than this were never due: the record holds too few for them.
    most: u64,
}

impl<'r, 'a> Slots<'r, 'a> {
    fn new(raw: &'r RawLoad<'a>, schedule: &'a ProbeSchedule, end: RunTime) -> Result<Self, EvidenceError> {
        let after_bins = raw.bins.iter().map(|bin| bin.end()).max().unwrap_or(0);
        let after_bad = raw.bad.iter().map(|slot| slot.slot.saturating_add(1)).max().unwrap_or(0);
        let recorded = raw.bins.iter().map(|bin| bin.slots).fold(raw.bad.len() as u64, u64::saturating_add);
        let slots = Self {
            probe: &schedule.probe,
            due_times: schedule.due_times().enumerate().peekable(),
            max_lag: schedule.max_lag,
            end,
            bins: raw.bins.iter().peekable(),
            bad: raw.bad.iter().peekable(),
            recorded_until: after_bins.max(after_bad),
            most: recorded.saturating_add(MOST_UNRECORDED),
        };
        // Asked before the first one: up to an instant that no run reaches they would be visited for years. What is no number is
        // too many as well.
        let due = schedule.curve().slots_before(end.0.saturating_sub(schedule.first_due.0));
        if due <= slots.most as f64 { Ok(slots) } else { Err(slots.too_many()) }
    }

    fn too_many(&self) -> EvidenceError {
        EvidenceError::TooManySlots { probe: self.probe.to_owned(), most: self.most }
    }

    fn next(&mut self) -> Result<Option<Slot<'a>>, EvidenceError> {
        let Some((number, due)) = self.due_times.next() else {
            return Ok(None);
        };
        let number = number as u64;
        let stopped = number >= self.recorded_until && due.0.saturating_add(STOPPED_IN_ORDER_NANOS) >= self.end.0;
        if due >= self.end || stopped {
            return Ok(None);
        }
        if number >= self.most {
            return Err(self.too_many());
        }
        let bad = self.bad.next_if(|bad| bad.slot == number).copied();
        if let Some(bad) = bad.filter(|bad| bad.due.0.abs_diff(due.0) > DUE_TOLERANCE_NANOS) {
            let (probe, slot) = (self.probe.to_owned(), bad.slot);
            return Err(EvidenceError::DueTime { probe, slot, recorded: bad.due.0, scheduled: due.0 });
        }
        while self.bins.peek().is_some_and(|bin| bin.end() <= number) {
            self.bins.next();
        }
        let recorded = self.bins.peek().is_some_and(|bin| bin.first_slot <= number);
        let state = match bad {
            Some(bad) => State::of(bad, self.max_lag),
            None if recorded => State::Good,
            None => State::Unknown,
        };
        Ok(Some(Slot { due: bad.map_or(due, |bad| bad.due), state, bad }))
    }
}

/// Every second must leave as many bad slots as are recorded for it. A late slot may count as good or not.
fn check_bins(raw: &RawLoad<'_>, schedule: &ProbeSchedule) -> Result<(), EvidenceError> {
    for bin in &raw.bins {
        if bin.slots > MOST_IN_A_SECOND {
            let (probe, first_slot) = (schedule.probe.clone(), bin.first_slot);
            return Err(EvidenceError::FullSecond { probe, first_slot, slots: bin.slots });
        }
        let first = raw.bad.partition_point(|slot| slot.slot < bin.first_slot);
        let after = raw.bad.partition_point(|slot| slot.slot < bin.end());
        let bad = &raw.bad[first..after];
        let not_good = bad.iter().filter(|slot| slot.class != BadClass::Slow).count() as u64;
        let surely_not =
            bad.iter().filter(|slot| !matches!(slot.class, BadClass::Slow | BadClass::Late)).count() as u64;
        let expected = bin.slots.saturating_sub(bin.good);
        if bin.good > bin.slots || !(surely_not..=not_good).contains(&expected) {
            let (probe, first_slot) = (schedule.probe.clone(), bin.first_slot);
            return Err(EvidenceError::BinMismatch { probe, first_slot, expected, found: not_good });
        }
    }
    Ok(())
}

/// The windows' bad slots must be all bad slots of fault and recovery, counted another way: by what is recorded of each.
fn check_sum(load: &Load<'_>, recorded: &Recorded<'_>, trials: &[Trial]) -> Result<(), EvidenceError> {
    let Some(judged) = recorded.phases.judged().filter(|_| !trials.is_empty()) else {
        return Ok(());
    };
    let certain = |slot: &&&BadSlot| match State::of(slot, load.schedule.max_lag) {
        State::Unknown => false,
        State::Failed => counts_for(judged, slot.due, failed_at(slot)),
        State::Good | State::Slow => counts_for(judged, slot.due, None),
    };
    let in_phases = load.bad.iter().filter(certain).count() as u64;
    let in_windows = load.trials.iter().map(|trial| trial.counts.failed + trial.counts.slow).sum();
    if in_windows == in_phases {
        Ok(())
    } else {
        Err(EvidenceError::WindowSum { probe: load.schedule.probe.clone(), in_windows, in_phases })
    }
}

//! Schedules in which something is staged that chance alone brings about in next to none: a clock that is set ahead between two kills,
//! two monkeys that are due at one instant when one kill is left to both of them, and strikes that kill two pods.

use jiff::{SignedDuration, Timestamp};

use super::scenario::{SEND_WITHIN, Scenario, Size};
use super::standing::Standing;
use crate::seats::{ClockStep, Dice, HOUR, millis};

/// Kills of a workload keep so much more distance where a clock is set: what a step makes of it shows.
const FARTHER: i64 = 3_000;
/// A clock is set ahead by so much, in milliseconds.
const AHEAD: (i64, i64) = (60_000, 3 * HOUR);
/// No window closes, and no time ends, by such a clock.
const LONGER: i64 = 12 * HOUR;

/// The one clock of all killers is set ahead for a while, as on one machine: of clocks that differ none could keep the distance to a
/// kill by another. From the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ahead {
    from: SignedDuration,
    until: SignedDuration,
    by: SignedDuration,
}

impl Ahead {
    /// That of a schedule of this kind, if its clock is set.
    fn of(kind: u64, seed: u64, size: &Size) -> Option<Self> {
        let is_set = (99..105).contains(&(kind % 131));
        is_set.then(|| {
            // Dice of its own: what comes of turns is what comes of turns in any other schedule.
            let mut dice = Dice::new(!seed);
            // After a kill or two.
            let from = dice.between(size.standing.opens + 800, size.until * 2 / 3);
            let lasts = dice.between(1_000, size.until * 3 / 2);
            Self { from, until: from + lasts, by: dice.between(AHEAD.0, AHEAD.1) }
        })
    }
}

impl Scenario {
    /// The same schedule, if nothing is staged in it; or else the one that is.
    pub(super) fn staged(self, kind: u64) -> Self {
        let is_of_rivals = (88..93).contains(&(kind % 137)) && self.jumps == 0;
        match Ahead::of(kind, self.seed, self.size) {
            Some(ahead) => self.by_one_clock(ahead),
            None if is_of_rivals => self.of_rivals(),
            None if (93..96).contains(&(kind % 103)) => self.of_two_victims(),
            None => self,
        }
    }

    /// The clock is set under processes that go on: one that begins anew, or comes in place of another, cannot know of it.
    fn by_one_clock(self, ahead: Ahead) -> Self {
        Self {
            ahead: Some(ahead),
            min_interval: self.size.min_interval + FARTHER,
            crashes: 0,
            pauses: 0,
            jumps: 0,
            is_behind: false,
            is_lazy: false,
            operators: 1,
            standing: self.standing.map(Standing::by_set_clock),
            ..self
        }
    }

    /// Two monkeys of one operator, each with a workload, whose plans are the same.
    fn of_rivals(self) -> Self {
        Self {
            is_spread: false,
            by_workload: false,
            is_lazy: false,
            standing: Some(Standing::rivals(&self.size.standing)),
            ..self
        }
    }

    /// Each strike of the run that kills by itself kills two pods, and no limit says that this is one too many.
    fn of_two_victims(self) -> Self {
        Self {
            victims: 2,
            max_unavailable: 2,
            min_interval: 0,
            is_percent: false,
            has_to_serve: false,
            disruptions: None,
            ..self
        }
    }

    /// Whether two monkeys are due at one instant.
    pub(super) fn has_rivals(&self) -> bool {
        self.standing.is_some_and(|standing| standing.are_rivals)
    }

    /// When the clock of the first seat is set.
    pub(super) fn clock_step(&self) -> Option<ClockStep> {
        let Ahead { from, until, by } = self.ahead?;
        Some(ClockStep { from: self.begins() + from, until: self.begins() + until, by })
    }

    fn longer(&self) -> i64 {
        if self.ahead.is_some() { LONGER } else { 0 }
    }

    /// When the time of those killers ends that have one.
    pub(super) fn until(&self) -> Timestamp {
        self.instant(self.size.until + self.longer())
    }

    /// When the window of a standing monkey closes, where a blackout begins then, in milliseconds from the start.
    pub(super) fn closes(&self) -> i64 {
        self.size.standing.closes + self.longer()
    }

    /// What follows from then on is not played though its time has not ended, in milliseconds from the start.
    pub(super) fn cut_of_set_clock(&self) -> Option<i64> {
        self.ahead.map(|_| self.size.until + SEND_WITHIN + self.size.late)
    }
}

#[test]
fn clocks_are_set_in_some_schedules_between_the_first_kills_and_the_end() {
    let set: Vec<Scenario> = (0..10_000).map(Scenario::of).filter(|scenario| scenario.ahead.is_some()).collect();
    assert!(set.len() > 300, "{}", set.len());
    for scenario in set {
        let step = scenario.clock_step().unwrap();
        assert!(step.from > scenario.instant(scenario.size.standing.opens) && step.until > step.from);
        assert!(step.from < scenario.instant(scenario.size.until) && step.by >= millis(AHEAD.0));
    }
}

//! Looks that are over when their strike is due: a strike is looked at as long before its instant as looks take here, by the last
//! ones, and together with those that come right after it. All rules are asked when it is due, on what was seen then; before, no
//! strike is refused, and nothing reserved or killed.

use std::time::Duration;

use jiff::Timestamp;

use super::elapsed;
use super::messages::{Action, Observation};
use super::scope::Scope;
use super::state::Attempt;
use super::step::{Cursor, SURVEY_EVERY};
use crate::api::{PlannedStrike, VictimRef};
use crate::instant::after;
use crate::limits::FRESH;
use crate::model::NamespaceScope;
use crate::population::{Population, WorkloadKey};
use crate::victims;

/// No strike is looked at earlier: what is seen of it is to be fresh.
const LEAD: Duration = Duration::from_secs(1);
/// A survey of all waits no longer for a gap between strikes.
const SURVEY_GIVES_WAY: Duration = Duration::from_secs(20);
/// What was seen for a strike is not used any longer; a process that stood still looks again.
const KEPT: Duration = Duration::from_millis(1_500);
/// Strikes that are looked at together come within this time.
const TOGETHER: Duration = Duration::from_millis(500);
/// A kill may take so long from its instant to its answer: what is looked at meanwhile would be late.
const KILL_TAKES: Duration = Duration::from_millis(100);
/// Other strikes that a look is made for as well, at most.
pub(super) const ALONG: usize = 8;

/// What was seen for a strike that is not due yet, and lets it happen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ready {
    attempt: Attempt,
    observation: Observation,
    since: Timestamp,
    /// The workload that it hits by what was seen.
    workload: WorkloadKey,
}

impl Cursor<'_> {
    /// A look begins.
    pub(super) fn look_begins(&mut self) {
        self.state.asked_at = Some(self.now);
    }

    /// It is over, with or without success: how long looks take is known better.
    pub(super) fn look_ends(&mut self, scope: &Scope) {
        let Some(asked_at) = self.state.asked_at.take() else { return };
        let took = elapsed(asked_at, self.now);
        self.state.last_look_took = took;
        match (*scope == Scope::Target, self.looks_at_parts()) {
            (true, true) => self.state.survey_takes = took.min(SURVEY_GIVES_WAY),
            // The longest counts, and is forgotten slowly: by half after some twenty looks, which come to a handful of kills. One that
            // takes longer than is reckoned with makes its strike late.
            (true, false) | (false, true) => {
                self.state.look_takes = took.min(LEAD).max(self.state.look_takes * 31 / 32);
            }
            // A look at less than a strike takes tells nothing of one that it takes.
            (false, false) => {}
        }
    }

    /// How long before a strike it is looked at: what is seen then has to count when it is due, and a little longer.
    pub(super) fn lead(&self) -> Duration {
        (self.state.look_takes * 3 / 2).min(LEAD).min(self.counts_for() * 3 / 4)
    }

    /// How old facts may be that a kill is decided on.
    fn counts_for(&self) -> Duration {
        self.spec.limits.max_blind.min(FRESH).std()
    }

    /// When this strike has to be turned to.
    pub(super) fn begins_at(&self, strike: &PlannedStrike) -> Timestamp {
        let due = self.due_at(strike);
        // One that was put off, or could not be decided on ahead of time, is looked at when it is due.
        if self.is_ready(strike) || self.state.retry.contains_key(&strike.strike) {
            return due;
        }
        due.saturating_sub(self.lead()).unwrap_or(due)
    }

    /// Whether the strike was looked at, and is not due yet.
    pub(super) fn is_ready(&self, strike: &PlannedStrike) -> bool {
        self.kept_at(strike).is_some()
    }

    /// Where it is kept what was seen for a strike.
    fn kept_at(&self, strike: &PlannedStrike) -> Option<usize> {
        self.state.ready.iter().position(|ready| ready.attempt.strike.strike == strike.strike)
    }

    /// Whether a strike that was looked at is due so soon that whatever is done before it would make it late.
    pub(super) fn is_pressed(&self) -> bool {
        let soon = after(self.now, KILL_TAKES);
        // What was seen is kept for a moment where its strike was skipped or put off.
        self.pending().any(|strike| self.is_ready(strike) && self.due_at(strike) <= soon)
    }

    /// Strikes that come so soon after this one that a look of their own would make them late: they are looked at together with it.
    /// While some of the target is out of sight each is looked at alone: a look that cannot see all that it is to see fails.
    pub(super) fn along(&self, strike: &PlannedStrike) -> Vec<PlannedStrike> {
        if self.state.blind.is_some() {
            return Vec::new();
        }
        let (mut last, mut along) = (strike.at.0.max(self.now), Vec::new());
        let (end, gap) = (after(last, TOGETHER), self.lead() + KILL_TAKES);
        let others = self.pending().filter(|it| it.strike != strike.strike && it.at.0 >= strike.at.0);
        for other in others.filter(|it| !self.state.retry.contains_key(&it.strike)).take(ALONG) {
            if other.at.0 > end.min(after(last, gap)) {
                break;
            }
            last = other.at.0;
            along.push(other.clone());
        }
        along
    }

    /// Until when strikes come so soon after this one that a look at what each of them needs would make it late.
    pub(super) fn close_upon(&self, strike: &PlannedStrike) -> Timestamp {
        after(self.begins_at(strike).max(self.now), (self.lead() + KILL_TAKES) * 2)
    }

    /// When the next strike has to be looked at, also if it was: any other look forgets what was seen for it.
    fn next_look(&self) -> Option<Timestamp> {
        let next = self.next()?;
        let begins = self.begins_at(next);
        let again = if self.is_ready(next) { self.lead() } else { Duration::ZERO };
        Some(begins.saturating_sub(again).unwrap_or(begins))
    }

    /// Whether a look for no strike, wanted since then, waits for one that is about to be looked at or killed for: it would make
    /// that one late. It does not wait for long.
    pub(super) fn gives_way(&self, wanted: Timestamp) -> bool {
        let takes = self.state.look_takes;
        let is_in_the_way = self.next_look().is_some_and(|turn| turn <= after(self.now, takes));
        !takes.is_zero() && is_in_the_way && self.is_prepared() && self.now < after(wanted, LEAD)
    }

    /// When all of the target has to be surveyed. While strikes come sooner than that takes it waits for a longer gap between two,
    /// and for that not for ever.
    pub(super) fn survey_of_all_at(&self) -> Option<Timestamp> {
        let due = after(self.state.surveyed_at?, self.surveyed_every());
        let fits = self.next_look().is_none_or(|turn| turn > after(self.now, self.state.survey_takes));
        let waits = self.looks_at_parts() && self.now < after(due, SURVEY_GIVES_WAY);
        (fits || due > self.now || !waits).then_some(due)
    }

    /// How often all of the target is surveyed: killers of one target keep time, and share their surveys, and those of others drift
    /// apart, for surveys that are made at the same time make whatever else is done then late.
    fn surveyed_every(&self) -> Duration {
        let name = match &self.spec.target.namespaces {
            NamespaceScope::Named(names) => names.first().map(String::as_str).unwrap_or_default(),
            NamespaceScope::Labelled(_) => "",
        };
        // Up to a fifth sooner or later.
        let tenths_of_percent = 800 + u32::try_from(victims::rank(0, 0, name) % 401).unwrap_or_default();
        SURVEY_EVERY * tenths_of_percent / 1000
    }

    /// Whether the strike is not due yet. A victim after the first of a strike never is early.
    pub(super) fn is_early(&self, attempt: &Attempt) -> bool {
        attempt.companions.is_none() && self.now < self.due_at(&attempt.strike)
    }

    /// As of when the rules are asked for a strike: for one that is not due yet as of when it is, since no more than that it may
    /// happen then is told by it, and all of them are asked again. One that has kept its distance by then is not refused for having
    /// been looked at before.
    pub(super) fn as_of(&self, attempt: &Attempt) -> Timestamp {
        if self.is_early(attempt) { self.due_at(&attempt.strike) } else { self.now }
    }

    /// Keeps what lets a strike happen until it is due.
    pub(super) fn keep(&mut self, attempt: Attempt, workload: WorkloadKey, observation: Observation) {
        self.state.ready.push(Ready { attempt, observation, since: self.now, workload });
    }

    /// A kill was sent: what was seen before for other strikes does not stand for those that it could make a difference to, which
    /// are looked at again. Of another workload only a disruption budget that covers both could.
    pub(super) fn outdate(&mut self, victim: &VictimRef) {
        self.state.ready.retain(|ready| {
            ready.workload.uid != victim.workload_uid && !shares_budget(victim, &ready.observation.population)
        });
    }

    /// A strike that would not happen now is looked at again when it is due.
    pub(super) fn look_when_due(&mut self, strike: &PlannedStrike) {
        let due = self.due_at(strike);
        self.state.retry.insert(strike.strike, due);
    }

    /// Forgets what was seen for a strike that is gone, or was moved, and what was seen too long ago, or will have been when its
    /// strike is due.
    pub(super) fn drop_outdated(&mut self) {
        let counts_for = self.counts_for();
        let (now, upcoming) = (self.now, &self.state.ledger.upcoming);
        self.state.ready.retain(|ready| {
            let strike = &ready.attempt.strike;
            let is_planned = upcoming.iter().any(|it| it.strike == strike.strike && it.at == strike.at);
            let age = now.duration_since(ready.since);
            let is_recent = !age.is_negative() && age.unsigned_abs() <= KEPT;
            // A clock that was set back would keep it waiting.
            let is_soon = strike.at.0 <= after(now, LEAD + TOGETHER);
            let counts = elapsed(ready.observation.population.taken_at, now.max(strike.at.0)) <= counts_for;
            is_planned && is_recent && is_soon && counts
        });
    }

    /// Goes on with a strike that is due, by what was seen for it if that was done already.
    pub(super) fn turn_to(&mut self, attempt: Attempt) -> Option<Action> {
        match self.kept_at(&attempt.strike).map(|index| self.state.ready.remove(index)) {
            Some(Ready { attempt, observation, .. }) => self.judge(attempt, observation),
            None => Some(self.look_for(attempt)),
        }
    }
}

/// Whether some disruption budget covers this victim, and pods of other workloads as well.
fn shares_budget(victim: &VictimRef, facts: &Population) -> bool {
    let of_others = |uid: &String| {
        let pod = facts.pods.iter().find(|pod| pod.uid == *uid);
        pod.and_then(|pod| pod.workload.as_ref()).is_none_or(|workload| workload.uid != victim.workload_uid)
    };
    let mut budgets = facts.budgets.iter().filter(|budget| budget.covers.contains(&victim.uid));
    budgets.any(|budget| budget.covers.iter().any(of_others))
}

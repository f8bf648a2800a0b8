//! Looks that are over when their strike is due: a strike is looked at as long before its instant as looks take here, by the last
//! ones. All rules are asked when it is due, on what was seen then; before, no strike is refused, and nothing reserved or killed.

use std::time::Duration;

use jiff::Timestamp;

use super::elapsed;
use super::messages::{Action, Observation};
use super::scope::Scope;
use super::state::Attempt;
use super::step::{Cursor, SURVEY_EVERY};
use crate::api::PlannedStrike;
use crate::instant::after;

/// No strike is looked at earlier: what is seen of it is to be fresh.
const LEAD: Duration = Duration::from_secs(1);
/// A survey of all waits no longer for a gap between strikes.
const SURVEY_GIVES_WAY: Duration = Duration::from_secs(20);
/// What was seen for a strike is not used any longer; a process that stood still looks again.
const KEPT: Duration = Duration::from_millis(1_500);

/// What was seen for a strike that is not due yet, and lets it happen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ready {
    attempt: Attempt,
    observation: Observation,
    since: Timestamp,
}

impl Cursor<'_> {
    /// A look is asked for.
    pub(super) fn asks(&mut self) {
        self.state.asked_at = Some(self.now);
    }

    /// It was answered, or failed.
    pub(super) fn is_answered(&mut self, scope: &Scope) {
        let Some(asked_at) = self.state.asked_at.take() else { return };
        let took = elapsed(asked_at, self.now);
        if *scope == Scope::Target && self.has_groups_by_namespace() {
            self.state.survey_takes = took.min(SURVEY_GIVES_WAY);
        } else {
            // The longest counts, and is forgotten slowly.
            self.state.look_takes = took.min(LEAD).max(self.state.look_takes * 7 / 8);
        }
    }

    /// How long before a strike it is looked at.
    fn lead(&self) -> Duration {
        (self.state.look_takes * 3 / 2).min(LEAD)
    }

    /// When this strike has to be turned to.
    pub(super) fn begins_at(&self, strike: &PlannedStrike) -> Timestamp {
        let due = self.due_at(strike);
        let is_ready = self.ready_strike() == Some(strike.strike);
        // One that was put off, or could not be decided on ahead of time, is looked at when it is due.
        if is_ready || self.state.retry.contains_key(&strike.strike) {
            return due;
        }
        due.saturating_sub(self.lead()).unwrap_or(due)
    }

    /// The strike that was looked at and is not due yet.
    pub(super) fn ready_strike(&self) -> Option<u64> {
        self.state.ready.as_ref().map(|ready| ready.attempt.strike.strike)
    }

    /// Whether a look for no strike, wanted since then, waits for one that is about to be looked at or killed for: it would make
    /// that one late. It does not wait for long.
    pub(super) fn gives_way(&self, wanted: Timestamp) -> bool {
        let takes = self.state.look_takes;
        let is_in_the_way = self.next_due().is_some_and(|turn| turn <= after(self.now, takes));
        !takes.is_zero() && is_in_the_way && self.is_prepared() && self.now < after(wanted, LEAD)
    }

    /// When all of the target has to be surveyed. While strikes come sooner than that takes it waits for a longer gap between two,
    /// and for that not for ever.
    pub(super) fn survey_of_all_at(&self) -> Option<Timestamp> {
        let due = after(self.state.surveyed_at?, SURVEY_EVERY);
        let fits = self.next_due().is_none_or(|turn| turn > after(self.now, self.state.survey_takes));
        let waits = self.has_groups_by_namespace() && self.now < after(due, SURVEY_GIVES_WAY);
        (fits || due > self.now || !waits).then_some(due)
    }

    /// Whether the strike is not due yet. A victim after the first of a strike never is early.
    pub(super) fn is_early(&self, attempt: &Attempt) -> bool {
        attempt.companions.is_none() && self.now < self.due_at(&attempt.strike)
    }

    /// Keeps what lets a strike happen until it is due.
    pub(super) fn keep(&mut self, attempt: Attempt, observation: Observation) {
        self.state.ready = Some(Ready { attempt, observation, since: self.now });
    }

    /// A strike that would not happen now is looked at again when it is due.
    pub(super) fn wait_for(&mut self, strike: &PlannedStrike) {
        let due = self.due_at(strike);
        self.state.retry.insert(strike.strike, due);
    }

    /// Forgets what was seen for a strike that is gone, or was moved, or that took place too long ago.
    pub(super) fn drop_outdated(&mut self) {
        let Some(ready) = &self.state.ready else { return };
        let strike = &ready.attempt.strike;
        let is_planned = self.state.ledger.upcoming.iter().any(|it| it.strike == strike.strike && it.at == strike.at);
        let age = self.now.duration_since(ready.since);
        let is_recent = !age.is_negative() && age.unsigned_abs() <= KEPT;
        // A clock that was set back would keep it waiting.
        let is_soon = strike.at.0 <= after(self.now, LEAD);
        if !(is_planned && is_recent && is_soon) {
            self.state.ready = None;
        }
    }

    /// Goes on with a strike that is due, by what was seen for it if that was done already.
    pub(super) fn turn_to(&mut self, attempt: Attempt) -> Option<Action> {
        match self.state.ready.take_if(|ready| ready.attempt.strike.strike == attempt.strike.strike) {
            Some(Ready { attempt, observation, .. }) => self.judge(attempt, observation),
            None => Some(self.look_for(attempt)),
        }
    }
}

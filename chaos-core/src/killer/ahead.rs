//! This machine's clock is set ahead while a killer works, or the machine has slept: what happened before is no older for that. What is
//! due by the clock on the wall is due all the same. A clock that is set back makes everything younger: kills keep their distance by it,
//! and nothing else may wait as long as that: no look, no lost answer, and nothing that ends a killer.

use std::time::Duration;

use jiff::Timestamp;

use super::elapsed;
use super::reason::SkipReason;
use super::settle::LOOK_UP_EVERY;
use super::state::{Attempt, KillerState};
use super::step::Cursor;
use super::strike::RETRY_REFUSED;
use crate::instant::{after, micro_time};

impl KillerState {
    /// The clock was set ahead by so much. Instants that others go by as well (of intents and reservations) stay, as do those of the
    /// plan.
    pub(super) fn set_ahead(&mut self, by: Duration, now: Timestamp) {
        if by.is_zero() {
            return;
        }
        self.set_at = Some(now);
        self.set_by = self.set_by.saturating_add(by);
        let of_live = self.ledger.live.iter_mut().flat_map(|live| live.groups.iter_mut());
        let kills = self.ledger.groups.iter_mut().chain(of_live).filter_map(|group| group.last_kill_at.as_mut());
        let recovering = self.ledger.recovering.iter_mut().map(|record| &mut record.since);
        for at in kills.chain(recovering) {
            *at = micro_time(moved(at.0, by, now));
        }
        let blind = self.blind.as_mut().map(|(since, _)| since);
        let sighted = self.sighted.iter_mut().map(|(_, at)| at);
        let known = sighted.chain(self.sent.values_mut());
        for at in [self.began_at.as_mut(), self.asked_at.as_mut(), blind].into_iter().flatten().chain(known) {
            *at = moved(*at, by, now);
        }
    }

    /// What lies ahead of the clock happened before that was set back: by now, and from now on it gets older. The last kills stay where
    /// they are: they keep others waiting, and count for the day that they were counted for.
    pub(super) fn set_back(&mut self, now: Timestamp) {
        let Self { looked_at, surveyed_at, set_at, began_at, .. } = self;
        let known = [looked_at, surveyed_at, set_at, began_at].into_iter().flatten();
        let blind = self.blind.iter_mut().map(|(since, _)| since);
        let sighted = self.sighted.iter_mut().map(|(_, at)| at);
        for at in known.chain(blind).chain(sighted) {
            *at = now.min(*at);
        }
        for record in self.ledger.recovering.iter_mut().filter(|record| record.since.0 > now) {
            record.since = micro_time(now);
        }
        for at in self.look_up.values_mut() {
            *at = after(now, LOOK_UP_EVERY).min(*at);
        }
        for (strike, at) in &mut self.retry {
            let planned = self.ledger.upcoming.iter().find(|planned| planned.strike == *strike);
            *at = planned.map_or(now, |planned| planned.at.0).max(after(now, RETRY_REFUSED)).min(*at);
        }
    }
}

/// An instant of before, by the clock as it is now. None of before comes after now; one that does by itself, as the clock was set back
/// once, stays, or a clock that goes back and forth would keep all waiting for longer each time.
fn moved(at: Timestamp, by: Duration, now: Timestamp) -> Timestamp {
    at.max(after(at, by).min(now))
}

impl Cursor<'_> {
    /// When a kill was sent, by the clock as it is now.
    pub(super) fn sent_at(&self, at: Timestamp) -> Timestamp {
        // Whether the clock was set before or after that, it was sent by now.
        if self.view.ahead.is_zero() { at } else { after(at, self.view.ahead).min(self.now) }
    }

    /// How long something has been in doubt since then: since the clock was set ahead at most, if that came later. What may still be
    /// carried out is over no sooner for it.
    pub(super) fn in_doubt_for(&self, since: Timestamp) -> Duration {
        let since = self.state.set_at.map_or(since, |set_at| set_at.max(since));
        elapsed(since, self.now)
    }

    /// What the end of a killer says whose time is over: by which clock, for only by that one it is.
    pub(super) fn time_is_over(&self, until: Timestamp) -> String {
        let told = format!("its time ended at {until}, and this machine's clock shows {:.3}", self.now);
        match self.state.set_by.as_millis() {
            0 => told,
            millis => format!("{told}; it was set ahead by {millis} ms meanwhile"),
        }
    }

    /// Budgets tell when a workload was last killed by the clock as it was: until the least interval has passed since it was set ahead
    /// nobody can tell whether that is long enough ago.
    pub(super) fn just_set(&self, attempt: &Attempt) -> Option<(SkipReason, String)> {
        let since = elapsed(self.state.set_at?, self.as_of(attempt));
        let min = self.spec.limits.min_interval;
        (attempt.companions.is_none() && since < min.std()).then(|| {
            (
                SkipReason::Spacing,
                format!(
                    "this machine's clock was set ahead {} ms ago; {min} is the least interval between kills",
                    since.as_millis()
                ),
            )
        })
    }
}

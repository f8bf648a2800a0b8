//! The plan: which strikes come next, and when. It is stored, so a restart changes nothing; what was due while nobody was
//! there is skipped (standing killers) and never made up for in a burst. A plan that is void as a whole (suspended, or drawn from
//! another spec) goes as a whole: its strikes are none that were skipped.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::groups::MAX_GROUPS;
use super::reason::SkipReason;
use super::step::Cursor;
use super::{Life, Streams, calendar, elapsed, gaps};
use crate::api::PlannedStrike;
use crate::instant::{after, micro_time};

/// Name of the stream of a killer that has only one.
pub(crate) const SINGLE: &str = "all";
/// A standing killer shows this many strikes ahead, at most [`PER_GROUP`] of a group and at least one.
const SHOWN: usize = 20;
const PER_GROUP: usize = 5;
/// A strike of a standing killer that is later than its least gap was missed; within these bounds. A busy server, or another strike,
/// makes one seconds late. Whoever takes over from a process that is gone finds those of many groups overdue: they must not follow
/// all at once.
const LATE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

impl Cursor<'_> {
    /// Plans what is missing for the groups that are there.
    pub(super) fn fill_plan(&mut self) {
        if self.state.ledger.plan.as_deref() != Some(self.digest) {
            self.state.ledger.upcoming.clear();
            self.state.ledger.plan = Some(self.digest.to_owned());
        }
        let streams = self.streams();
        self.state.ledger.unplanned = self.unplanned();
        let ahead = match self.spec.life {
            Life::OfRun { .. } => 1,
            Life::Standing => (SHOWN / streams.len().max(1)).clamp(1, PER_GROUP),
        };
        for stream in streams {
            while self.planned(&stream).count() < ahead {
                let last = self.planned(&stream).map(|strike| strike.at.0).max();
                if !self.plan_one(&stream, last.unwrap_or(self.now)) {
                    break;
                }
            }
        }
    }

    /// Drops a planned strike that was done or is not going to be.
    pub(super) fn consume(&mut self, strike: u64) {
        self.state.ledger.upcoming.retain(|planned| planned.strike != strike);
        self.state.retry.remove(&strike);
    }

    /// Skips what people cancelled. A strike with an open intent may have killed already: it is no skip.
    pub(super) fn cancel(&mut self) {
        let cancelled: Vec<_> = self.pending().filter(|s| self.view.cancel.contains(&s.id)).cloned().collect();
        for strike in cancelled {
            self.skip(&strike, SkipReason::Cancelled, format!("{} was cancelled", strike.id));
        }
    }

    /// Moves what people postponed to the instant that they named, or to the first one after it that the schedule allows. What
    /// is under way already is not moved; it is not killed either (`changed_meanwhile`).
    pub(super) fn postpone(&mut self) {
        let late = |strike: &PlannedStrike| self.view.postpone.get(&strike.id).filter(|until| strike.at.0 < **until);
        let moved: Vec<_> = self.pending().filter_map(|strike| Some((strike.clone(), *late(strike)?))).collect();
        for (strike, until) in moved {
            let at = calendar::advance(&self.spec.schedule, until, Duration::ZERO);
            let Some(at) = at.filter(|at| self.spec.until().is_none_or(|end| *at < end)) else {
                let message = format!("{} was postponed to {until}, after which there is no time for it", strike.id);
                self.skip(&strike, SkipReason::Cancelled, message);
                continue;
            };
            self.state.retry.remove(&strike.strike);
            let mut planned = self.state.ledger.upcoming.iter_mut();
            if let Some(planned) = planned.find(|planned| planned.strike == strike.strike) {
                planned.postponed_from.get_or_insert(strike.at);
                planned.at = micro_time(at);
            }
            self.sort_plan();
        }
    }

    fn sort_plan(&mut self) {
        self.state.ledger.upcoming.sort_by_key(|planned| (planned.at.0, planned.strike));
    }

    /// Skips what is too late, as nobody was there or what came before took too long (standing killers only).
    pub(super) fn skip_missed(&mut self) {
        if self.spec.puts_off() {
            return;
        }
        let tolerance = self.spec.every.min.std().clamp(LATE.0, LATE.1);
        let is_missed =
            |strike: &&PlannedStrike| after(strike.at.0, tolerance) < self.now && !self.is_open(strike.strike);
        let missed: Vec<_> = self.state.ledger.upcoming.iter().filter(is_missed).cloned().collect();
        for strike in missed {
            let late = elapsed(strike.at.0, self.now).as_millis();
            let most = crate::units::Duration::from(tolerance);
            let message = format!("it was due at {}, {late} ms ago; after {most} it is not made up for", strike.at.0);
            self.skip(&strike, SkipReason::Missed, message);
        }
    }

    /// Takes a strike out of the plan with the reason for which it did not happen.
    pub(super) fn skip(&mut self, strike: &PlannedStrike, reason: SkipReason, message: String) {
        self.consume(strike.strike);
        self.state.ledger.unfinished.take_if(|left| left.strike == strike.strike);
        self.state.ledger.skip(strike, reason.as_str(), message, self.now);
    }

    /// Tells that a strike that has killed leaves so many more of its victims alone.
    pub(super) fn leave_alone(&mut self, strike: &PlannedStrike, pods: u32, why: &str) {
        if pods > 0 {
            self.skip(strike, SkipReason::Missed, format!("{pods} more of its pods were to be killed: {why}"));
        }
    }

    /// The strike whose turn it is, if there is one.
    pub(super) fn due(&self) -> Option<PlannedStrike> {
        self.next().filter(|strike| self.begins_at(strike) <= self.now).cloned()
    }

    /// When the next strike has to be turned to.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.next().map(|strike| self.begins_at(strike))
    }

    /// The strike that has to be turned to next. One that was looked at goes before another whose look would make it late: each
    /// look takes time, and forgets what was seen for others.
    pub(super) fn next(&self) -> Option<&PlannedStrike> {
        let turn = |strike: &&PlannedStrike| (self.begins_at(strike), strike.strike);
        let first = self.pending().min_by_key(turn)?;
        let has_time_until = after(self.begins_at(first).max(self.now), self.lead());
        let ready = self.pending().filter(|strike| self.is_ready(strike)).min_by_key(turn);
        Some(ready.filter(|ready| self.begins_at(ready) <= has_time_until).unwrap_or(first))
    }

    /// Planned strikes without an open intent. One that has is not drawn again, whatever became of its kill.
    pub(super) fn pending(&self) -> impl Iterator<Item = &PlannedStrike> {
        self.state.ledger.upcoming.iter().filter(|strike| !self.is_open(strike.strike))
    }

    /// Whether a strike has left the plan: one in hand has killed then.
    pub(super) fn has_struck(&self, strike: u64) -> bool {
        !self.state.ledger.upcoming.iter().any(|planned| planned.strike == strike)
    }

    /// Whether it is not known what became of a kill of that strike.
    pub(super) fn is_open(&self, strike: u64) -> bool {
        self.state.ledger.intents.iter().any(|intent| intent.strike == strike)
    }

    /// The instant of a strike, or the one to which it was put off.
    pub(super) fn due_at(&self, strike: &PlannedStrike) -> Timestamp {
        self.state.retry.get(&strike.strike).copied().unwrap_or(strike.at.0)
    }

    /// The plan of a stream as it was drawn: without what people put off, which may be for a year, and would keep the group quiet
    /// for as long. Except in a run, whose strikes come one at a time.
    fn planned<'s>(&'s self, stream: &'s str) -> impl Iterator<Item = &'s PlannedStrike> {
        let counts = |strike: &PlannedStrike| strike.postponed_from.is_none() || self.spec.puts_off();
        self.state.ledger.upcoming.iter().filter(move |strike| strike.group == stream && counts(strike))
    }

    /// The streams that strikes are planned for now.
    fn streams(&self) -> BTreeSet<String> {
        match self.spec.streams {
            Streams::Single => BTreeSet::from([SINGLE.to_owned()]),
            Streams::PerGroup => self.state.groups.iter().take(MAX_GROUPS).cloned().collect(),
        }
    }

    /// How many groups nothing is planned for, if there are such.
    fn unplanned(&self) -> Option<u64> {
        let surplus = match self.spec.streams {
            Streams::Single => 0,
            Streams::PerGroup => self.state.groups.len().saturating_sub(MAX_GROUPS),
        };
        (surplus > 0).then_some(surplus as u64)
    }

    /// Plans the strike of `stream` that follows `anchor`. Whether there is one.
    pub(super) fn plan_one(&mut self, stream: &str, anchor: Timestamp) -> bool {
        let record = self.state.ledger.group(stream);
        let (number, last_kill) = (record.drawn, record.last_kill_at.as_ref().map(|at| at.0));
        let gap = gaps::draw(&self.spec.every, self.spec.seed, stream, number);
        // A plan that is drawn anew must keep its distance to the last kill too.
        let earliest = last_kill.map(|last| after(last, self.spec.every.min.std()));
        let at = calendar::advance(&self.spec.schedule, anchor, gap)
            .and_then(|at| calendar::advance(&self.spec.schedule, at.max(earliest.unwrap_or(at)), Duration::ZERO))
            .filter(|at| self.spec.until().is_none_or(|until| *at < until));
        let Some(at) = at else {
            return false;
        };
        self.state.ledger.group(stream).drawn += 1;
        let strike = self.state.ledger.strikes;
        self.state.ledger.strikes += 1;
        self.state.ledger.upcoming.push(PlannedStrike {
            id: PlannedStrike::id_of(strike),
            strike,
            at: micro_time(at),
            group: stream.to_owned(),
            waiting_for: None,
            postponed_from: None,
        });
        self.sort_plan();
        true
    }
}

//! What must survive a crash: the plan, the open intents, and what became of the strikes. The operator keeps it in the
//! monkey's status, the CLI writes what is new in it to its journal. What a dry run would have killed never counts as killed, and
//! what was killed is never forgotten for a dry run: each mode has counts of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::reason::EndReason;
use super::{calendar, elapsed};
use crate::api::{
    ChaosMonkeyStatus, EndRecord, GroupRecord, IntentRecord, KillRecord, LiveCounts, Mode, Outcome, PlannedStrike,
    RecoveringRecord, SkipRecord, UnfinishedStrike,
};
use crate::instant::{micro_time, time};
use crate::model::Schedule;

/// The latest kills that are kept.
const HISTORY: usize = 100;
/// So many of them may be of a dry run: no more push out what was killed, by whose records reservations are told from those of
/// nothing.
const PRETENDED: usize = 50;
/// So far ahead may a kill be that counts as one of today.
const A_DAY: Duration = Duration::from_secs(24 * 3_600);
/// The latest skips that are kept.
const SKIPPED: usize = 50;

/// The durable state of a killer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ledger {
    /// Planned strikes, soonest first.
    pub upcoming: Vec<PlannedStrike>,
    /// Kills that are decided and whose outcome is not known yet.
    pub intents: Vec<IntentRecord>,
    /// The latest kill calls with their outcome, oldest first.
    pub history: Vec<KillRecord>,
    /// The latest skips, oldest first.
    pub skipped: Vec<SkipRecord>,
    /// What is remembered of each group.
    pub groups: Vec<GroupRecord>,
    /// Groups that are there and that nothing is planned for, if there are more than one killer plans for.
    pub unplanned: Option<u64>,
    /// Kills whose replacement is not Ready yet.
    pub recovering: Vec<RecoveringRecord>,
    /// Kills so far: accepted ones, and those nobody knows the outcome of; in a dry run those that would have been.
    pub kills: u64,
    /// Kills on the day of the last one (UTC).
    pub kills_today: u64,
    /// What was killed, while the counts beside it are of a dry run.
    pub live: Option<LiveCounts>,
    /// Strikes that killed at least one pod.
    pub struck: u64,
    /// Skips so far.
    pub skips: u64,
    /// Strikes drawn so far: the number of the next one.
    pub strikes: u64,
    /// Why it kills no more.
    pub ended: Option<EndRecord>,
    /// Digest of what the plan was drawn from.
    pub plan: Option<String>,
    /// Saves made for nothing but to fence off whoever else still drives this killer.
    pub fences: u64,
    /// The strike that has begun to kill, and has more pods to kill.
    pub unfinished: Option<UnfinishedStrike>,
}

impl Ledger {
    /// What a status remembers.
    pub fn from_status(status: &ChaosMonkeyStatus) -> Self {
        let status = status.clone();
        Self {
            upcoming: status.upcoming,
            intents: status.intents,
            history: status.history,
            skipped: status.skipped,
            groups: status.groups,
            unplanned: status.unplanned_groups,
            recovering: status.recovering,
            kills: status.kills,
            kills_today: status.kills_today,
            live: status.live,
            struck: status.kills,
            skips: status.skips,
            strikes: status.strikes,
            ended: status.ended,
            plan: status.plan,
            fences: status.fences,
            // A strike of a monkey kills one pod.
            unfinished: None,
        }
    }

    /// Writes itself into a status; what is not its own there stays.
    pub fn write_to(&self, status: &mut ChaosMonkeyStatus) {
        let Self {
            upcoming,
            intents,
            history,
            skipped,
            groups,
            unplanned,
            recovering,
            kills,
            kills_today,
            live,
            struck: _,
            skips,
            strikes,
            ended,
            plan,
            fences,
            unfinished: _,
        } = self.clone();
        status.next_at = upcoming.iter().map(|strike| strike.at.0).min().map(time);
        status.effective_mean_time_between_kills = self.effective_mean();
        status.upcoming = upcoming;
        status.intents = intents;
        status.history = history;
        status.skipped = skipped;
        status.groups = groups;
        status.unplanned_groups = unplanned;
        status.recovering = recovering;
        status.kills = kills;
        status.kills_today = kills_today;
        status.live = live;
        status.skips = skips;
        status.strikes = strikes;
        status.ended = ended;
        status.plan = plan;
        status.fences = fences;
    }

    /// Mean active time between two kills of a group, once a group has two.
    pub fn effective_mean(&self) -> Option<crate::units::Duration> {
        let gaps: u64 = self.groups.iter().map(|group| group.kills.saturating_sub(1)).sum();
        let total: Duration = self.groups.iter().map(|group| group.active.std()).sum();
        let millis = u64::try_from(total.as_millis()).ok()?.checked_div(gaps)?;
        Some(crate::units::Duration::from_millis(millis))
    }

    /// The counts are of this mode from here on. What was killed is set aside while a dry run counts, and counts on afterwards; what
    /// a dry run counted ends with it.
    pub(super) fn turn(&mut self, mode: Mode) {
        if self.live.is_none() {
            self.mend();
        }
        match (mode, self.live.is_some()) {
            (Mode::DryRun, false) => {
                self.live = Some(LiveCounts::default());
                self.swap_counts();
                // What an earlier dry run would have killed counts for none but that.
                self.history.retain(|kill| kill.outcome != Outcome::WouldKill);
            }
            (Mode::Live, true) => {
                self.swap_counts();
                self.live = None;
            }
            (Mode::DryRun, true) | (Mode::Live, false) => {}
        }
    }

    /// Takes out of the counts what an older version put there of a dry run, as far as the history tells.
    fn mend(&mut self) {
        let is_pretended = |kill: &&KillRecord| kill.outcome == Outcome::WouldKill;
        let Some(last) = self.history.iter().rfind(is_pretended) else { return };
        // Where kills alone are counted, no group has its last one at the instant of such a record.
        let is_counted =
            |group: &GroupRecord| group.group == last.group && group.last_kill_at.as_ref() == Some(&last.at);
        if !self.groups.iter().any(is_counted) {
            return;
        }
        let day = self.groups.iter().filter_map(|group| group.last_kill_at.as_ref()).map(|at| day_of(at.0)).max();
        let count = |of: &dyn Fn(&KillRecord) -> bool| {
            self.history.iter().filter(|kill| is_pretended(kill) && of(kill)).count() as u64
        };
        self.kills = self.kills.saturating_sub(count(&|_| true));
        self.kills_today = self.kills_today.saturating_sub(count(&|kill| Some(day_of(kill.at.0)) == day));
        self.struck = self.kills;
        for group in &mut self.groups {
            let own: Vec<&KillRecord> = self.history.iter().filter(|kill| kill.group == group.group).collect();
            let pretended = own.iter().filter(|kill| is_pretended(kill)).count() as u64;
            if pretended == 0 {
                continue;
            }
            let killed = own.iter().filter(|kill| is_kill(kill.outcome));
            let last = killed.map(|kill| kill.at.clone()).max_by_key(|at| at.0);
            let (before, kills) = (group.kills, group.kills.saturating_sub(pretended));
            // The mean stays as it is: a dry run keeps the same distance.
            let gaps = |kills: u64| kills.saturating_sub(1) as f64;
            group.active = group.active.std().mul_f64(gaps(kills) / gaps(before).max(1.0)).into();
            (group.kills, group.last_kill_at) = (kills, last);
        }
    }

    /// What was killed and what a dry run counts change places, if there are both. Which gap comes next is of the plan, and stays.
    fn swap_counts(&mut self) {
        let Some(mut other) = self.live.take() else { return };
        std::mem::swap(&mut self.kills, &mut other.kills);
        std::mem::swap(&mut self.kills_today, &mut other.kills_today);
        std::mem::swap(&mut self.groups, &mut other.groups);
        // A strike of a monkey kills one pod, and nothing else has a mode that changes.
        self.struck = self.kills;
        for group in &other.groups {
            self.group(&group.group).drawn = group.drawn;
        }
        other.groups.retain(|group| group.last_kill_at.is_some());
        self.live = Some(other);
    }

    /// Kills on the day (UTC) of `now`.
    pub(super) fn kills_on(&self, now: Timestamp) -> u64 {
        kills_on(last_kills(&self.groups), self.kills_today, now)
    }

    /// The same, with those that were killed before a dry run began: they count for what it may.
    pub(super) fn all_kills_on(&self, now: Timestamp) -> u64 {
        let live = self.live.as_ref().map_or(0, |live| kills_on(last_kills(&live.groups), live.kills_today, now));
        self.kills_on(now) + live
    }

    /// Whether a kill of that pod was sent, or may have been.
    pub(super) fn has_hit(&self, uid: &str) -> bool {
        self.intents.iter().any(|intent| intent.victim.uid == uid)
            || self.history.iter().any(|kill| kill.victim.uid == uid && is_kill(kill.outcome))
    }

    /// UIDs of the pods of which the server said that they are gone when this strike was to hit them.
    pub(super) fn told_gone(&self, strike: u64) -> impl Iterator<Item = &str> {
        let is_gone = move |kill: &&KillRecord| kill.strike == strike && kill.outcome == Outcome::Gone;
        self.history.iter().filter(is_gone).map(|kill| kill.victim.uid.as_str())
    }

    /// The intent of that identity.
    pub(super) fn intent(&self, nonce: &str) -> Option<&IntentRecord> {
        self.intents.iter().find(|intent| intent.nonce == nonce)
    }

    /// The record of a group, made if there is none.
    pub(super) fn group(&mut self, name: &str) -> &mut GroupRecord {
        let found = self.groups.iter().position(|group| group.group == name);
        let index = found.unwrap_or_else(|| {
            self.groups.push(GroupRecord {
                group: name.to_owned(),
                drawn: 0,
                kills: 0,
                last_kill_at: None,
                active: crate::units::Duration::default(),
            });
            self.groups.len() - 1
        });
        &mut self.groups[index]
    }

    /// Forgets the groups that are not `present`, for names come and go (nodes, versions) and a status has to stay small. Those are
    /// kept whose last kill still counts: for the least gap to the next, or for the day (UTC).
    pub(super) fn forget(&mut self, present: &BTreeSet<String>, min: Duration, now: Timestamp) {
        let (upcoming, intents, today) = (&self.upcoming, &self.intents, day_of(now));
        let is_wanted = |name: &str| {
            present.contains(name)
                || upcoming.iter().any(|strike| strike.group == name)
                || intents.iter().any(|intent| intent.group == name)
        };
        let counts = |kill: Timestamp| day_of(kill) >= today || elapsed(kill, now) < min;
        let is_kept =
            |group: &GroupRecord| group.last_kill_at.as_ref().is_some_and(|at| counts(at.0)) || is_wanted(&group.group);
        self.groups.retain(is_kept);
        if let Some(live) = &mut self.live {
            live.groups.retain(is_kept);
        }
    }

    /// Adds a kill call to the history, and to the counts if it was a kill, or would have been one in a dry run.
    pub(super) fn record(&mut self, kill: KillRecord, stream: &str, schedule: &Schedule) {
        // It was sent before a dry run began, which counts only what would have been.
        let is_of_before = is_kill(kill.outcome) && self.live.is_some();
        if is_of_before {
            self.swap_counts();
        }
        self.count(&kill, stream, schedule);
        if is_of_before {
            self.swap_counts();
        }
        self.history.push(kill);
        self.make_room();
    }

    fn count(&mut self, kill: &KillRecord, stream: &str, schedule: &Schedule) {
        let counts = |outcome| is_kill(outcome) || outcome == Outcome::WouldKill;
        if counts(kill.outcome) {
            self.kills_today = self.kills_on(kill.at.0) + 1;
            self.kills += 1;
            if !self.history.iter().any(|before| before.strike == kill.strike && counts(before.outcome)) {
                self.struck += 1;
            }
            let group = self.group(stream);
            group.kills += 1;
            match &group.last_kill_at {
                // What became of a kill may be known only after later ones are.
                Some(last) if last.0 >= kill.at.0 => {}
                last => {
                    if let Some(last) = last {
                        let span = calendar::active_between(schedule, last.0, kill.at.0);
                        group.active = (group.active.std() + span).into();
                    }
                    group.last_kill_at = Some(kill.at.clone());
                }
            }
        }
    }

    /// Drops the oldest kill of a history that is too long: one that only would have been if there are many of these.
    fn make_room(&mut self) {
        if self.history.len() <= HISTORY {
            return;
        }
        let is_pretended = |kill: &KillRecord| kill.outcome == Outcome::WouldKill;
        let are_many = self.history.iter().filter(|kill| is_pretended(kill)).count() > PRETENDED;
        let oldest = self.history.iter().position(|kill| is_pretended(kill) || !are_many);
        self.history.remove(oldest.unwrap_or_default());
    }

    /// Adds a skip.
    pub(super) fn skip(&mut self, strike: &PlannedStrike, reason: &'static str, message: String, now: Timestamp) {
        self.skips += 1;
        self.skipped.push(SkipRecord {
            strike: strike.strike,
            group: strike.group.clone(),
            at: micro_time(now),
            reason: reason.to_owned(),
            message,
        });
        let surplus = self.skipped.len().saturating_sub(SKIPPED);
        self.skipped.drain(..surplus);
    }

    /// Ends it, unless it has ended: the first reason stands.
    pub(super) fn end(&mut self, reason: EndReason, message: String, now: Timestamp) {
        self.upcoming.clear();
        self.ended.get_or_insert_with(|| EndRecord {
            reason: reason.as_str().to_owned(),
            message,
            at: micro_time(now),
        });
    }

    /// Longest time since one of the open kills was made.
    pub fn longest_recovery(&self, now: Timestamp) -> Option<Duration> {
        self.recovering.iter().map(|record| elapsed(record.since.0, now)).max()
    }
}

/// When each of these groups had its last kill.
pub(super) fn last_kills(groups: &[GroupRecord]) -> impl Iterator<Item = Timestamp> {
    groups.iter().filter_map(|group| group.last_kill_at.as_ref()).map(|at| at.0)
}

/// Kills on the day (UTC) of `now`, of groups that had their last ones at these instants, and together so many on the day of the
/// latest. Those of the next day, of a faster clock or known before this one is, count as that day's. One of a clock that was wrong
/// by more counts for nothing: else it would hide, for as long as it lies ahead, that others were killed today, and nothing would
/// bound them.
pub(super) fn kills_on(lasts: impl Iterator<Item = Timestamp>, kills_today: u64, now: Timestamp) -> u64 {
    let last = lasts.filter(|last| elapsed(now, *last) <= A_DAY).max();
    if last.is_some_and(|last| day_of(last) >= day_of(now)) { kills_today } else { 0 }
}

/// Whether an outcome is a kill: what may have happened is. What only would have happened is none.
pub(super) const fn is_kill(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Killed | Outcome::Unknown)
}

fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

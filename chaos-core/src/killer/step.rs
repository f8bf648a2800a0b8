//! The step function: takes the response in, and decides what comes next when nothing is in hand.

use std::time::Duration;

use jiff::Timestamp;

use super::ledger::is_kill;
use super::messages::{Action, KillerView, Response};
use super::reason::{EndReason, SkipReason};
use super::state::{Attempt, Phase};
use super::{Killer, KillerSpec, KillerState, Life, calendar, elapsed};
use crate::instant::after;
use crate::limits::RefusalReason;
use crate::machine::{Next, Step};

/// How often groups are looked for while nothing else asks for a look at the cluster.
pub(super) const SURVEY_EVERY: Duration = Duration::from_secs(60);
/// So long before a strike is turned to, the cluster is surveyed: the look for the strike reads a budget first, and whose that is
/// has to be known by then. What was seen is kept only while a strike is that near: it is megabytes for each killer of a large
/// namespace.
pub(super) const LOOK_AHEAD: Duration = Duration::from_secs(5);
/// How often the cluster is looked for while it is out of sight.
const BLIND_RETRY: Duration = Duration::from_secs(1);
/// While a kill recovers, the cluster is looked at whenever a tenth more of the time since the kill has passed, within these
/// bounds: recovery times are right to a tenth.
const RECOVERY_LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// But not before so many times as long as the last look took: where looks take long, others wait for the same API server, and
/// strikes of this killer for the look.
const LOOK_RESTS: u32 = 4;
/// Beats that may be missed. One interval more is allowed before a missed one is one, half an interval for the way it takes.
const MISSED_BEATS: u32 = 2;

/// One step on its way: the state it changes, and all it may look at.
pub(super) struct Cursor<'a> {
    pub spec: &'a KillerSpec,
    /// Digest of what the plan depends on.
    pub digest: &'a str,
    pub view: &'a KillerView,
    pub now: Timestamp,
    pub state: KillerState,
}

/// One step of the strike machine.
pub(super) fn step(
    killer: &Killer,
    state: &KillerState,
    view: &KillerView,
    response: Option<Response>,
    now: Timestamp,
) -> Step<KillerState, Action> {
    let mut cursor = Cursor { spec: &killer.spec, digest: &killer.digest, view, now, state: state.clone() };
    cursor.state.set_ahead(view.ahead, now);
    cursor.state.began_at.get_or_insert(now);
    // Here, not where a ledger is read: it has to be saved as well. While kills are held it may be that the server drops what it is
    // saved in, and nothing is counted meanwhile.
    if view.hold.is_none() {
        cursor.state.ledger.turn(killer.spec.mode);
    }
    cursor.state.set_back(now);
    let action = cursor.take(response);
    let next = action.map_or_else(|| cursor.idle(), Next::Act);
    Step { state: cursor.state, next }
}

impl Cursor<'_> {
    /// Takes in what came of the last action. The action that the strike in hand goes on with, if it does.
    fn take(&mut self, response: Option<Response>) -> Option<Action> {
        match (std::mem::replace(&mut self.state.phase, Phase::Idle), response?) {
            (Phase::Surveying(scope), Response::Observed(observed)) => {
                if self.learn(observed, &scope).is_ok() {
                    self.plan_if_allowed();
                }
                None
            }
            (Phase::Examining(attempt, scope), Response::Observed(observed)) => self.examine(attempt, observed, &scope),
            (Phase::Reserving(decision), Response::Stored(stored)) => self.reserved(*decision, stored),
            (Phase::Sending { attempt, nonce, reserved }, Response::Kill(answer)) => {
                self.sent(attempt, &nonce, reserved, answer)
            }
            (Phase::LookingUp { nonce }, Response::Found(sighting)) => self.found(&nonce, sighting),
            (Phase::Rereading(release), Response::Budget(read)) => self.reread(release, read),
            (Phase::Releasing(release), Response::Stored(stored)) => self.released(release, stored),
            // An answer to nothing that was asked: there is nothing to go on with.
            _ => None,
        }
    }

    /// Decides what to do when nothing is in hand.
    fn idle(&mut self) -> Next<Action> {
        self.tell_unfinished();
        if let Some(action) = self.give_back() {
            return Next::Act(action);
        }
        if self.view.leave {
            return Next::Done;
        }
        self.end_if_over();
        if let Some(action) = self.look_up_due() {
            return Next::Act(action);
        }
        if self.state.ledger.ended.is_some() {
            if self.state.ledger.intents.is_empty() && self.state.ledger.recovering.is_empty() {
                // It may have ended just now, and have had to wait until then.
                return self.give_back().map_or(Next::Done, Next::Act);
            }
        } else if self.view.suspended {
            self.state.ledger.upcoming.clear();
        } else {
            self.cancel();
            self.postpone();
            self.skip_missed();
            self.plan_if_allowed();
        }
        self.drop_outdated();
        if let Some(action) = self.survey_due() {
            return Next::Act(action);
        }
        while let Some(strike) = self.due() {
            let attempt = Attempt::first(strike);
            if let Some((reason, message)) = self.brake(attempt.strike.strike).or_else(|| self.unguarded()) {
                self.refuse(&attempt, reason, message);
                continue;
            }
            if let Some(action) = self.turn_to(attempt) {
                return Next::Act(action);
            }
        }
        self.plan_if_allowed();
        if !self.is_strike_near() {
            self.state.facts = None;
        }
        // What gave way to a strike waits no longer for one that did not happen: nothing else would wake it.
        if let Some(action) = self.give_back().or_else(|| self.survey_due()) {
            return Next::Act(action);
        }
        Next::Wait(self.wake_at())
    }

    /// The look that is due for no strike, unless it gives way to one.
    fn survey_due(&mut self) -> Option<Action> {
        let is_due = self.survey_at().is_some_and(|at| at <= self.now && !self.gives_way(at));
        is_due.then(|| {
            let scope = self.scope_of_survey();
            self.state.phase = Phase::Surveying(scope.clone());
            self.look_begins();
            Action::Survey(scope)
        })
    }

    /// Why no kill of that strike may be made now, before any look at the cluster.
    pub(super) fn brake(&self, strike: u64) -> Option<(SkipReason, String)> {
        if self.view.suspended {
            return Some((SkipReason::Held, "suspended".to_owned()));
        }
        if let Some(why) = &self.view.hold {
            return Some((SkipReason::Held, why.clone()));
        }
        if let Some((silent, interval)) = self.silence()
            && (silent > interval * MISSED_BEATS || self.view.beat.is_none())
        {
            let (silent, interval) = (silent.as_millis(), interval.as_millis());
            let message = format!("the run has been silent for {silent} ms; a heartbeat is due every {interval} ms");
            return Some((SkipReason::HeartbeatLate, message));
        }
        if self.may_be_beyond_the_last(strike) {
            let message = "the last kill's outcome is not known yet".to_owned();
            return Some((SkipReason::Limit(RefusalReason::MaxKills), message));
        }
        if let Some(until) = self.spec.until().filter(|until| self.now >= *until) {
            return Some((SkipReason::OutsideSchedule, format!("its time ended at {until}")));
        }
        if !calendar::stretch(&self.spec.schedule, self.now).active {
            return Some((SkipReason::OutsideSchedule, "the schedule allows no kill at this time".to_owned()));
        }
        None
    }

    /// Whether as many other strikes as there are to be have killed or may have, of which one is in doubt.
    fn may_be_beyond_the_last(&self, strike: u64) -> bool {
        let Life::OfRun { strikes, .. } = self.spec.life else { return false };
        let ledger = &self.state.ledger;
        // Such a strike counts as one, whatever becomes of its further victims.
        let has_killed = |strike: u64| ledger.history.iter().any(|it| it.strike == strike && is_kill(it.outcome));
        let in_doubt = ledger.intents.iter().filter(|intent| !has_killed(intent.strike)).count() as u64;
        let struck = ledger.struck.saturating_sub(u64::from(has_killed(strike)));
        in_doubt > 0 && struck + in_doubt >= u64::from(strikes)
    }

    /// Ends the killer if its time or its work is over, or its run is silent, or the cluster out of sight for too long.
    fn end_if_over(&mut self) {
        let Life::OfRun { until, strikes, .. } = self.spec.life else { return };
        let ledger = &self.state.ledger;
        let max_kills = u64::from(self.spec.limits.max_kills);
        let blind =
            self.state.blind.clone().filter(|(since, _)| elapsed(*since, self.now) > self.spec.limits.max_blind.std());
        let end = if ledger.kills >= max_kills || ledger.struck >= u64::from(strikes) {
            (EndReason::StrikesDone, format!("{} kills are done", ledger.kills))
        } else if self.now >= until {
            (EndReason::Until, self.time_is_over(until))
        } else if let Some((silent, _)) = self.silence().filter(|_| self.lost_at().is_some_and(|at| self.now > at)) {
            (EndReason::HeartbeatLost, format!("the run has given no sign of life for {} ms", silent.as_millis()))
        } else if let Some((since, why)) = blind {
            let span = elapsed(since, self.now).as_secs();
            (EndReason::Blind, format!("the cluster was out of sight for {span} s: {why}"))
        } else {
            return;
        };
        self.state.ledger.end(end.0, end.1, self.now);
    }

    /// When the run last gave a sign of life, and how often it should. One that never did is silent since the first look.
    fn last_beat(&self) -> Option<(Timestamp, Duration)> {
        let Life::OfRun { heartbeat: Some(interval), .. } = self.spec.life else { return None };
        Some((self.view.beat.or(self.state.began_at)?, interval))
    }

    /// How long the run has been silent, and how often it should beat.
    fn silence(&self) -> Option<(Duration, Duration)> {
        self.last_beat().map(|(since, interval)| (elapsed(since, self.now), interval))
    }

    /// After when a run that gives no sign of life until then is lost. Where the clock was set ahead it has as long from then on: its
    /// last beat may have been a moment ago.
    fn lost_at(&self) -> Option<Timestamp> {
        let (since, interval) = self.last_beat()?;
        let since = self.state.set_at.map_or(since, |set_at| set_at.max(since));
        Some(after(since, interval * MISSED_BEATS + interval / 2))
    }

    /// From when on a run that gives no sign of life until then has missed too many beats.
    pub(super) fn silent_at(&self) -> Option<Timestamp> {
        self.last_beat().map(|(since, interval)| after(since, interval * MISSED_BEATS))
    }

    pub(super) fn plan_if_allowed(&mut self) {
        if self.state.seen && self.state.ledger.ended.is_none() && !self.view.suspended {
            self.fill_plan();
        }
    }

    /// When the cluster has to be looked at, strikes aside.
    fn survey_at(&self) -> Option<Timestamp> {
        let ended = self.state.ledger.ended.is_some();
        let recovering = self.state.ledger.longest_recovery(self.now);
        if recovering.is_none() && (ended || self.view.suspended) {
            return None;
        }
        let Some(looked_at) = self.state.looked_at else {
            return Some(self.now);
        };
        let least = (self.state.last_look_took * LOOK_RESTS).clamp(RECOVERY_LOOK.0, RECOVERY_LOOK.1);
        let look = |since: Duration| (since / 10).clamp(least, RECOVERY_LOOK.1);
        if self.state.blind.is_some() {
            return Some(after(looked_at, BLIND_RETRY));
        }
        // Nothing else is looked for before all of the target was seen once.
        let pause = self.shortest_recovery().map(look).or(self.state.surveyed_at.is_none().then_some(SURVEY_EVERY));
        let routine = pause.map(|pause| after(looked_at, pause));
        let unprepared = self.next_due().filter(|_| !self.is_prepared());
        let prepares = unprepared.and_then(|due| due.saturating_sub(LOOK_AHEAD).ok());
        [routine, self.survey_of_all_at(), prepares].into_iter().flatten().min()
    }

    fn shortest_recovery(&self) -> Option<Duration> {
        self.state.ledger.recovering.iter().map(|record| elapsed(record.since.0, self.now)).min()
    }

    /// The earliest instant at which something is to be done.
    fn wake_at(&self) -> Option<Timestamp> {
        let heartbeat = self.lost_at().map(|at| after(at, Duration::from_millis(1)));
        let going_on = self.state.ledger.ended.is_none();
        let blind = self.state.blind.as_ref().map(|(since, _)| after(*since, self.spec.limits.max_blind.std()));
        let of_life = [self.next_due(), self.spec.until(), heartbeat, blind].into_iter().flatten().filter(|_| going_on);
        let look_up = self.state.look_up.values().copied().min();
        let later = |at: &Timestamp| *at > self.now;
        of_life.chain(look_up).chain(self.survey_at()).filter(later).min()
    }
}

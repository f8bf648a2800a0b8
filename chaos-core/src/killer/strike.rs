//! One kill from the look at the cluster to its outcome. Every exit records why, and gives back what was reserved.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::messages::{Action, BudgetVersion, KillAnswer, KillAnswerKind, KillOrder, Observation, Stored};
use super::reason::{Refused, SkipReason};
use super::scope::Scope;
use super::state::{Attempt, Decision, Phase};
use super::step::Cursor;
use super::{SEND_WITHIN, calendar, elapsed};
use crate::api::{IntentRecord, KillRecord, Mode, Outcome, RecoveringRecord};
use crate::digest::hex;
use crate::instant::{after, micro_time};
use crate::limits::{RefusalReason, Reservation, WorkloadBudget};
use crate::population::WorkloadKey;

/// How often a strike looks again because the facts or the budget changed under it.
const MAX_ROUNDS: u8 = 6;
/// A strike that was put off is tried again after this.
const RETRY: Duration = Duration::from_millis(200);
/// … and after this, if the kill itself was refused.
pub(super) const RETRY_REFUSED: Duration = Duration::from_secs(1);
/// A victim whose kill was not answered is looked up after this for the first time.
pub(super) const LOOK_UP_AFTER: Duration = Duration::from_millis(250);

impl Cursor<'_> {
    /// Asks for the facts that this strike needs: the budget of the workload it would hit by what is known now.
    pub(super) fn look_for(&mut self, attempt: Attempt) -> Action {
        let workload = self.would_hit(&attempt);
        self.look(attempt, workload)
    }

    /// The workload that a strike would hit by what is known now.
    fn would_hit(&self, attempt: &Attempt) -> Option<WorkloadKey> {
        let (_, facts) = self.state.facts.as_ref()?;
        Some(self.pick(attempt, facts).ok()?.workload.clone())
    }

    fn look(&mut self, attempt: Attempt, workload: Option<WorkloadKey>) -> Action {
        let guards = self.to_ask(&attempt);
        let held_at = attempt.held_at.filter(|_| guards.is_empty());
        let mut scope = self.scope_of(&attempt.strike.group);
        let mut budgets: Vec<_> = workload.into_iter().collect();
        for other in self.along(&attempt.strike) {
            // Without its budget nothing could be decided on it.
            let Some(workload) = self.would_hit(&Attempt::first(other.clone())) else { continue };
            scope = scope.and(self.scope_of(&other.group));
            if !budgets.contains(&workload) {
                budgets.push(workload);
            }
        }
        let attempt = Attempt { round: attempt.round + 1, held_at, ..attempt };
        self.state.phase = Phase::Examining(attempt, scope.clone());
        self.look_begins();
        Action::Observe { scope, budgets, guards }
    }

    /// Takes fresh facts in, and goes on with what they let happen.
    pub(super) fn examine(
        &mut self,
        attempt: Attempt,
        observed: Result<Observation, String>,
        scope: &Scope,
    ) -> Option<Action> {
        match self.learn(observed, scope) {
            Ok(observation) => {
                self.look_along(&attempt, &observation, scope);
                self.judge(attempt, observation)
            }
            Err(why) => self.refuse(&attempt, SkipReason::Blind, why),
        }
    }

    /// Keeps what was seen for strikes that come right after this one, if it lets them happen. The others are looked at when it is
    /// their turn.
    fn look_along(&mut self, attempt: &Attempt, observation: &Observation, scope: &Scope) {
        for strike in self.along(&attempt.strike) {
            let other = Attempt { held_at: attempt.held_at, ..Attempt::first(strike) };
            if !scope.covers(&self.scope_of(&other.strike.group)) || self.too_close(&other).is_some() {
                continue;
            }
            let Ok(held_at) = self.hear(&other, observation) else { continue };
            let other = Attempt { held_at, ..other };
            if let Ok(Examined::Decided(decision, _)) = self.decide(&other, observation) {
                self.keep(other, decision.workload, observation.clone());
            }
        }
    }

    /// Decides on fresh facts.
    pub(super) fn judge(&mut self, attempt: Attempt, observation: Observation) -> Option<Action> {
        // What was found may have ended it, and time has passed.
        if self.state.ledger.ended.is_some() || self.view.leave {
            self.leave_rest(&attempt);
            return None;
        }
        if let Some((reason, message)) = self.brake(attempt.strike.strike).or_else(|| self.too_close(&attempt)) {
            return self.refuse(&attempt, reason, message);
        }
        let attempt = match self.hear(&attempt, &observation) {
            Ok(held_at) => Attempt { held_at, ..attempt },
            Err(refused) => {
                self.state.unguarded = Some((self.now, refused.clone()));
                return self.refuse(&attempt, refused.reason, refused.message);
            }
        };
        match self.decide(&attempt, &observation) {
            Ok(Examined::Decided(decision, _)) if self.is_early(&attempt) => {
                self.keep(attempt, decision.workload, observation);
                None
            }
            Ok(Examined::Decided(decision, version)) => self.reserve(decision, version),
            Ok(Examined::Unread(workload)) => Some(self.look(attempt, Some(workload))),
            Ok(Examined::Orphaned(workload, orphans)) => {
                self.state.ledger.fences += 1;
                self.state.fenced = orphans;
                Some(self.look(attempt, Some(workload)))
            }
            Err(refused) => self.refuse(&attempt, refused.reason, refused.message),
        }
    }

    fn decide(&self, attempt: &Attempt, observation: &Observation) -> Result<Examined, Refused> {
        let facts = observation.population.as_ref();
        let pick = self.pick(attempt, facts)?;
        let read = observation.budgets.iter().find(|(key, _)| key.uid == pick.workload.uid);
        let versioned = match read {
            Some((_, Ok(versioned))) => versioned,
            Some((_, Err(why))) => return Err(Refused::new(SkipReason::BudgetUnavailable, why.clone())),
            // Another workload than expected: its budget has to be read before the facts are.
            None if attempt.round < MAX_ROUNDS => return Ok(Examined::Unread(pick.workload.clone())),
            None => {
                return Err(Refused::new(SkipReason::BudgetContended, "the pods change faster than they can be read"));
            }
        };
        let orphans = self.orphans(&versioned.budget);
        if orphans.iter().any(|orphan| !self.state.fenced.contains(orphan)) {
            return match attempt.round {
                round if round < MAX_ROUNDS => Ok(Examined::Orphaned(pick.workload.clone(), orphans)),
                _ => Err(Refused::new(
                    SkipReason::BudgetContended,
                    "another operator drives this monkey at the same time",
                )),
            };
        }
        let decision = self.admit(attempt, &pick, facts, &versioned.budget)?;
        Ok(Examined::Decided(Box::new(decision), versioned.version.clone()))
    }

    /// Two kills of a group keep their distance even if the first one was late, or the clock was set since.
    fn too_close(&self, attempt: &Attempt) -> Option<(SkipReason, String)> {
        self.just_set(attempt).or_else(|| self.too_soon(attempt))
    }

    fn too_soon(&self, attempt: &Attempt) -> Option<(SkipReason, String)> {
        let record = self.state.ledger.groups.iter().find(|group| group.group == attempt.strike.group)?;
        let since = elapsed(record.last_kill_at.as_ref()?.0, self.as_of(attempt));
        let is_same_strike = attempt.companions.is_some();
        let min = self.spec.every.min;
        (!is_same_strike && since < min.std()).then(|| {
            (
                SkipReason::Spacing,
                format!("the last kill of this group was {} ms ago; {min} is the least", since.as_millis()),
            )
        })
    }

    /// Reserves what was decided; in a dry run that is all there is to do.
    fn reserve(&mut self, decision: Box<Decision>, at: BudgetVersion) -> Option<Action> {
        if self.spec.mode == Mode::DryRun {
            self.pretend(&decision);
            return None;
        }
        let action = Action::WriteBudget { workload: decision.workload.clone(), at, budget: decision.budget.clone() };
        self.state.phase = Phase::Reserving(decision);
        Some(action)
    }

    /// Writes down what a live run would have done.
    fn pretend(&mut self, decision: &Decision) {
        let kill = KillRecord {
            strike: decision.attempt.strike.strike,
            nonce: self.nonce(decision),
            group: decision.group.clone(),
            victim: decision.victim.clone(),
            at: micro_time(self.now),
            outcome: Outcome::WouldKill,
            message: None,
        };
        self.state.ledger.record(kill, &decision.attempt.strike.group, &self.spec.schedule);
        self.struck(&decision.attempt, self.now);
    }

    /// The reservation was made, or not.
    pub(super) fn reserved(&mut self, decision: Decision, stored: Stored) -> Option<Action> {
        let attempt = decision.attempt.clone();
        let version = match stored {
            Stored::Done(version) => version,
            Stored::Conflict if attempt.round < MAX_ROUNDS => {
                return Some(self.look(self.anew(attempt), Some(decision.workload)));
            }
            Stored::Conflict => {
                return self.refuse(&attempt, SkipReason::BudgetContended, "others write its budget all the time");
            }
            // If it was written after all, it is a reservation of ours without an intent: the next decision drops it.
            Stored::Refused(why) | Stored::Unknown(why) => {
                return self.refuse(&attempt, SkipReason::BudgetUnavailable, why);
            }
        };
        if let Some((reason, message)) = self.brake(attempt.strike.strike).or_else(|| self.changed_meanwhile(&decision))
        {
            let _ = self.refuse(&attempt, reason, message);
            let release = self.release_of(&decision, Some((version, decision.budget.clone())));
            return self.release(release);
        }
        Some(self.send(decision, version))
    }

    /// What was decided for the first victim of a strike counts for nothing once others have written its budget: the strike is not one
    /// that has killed, whose further victims need no distance to it.
    fn anew(&self, attempt: Attempt) -> Attempt {
        if self.has_struck(attempt.strike.strike) {
            return attempt;
        }
        Attempt { companions: None, group: None, workload: None, ..attempt }
    }

    /// Writes the intent and asks for the kill: the driver saves the one before it does the other.
    fn send(&mut self, decision: Decision, version: BudgetVersion) -> Action {
        self.outdate(&decision.victim);
        let nonce = self.nonce(&decision);
        let deadline = self.deadline(decision.at);
        let strike = decision.attempt.strike.clone();
        self.state.ledger.unfinished = decision.attempt.unfinished();
        self.state.ledger.intents.push(IntentRecord {
            strike: strike.strike,
            nonce: nonce.clone(),
            group: decision.group,
            victim: decision.victim.clone(),
            due: strike.at.clone(),
            decided_at: micro_time(decision.at),
            deadline: micro_time(deadline),
        });
        // Written with the intent: a kill whose answer is lost has to recover too.
        self.state.ledger.recovering.push(RecoveringRecord {
            strike: strike.strike,
            victim: decision.victim.clone(),
            since: micro_time(self.now),
            serving_before: decision.serving,
        });
        let reserved = (version, decision.budget);
        self.state.phase = Phase::Sending { attempt: decision.attempt, nonce: nonce.clone(), reserved };
        let kill = &self.spec.kill;
        let grace = kill.grace.map(crate::units::Duration::std);
        Action::Kill(KillOrder { strike, nonce, victim: decision.victim, mode: kill.mode, grace, deadline })
    }

    /// The last instant at which a kill that was decided then may be sent: its facts are not too old, its run is not silent, and
    /// it is still allowed to happen.
    fn deadline(&self, decided_at: Timestamp) -> Timestamp {
        let stale = after(decided_at, SEND_WITHIN);
        let closed = calendar::inactive_from(&self.spec.schedule, self.now, stale);
        let ends = closed.into_iter().chain(self.spec.until()).map(just_before);
        ends.chain(self.silent_at()).fold(stale, Ord::min)
    }

    /// The kill was answered, or not.
    pub(super) fn sent(
        &mut self,
        attempt: Attempt,
        nonce: &str,
        reserved: (BudgetVersion, WorkloadBudget),
        answer: KillAnswer,
    ) -> Option<Action> {
        let answer = KillAnswer { at: self.sent_at(answer.at), ..answer };
        // One that was deleted meanwhile makes room for another at once. A second one is what somebody says who answers for the
        // server, of pods that are still listed.
        let gone_pause = match self.state.ledger.told_gone(attempt.strike.strike).next() {
            None => Duration::ZERO,
            Some(_) => RETRY_REFUSED,
        };
        let (outcome, put_off) = match answer.kind {
            KillAnswerKind::Accepted => (Outcome::Killed, None),
            KillAnswerKind::Blocked => (Outcome::Blocked, Some((SkipReason::EvictionBlocked, RETRY))),
            KillAnswerKind::Gone => (Outcome::Gone, Some((SkipReason::VictimGone, gone_pause))),
            KillAnswerKind::Refused | KillAnswerKind::NotSent => {
                (Outcome::Failed, Some((SkipReason::KillRefused, RETRY_REFUSED)))
            }
            KillAnswerKind::Unknown => {
                // Counted as done until somebody knows better: the next strike keeps its distance.
                self.state.look_up.insert(nonce.to_owned(), after(self.now, LOOK_UP_AFTER));
                self.state.sent.insert(nonce.to_owned(), answer.at);
                self.struck(&attempt, answer.at);
                let left = attempt.companions.unwrap_or_default();
                self.leave_alone(&attempt.strike, left, "it is not known yet whether the one before was");
                return None;
            }
        };
        let mut release = self.settle(nonce, outcome, answer.at, answer.message.clone())?;
        // Whoever has written it since is noticed when it is written, and only then it is read again.
        release.known = Some(reserved);
        match put_off {
            None => {
                self.struck(&attempt, answer.at);
                // Saved with the outcome, not by a write of its own after the release, which a strike that is due by then waits for.
                self.plan_if_allowed();
                let left = attempt.companions.unwrap_or_default();
                release.then = left.checked_sub(1).map(|left| Attempt { companions: Some(left), round: 0, ..attempt });
                return self.release_in_time(release);
            }
            Some((reason, pause)) => {
                let _ = self.refuse(&attempt, reason, answer.message.unwrap_or_default());
                self.state.retry.entry(attempt.strike.strike).and_modify(|at| *at = after(self.now, pause));
            }
        }
        self.release(release)
    }

    /// A strike that does not happen now: put off if this killer does that, or else skipped.
    pub(super) fn refuse(
        &mut self,
        attempt: &Attempt,
        reason: SkipReason,
        message: impl Into<String>,
    ) -> Option<Action> {
        let strike = &attempt.strike;
        let has_struck = self.has_struck(strike.strike);
        if !has_struck && self.is_early(attempt) {
            self.look_when_due(strike);
            return None;
        }
        if has_struck || !self.spec.puts_off() {
            self.skip(strike, reason, attempt.told(message.into()));
            return None;
        }
        self.state.retry.insert(strike.strike, after(self.now, RETRY));
        for planned in self.state.ledger.upcoming.iter_mut().filter(|planned| planned.strike == strike.strike) {
            planned.waiting_for = Some(reason.as_str().to_owned());
        }
        None
    }

    /// A strike has killed for the first time: it leaves the plan, and the next one of its stream is planned from here.
    fn struck(&mut self, attempt: &Attempt, at: jiff::Timestamp) {
        self.consume(attempt.strike.strike);
        if self.spec.puts_off() {
            self.state.ledger.upcoming.retain(|planned| planned.group != attempt.strike.group);
            self.plan_one(&attempt.strike.group, at);
        }
    }

    /// What has come between the decision and the reservation.
    fn changed_meanwhile(&self, decision: &Decision) -> Option<(SkipReason, String)> {
        let id = &decision.attempt.strike.id;
        let age = elapsed(decision.at, self.now);
        if self.view.cancel.contains(id) {
            Some((SkipReason::Cancelled, format!("{id} was cancelled")))
        } else if let Some(until) = self.view.postpone.get(id).filter(|until| self.now < **until) {
            Some((SkipReason::Cancelled, format!("{id} was postponed to {until} when it was under way already")))
        } else if age >= SEND_WITHIN {
            let message = format!("its budget was written {} ms after it was decided", age.as_millis());
            Some((SkipReason::Limit(RefusalReason::StaleView), message))
        } else {
            None
        }
    }

    /// The identity of a kill: no other decision has the same, on any machine.
    fn nonce(&self, decision: &Decision) -> String {
        let mut hash = Sha256::new();
        hash.update(b"chaos kill v1");
        for part in [&self.spec.run, &decision.victim.uid] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(decision.attempt.strike.strike.to_be_bytes());
        hash.update(self.now.as_nanosecond().to_be_bytes());
        hex(&hash.finalize()[..8])
    }
}

/// The last instant before `end` that the API can keep.
fn just_before(end: Timestamp) -> Timestamp {
    end.checked_sub(SignedDuration::from_micros(1)).unwrap_or(end)
}

/// What an examination came to.
enum Examined {
    /// It may happen; the budget has to be at that version still.
    Decided(Box<Decision>, BudgetVersion),
    /// The budget of this workload has to be read first.
    Unread(WorkloadKey),
    /// That budget holds these reservations of ours without an intent. Who made them may still be about to save one: the
    /// ledger has to be saved first, after which only one of the two saves can have succeeded.
    Orphaned(WorkloadKey, Vec<Reservation>),
}

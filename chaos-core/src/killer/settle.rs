//! What comes after a kill call: its outcome, the reservation to give back, the pods to come back, and the intents whose
//! answer was lost.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::messages::{Action, BudgetVersion, Observation, Sighting, Stored, VersionedBudget};
use super::plan::SINGLE;
use super::reason::EndReason;
use super::scope::Scope;
use super::state::{Attempt, Decision, Phase, Release};
use super::step::{Cursor, LOOK_AHEAD};
use super::{IN_DOUBT, SEND_WITHIN, Streams, elapsed};
use crate::api::{KillRecord, Outcome, PlannedStrike, RecoveringRecord, UnfinishedStrike, VictimRef};
use crate::instant::{after, micro_time};
use crate::limits::WorkloadBudget;
use crate::population::{Population, WorkloadKey};

/// A lost answer is looked for this often.
pub(super) const LOOK_UP_EVERY: Duration = Duration::from_secs(1);
/// A reservation that cannot be given back after so many tries is left: the next decision on that workload drops it.
const RELEASE_TRIES: u8 = 5;
/// What is told of a kill whose answer was lost, …
pub const ANSWER_LOST: &str = "the answer was lost; the pod was looked up by its UID";
/// … and of one that is told for when it was decided, as whoever knew when it was sent is gone.
pub const UNDATED: &str = "nobody is left who knows when it was sent; the pod was looked up by its UID";

/// How long after the instant that it is told for a kill may have been sent.
pub fn sent_within(kill: &KillRecord) -> Duration {
    if kill.message.as_deref() == Some(UNDATED) { SEND_WITHIN } else { Duration::ZERO }
}

impl Cursor<'_> {
    /// Takes new facts in: what is seen again, what has recovered, what has not in time.
    pub(super) fn learn(
        &mut self,
        observed: Result<Observation, String>,
        scope: &Scope,
    ) -> Result<Observation, String> {
        self.look_ends(scope);
        // What is decided rests on the newest look.
        self.state.ready.clear();
        if self.is_enough(scope) {
            self.state.looked_at = Some(self.now);
            self.state.leaves_out = observed.as_ref().is_ok_and(|seen| self.leaves_out(&seen.population, scope));
        }
        let observation = match observed {
            Ok(observation) => observation,
            Err(why) => {
                self.state.blind.get_or_insert_with(|| (self.now, why.clone()));
                return Err(why);
            }
        };
        self.sight(&observation);
        let facts = observation.population.clone();
        self.regroup(&facts, scope);
        if *scope == Scope::Target {
            self.state.surveyed_at = Some(self.now);
            self.state.seen = true;
            // One namespace may be in sight while another is not.
            self.state.blind = None;
        }
        // Groups that nobody has looked for yet are not gone.
        if self.spec.streams == Streams::PerGroup && self.state.seen {
            self.state.ledger.forget(&self.state.groups, self.spec.every.min.std(), self.now);
        }
        self.recover(&facts, scope);
        self.remember(facts, scope);
        Ok(observation)
    }

    /// Keeps what was seen for the next strikes, if it is of use to them.
    fn remember(&mut self, facts: Arc<Population>, scope: &Scope) {
        // All pods of a target may be megabytes, of which a strike on a part of it needs few: it looks at that once more.
        if *scope == Scope::Target && self.looks_at_parts() {
            return;
        }
        let Some((known, before)) = self.state.facts.replace((scope.clone(), facts)) else { return };
        // A look at less, such as at what recovers, does not make the next strikes forget whose budgets they need.
        let is_recent = elapsed(before.taken_at, self.now) < LOOK_AHEAD * 2;
        if is_recent && !scope.covers(&known) && self.is_enough_for_next(&known) {
            self.state.facts = Some((known, before));
        }
    }

    /// Whether a look at all of the target does not show what becomes of some kill: the next one has to be at that alone.
    fn leaves_out(&self, facts: &Population, scope: &Scope) -> bool {
        *scope == Scope::Target && self.state.ledger.recovering.iter().any(|record| !shows(record, facts, scope))
    }

    /// Closes the kills that have recovered, and ends the killer if one has not in time.
    fn recover(&mut self, facts: &Population, scope: &Scope) {
        let ledger = &mut self.state.ledger;
        let is_seen = |record: &RecoveringRecord| shows(record, facts, scope);
        ledger.recovering.retain(|record| !is_seen(record) || !has_recovered(record, facts));
        let within = self.spec.limits.recover_within.std();
        let in_doubt: Vec<_> = ledger.intents.iter().map(|intent| intent.victim.uid.clone()).collect();
        // A kill that may not have happened has nothing to recover from yet.
        let is_late = |record: &RecoveringRecord| {
            is_seen(record)
                && !in_doubt.contains(&record.victim.uid)
                && elapsed(record.since.0, facts.taken_at) > within
        };
        let Some(late) = ledger.recovering.iter().find(|record| is_late(record)).cloned() else { return };
        // It is told once; nobody waits for it any longer.
        ledger.recovering.retain(|record| !is_late(record));
        let span = elapsed(late.since.0, facts.taken_at).as_secs();
        let VictimRef { namespace, pod, workload, .. } = &late.victim;
        let message = format!("no replacement of {namespace}/{pod} ({workload}) is Ready {span} s after its kill");
        ledger.end(EndReason::NotRecovered, message, self.now);
    }

    /// Closes an intent with its outcome. The reservation that has to be given back.
    pub(super) fn settle(
        &mut self,
        nonce: &str,
        outcome: Outcome,
        at: Timestamp,
        message: Option<String>,
    ) -> Option<Release> {
        let intent = self.state.ledger.intent(nonce)?.clone();
        self.state.ledger.intents.retain(|open| open.nonce != nonce);
        self.state.look_up.remove(nonce);
        self.state.sent.remove(nonce);
        let is_kill = super::ledger::is_kill(outcome);
        if !is_kill {
            // Put off as a whole, or told with the victim that was left alone.
            self.state.ledger.unfinished = None;
        }
        if outcome != Outcome::Killed {
            self.state.ledger.recovering.retain(|record| record.victim.uid != intent.victim.uid);
        }
        let release = Release {
            workload: workload_key(&intent.victim),
            strike: intent.strike,
            victim_uid: intent.victim.uid.clone(),
            reserved_at: intent.decided_at.0,
            killed_at: is_kill.then_some(at),
            known: None,
            tries: 0,
            then: None,
        };
        let stream = match self.spec.streams {
            Streams::Single => SINGLE,
            Streams::PerGroup => &intent.group,
        };
        let kill = KillRecord {
            strike: intent.strike,
            nonce: nonce.to_owned(),
            group: intent.group.clone(),
            victim: intent.victim,
            at: micro_time(at),
            outcome,
            message,
        };
        self.state.ledger.record(kill, stream, &self.spec.schedule);
        Some(release)
    }

    /// The next open intent whose victim has to be looked up. After a crash all of them are open.
    pub(super) fn look_up_due(&mut self) -> Option<Action> {
        let due = |nonce: &str| self.state.look_up.get(nonce).is_none_or(|at| *at <= self.now);
        let intent = self.state.ledger.intents.iter().find(|intent| due(&intent.nonce))?;
        let (nonce, victim) = (intent.nonce.clone(), intent.victim.clone());
        self.state.phase = Phase::LookingUp { nonce };
        Some(Action::LookUp(victim))
    }

    /// What became of a victim whose kill was not answered.
    pub(super) fn found(&mut self, nonce: &str, sighting: Sighting) -> Option<Action> {
        let intent = self.state.ledger.intent(nonce)?;
        let (decided_at, strike) = (intent.decided_at.0, intent.strike);
        let outcome = match sighting {
            Sighting::Gone | Sighting::Terminating => Outcome::Killed,
            Sighting::Alive if self.in_doubt_for(decided_at) >= IN_DOUBT => Outcome::Unknown,
            Sighting::Alive | Sighting::Unseen(_) => {
                self.state.look_up.insert(nonce.to_owned(), after(self.now, LOOK_UP_EVERY));
                return None;
            }
        };
        // Its intent is written before it is sent, and so is whatever is asked last: that may take seconds.
        let (at, message) = match self.state.sent.get(nonce) {
            Some(sent_at) => (*sent_at, ANSWER_LOST),
            None => (decided_at, UNDATED),
        };
        let release = self.settle(nonce, outcome, at, Some(message.to_owned()))?;
        // After a crash the strike is still in the plan: it has had its kill.
        self.consume(strike);
        self.release(release)
    }

    /// The reservation of a kill that was decided, and is not sent.
    pub(super) fn release_of(&self, decision: &Decision, known: Option<(BudgetVersion, WorkloadBudget)>) -> Release {
        Release {
            workload: decision.workload.clone(),
            strike: decision.attempt.strike.strike,
            victim_uid: decision.victim.uid.clone(),
            reserved_at: decision.at,
            killed_at: None,
            known,
            tries: 0,
            then: None,
        }
    }

    /// Gives the reservation of a kill back: at once, or after the strikes that come right after it. Until then, and after a crash,
    /// the workload has one pod less to lose.
    pub(super) fn release_in_time(&mut self, release: Release) -> Option<Action> {
        if release.then.is_none() && self.is_pressed() {
            // Others may write its budget until then.
            self.state.to_release.push(Release { known: None, ..release });
            return None;
        }
        self.release(release)
    }

    /// Gives the next reservation back of those that had to wait, if no strike would be late for it.
    pub(super) fn give_back(&mut self) -> Option<Action> {
        let has_time = !self.is_pressed() || self.view.leave || self.state.ledger.ended.is_some();
        while has_time && let Some(release) = self.state.to_release.pop() {
            let action = self.release(release);
            if action.is_some() {
                return action;
            }
        }
        None
    }

    /// Gives a reservation back.
    pub(super) fn release(&mut self, mut release: Release) -> Option<Action> {
        let Some((version, budget)) = release.known.take() else {
            let workload = release.workload.clone();
            self.state.phase = Phase::Rereading(release);
            return Some(Action::ReadBudget(workload));
        };
        let Some(budget) = without(&release, &self.spec.run, budget) else {
            return self.go_on(release);
        };
        let workload = release.workload.clone();
        self.state.phase = Phase::Releasing(release);
        Some(Action::WriteBudget { workload, at: version, budget })
    }

    /// The budget was read again, to give a reservation back.
    pub(super) fn reread(&mut self, mut release: Release, read: Result<VersionedBudget, String>) -> Option<Action> {
        match read {
            // The workload itself is gone, and its budget with it.
            Ok(VersionedBudget { version: BudgetVersion::Absent, .. }) => self.go_on(release),
            Ok(VersionedBudget { version, budget }) => {
                release.known = Some((version, budget));
                self.release(release)
            }
            Err(_) => self.try_again(release),
        }
    }

    /// The reservation was given back, or not.
    pub(super) fn released(&mut self, release: Release, stored: Stored) -> Option<Action> {
        match stored {
            Stored::Done(_) => self.go_on(release),
            Stored::Conflict | Stored::Refused(_) | Stored::Unknown(_) => self.try_again(release),
        }
    }

    fn try_again(&mut self, release: Release) -> Option<Action> {
        if release.tries >= RELEASE_TRIES {
            return self.go_on(release);
        }
        self.release(Release { tries: release.tries + 1, known: None, ..release })
    }

    /// Goes on with the next victim of the strike, if it has one.
    fn go_on(&mut self, release: Release) -> Option<Action> {
        let attempt = release.then?;
        if self.view.leave || self.state.ledger.ended.is_some() {
            self.leave_rest(&attempt);
            return None;
        }
        if let Some((reason, message)) = self.brake(attempt.strike.strike) {
            return self.refuse(&attempt, reason, message);
        }
        Some(self.look_for(attempt))
    }

    /// Tells what an earlier process has left of a strike that it had begun: nothing is in hand here, and its pods would be killed
    /// late by now. While it is not known what became of the one before, the strike stands in the plan with its intent; where
    /// that plan is void, others may follow, and it is told before.
    pub(super) fn tell_unfinished(&mut self) {
        let Some(UnfinishedStrike { strike, group, left }) = self.state.ledger.unfinished.clone() else { return };
        if self.is_open(strike) && !self.has_struck(strike) {
            return;
        }
        let (id, at) = (PlannedStrike::id_of(strike), micro_time(self.now));
        let strike = PlannedStrike { id, strike, at, group, waiting_for: None, postponed_from: None };
        self.leave_alone(&strike, left, "the process that had begun with them is gone");
    }

    /// Nobody goes on with this strike. If it has killed, the rest of its victims is told.
    pub(super) fn leave_rest(&mut self, attempt: &Attempt) {
        let strike = attempt.strike.strike;
        let is_its_kill = |kill: &KillRecord| kill.strike == strike && super::ledger::is_kill(kill.outcome);
        if let Some(others) = attempt.companions.filter(|_| self.state.ledger.history.iter().any(is_its_kill)) {
            let left = others.saturating_add(1);
            self.leave_alone(&attempt.strike, left, "its killer has ended, or was told to leave");
        }
    }
}

/// The budget without the reservation and with the kill it stood for; `None` if there is nothing to change.
fn without(release: &Release, run: &str, mut budget: WorkloadBudget) -> Option<WorkloadBudget> {
    if !budget.release_victim(run, release.strike, &release.victim_uid, release.reserved_at) {
        return None;
    }
    if let Some(at) = release.killed_at {
        budget.record(run, release.strike, at);
    }
    Some(budget)
}

/// Whether a look shows what becomes of a kill. One at all of the target reads no namespace in which nothing may be killed any more:
/// that a workload is gone is told by a look for it alone.
fn shows(record: &RecoveringRecord, facts: &Population, scope: &Scope) -> bool {
    let is_there = || facts.workload(&record.victim.workload_uid).is_some();
    scope.covers(&Scope::of_victim(&record.victim)) && (*scope != Scope::Target || is_there())
}

/// As many pods serve again as before the kill, or as many as are wanted by now; or there is nothing left to recover.
fn has_recovered(record: &RecoveringRecord, facts: &Population) -> bool {
    let Some(workload) = facts.workload(&record.victim.workload_uid) else {
        return true;
    };
    let of_workload =
        |pod: &&crate::population::PodFacts| pod.workload.as_ref().is_some_and(|key| key.uid == workload.key.uid);
    let mut pods = facts.pods.iter().filter(of_workload);
    let victim_is_out = pods.clone().all(|pod| pod.uid != record.victim.uid || pod.terminating);
    let serving = pods.by_ref().filter(|pod| facts.serves(pod)).count();
    victim_is_out && serving >= (record.serving_before as usize).min(workload.desired as usize)
}

fn workload_key(victim: &VictimRef) -> WorkloadKey {
    let (kind, name) = victim.workload.split_once('/').unwrap_or(("", &victim.workload));
    WorkloadKey {
        namespace: victim.namespace.clone(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: victim.workload_uid.clone(),
    }
}

//! How a simulated process sends a kill, and what must hold when it does.

use chaos_core::killer::{KillAnswer, KillAnswerKind, KillOrder, Response};
use chaos_engine::clock::steady;
use chaos_engine::kube::kill_answer;
use jiff::Timestamp;

use super::bugs::Bug;
use super::cluster::{Done, Send, State};
use super::keeper::{Keeper, NEWS};
use super::metrics::{FRESH, check_guards};
use super::process::Process;
use super::scenario::{SEND_WITHIN, is_monkey};
use crate::faults::{Answer, Fault};
use crate::history::note;
use crate::seats::{millis, turn};

impl<K: Keeper> Process<K> {
    /// Sends a kill, if that is not too late, and if it is not known by now that it must not be.
    pub(crate) async fn kill(&mut self, order: KillOrder) -> Response {
        turn().await;
        let really = self.cluster.lock().now;
        let steadied = |now, (since, then)| steady(now, since, really.duration_since(then).unsigned_abs());
        let never_back = [self.stepped, self.looked_at].into_iter().fold(self.clock(), steadied);
        let at = if self.has(Bug::ClockTrusted) { self.clock() } else { never_back };
        let answer = |kind| Response::Kill(KillAnswer { at, kind, message: None });
        let is_late = at > order.deadline && !self.has(Bug::DeadlineIgnored);
        if is_late || self.objection(&order, at).is_some() {
            return answer(KillAnswerKind::NotSent);
        }
        if self.has(Bug::ReleasedBeforeOutcome) {
            self.release_now(&order);
        }
        assert!(never_back <= order.deadline, "an old decision was carried out");
        let index = self.sent(&order, really, never_back);
        let victim = order.victim.uid.clone();
        let kind = self.carried_out(order);
        note(really, || format!("{} kills {victim}: {kind:?}", self.killer.spec().run));
        let refused = matches!(kind, KillAnswerKind::Refused | KillAnswerKind::Blocked | KillAnswerKind::Gone);
        self.cluster.lock().sends[index].was_refused = refused;
        turn().await;
        answer(kind)
    }

    /// The kill leaves, by its own clock at that other instant: it must still be allowed to.
    fn sent(&self, order: &KillOrder, at: Timestamp, by_clock: Timestamp) -> usize {
        let mut state = self.cluster.lock();
        let longest = millis(SEND_WITHIN + 500);
        if let Some(stopped) = state.stopped_at {
            // Whoever does not hear of it finds it in what it reads, which is no older than five seconds when a kill is decided.
            let news = millis(if state.scenario.is_behind { FRESH } else { NEWS });
            assert!(at.duration_since(stopped) <= news + longest, "a kill was sent long after the stop");
        }
        if let Some((beat, silent)) = self.keeper.heartbeat().zip(state.silent_at()) {
            let most = longest + jiff::SignedDuration::try_from(beat * 2).unwrap_or_default();
            assert!(at.duration_since(silent) <= most, "a kill was sent for a run that is silent");
        }
        if is_monkey(&self.killer.spec().run) && state.scenario.is_guarded {
            check_guards(&state, self.heard.as_ref(), at);
        }
        let run = self.killer.spec().run.clone();
        state.check_standing(order, &run, by_clock);
        self.truths.check(order, &state.scenario, at);
        // Clocks that are an hour wrong keep no distance in time, and no kill in doubt for as long as it may still happen.
        if state.scenario.jumps == 0 {
            check_send(&state, order, at);
        }
        let (uid, workload) = (order.victim.uid.clone(), order.victim.workload_uid.clone());
        let decided_at = state.decided_at(order, &run);
        state.sends.push(Send { run, uid, workload, decided_at, at, was_refused: false });
        state.sends.len() - 1
    }

    fn carried_out(&self, order: KillOrder) -> KillAnswerKind {
        let run = &self.killer.spec().run;
        match self.fault() {
            Fault::None => match self.cluster.lock().kill(&order, run) {
                Done::Killed => KillAnswerKind::Accepted,
                Done::Gone => KillAnswerKind::Gone,
                Done::Blocked => KillAnswerKind::Blocked,
            },
            Fault::Never(answer) => {
                if answer.is_of_server() {
                    self.cluster.lock().records.arrived(&order, run, false);
                }
                self.heard_of_kill(answer)
            }
            Fault::Done(answer) => {
                self.cluster.lock().kill(&order, run);
                self.heard_of_kill(answer)
            }
            Fault::Late(answer) => {
                self.cluster.lock().kill_later(order, run);
                self.heard_of_kill(answer)
            }
        }
    }

    /// What an answer says about the pod: what the engine makes of it, or a process with a mistake.
    fn heard_of_kill(&self, answer: Answer) -> KillAnswerKind {
        match answer {
            Answer::Webhook | Answer::Internal if self.has(Bug::FailureIsRefused) => KillAnswerKind::Refused,
            Answer::Unavailable | Answer::TimedOut if self.has(Bug::TimeoutIsRefused) => KillAnswerKind::Refused,
            Answer::Busy | Answer::Blocked if self.has(Bug::BusyIsAccepted) => KillAnswerKind::Accepted,
            _ => kill_answer(answer.error()),
        }
    }

    fn release_now(&self, order: &KillOrder) {
        let mut state = self.cluster.lock();
        let key = state.scenario.key(order.victim.workload.rsplit('/').next().unwrap_or_default());
        let mut versioned = state.budget(&key);
        versioned.budget.release(&self.killer.spec().run, order.strike.strike);
        state.write_budget(&key, &versioned.version, versioned.budget);
    }
}

/// What must hold when a kill leaves: no pod twice, and no workload too soon.
fn check_send(state: &State, order: &KillOrder, at: Timestamp) {
    let before = || state.sends.iter().filter(|send| !send.was_refused);
    assert!(before().all(|send| send.uid != order.victim.uid), "a second kill was sent to {}", order.victim.uid);
    let last = before().filter(|send| send.workload == order.victim.workload_uid).map(|send| send.at).max();
    if let Some(last) = last {
        // A reservation counts from the decision, which is at most five seconds (and a turn) before the kill leaves.
        let gap = at.duration_since(last);
        let least = millis(state.scenario.min_interval - SEND_WITHIN - 500);
        assert!(gap >= least, "two kills of a workload only {gap:?} apart");
    }
}

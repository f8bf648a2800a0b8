//! The step function of a run. Pure: the same state, view and instant give the same decision.

use jiff::Timestamp;

use super::{RunAction, RunMachine, RunState, RunView, WindDown};
use crate::instant::{after, whole_micros};
use crate::machine::{Machine, Next, Step};
use crate::record::StopCause;
use crate::units::Duration;

/// How long to wait for something that has no instant of its own (a recovery, a killer that is done).
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The baseline is not prolonged for longer than this to hear a probe's first answer: longer than any probe may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(630);
/// How much longer than its length the baseline may last for what was measured in it to be reported, once somebody can listen.
const REPORT_WITHIN: Duration = Duration::from_secs(20);

type RunStep = Step<RunState, RunAction>;

impl Machine for RunMachine {
    type State = RunState;
    type Durable = RunState;
    type View = RunView;
    type Action = RunAction;
    type Response = ();

    fn resume(&self, durable: RunState) -> RunState {
        durable
    }

    fn durable<'a>(&self, state: &'a RunState) -> &'a RunState {
        state
    }

    fn step(&self, state: &RunState, view: &RunView, _: Option<()>, now: Timestamp) -> RunStep {
        step(self, state, view, now)
    }
}

impl RunMachine {
    /// Whether a run that is not winding down has to, by what is seen. For who is busy with an action that may take minutes.
    pub fn must_end(&self, view: &RunView, now: Timestamp) -> bool {
        early_end(self, &RunState::Asking, view, now).is_some()
    }
}

fn step(spec: &RunMachine, state: &RunState, view: &RunView, now: Timestamp) -> RunStep {
    if let Some(cause) = early_end(spec, state, view, now) {
        let state = RunState::WindingDown { next: WindDown::StopKiller, stop: Some(cause.clone()) };
        return act(state, RunAction::NoteStop(cause));
    }
    match &within(spec, state, now) {
        RunState::New => act(RunState::Asking, RunAction::StartProbes),
        RunState::Asking => act(RunState::Baseline { until: after(now, spec.baseline) }, RunAction::AskBefore),
        kept @ RunState::Baseline { until } if now < *until => wait(kept.clone(), *until),
        RunState::Baseline { .. } if view.unsteady => {
            act(RunState::WindingDown { next: WindDown::AskAfter, stop: None }, RunAction::StopProbes)
        }
        kept @ RunState::Baseline { until } if view.unanswered && now < after(*until, ANSWER_WITHIN) => {
            wait(kept.clone(), after(now, LOOK_AGAIN))
        }
        kept @ RunState::Baseline { .. } if view.unmeasured.is_some() => wait(kept.clone(), after(now, LOOK_AGAIN)),
        RunState::Baseline { .. } => {
            // As it is kept: the plan of a killer depends on it, and whoever takes the run up would draw another.
            let ceiling = whole_micros(after(now, spec.fault_ceiling));
            act(RunState::Fault { ceiling }, RunAction::StartKiller { until: ceiling })
        }
        kept @ RunState::Fault { ceiling } if now < *ceiling && !view.killer_done => {
            wait(kept.clone(), (*ceiling).min(after(now, LOOK_AGAIN)))
        }
        RunState::Fault { .. } => act(RunState::Settling { since: now }, RunAction::StopKiller),
        kept @ RunState::Settling { .. } if view.unrecovered.is_some() => wait(kept.clone(), after(now, LOOK_AGAIN)),
        RunState::Settling { .. } => {
            act(RunState::Recovery { until: after(now, spec.recovery) }, RunAction::BeginRecovery)
        }
        kept @ RunState::Recovery { until } if now < *until => wait(kept.clone(), (*until).min(after(now, LOOK_AGAIN))),
        RunState::Recovery { .. } => {
            act(RunState::WindingDown { next: WindDown::StopProbes, stop: None }, RunAction::StopKiller)
        }
        RunState::WindingDown { next, stop } => wind_down(*next, stop.as_ref()),
        finished @ RunState::Finished { .. } => Step { state: finished.clone(), next: Next::Done },
    }
}

/// Why the run must end now, if it must. A run that is winding down already goes on doing so.
fn early_end(spec: &RunMachine, state: &RunState, view: &RunView, now: Timestamp) -> Option<StopCause> {
    if matches!(state, RunState::WindingDown { .. } | RunState::Finished { .. }) {
        return None;
    }
    if let Some(cause) = &view.stop {
        return Some(cause.clone());
    }
    let overdue =
        |since: Timestamp, span: Duration| (now >= after(since, span)).then(|| seconds(now.duration_since(since)));
    if let Some((since, cause)) = &view.blind
        && let Some(span) = overdue(*since, spec.max_blind)
    {
        return Some(StopCause::Blind { message: format!("the cluster was out of sight for {span}: {cause}") });
    }
    if let RunState::Baseline { until } = state
        && let Some(since) = view.unmeasured
        && let Some(span) = overdue(since.max(*until), REPORT_WITHIN)
    {
        return Some(StopCause::Probes {
            message: format!("what was measured in the baseline was not told for {span} after its end"),
        });
    }
    if let Some((since, cause)) = &view.unguarded
        && let Some(span) = overdue(*since, spec.max_blind)
    {
        return Some(StopCause::Guard { message: format!("no alert could be read for {span}: {cause}") });
    }
    if let Some((since, pod)) = &view.unrecovered
        && let Some(span) = overdue(*since, spec.recover_within)
    {
        return Some(StopCause::NotRecovered {
            message: format!("no replacement of {pod} was Ready {span} after its kill"),
        });
    }
    None
}

fn wind_down(next: WindDown, stop: Option<&StopCause>) -> RunStep {
    let then = |next| RunState::WindingDown { next, stop: stop.cloned() };
    match next {
        WindDown::StopKiller => act(then(WindDown::StopProbes), RunAction::StopKiller),
        WindDown::StopProbes => act(then(WindDown::AskAfter), RunAction::StopProbes),
        WindDown::AskAfter => act(then(WindDown::CleanUp), RunAction::AskAfter),
        WindDown::CleanUp => act(RunState::Finished { stop: stop.cloned() }, RunAction::CleanUp),
    }
}

/// The state with ends that are no further away than their phases are long: a clock that was set back, or another
/// operator's clock that is behind, must not stretch a phase.
fn within(spec: &RunMachine, state: &RunState, now: Timestamp) -> RunState {
    match state {
        RunState::Baseline { until } => RunState::Baseline { until: (*until).min(after(now, spec.baseline)) },
        RunState::Fault { ceiling } => RunState::Fault { ceiling: (*ceiling).min(after(now, spec.fault_ceiling)) },
        RunState::Recovery { until } => RunState::Recovery { until: (*until).min(after(now, spec.recovery)) },
        other => other.clone(),
    }
}

fn act(state: RunState, action: RunAction) -> RunStep {
    Step { state, next: Next::Act(action) }
}

fn wait(state: RunState, until: Timestamp) -> RunStep {
    Step { state, next: Next::Wait(Some(until)) }
}

fn seconds(span: jiff::SignedDuration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

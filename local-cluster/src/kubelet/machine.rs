//! The life of one pod as a state machine: inputs in, effects out. It starts nothing, waits for nothing and knows no clock:
//! [`worker`](super::worker) does what the effects say and reports back what became of it.

mod running;
mod stopping;
mod vocabulary;

pub(super) use vocabulary::{Effect, Index, Input, ProbeKind, Stage, Timer};

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::container::{ContainerRun, RunState, StopCause};
use crate::controllers::events::NoticeKind;
use crate::objects::is_deleting;
use crate::profile::BackOff;

/// Pauses between attempts to prepare double from the first to the longest.
const FIRST_PREPARE_PAUSE: Duration = Duration::from_millis(5);
const MAX_PREPARE_PAUSE: Duration = Duration::from_secs(2);
/// Failed attempts that are not worth an Event.
const PATIENT_PREPARATIONS: u32 = 6;

/// See the module.
#[derive(Debug)]
pub(super) struct PodMachine {
    pub(super) pod: Arc<Pod>,
    pub(super) stage: Stage,
    pub(super) runs: Vec<ContainerRun>,
    /// How many of `runs` are init containers.
    pub(super) init_count: usize,
    pub(super) prepared: bool,
    /// Attempts to prepare that failed.
    preparations: u32,
    back_off: BackOff,
    /// The shortest grace asked for so far, once a deletion was asked for.
    grace: Option<Duration>,
    /// The API object is gone already.
    gone: bool,
    effects: Vec<Effect>,
}

impl PodMachine {
    pub(super) fn new(pod: Arc<Pod>, back_off: BackOff) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let init: Vec<Container> = spec.init_containers.unwrap_or_default();
        let init_count = init.len();
        let runs = init.into_iter().chain(spec.containers).map(ContainerRun::new).collect();
        let stage = Stage::Preparing;
        Self {
            pod,
            stage,
            runs,
            init_count,
            prepared: false,
            preparations: 0,
            back_off,
            grace: None,
            gone: false,
            effects: Vec::new(),
        }
    }

    /// Takes one input and says what is to be done.
    pub(super) fn step(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        match input {
            Input::Updated(pod) => self.updated(pod),
            Input::Gone => self.forced(),
            Input::Prepared => self.is_prepared(),
            Input::NotPrepared { reason, message, hopeless } => self.not_prepared(reason, message, hopeless),
            Input::Started { index, run } => self.started(index, run, now),
            Input::NotStarted { index, run, reason, message } => self.not_started(index, run, reason, message),
            Input::Exited { index, run, exit } => self.exited(index, run, exit, now),
            Input::Probed { index, run, probe, healthy, message } => {
                self.probed(index, run, probe, healthy, &message);
            }
            Input::HookDone { index, run } => self.hook_done(index, run),
            Input::Timer(timer) => self.timer(timer),
        }
        std::mem::take(&mut self.effects)
    }

    /// The first thing to do.
    pub(super) fn begin(&mut self) -> Vec<Effect> {
        if is_deleting(&self.pod.metadata) {
            self.terminate();
        } else {
            self.effects.push(Effect::Prepare);
        }
        std::mem::take(&mut self.effects)
    }

    // === the object ===

    fn updated(&mut self, pod: Arc<Pod>) {
        self.pod = pod;
        if !is_deleting(&self.pod.metadata) {
            return;
        }
        if self.stage == Stage::Ended {
            self.effects.push(Effect::Finish { confirm: true });
        } else {
            self.terminate();
        }
    }

    fn forced(&mut self) {
        self.gone = true;
        if self.stage == Stage::Ended {
            self.effects.push(Effect::Finish { confirm: false });
            return;
        }
        self.stage = Stage::Terminating;
        self.grace = Some(Duration::ZERO);
        for index in 0..self.runs.len() {
            if self.runs[index].is_alive() {
                self.effects.push(Effect::StopProbes { index });
                self.effects.push(Effect::Kill { index });
            }
        }
        self.finish_if_all_ended();
    }

    /// Begins the end, or makes it come sooner.
    fn terminate(&mut self) {
        let spec_grace = self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        let seconds = self.pod.metadata.deletion_grace_period_seconds.or(spec_grace).unwrap_or(30);
        let grace = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let is_first = self.grace.is_none();
        if !is_first && self.grace.is_some_and(|known| known <= grace) {
            return;
        }
        self.grace = Some(grace);
        self.stage = Stage::Terminating;
        for index in 0..self.runs.len() {
            if self.runs[index].is_alive() {
                self.stop_container(index, grace, StopCause::PodDeleted);
            } else if let RunState::Waiting { .. } = self.runs[index].state {
                self.runs[index].never_again();
            }
        }
        self.finish_if_all_ended();
    }

    fn finish_if_all_ended(&mut self) {
        if self.stage != Stage::Terminating || self.runs.iter().any(ContainerRun::is_alive) {
            return;
        }
        self.stage = Stage::Ended;
        self.effects.push(Effect::Finish { confirm: !self.gone });
    }

    // === preparation ===

    fn is_prepared(&mut self) {
        if self.stage != Stage::Preparing {
            return;
        }
        self.prepared = true;
        self.start_next(0);
    }

    fn not_prepared(&mut self, reason: &'static str, message: String, hopeless: bool) {
        if self.stage != Stage::Preparing {
            return;
        }
        self.preparations += 1;
        if hopeless {
            for run in &mut self.runs {
                run.state = RunState::Waiting { reason: "CreateContainerConfigError", message: Some(message.clone()) };
            }
            return self.notice(NoticeKind::Warning, reason, message, None);
        }
        // A claim is bound, a ConfigMap created in the next moment: that is no news for an Event.
        if self.preparations > PATIENT_PREPARATIONS {
            self.notice(NoticeKind::Warning, reason, message, None);
        }
        let pause = FIRST_PREPARE_PAUSE.saturating_mul(1 << self.preparations.min(16)).min(MAX_PREPARE_PAUSE);
        self.effects.push(Effect::After { pause, timer: Timer::PrepareAgain });
    }

    /// Starts the init container at `index`, or all main containers when there is none left.
    fn start_next(&mut self, index: Index) {
        if index < self.init_count {
            self.stage = Stage::Initializing(index);
            self.start(index);
            return;
        }
        self.stage = Stage::Running;
        for index in self.init_count..self.runs.len() {
            self.start(index);
        }
    }

    // === helpers ===

    fn is_current(&self, index: Index, run: u32) -> bool {
        self.runs.get(index).is_some_and(|container| container.run == run)
    }

    fn notice(&mut self, kind: NoticeKind, reason: &'static str, message: String, container: Option<Index>) {
        self.effects.push(Effect::Notice { kind, reason, message, container });
    }
}

#[cfg(test)]
mod tests;

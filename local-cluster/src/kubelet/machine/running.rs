//! Containers coming up, ending and coming up again.

use std::time::Duration;

use jiff::Timestamp;

use super::{Effect, Index, PodMachine, ProbeKind, Stage, Timer};
use crate::controllers::events::NoticeKind;
use crate::kubelet::container::{ContainerRun, Ended, RunState, StopCause};
use crate::supervisor::Exit;

/// A container that ran for this long is no longer in a crash loop.
const CRASH_LOOP_MEMORY: Duration = Duration::from_secs(600);

impl PodMachine {
    pub(super) fn start(&mut self, index: Index) {
        let run = self.runs[index].next_run();
        self.effects.push(Effect::Start { index, run });
    }

    pub(super) fn started(&mut self, index: Index, run: u32, now: Timestamp) {
        if !self.is_current(index, run) {
            return;
        }
        self.runs[index].state = RunState::Running { since: now };
        self.notice(NoticeKind::Normal, "Started", "Container started".to_owned(), Some(index));
        if self.stage == Stage::Terminating {
            // The order to go came while the process was being made.
            self.stop_container(index, self.grace.unwrap_or_default(), StopCause::PodDeleted);
            return;
        }
        if index < self.init_count {
            return;
        }
        let container = &mut self.runs[index];
        container.startup_passed = container.spec.startup_probe.is_none();
        if container.startup_passed {
            self.begin_serving(index, run);
        } else {
            self.effects.push(Effect::StartProbe { index, run, probe: ProbeKind::Startup });
        }
    }

    /// After the startup probe, if there is one: readiness and liveness count from now.
    pub(super) fn begin_serving(&mut self, index: Index, run: u32) {
        let container = &mut self.runs[index];
        container.ready = container.spec.readiness_probe.is_none();
        if container.spec.readiness_probe.is_some() {
            self.effects.push(Effect::StartProbe { index, run, probe: ProbeKind::Readiness });
        }
        if container.spec.liveness_probe.is_some() {
            self.effects.push(Effect::StartProbe { index, run, probe: ProbeKind::Liveness });
        }
    }

    pub(super) fn not_started(&mut self, index: Index, run: u32, reason: &'static str, message: String) {
        if !self.is_current(index, run) {
            return;
        }
        self.notice(NoticeKind::Warning, "Failed", message.clone(), Some(index));
        self.runs[index].state = RunState::Waiting { reason, message: Some(message) };
        if self.stage == Stage::Terminating {
            self.runs[index].never_again();
            return self.finish_if_all_ended();
        }
        // What is missing may appear: a ConfigMap, an address.
        self.runs[index].crashes += 1;
        let pause = self.back_off.pause(self.runs[index].crashes + 1);
        self.effects.push(Effect::After { pause, timer: Timer::Restart { index, run } });
    }

    pub(super) fn exited(&mut self, index: Index, run: u32, exit: Exit, now: Timestamp) {
        if !self.is_current(index, run) {
            return;
        }
        self.effects.push(Effect::StopProbes { index });
        let container = &mut self.runs[index];
        let since = container.running_since().unwrap_or(now);
        let long_lived = Duration::try_from(now.duration_since(since)).is_ok_and(|age| age > CRASH_LOOP_MEMORY);
        container.crashes = if long_lived { 1 } else { container.crashes + 1 };
        container.ended(Ended { exit, since, at: now });
        if self.stage == Stage::Terminating {
            return self.finish_if_all_ended();
        }
        if index < self.init_count {
            return self.init_exited(index, exit);
        }
        let policy = self.restart_policy();
        if policy == "Always" || (policy == "OnFailure" && !exit.is_success()) {
            return self.back_off(index);
        }
        if !self.runs.iter().skip(self.init_count).any(ContainerRun::will_run) {
            self.stage = Stage::Ended;
        }
    }

    pub(super) fn init_exited(&mut self, index: Index, exit: Exit) {
        if exit.is_success() {
            self.runs[index].crashes = 0;
            self.start_next(index + 1);
        } else if self.restart_policy() == "Never" {
            self.stage = Stage::Ended;
        } else {
            self.back_off(index);
        }
    }

    pub(super) fn back_off(&mut self, index: Index) {
        let container = &mut self.runs[index];
        let (pause, run) = (self.back_off.pause(container.crashes), container.run);
        if !pause.is_zero() {
            let name = container.spec.name.clone();
            let pod = self.pod.metadata.name.clone().unwrap_or_default();
            let message = format!("back-off {}s restarting failed container={name} pod={pod}", pause.as_secs_f64());
            container.state = RunState::Waiting { reason: "CrashLoopBackOff", message: Some(message) };
            let message = format!("Back-off restarting failed container {name} in pod {pod}");
            self.notice(NoticeKind::Warning, "BackOff", message, Some(index));
        }
        self.effects.push(Effect::After { pause, timer: Timer::Restart { index, run } });
    }

    pub(super) fn restart_policy(&self) -> &str {
        self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always")
    }
}

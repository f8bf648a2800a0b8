//! Containers that must end: because they are unhealthy, because their pod goes, because their time is over.

use std::time::Duration;

use super::{Effect, Index, PodMachine, ProbeKind, Stage, Timer};
use crate::controllers::events::NoticeKind;
use crate::kubelet::container::StopCause;

/// What a preStop hook that used up the grace period leaves for SIGTERM.
const MINIMUM_AFTER_HOOK: Duration = Duration::from_secs(2);

impl PodMachine {
    pub(super) fn probed(&mut self, index: Index, run: u32, probe: ProbeKind, healthy: bool, message: &str) {
        if !self.is_current(index, run) || self.runs[index].running_since().is_none() {
            return;
        }
        if !healthy {
            let name = match probe {
                ProbeKind::Startup => "Startup",
                ProbeKind::Readiness => "Readiness",
                ProbeKind::Liveness => "Liveness",
            };
            self.notice(NoticeKind::Warning, "Unhealthy", format!("{name} probe failed: {message}"), Some(index));
        }
        match (probe, healthy) {
            (ProbeKind::Startup, true) if !self.runs[index].startup_passed => {
                self.runs[index].startup_passed = true;
                self.begin_serving(index, run);
            }
            (ProbeKind::Readiness, healthy) => self.runs[index].ready = healthy,
            (ProbeKind::Startup | ProbeKind::Liveness, false) => self.restart_unhealthy(index, probe),
            (ProbeKind::Startup | ProbeKind::Liveness, true) => {}
        }
    }

    pub(super) fn restart_unhealthy(&mut self, index: Index, probe: ProbeKind) {
        if self.stage == Stage::Terminating || self.runs[index].stopping.is_some() {
            return;
        }
        let container = &self.runs[index].spec;
        let (kind, rules) = match probe {
            ProbeKind::Startup => ("startup", container.startup_probe.as_ref()),
            _ => ("liveness", container.liveness_probe.as_ref()),
        };
        let own_grace = rules.and_then(|rules| rules.termination_grace_period_seconds);
        let pod_grace = self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        let seconds = own_grace.or(pod_grace).unwrap_or(30);
        let message = format!("Container {} failed {kind} probe, will be restarted", container.name);
        self.notice(NoticeKind::Normal, "Killing", message, Some(index));
        self.stop_container(index, Duration::from_secs(u64::try_from(seconds).unwrap_or(0)), StopCause::Unhealthy);
    }

    // === stopping ===

    /// preStop, SIGTERM, SIGKILL, within `grace` (and [`MINIMUM_AFTER_HOOK`], if the hook uses it up).
    pub(super) fn stop_container(&mut self, index: Index, grace: Duration, cause: StopCause) {
        let container = &mut self.runs[index];
        let run = container.run;
        if container.running_since().is_none() && !grace.is_zero() {
            // Its process is still being made; `started` comes back here.
            return;
        }
        let was_stopping = container.stopping.replace(cause).is_some();
        let has_hook = container.spec.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some());
        if cause == StopCause::PodDeleted && !was_stopping {
            let message = format!("Stopping container {}", container.spec.name);
            self.notice(NoticeKind::Normal, "Killing", message, Some(index));
        }
        // Readiness is still asked while a pod terminates; restarts are over.
        if grace.is_zero() {
            self.effects.push(Effect::Kill { index });
            return;
        }
        self.effects.push(Effect::After { pause: grace, timer: Timer::GraceOver { index, run } });
        if was_stopping {
            return;
        }
        if has_hook {
            self.runs[index].in_hook = true;
            self.effects.push(Effect::RunPreStop { index, run });
        } else {
            self.effects.push(Effect::Terminate { index });
        }
    }

    pub(super) fn hook_done(&mut self, index: Index, run: u32) {
        if self.is_current(index, run) && self.runs[index].in_hook {
            self.runs[index].in_hook = false;
            self.effects.push(Effect::Terminate { index });
        }
    }

    pub(super) fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::PrepareAgain if self.stage == Stage::Preparing => self.effects.push(Effect::Prepare),
            Timer::Restart { index, run } if self.is_current(index, run) && self.may_start(index) => self.start(index),
            Timer::GraceOver { index, run } if self.is_stopping(index, run) => {
                if std::mem::take(&mut self.runs[index].in_hook) {
                    self.effects.push(Effect::Terminate { index });
                    let timer = Timer::Kill { index, run };
                    self.effects.push(Effect::After { pause: MINIMUM_AFTER_HOOK, timer });
                } else {
                    self.effects.push(Effect::Kill { index });
                }
            }
            Timer::Kill { index, run } if self.is_stopping(index, run) => self.effects.push(Effect::Kill { index }),
            _ => {}
        }
    }

    pub(super) fn may_start(&self, index: Index) -> bool {
        let in_turn = match self.stage {
            Stage::Initializing(current) => current == index,
            Stage::Running => index >= self.init_count,
            _ => false,
        };
        in_turn && !self.runs[index].is_alive()
    }

    pub(super) fn is_stopping(&self, index: Index, run: u32) -> bool {
        self.is_current(index, run) && self.runs[index].is_alive() && self.runs[index].stopping.is_some()
    }
}

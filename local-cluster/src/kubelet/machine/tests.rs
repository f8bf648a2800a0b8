//! Lives of pods, told as inputs and effects.

use serde_json::{Value, json};

use super::*;
use crate::supervisor::Exit;

const BACK_OFF: BackOff = BackOff { first: Duration::from_secs(10), max: Duration::from_secs(300) };

fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

fn pod(spec: &Value) -> Arc<Pod> {
    let mut pod = json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {"terminationGracePeriodSeconds": 30, "containers": [{"name": "main", "image": "i"}]},
    });
    json_patch::merge(&mut pod["spec"], spec);
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn deleted(pod: &Pod, grace: i64) -> Arc<Pod> {
    let mut pod = pod.clone();
    pod.metadata.deletion_timestamp = Some(crate::objects::time(now()));
    pod.metadata.deletion_grace_period_seconds = Some(grace);
    Arc::new(pod)
}

/// A pod whose story is being told.
struct Story {
    machine: PodMachine,
    now: Timestamp,
}

impl Story {
    fn of(spec: &Value) -> Self {
        let mut machine = PodMachine::new(pod(spec), BACK_OFF);
        assert_eq!(machine.begin(), [Effect::Prepare]);
        Self { machine, now: now() }
    }

    /// As far as the first container's running.
    fn running(spec: &Value) -> Self {
        let mut story = Self::of(spec);
        assert_eq!(story.step(Input::Prepared), [Effect::Start { index: 0, run: 1 }]);
        story.step(Input::Started { index: 0, run: 1 });
        story
    }

    /// The effects, without Events.
    fn step(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.machine.step(input, self.now);
        effects.into_iter().filter(|effect| !matches!(effect, Effect::Notice { .. })).collect()
    }

    fn delete(&mut self, grace: i64) -> Vec<Effect> {
        let pod = deleted(&self.machine.pod, grace);
        self.step(Input::Updated(pod))
    }

    fn exit(&mut self, run: u32, exit: Exit) -> Vec<Effect> {
        self.step(Input::Exited { index: 0, run, exit })
    }

    fn pass(&mut self, seconds: i64) {
        self.now += jiff::SignedDuration::from_secs(seconds);
    }
}

fn grace_over(seconds: u64, run: u32) -> Effect {
    Effect::After { pause: Duration::from_secs(seconds), timer: Timer::GraceOver { index: 0, run } }
}

fn restart(seconds: u64, run: u32) -> Effect {
    Effect::After { pause: Duration::from_secs(seconds), timer: Timer::Restart { index: 0, run } }
}

const STOP_PROBES: Effect = Effect::StopProbes { index: 0 };
const TERMINATE: Effect = Effect::Terminate { index: 0 };
const KILL: Effect = Effect::Kill { index: 0 };
const FINISH: Effect = Effect::Finish { confirm: true };

#[test]
fn a_deleted_pod_gets_sigterm_its_grace_and_then_sigkill() {
    let mut story = Story::running(&json!({}));
    assert_eq!(story.delete(5), [grace_over(5, 1), TERMINATE]);
    assert_eq!(story.step(Input::Timer(Timer::GraceOver { index: 0, run: 1 })), [KILL]);
    assert_eq!(story.exit(1, Exit::Signal(9)), [STOP_PROBES, FINISH]);
    assert_eq!(story.machine.stage, Stage::Ended);
}

#[test]
fn a_container_that_ends_in_time_is_not_killed_and_not_restarted() {
    let mut story = Story::running(&json!({}));
    story.delete(5);
    assert_eq!(story.exit(1, Exit::Code(0)), [STOP_PROBES, FINISH]);
    assert_eq!(story.step(Input::Timer(Timer::GraceOver { index: 0, run: 1 })), []);
}

#[test]
fn a_second_deletion_can_only_shorten_the_grace() {
    let mut story = Story::running(&json!({}));
    story.delete(30);
    assert_eq!(story.delete(60), []);
    assert_eq!(story.delete(3), [grace_over(3, 1)]);
    assert_eq!(story.delete(0), [KILL]);
}

#[test]
fn pre_stop_comes_before_sigterm_and_cannot_outlast_the_grace_by_much() {
    let hook =
        json!({"containers": [{"name": "main", "image": "i", "lifecycle": {"preStop": {"sleep": {"seconds": 60}}}}]});
    let mut story = Story::running(&hook);
    assert_eq!(story.delete(5), [grace_over(5, 1), Effect::RunPreStop { index: 0, run: 1 }]);
    let kill = Effect::After { pause: Duration::from_secs(2), timer: Timer::Kill { index: 0, run: 1 } };
    assert_eq!(story.step(Input::Timer(Timer::GraceOver { index: 0, run: 1 })), [TERMINATE, kill]);
    assert_eq!(story.step(Input::HookDone { index: 0, run: 1 }), [], "it was given up");
    assert_eq!(story.step(Input::Timer(Timer::Kill { index: 0, run: 1 })), [KILL]);

    let mut quick = Story::running(&hook);
    quick.delete(5);
    assert_eq!(quick.step(Input::HookDone { index: 0, run: 1 }), [TERMINATE]);
}

#[test]
fn a_pod_deleted_while_its_process_is_being_made_is_stopped_when_it_is_there() {
    let mut story = Story::of(&json!({}));
    story.step(Input::Prepared);
    assert_eq!(story.delete(5), []);
    assert_eq!(story.step(Input::Started { index: 0, run: 1 }), [grace_over(5, 1), TERMINATE]);
}

#[test]
fn a_pod_deleted_before_anything_ran_is_finished_at_once() {
    assert_eq!(Story::of(&json!({})).delete(30), [FINISH]);
    let mut doomed = PodMachine::new(deleted(&pod(&json!({})), 30), BACK_OFF);
    assert_eq!(doomed.begin(), [FINISH]);
}

#[test]
fn a_forced_deletion_kills_and_confirms_nothing() {
    let mut story = Story::running(&json!({}));
    assert_eq!(story.step(Input::Gone), [STOP_PROBES, KILL]);
    assert_eq!(story.exit(1, Exit::Signal(9)), [STOP_PROBES, Effect::Finish { confirm: false }]);
}

#[test]
fn crashes_restart_at_once_then_with_growing_pauses_until_it_has_run_for_long() {
    let mut story = Story::running(&json!({}));
    assert_eq!(story.exit(1, Exit::Code(1)), [STOP_PROBES, restart(0, 1)]);
    for (run, pause) in [(2, 10), (3, 20), (4, 40)] {
        assert_eq!(
            story.step(Input::Timer(Timer::Restart { index: 0, run: run - 1 })),
            [Effect::Start { index: 0, run }]
        );
        story.step(Input::Started { index: 0, run });
        assert_eq!(story.exit(run, Exit::Code(1)), [STOP_PROBES, restart(pause, run)]);
        assert!(matches!(story.machine.runs[0].state, RunState::Waiting { reason: "CrashLoopBackOff", .. }));
    }
    story.step(Input::Timer(Timer::Restart { index: 0, run: 4 }));
    story.step(Input::Started { index: 0, run: 5 });
    story.pass(601);
    assert_eq!(story.exit(5, Exit::Code(1)), [STOP_PROBES, restart(0, 5)]);
    assert_eq!(story.machine.runs[0].restart_count(), 4);
}

#[test]
fn restart_policies_decide_who_runs_again() {
    let ends = |policy: &str, exit| {
        let mut story = Story::running(&json!({"restartPolicy": policy}));
        story.exit(1, exit);
        story.machine.stage == Stage::Ended
    };
    assert!(!ends("Always", Exit::Code(0)));
    assert!(ends("OnFailure", Exit::Code(0)));
    assert!(!ends("OnFailure", Exit::Code(1)));
    assert!(ends("Never", Exit::Signal(9)));
}

#[test]
fn a_finished_pod_is_confirmed_when_it_is_deleted() {
    let mut story = Story::running(&json!({"restartPolicy": "Never"}));
    story.exit(1, Exit::Code(0));
    assert_eq!(story.delete(30), [FINISH]);
}

#[test]
fn init_containers_run_one_after_the_other_and_hold_the_others_back() {
    let spec = json!({"initContainers": [{"name": "one", "image": "i"}, {"name": "two", "image": "i"}]});
    let mut story = Story::of(&spec);
    assert_eq!(story.step(Input::Prepared), [Effect::Start { index: 0, run: 1 }]);
    story.step(Input::Started { index: 0, run: 1 });
    let failed = story.exit(1, Exit::Code(1));
    assert_eq!(failed, [STOP_PROBES, restart(0, 1)], "a failed step is tried again");
    story.step(Input::Timer(Timer::Restart { index: 0, run: 1 }));
    story.step(Input::Started { index: 0, run: 2 });
    assert_eq!(story.exit(2, Exit::Code(0)), [STOP_PROBES, Effect::Start { index: 1, run: 1 }]);
    story.step(Input::Started { index: 1, run: 1 });
    let last = story.step(Input::Exited { index: 1, run: 1, exit: Exit::Code(0) });
    assert_eq!(last, [Effect::StopProbes { index: 1 }, Effect::Start { index: 2, run: 1 }]);
}

#[test]
fn probes_wait_for_startup_and_an_unhealthy_container_is_restarted() {
    let probe = json!({"httpGet": {"port": 1}});
    let spec = json!({"containers": [{"name": "main", "image": "i", "startupProbe": probe, "readinessProbe": probe, "livenessProbe": probe}]});
    let mut story = Story::of(&spec);
    story.step(Input::Prepared);
    let start_probe = |probe| Effect::StartProbe { index: 0, run: 1, probe };
    assert_eq!(story.step(Input::Started { index: 0, run: 1 }), [start_probe(ProbeKind::Startup)]);
    let probed = |probe, healthy| Input::Probed { index: 0, run: 1, probe, healthy, message: "503".into() };
    let started = story.step(probed(ProbeKind::Startup, true));
    assert_eq!(started, [start_probe(ProbeKind::Readiness), start_probe(ProbeKind::Liveness)]);
    assert!(!story.machine.runs[0].ready);
    story.step(probed(ProbeKind::Readiness, true));
    assert!(story.machine.runs[0].ready);
    assert_eq!(story.step(probed(ProbeKind::Liveness, false)), [grace_over(30, 1), TERMINATE]);
    assert_eq!(story.step(probed(ProbeKind::Liveness, false)), [], "once is enough");
    assert_eq!(story.exit(1, Exit::Code(0)), [STOP_PROBES, restart(0, 1)]);
    assert!(!story.machine.runs[0].ready);
}

#[test]
fn answers_about_an_earlier_run_are_ignored() {
    let mut story = Story::running(&json!({}));
    story.exit(1, Exit::Code(1));
    story.step(Input::Timer(Timer::Restart { index: 0, run: 1 }));
    story.step(Input::Started { index: 0, run: 2 });
    assert_eq!(story.exit(1, Exit::Code(1)), []);
    let stale = Input::Probed { index: 0, run: 1, probe: ProbeKind::Readiness, healthy: false, message: String::new() };
    assert_eq!(story.step(stale), []);
    assert!(story.machine.runs[0].ready);
}

#[test]
fn preparation_is_tried_again_quietly_at_first_unless_it_is_hopeless() {
    let mut story = Story::of(&json!({}));
    let failure = |hopeless| Input::NotPrepared { reason: "FailedMount", message: "no".into(), hopeless };
    let notices = |effects: &[Effect]| effects.iter().filter(|effect| matches!(effect, Effect::Notice { .. })).count();
    let first = story.machine.step(failure(false), now());
    assert_eq!(notices(&first), 0);
    assert!(matches!(first[..], [Effect::After { timer: Timer::PrepareAgain, .. }]));
    for _ in 0..10 {
        story.step(failure(false));
    }
    let late = story.machine.step(failure(false), now());
    assert_eq!(notices(&late), 1);
    assert!(late.contains(&Effect::After { pause: MAX_PREPARE_PAUSE, timer: Timer::PrepareAgain }));
    assert_eq!(story.step(Input::Timer(Timer::PrepareAgain)), [Effect::Prepare]);

    let mut hopeless = Story::of(&json!({}));
    assert_eq!(hopeless.step(failure(true)), []);
    assert!(matches!(hopeless.machine.runs[0].state, RunState::Waiting { reason: "CreateContainerConfigError", .. }));
}

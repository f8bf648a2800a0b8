//! What statuses say.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::machine::{Effect, Input};
use super::*;
use crate::profile::BackOff;

fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

fn after(inputs: &[Input], spec: &Value, known: &Value) -> PodStatus {
    let mut pod = json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": {"containers": [{"name": "main", "image": "i"}]},
    });
    json_patch::merge(&mut pod["spec"], spec);
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let mut machine =
        PodMachine::new(Arc::new(pod), BackOff { first: Duration::from_secs(10), max: Duration::from_secs(300) });
    assert_eq!(machine.begin(), [Effect::Prepare]);
    for input in inputs {
        machine.step(input.clone(), now());
    }
    let place = Place { host: Ipv4Addr::new(127, 9, 0, 1), pod: Some(Ipv4Addr::new(127, 9, 16, 1)), accepted: now() };
    let known: PodStatus = serde_json::from_value(known.clone()).unwrap();
    status(&machine, place, now(), Some(&known))
}

fn started(index: usize) -> Input {
    Input::Started { index, run: 1 }
}

fn exited(exit: Exit) -> Input {
    Input::Exited { index: 0, run: 1, exit }
}

fn condition(status: &PodStatus, kind: &str) -> (String, Option<String>) {
    let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == kind).unwrap();
    (condition.status.clone(), condition.reason.clone())
}

#[test]
fn a_running_container_without_a_probe_is_ready() {
    let status = after(&[Input::Prepared, started(0)], &json!({}), &json!({}));
    assert_eq!(status.phase.as_deref(), Some("Running"));
    for kind in ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"] {
        assert_eq!(condition(&status, kind), ("True".into(), None), "{kind}");
    }
    assert_eq!((status.pod_ip.as_deref(), status.host_ip.as_deref()), (Some("127.9.16.1"), Some("127.9.0.1")));
    assert_eq!(status.qos_class.as_deref(), Some("BestEffort"));
    let container = &status.container_statuses.unwrap()[0];
    assert!(container.ready && container.started == Some(true) && container.restart_count == 0);
}

#[test]
fn a_pending_pod_says_what_it_waits_for() {
    let status = after(&[Input::Prepared], &json!({"initContainers": [{"name": "init", "image": "i"}]}), &json!({}));
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    assert_eq!(condition(&status, "Initialized"), ("False".into(), Some("ContainersNotInitialized".into())));
    let reason = |statuses: Option<Vec<ContainerStatus>>| {
        statuses.unwrap()[0].state.clone().unwrap().waiting.unwrap().reason.unwrap()
    };
    assert_eq!(reason(status.container_statuses), "PodInitializing");
    assert_eq!(reason(status.init_container_statuses), "ContainerCreating");
}

#[test]
fn what_others_wrote_is_kept_and_unchanged_conditions_keep_their_time() {
    let known = json!({"conditions": [
        {"type": "PodScheduled", "status": "True"},
        {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"},
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-31T11:00:00Z"},
    ]});
    let status = after(&[Input::Prepared, started(0)], &json!({}), &known);
    assert_eq!(condition(&status, "PodScheduled").0, "True");
    assert_eq!(condition(&status, "DisruptionTarget").1.as_deref(), Some("EvictionByEvictionAPI"));
    let ready = status.conditions.unwrap().into_iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!(ready.last_transition_time.unwrap().0.to_string(), "2026-01-31T11:00:00Z");
}

#[test]
fn ends_have_a_phase_a_code_and_a_signal() {
    let end =
        |exit| after(&[Input::Prepared, started(0), exited(exit)], &json!({"restartPolicy": "Never"}), &json!({}));
    let done = end(Exit::Code(0));
    assert_eq!(done.phase.as_deref(), Some("Succeeded"));
    assert_eq!(condition(&done, "Ready"), ("False".into(), Some("PodCompleted".into())));
    let killed = end(Exit::Signal(9));
    assert_eq!(killed.phase.as_deref(), Some("Failed"));
    let terminated = killed.container_statuses.unwrap()[0].state.clone().unwrap().terminated.unwrap();
    assert_eq!((terminated.exit_code, terminated.signal, terminated.reason.as_deref()), (137, Some(9), Some("Error")));
}

#[test]
fn a_restart_counts_and_shows_the_end_before_it() {
    let inputs = [
        Input::Prepared,
        started(0),
        exited(Exit::Code(3)),
        Input::Timer(super::super::machine::Timer::Restart { index: 0, run: 1 }),
        Input::Started { index: 0, run: 2 },
    ];
    let between = after(&inputs[..4], &json!({}), &json!({})).container_statuses.unwrap().remove(0);
    assert_eq!((between.restart_count, between.state.unwrap().terminated.unwrap().exit_code), (0, 3));
    let again = after(&inputs, &json!({}), &json!({})).container_statuses.unwrap().remove(0);
    assert_eq!((again.restart_count, again.last_state.unwrap().terminated.unwrap().exit_code), (1, 3));
}

#[test]
fn quality_of_service_follows_the_resources() {
    let class = |resources: Value| {
        let spec = json!({"containers": [{"name": "main", "image": "i", "resources": resources}]});
        after(&[], &spec, &json!({})).qos_class.unwrap()
    };
    assert_eq!(class(json!({"requests": {"cpu": "1"}})), "Burstable");
    assert_eq!(class(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Guaranteed");
}

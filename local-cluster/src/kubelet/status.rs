//! What a pod's status says, from the state of its machine. Pure.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP,
    Pod, PodCondition, PodIP, PodStatus,
};

use super::container::{ContainerRun, Ended, RunState};
use super::machine::{PodMachine, Stage};
use crate::objects::time;
use crate::supervisor::Exit;

/// What the status needs to know besides the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) host: Ipv4Addr,
    /// Absent until the pod has one.
    pub(super) pod: Option<Ipv4Addr>,
    /// When the kubelet took the pod.
    pub(super) accepted: Timestamp,
}

/// The conditions that the kubelet owns. Others (`PodScheduled`, `DisruptionTarget` …) are kept as they are.
const OWN_CONDITIONS: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];

/// The whole status. `known` is the newest one in the API: what others wrote there stays.
pub(super) fn status(machine: &PodMachine, place: Place, now: Timestamp, known: Option<&PodStatus>) -> PodStatus {
    let old = known.cloned().unwrap_or_default();
    let (init, main) = machine.runs.split_at(machine.init_count);
    let pod_ip = place.pod.map(|ip| ip.to_string());
    PodStatus {
        phase: Some(phase(machine).to_owned()),
        conditions: Some(conditions(machine, &old, now)),
        container_statuses: Some(main.iter().map(|run| container_status(run, machine, false)).collect()),
        init_container_statuses: (!init.is_empty())
            .then(|| init.iter().map(|run| container_status(run, machine, true)).collect()),
        host_ip: Some(place.host.to_string()),
        host_ips: Some(vec![HostIP { ip: place.host.to_string() }]),
        pod_ips: pod_ip.clone().map(|ip| vec![PodIP { ip }]),
        pod_ip,
        start_time: Some(time(place.accepted)),
        observed_generation: machine.pod.metadata.generation,
        qos_class: old.qos_class.or_else(|| Some(qos_class(&machine.pod).to_owned())),
        ..old
    }
}

fn phase(machine: &PodMachine) -> &'static str {
    let (init, main) = machine.runs.split_at(machine.init_count);
    let failed_init =
        machine.stage == Stage::Ended && init.iter().any(|run| exit_of(run).is_some_and(|exit| !exit.is_success()));
    let has_run = main.iter().any(|run| run.processes > 0 || run.running_since().is_some());
    let all_ended = main.iter().all(|run| matches!(run.state, RunState::Terminated(_)));
    match machine.stage {
        Stage::Ended if failed_init => "Failed",
        Stage::Ended if all_ended && main.iter().all(|run| exit_of(run).is_some_and(Exit::is_success)) => "Succeeded",
        Stage::Ended if has_run => "Failed",
        _ if has_run => "Running",
        _ => "Pending",
    }
}

fn exit_of(run: &ContainerRun) -> Option<Exit> {
    match run.state {
        RunState::Terminated(ended) => Some(ended.exit),
        _ => None,
    }
}

fn conditions(machine: &PodMachine, old: &PodStatus, now: Timestamp) -> Vec<PodCondition> {
    let (init, main) = machine.runs.split_at(machine.init_count);
    let initialized = init.iter().all(|run| exit_of(run).is_some_and(Exit::is_success)) && machine.prepared;
    let waiting = |run: &&ContainerRun| !run.ready || run.running_since().is_none();
    let unready: Vec<_> = main.iter().filter(waiting).map(|run| run.spec.name.as_str()).collect();
    let completed = machine.stage == Stage::Ended && phase(machine) == "Succeeded";
    let unready_reason = if completed { "PodCompleted" } else { "ContainersNotReady" };
    let unready_message = (!completed).then(|| format!("containers with unready status: [{}]", unready.join(" ")));
    let gates_open = gates(machine).all(|gate| {
        old.conditions.iter().flatten().any(|condition| condition.type_ == gate && condition.status == "True")
    });
    let containers_ready = unready.is_empty() && machine.prepared;
    let says = |kind: &str, holds: bool, reason: &str, message: Option<String>| {
        let before = old.conditions.iter().flatten().find(|condition| condition.type_ == kind);
        let status = if holds { "True" } else { "False" };
        let unchanged = before.filter(|before| before.status == status);
        PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: (!holds && !reason.is_empty()).then(|| reason.to_owned()),
            message: message.filter(|_| !holds),
            observed_generation: machine.pod.metadata.generation,
            last_transition_time: unchanged
                .map_or_else(|| Some(time(now)), |before| before.last_transition_time.clone()),
            last_probe_time: None,
        }
    };
    let ready_reason = if containers_ready { "ReadinessGatesNotReady" } else { unready_reason };
    let mut conditions = vec![
        says("PodReadyToStartContainers", machine.prepared && machine.stage != Stage::Ended, "", None),
        says("Initialized", initialized, "ContainersNotInitialized", None),
        says("Ready", containers_ready && gates_open, ready_reason, unready_message.clone()),
        says("ContainersReady", containers_ready, unready_reason, unready_message),
    ];
    let foreign =
        old.conditions.iter().flatten().filter(|condition| !OWN_CONDITIONS.contains(&condition.type_.as_str()));
    conditions.extend(foreign.cloned());
    conditions
}

fn gates(machine: &PodMachine) -> impl Iterator<Item = &str> {
    let gates = machine.pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
    gates.iter().map(|gate| gate.condition_type.as_str())
}

fn container_status(run: &ContainerRun, machine: &PodMachine, is_init: bool) -> ContainerStatus {
    let state = match &run.state {
        RunState::Waiting { reason, message } => waiting(initial_reason(reason, machine, is_init), message.clone()),
        RunState::Starting if run.last.is_some() => return restarting(run, machine),
        RunState::Starting => waiting("ContainerCreating", None),
        RunState::Running { since } => ContainerState {
            running: Some(ContainerStateRunning { started_at: Some(time(*since)) }),
            ..ContainerState::default()
        },
        RunState::Terminated(ended) => terminated(run, ended),
    };
    let is_terminated = matches!(run.state, RunState::Terminated(_));
    let last = run.last.filter(|_| !is_terminated);
    let is_running = run.running_since().is_some();
    ContainerStatus {
        ready: if is_init { exit_of(run).is_some_and(Exit::is_success) } else { is_running && run.ready },
        started: Some(is_running && (run.startup_passed || is_init)),
        state: Some(state),
        last_state: Some(last.map_or_else(ContainerState::default, |ended| terminated(run, &ended))),
        ..identity(run, machine)
    }
}

/// What a status says of a container whatever it does.
fn identity(run: &ContainerRun, machine: &PodMachine) -> ContainerStatus {
    ContainerStatus {
        name: run.spec.name.clone(),
        image: run.spec.image.clone().unwrap_or_default(),
        image_id: run.spec.image.as_ref().map(|image| format!("local://{image}")).unwrap_or_default(),
        container_id: container_id(run, machine),
        restart_count: run.restart_count(),
        ..ContainerStatus::default()
    }
}

/// Between the end of one run and the process of the next, the end is what is shown.
fn restarting(run: &ContainerRun, machine: &PodMachine) -> ContainerStatus {
    ContainerStatus {
        started: Some(false),
        state: run.last.map(|ended| terminated(run, &ended)),
        last_state: Some(ContainerState::default()),
        ..identity(run, machine)
    }
}

fn initial_reason(reason: &'static str, machine: &PodMachine, is_init: bool) -> &'static str {
    let still_initializing =
        matches!(machine.stage, Stage::Initializing(_) | Stage::Preparing) && machine.init_count > 0;
    if reason == "ContainerCreating" && still_initializing && !is_init { "PodInitializing" } else { reason }
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
        ..ContainerState::default()
    }
}

fn terminated(run: &ContainerRun, ended: &Ended) -> ContainerState {
    let (signal, reason) = match ended.exit {
        Exit::Code(0) => (None, "Completed"),
        Exit::Code(_) => (None, "Error"),
        Exit::Signal(signal) => (Some(signal), "Error"),
    };
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: ended.exit.code(),
            signal,
            reason: Some(reason.to_owned()),
            message: None,
            started_at: Some(time(ended.since)),
            finished_at: Some(time(ended.at)),
            container_id: Some(format!("process://{}", run.spec.name)),
        }),
        ..ContainerState::default()
    }
}

fn container_id(run: &ContainerRun, machine: &PodMachine) -> Option<String> {
    let uid = machine.pod.metadata.uid.as_deref().unwrap_or_default();
    (run.run > 0).then(|| format!("process://{uid}/{}/{}", run.spec.name, run.run))
}

fn qos_class(pod: &Pod) -> &'static str {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let resources: Vec<_> = containers.map(|container| container.resources.clone().unwrap_or_default()).collect();
    let guaranteed = resources.iter().all(|resources| {
        let limits = resources.limits.clone().unwrap_or_default();
        let requests = resources.requests.clone().unwrap_or_else(|| limits.clone());
        ["cpu", "memory"].iter().all(|name| limits.contains_key(*name) && limits.get(*name) == requests.get(*name))
    });
    let any = resources.iter().any(|resources| resources.limits.is_some() || resources.requests.is_some());
    match (guaranteed && any, any) {
        (true, _) => "Guaranteed",
        (false, true) => "Burstable",
        (false, false) => "BestEffort",
    }
}

#[cfg(test)]
mod tests;

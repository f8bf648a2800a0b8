//! Rules that hold whatever a target asks for: opt-in, deny list, controllers, and the pod's own state.

use super::{Exclusion, Finding, View, namespace};
use crate::api::labels;
use crate::population::PodFacts;

pub(super) fn environment(view: &View<'_>, _: &PodFacts) -> Finding<Exclusion> {
    match (&view.target.environment, &view.population.environment) {
        (None, _) => Finding::pass("the target asks for none"),
        (Some(wanted), Some(found)) if wanted == found => Finding::pass(format!("this is {found}")),
        (Some(wanted), found) => Finding::fail(
            Exclusion::EnvironmentMismatch,
            format!("the target asks for {wanted}, the cluster is {}", found.as_deref().unwrap_or("not labelled")),
        ),
    }
}

pub(super) fn denied_namespace(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    namespace::denied(view.policy, &pod.namespace, view.namespace(pod))
}

pub(super) fn namespace_enabled(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    namespace::enabled(view.policy, &pod.namespace, view.namespace(pod))
}

pub(super) fn namespace_excluded(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    namespace::excluded(view.policy, &pod.namespace, view.namespace(pod))
}

pub(super) fn namespace_stopped(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    if view.namespace(pod).is_some_and(|namespace| namespace.stopped) {
        return Finding::fail(
            Exclusion::NamespaceStopped,
            format!("namespace {} carries the annotation {}", pod.namespace, labels::STOP),
        );
    }
    Finding::pass("not stopped")
}

pub(super) fn namespace_terminating(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    if view.namespace(pod).is_some_and(|namespace| namespace.terminating) {
        return Finding::fail(Exclusion::NamespaceTerminating, format!("namespace {} is being deleted", pod.namespace));
    }
    Finding::pass("active")
}

pub(super) fn allowed_from(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    namespace::allowed_from(view.policy, &pod.namespace, view.namespace(pod))
}

pub(super) fn pod_enabled(_: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    if pod.labels.get(labels::ENABLED).is_some_and(|value| value == "true") {
        return Finding::pass("the pod is labelled");
    }
    Finding::fail(Exclusion::PodNotEnabled, format!("the pod is not labelled {}=true", labels::ENABLED))
}

pub(super) fn pod_excluded(_: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    match pod.labels.get(labels::EXCLUDE) {
        Some(value) if value != "false" => {
            Finding::fail(Exclusion::PodExcluded, format!("the pod is labelled {}={value}", labels::EXCLUDE))
        }
        _ => Finding::pass("not excluded"),
    }
}

pub(super) fn priority_class(_: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    match &pod.priority_class {
        Some(class) if class.starts_with("system-") => {
            Finding::fail(Exclusion::SystemPriority, format!("its priority class is {class}"))
        }
        _ => Finding::pass("not the system's"),
    }
}

pub(super) fn mirror(_: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    if pod.mirror {
        return Finding::fail(Exclusion::MirrorPod, "it mirrors a static pod of its node");
    }
    Finding::pass("no mirror")
}

/// As far as the pod tells it by itself.
pub(super) fn owned(_: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    match &pod.owner {
        Some(owner) => Finding::pass(format!("{} {}", owner.kind, owner.name)),
        None => Finding::fail(Exclusion::NoController, "no controller would replace it"),
    }
}

pub(super) fn controller(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    let Some(owner) = &pod.owner else { return owned(view, pod) };
    let Some(key) = &pod.workload else {
        return Finding::fail(
            Exclusion::OwnerUnknown,
            format!("the owners of {} {} could not be read", owner.kind, owner.name),
        );
    };
    let Some(workload) = view.workloads.get(key.uid.as_str()) else {
        return Finding::fail(Exclusion::OwnerUnknown, format!("{} {} could not be read", key.kind, key.name));
    };
    if workload.terminating {
        return Finding::fail(Exclusion::WorkloadTerminating, format!("{} {} is being deleted", key.kind, key.name));
    }
    Finding::pass(format!("{} {}", key.kind, key.name))
}

pub(super) fn job(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    let job_kind = |kind: &str| kind == "Job" || kind == "CronJob";
    let of_job = pod.owner.as_ref().is_some_and(|owner| job_kind(&owner.kind))
        || pod.workload.as_ref().is_some_and(|workload| job_kind(&workload.kind));
    if !of_job {
        return Finding::pass("no Job");
    }
    let named = view.target.owner_kinds.include.iter().any(|kind| job_kind(kind))
        || view.target.workloads.iter().any(|workload| job_kind(&workload.kind));
    if named {
        return Finding::pass("the target names Jobs");
    }
    Finding::fail(Exclusion::JobPod, "it belongs to a Job, and the target does not name Jobs")
}

pub(super) fn terminating(_: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    if pod.terminating {
        return Finding::fail(Exclusion::Terminating, "it is being deleted already");
    }
    Finding::pass("not being deleted")
}

pub(super) fn phase(_: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    if pod.phase == "Running" {
        return Finding::pass("Running");
    }
    Finding::fail(Exclusion::NotRunning, format!("its phase is {}", pod.phase))
}

pub(super) fn readiness(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    if !pod.ready {
        return Finding::fail(
            Exclusion::NotReady,
            "it is not Ready: it serves nothing, and killing it would prove nothing",
        );
    }
    let Some((nodes, name)) = view.nodes.as_ref().zip(pod.node.as_deref()) else {
        return Finding::pass("Ready");
    };
    let why = match nodes.get(name) {
        Some(node) if node.ready => return Finding::pass("Ready"),
        Some(_) => "is not Ready",
        None => "is gone",
    };
    let message = format!("its node {name} {why}: it serves nothing, and killing it would prove nothing");
    Finding::fail(Exclusion::NotReady, message)
}

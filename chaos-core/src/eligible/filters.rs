//! Rules that a target asks for: namespaces, workloads, labels, names, kinds, nodes, zones, age. All are ANDed.

use std::collections::BTreeMap;

use super::{Exclusion, Finding, View};
use crate::population::{NodeFacts, PodFacts};

const NOT_ASKED: &str = "the target does not ask";

pub(super) fn namespaces(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    let scope = &view.target.namespaces;
    // A namespace that could not be read is judged by its name: the opt-in rule tells that it could not.
    let unread = BTreeMap::new();
    let labels = view.namespace(pod).map_or(&unread, |namespace| &namespace.labels);
    let targeted = scope.contains(&pod.namespace, labels);
    if targeted {
        return Finding::pass(format!("{} is targeted", pod.namespace));
    }
    Finding::fail(
        Exclusion::NamespaceNotTargeted,
        format!("the target is {}, the pod is in {}", view.target.namespaces, pod.namespace),
    )
}

pub(super) fn workloads(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    let wanted = &view.target.workloads;
    if wanted.is_empty() {
        return Finding::pass(NOT_ASKED);
    }
    let of = pod.workload.as_ref();
    match of {
        Some(key) if wanted.iter().any(|w| w.kind == key.kind && w.name == key.name) => {
            Finding::pass(format!("{} {} is targeted", key.kind, key.name))
        }
        _ => Finding::fail(
            Exclusion::WorkloadNotTargeted,
            format!(
                "the target is {}; the pod is of {}",
                wanted.iter().map(|w| format!("{} {}", w.kind, w.name)).collect::<Vec<_>>().join(", "),
                of.map_or_else(|| "none that is known".to_owned(), |key| format!("{} {}", key.kind, key.name)),
            ),
        ),
    }
}

pub(super) fn selector(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    match view.target.selector.unmet(&pod.labels) {
        Some(requirement) => {
            Finding::fail(Exclusion::LabelsNotTargeted, format!("its labels do not meet {requirement}"))
        }
        None if view.target.selector.is_empty() => Finding::pass(NOT_ASKED),
        None => Finding::pass("its labels are selected"),
    }
}

pub(super) fn owner_kinds(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    let kinds = &view.target.owner_kinds;
    if kinds.include.is_empty() && kinds.exclude.is_empty() {
        return Finding::pass(NOT_ASKED);
    }
    // A CronJob's pods are Job pods too: naming either kind means them.
    let of = [pod.workload.as_ref().map(|w| w.kind.as_str()), job_owner(pod)];
    let listed = |list: &std::collections::BTreeSet<String>| of.iter().flatten().any(|kind| list.contains(*kind));
    if (kinds.include.is_empty() || listed(&kinds.include)) && !listed(&kinds.exclude) {
        return Finding::pass("its controller's kind is targeted");
    }
    Finding::fail(
        Exclusion::OwnerKindNotTargeted,
        format!("its controller is a {}", of[0].unwrap_or("kind that is not known")),
    )
}

pub(super) fn pod_names(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    let names = &view.target.pod_names;
    if let Some(include) = names.include.as_ref().filter(|include| !include.matches(&pod.name)) {
        return Finding::fail(Exclusion::NameNotTargeted, format!("its name does not match {include}"));
    }
    if let Some(exclude) = names.exclude.as_ref().filter(|exclude| exclude.matches(&pod.name)) {
        return Finding::fail(Exclusion::NameNotTargeted, format!("its name matches the excluded {exclude}"));
    }
    Finding::pass(if names.include.is_some() || names.exclude.is_some() { "its name is targeted" } else { NOT_ASKED })
}

pub(super) fn nodes(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    let Some(selector) = &view.target.nodes else {
        return Finding::pass(NOT_ASKED);
    };
    let node = match node_of(view, pod) {
        Ok(node) => node,
        Err(finding) => return finding,
    };
    match selector.unmet(&node.labels) {
        None => Finding::pass(format!("node {} is targeted", node.name)),
        Some(requirement) => Finding::fail(
            Exclusion::NodeNotTargeted,
            format!("the labels of its node {} do not meet {requirement}", node.name),
        ),
    }
}

pub(super) fn zones(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    if view.target.zones.is_empty() {
        return Finding::pass(NOT_ASKED);
    }
    let node = match node_of(view, pod) {
        Ok(node) => node,
        Err(finding) => return finding,
    };
    match node.zone() {
        Some(zone) if view.target.zones.contains(zone) => Finding::pass(format!("zone {zone} is targeted")),
        zone => Finding::fail(
            Exclusion::ZoneNotTargeted,
            format!(
                "its node {} is in {}",
                node.name,
                zone.map_or_else(|| "no zone".to_owned(), |z| format!("zone {z}"))
            ),
        ),
    }
}

pub(super) fn min_age(view: &View<'_>, pod: &PodFacts) -> Finding<Exclusion> {
    let wanted = view.target.min_age;
    let age = view.now.duration_since(pod.created_at);
    // A pod from the future (clocks differ) is young.
    let old_enough = std::time::Duration::try_from(age).is_ok_and(|age| age >= wanted.std());
    if wanted.is_zero() {
        Finding::pass(NOT_ASKED)
    } else if old_enough {
        Finding::pass(format!("it is {} s old", age.as_secs()))
    } else {
        Finding::fail(Exclusion::TooYoung, format!("it is {} s old, the target asks for {wanted}", age.as_secs()))
    }
}

fn job_owner(pod: &PodFacts) -> Option<&str> {
    pod.owner.as_ref().map(|owner| owner.kind.as_str()).filter(|kind| *kind == "Job")
}

fn node_of<'a>(view: &View<'a>, pod: &PodFacts) -> Result<&'a NodeFacts, Finding<Exclusion>> {
    let Some(nodes) = &view.nodes else {
        return Err(Finding::fail(
            Exclusion::NodesUnreadable,
            "the target asks for nodes or zones, and nodes may not be read here",
        ));
    };
    let Some(name) = &pod.node else {
        return Err(Finding::fail(Exclusion::NodeNotTargeted, "it is bound to no node"));
    };
    nodes
        .get(name.as_str())
        .copied()
        .ok_or_else(|| Finding::fail(Exclusion::NodeNotTargeted, format!("its node {name} is not known")))
}

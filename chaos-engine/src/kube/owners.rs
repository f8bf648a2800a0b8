//! Owners: the chain from a pod to its top controller, how many pods that wants, and whether it is rolling out. Pure.

use std::collections::BTreeMap;

use chaos_core::population::{WorkloadFacts, WorkloadKey};

use super::wire::{Meta, Owner, Workload};

/// Controllers of one or more namespaces, by UID, with their kind.
#[derive(Default)]
pub(super) struct Owners {
    by_uid: BTreeMap<String, (&'static str, Workload)>,
}

impl Owners {
    pub(super) fn add(&mut self, kind: &'static str, workloads: Vec<Workload>) {
        self.by_uid.extend(workloads.into_iter().map(|workload| (workload.metadata.uid.clone(), (kind, workload))));
    }

    /// The top controller of whatever carries this metadata, if the chain can be followed to its end.
    pub(super) fn top(&self, meta: &Meta) -> Option<WorkloadKey> {
        let mut owner = meta.controller()?;
        loop {
            let (kind, workload) = self.find(owner)?;
            match workload.metadata.controller() {
                Some(next) => owner = next,
                None => return Some(key(kind, &workload.metadata)),
            }
        }
    }

    /// Facts about every controller that has no controller itself.
    pub(super) fn tops(&self) -> Vec<WorkloadFacts> {
        let sets = self.replica_sets();
        let tops = self.by_uid.values().filter(|(_, workload)| workload.metadata.controller().is_none());
        tops.map(|(kind, workload)| WorkloadFacts {
            key: key(kind, &workload.metadata),
            desired: desired(kind, workload),
            rollout: rollout(kind, workload, &sets),
            terminating: workload.metadata.deletion_timestamp.is_some(),
        })
        .collect()
    }

    fn find(&self, owner: &Owner) -> Option<(&'static str, &Workload)> {
        self.by_uid.get(&owner.uid).filter(|(kind, _)| *kind == owner.kind).map(|(kind, workload)| (*kind, workload))
    }

    /// The ReplicaSets of each controller, by its UID: a namespace may have a thousand Deployments.
    fn replica_sets(&self) -> BTreeMap<&str, Vec<&Workload>> {
        let mut sets: BTreeMap<&str, Vec<&Workload>> = BTreeMap::new();
        for (_, set) in self.by_uid.values().filter(|(kind, _)| *kind == "ReplicaSet") {
            if let Some(owner) = set.metadata.controller() {
                sets.entry(owner.uid.as_str()).or_default().push(set);
            }
        }
        sets
    }
}

/// Why a rollout is under way. A pod that is being replaced after a kill is none: only revisions and wishes count.
fn rollout(kind: &str, workload: &Workload, sets: &BTreeMap<&str, Vec<&Workload>>) -> Option<String> {
    let (meta, status) = (&workload.metadata, &workload.status);
    let is_behind = meta.generation.zip(status.observed_generation).is_some_and(|(wanted, seen)| seen < wanted);
    if is_behind
        || (meta.generation.is_some() && status.observed_generation.is_none() && kind != "CronJob" && kind != "Job")
    {
        return Some("its newest specification has not been taken up yet".to_owned());
    }
    match kind {
        "Deployment" => {
            let of_it = sets.get(meta.uid.as_str()).map(Vec::as_slice).unwrap_or_default();
            deployment_rollout(workload, of_it)
        }
        "StatefulSet" if status.current_revision != status.update_revision => {
            Some("pods of two revisions exist".to_owned())
        }
        "DaemonSet" if status.updated_number_scheduled < status.current_number_scheduled => {
            Some("pods of an old revision are left".to_owned())
        }
        "ReplicaSet" if status.replicas > workload.spec.replicas.or(Some(1)) => {
            Some("it is being scaled down".to_owned())
        }
        _ => None,
    }
}

/// The same for a Deployment with these ReplicaSets.
fn deployment_rollout(deployment: &Workload, sets: &[&Workload]) -> Option<String> {
    let wanted = |set: &Workload| set.spec.replicas.unwrap_or(1);
    let is_live = |set: &&&Workload| wanted(set) > 0 || set.status.replicas.unwrap_or(0) > 0;
    let live: Vec<_> = sets.iter().filter(is_live).collect();
    let desired = deployment.spec.replicas.unwrap_or(1);
    match live.as_slice() {
        [] if desired == 0 => None,
        [set] if wanted(set) == desired && set.status.replicas.unwrap_or(0) <= desired => None,
        [] => Some("it has no ReplicaSet yet".to_owned()),
        [_] => Some("it is being scaled".to_owned()),
        sets => Some(format!("pods of {} revisions exist", sets.len())),
    }
}

fn key(kind: &str, meta: &Meta) -> WorkloadKey {
    WorkloadKey {
        namespace: meta.namespace.clone(),
        kind: kind.to_owned(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
    }
}

fn desired(kind: &str, workload: &Workload) -> u32 {
    match kind {
        "DaemonSet" => workload.status.desired_number_scheduled.unwrap_or(0),
        "Job" => workload.spec.parallelism.unwrap_or(1),
        "CronJob" => 0,
        _ => workload.spec.replicas.unwrap_or(1),
    }
}

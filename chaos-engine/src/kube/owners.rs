//! Owners: the chain from a pod to its top controller, how many pods that wants, and whether it is rolling out. Pure.

use std::collections::BTreeMap;

use chaos_core::population::{WorkloadFacts, WorkloadKey};

use super::wire::{Meta, Owner, Workload};

/// Controllers above one another that are followed, at most. A pod of a CronJob has two; whoever may write a ReplicaSet can make
/// its owners a circle, or a tower that every pod would have to climb.
const HIGHEST: usize = 16;

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
        for _ in 0..HIGHEST {
            let (kind, workload) = self.find(owner)?;
            match workload.metadata.controller() {
                Some(next) => owner = next,
                None => return Some(key(kind, &workload.metadata)),
            }
        }
        None
    }

    /// Facts about every controller that has no controller itself.
    pub(super) fn tops(&self) -> Vec<WorkloadFacts> {
        let sets = self.replica_sets();
        let tops = self.by_uid.values().filter(|(_, workload)| workload.metadata.controller().is_none());
        tops.map(|(kind, workload)| WorkloadFacts {
            key: key(kind, &workload.metadata),
            desired: if *kind == "CronJob" { self.wanted_of_jobs(workload) } else { desired(kind, workload) },
            rollout: rollout(kind, workload, &sets),
            terminating: workload.metadata.deletion_timestamp.is_some(),
        })
        .collect()
    }

    fn find(&self, owner: &Owner) -> Option<(&'static str, &Workload)> {
        self.by_uid.get(&owner.uid).filter(|(kind, _)| *kind == owner.kind).map(|(kind, workload)| (*kind, workload))
    }

    /// Pods that the Jobs want together that this controller has made and that are not over.
    fn wanted_of_jobs(&self, controller: &Workload) -> u32 {
        let is_its = |job: &Workload| job.metadata.controller().is_some_and(|it| it.uid == controller.metadata.uid);
        let jobs = self.by_uid.values().filter(|(kind, job)| *kind == "Job" && is_its(job) && !is_over(job));
        jobs.fold(0_u32, |wanted, (kind, job)| wanted.saturating_add(desired(kind, job)))
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
        // Which of its pods are to stay is not told: those that are about to go would stand in for them.
        "ReplicaSet" | "StatefulSet" if status.replicas > workload.spec.replicas.or(Some(1)) => {
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
        _ => workload.spec.replicas.unwrap_or(1),
    }
}

/// Whether a Job has nothing left to do.
fn is_over(job: &Workload) -> bool {
    let ends = |kind: &str| kind == "Complete" || kind == "Failed";
    job.status.conditions.iter().any(|condition| ends(&condition.kind) && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_cron_job_wants_what_its_jobs_want_that_are_not_over() {
        let job = |name: &str, of: &str, status: Value| {
            let owner = json!([{"kind": "CronJob", "name": of, "uid": of, "controller": true}]);
            let metadata = json!({"name": name, "namespace": "n", "uid": name, "ownerReferences": owner});
            serde_json::from_value(json!({"metadata": metadata, "spec": {"parallelism": 3}, "status": status})).unwrap()
        };
        let ended = |how: &str| json!({"conditions": [{"type": how, "status": "True"}]});
        let night = json!({"metadata": {"name": "night", "namespace": "n", "uid": "night"}});
        let mut owners = Owners::default();
        owners.add("CronJob", vec![serde_json::from_value(night).unwrap()]);
        let wanted = |owners: &Owners| owners.tops().remove(0).desired;
        assert_eq!(wanted(&owners), 0);
        owners.add("Job", vec![job("done", "night", ended("Complete")), job("broken", "night", ended("Failed"))]);
        owners.add("Job", vec![job("other", "day", json!({}))]);
        assert_eq!(wanted(&owners), 0);
        owners.add("Job", vec![job("runs", "night", json!({})), job("held", "night", ended("SuccessCriteriaMet"))]);
        assert_eq!(wanted(&owners), 6, "limits count from it: of none nobody can be missing");
    }

    /// Why a StatefulSet that wants so many pods and has so many is rolling out.
    fn stateful(wanted: u32, has: u32) -> Option<String> {
        let status = json!({"observedGeneration": 1, "replicas": has, "currentRevision": "a", "updateRevision": "a"});
        let metadata = json!({"name": "store", "namespace": "n", "uid": "s", "generation": 1});
        let set = json!({"metadata": metadata, "spec": {"replicas": wanted}, "status": status});
        let mut owners = Owners::default();
        owners.add("StatefulSet", vec![serde_json::from_value(set).unwrap()]);
        owners.tops().remove(0).rollout
    }

    #[test]
    fn a_stateful_set_that_is_scaled_down_is_left_alone_until_its_surplus_is_gone() {
        assert_eq!(stateful(2, 5).as_deref(), Some("it is being scaled down"));
        // A pod that was killed is missing, and one that comes back is no surplus.
        for has in [0, 1, 2] {
            assert_eq!(stateful(2, has), None, "{has} of 2");
        }
    }

    /// What is controlled by the ReplicaSet of that name.
    fn owned_by(set: Option<&str>) -> Value {
        set.map_or(Value::Null, |set| json!([{"kind": "ReplicaSet", "name": set, "uid": set, "controller": true}]))
    }

    /// ReplicaSets, each with the one that controls it.
    fn owners(sets: &[(&str, Option<&str>)]) -> Owners {
        let set = |(name, owner): &(&str, Option<&str>)| {
            let metadata = json!({"name": name, "namespace": "n", "uid": name, "ownerReferences": owned_by(*owner)});
            serde_json::from_value(json!({"metadata": metadata})).unwrap()
        };
        let mut owners = Owners::default();
        owners.add("ReplicaSet", sets.iter().map(set).collect());
        owners
    }

    /// The top controller of a pod of that ReplicaSet.
    fn top_of(owners: &Owners, set: &str) -> Option<String> {
        let pod: Meta = serde_json::from_value(json!({"ownerReferences": owned_by(Some(set))})).unwrap();
        owners.top(&pod).map(|key| key.name)
    }

    #[test]
    fn owners_that_own_each_other_have_no_top() {
        let circles = owners(&[
            ("itself", Some("itself")),
            ("one", Some("other")),
            ("other", Some("one")),
            ("below", Some("one")),
            ("honest", None),
        ]);
        for set in ["itself", "one", "other", "below", "nobody"] {
            assert_eq!(top_of(&circles, set), None, "{set}");
        }
        assert_eq!(top_of(&circles, "honest").as_deref(), Some("honest"));
        assert_eq!(circles.tops().len(), 1, "what is in a circle is no top controller either");
    }

    #[test]
    fn a_high_chain_is_followed_to_its_end_and_a_tower_is_not() {
        let names: Vec<String> = (0..=HIGHEST).map(|level| format!("level-{level}")).collect();
        let above = |level: usize| names.get(level + 1).map(String::as_str);
        let sets: Vec<_> = (0..).zip(&names).map(|(level, name)| (name.as_str(), above(level))).collect();
        let owners = owners(&sets);
        let top = names.last().map(String::as_str);
        assert_eq!(top_of(&owners, "level-1").as_deref(), top, "{HIGHEST} above one another");
        assert_eq!(top_of(&owners, "level-0"), None);
    }
}

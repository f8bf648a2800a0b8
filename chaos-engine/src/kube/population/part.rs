//! Reads some workloads with their pods and nothing else of a namespace: what one strike needs, and the pods that come back after
//! it. A namespace may have a thousand other pods.

use std::collections::BTreeMap;

use chaos_core::killer::{SelectedKind, WorkloadName};
use kube::core::Selector;

use super::{Contents, PopulationReader, encode, few_at_a_time, path_in, pod_facts};
use crate::kube::call::CallError;
use crate::kube::owners::Owners;
use crate::kube::wire;

/// A workload, and what carries the labels of its selector.
struct Family {
    /// Its kind, which it does not say of itself.
    kind: SelectedKind,
    workload: wire::Workload,
    sets: Vec<wire::Workload>,
    pods: Vec<wire::Pod>,
}

impl PopulationReader {
    /// What these workloads of a namespace hold, as far as they are there.
    pub(super) async fn part(
        &self,
        namespace: &str,
        workloads: impl Iterator<Item = &WorkloadName>,
    ) -> Result<Contents, CallError> {
        let reads = workloads.map(|workload| self.family(workload)).collect();
        let budgets = path_in(namespace, "apis/policy/v1", "poddisruptionbudgets");
        let (budgets, families) = futures::try_join!(self.list(&budgets, ""), few_at_a_time(reads))?;
        let mut owners = Owners::default();
        // Selectors may overlap, though no two of one kind should.
        let mut pods = BTreeMap::new();
        for family in families.into_iter().flatten() {
            owners.add(family.kind.as_str(), vec![family.workload]);
            owners.add("ReplicaSet", family.sets);
            pods.extend(family.pods.into_iter().map(|pod: wire::Pod| (pod.metadata.uid.clone(), pod)));
        }
        let pods = pods.into_values().map(|pod| pod_facts(pod, &owners)).collect();
        Ok(Contents::of(pods, &owners, budgets))
    }

    /// The workload of that name with its pods; `None`: there is none.
    async fn family(&self, name: &WorkloadName) -> Result<Option<Family>, CallError> {
        let kind = name.kind;
        // And whether ReplicaSets stand between it and its pods.
        let (plural, has_sets) = match kind {
            SelectedKind::DaemonSet => ("daemonsets", false),
            SelectedKind::Deployment => ("deployments", true),
            SelectedKind::StatefulSet => ("statefulsets", false),
        };
        let path = path_in(&name.namespace, "apis/apps/v1", plural);
        // A list of one: who may list may not have to be allowed to get as well.
        let named = format!("&fieldSelector={}", encode(&format!("metadata.name={}", name.name)));
        let found = self.list::<wire::Workload>(&path, &named).await?;
        // A server or a proxy that does not know that query gives all of them.
        let Some(workload) = found.into_iter().find(|it| it.metadata.name == name.name) else { return Ok(None) };
        let selected = selected(&workload);
        let (pods, sets) =
            (path_in(&name.namespace, "api/v1", "pods"), path_in(&name.namespace, "apis/apps/v1", "replicasets"));
        let sets = async { if has_sets { self.list(&sets, &selected).await } else { Ok(Vec::new()) } };
        let (pods, sets) = futures::try_join!(self.list(&pods, &selected), sets)?;
        Ok(Some(Family { kind, workload, sets, pods }))
    }
}

/// The query for what carries the labels of a workload's selector: its pods all do, as controllers let go of any other. If the
/// selector cannot be understood, the query for all.
fn selected(workload: &wire::Workload) -> String {
    let selector = workload.spec.selector.clone().map(Selector::try_from);
    let selector = selector.and_then(Result::ok).map(|selector| selector.to_string()).unwrap_or_default();
    if selector.is_empty() { selector } else { format!("&labelSelector={}", encode(&selector)) }
}

//! Reads all that a namespace holds. Pods are taken in page by page, as what is needed of them is a small part of what is read: who
//! owns them is read before.

use std::collections::BTreeSet;

use super::{Contents, PopulationReader, path_in, pod_facts};
use crate::kube::call::CallError;
use crate::kube::owners::Owners;
use crate::kube::wire;

/// Kinds that most namespaces do not have: they are read only where a pod names one, and then once.
const RARE: [(&str, &str, &str); 3] = [
    ("DaemonSet", "apis/apps/v1", "daemonsets"),
    ("Job", "apis/batch/v1", "jobs"),
    ("CronJob", "apis/batch/v1", "cronjobs"),
];

impl PopulationReader {
    /// All that a namespace holds.
    pub(super) async fn whole(&self, namespace: &str) -> Result<Contents, CallError> {
        let paths = [
            ("apis/policy/v1", "poddisruptionbudgets"),
            ("apis/apps/v1", "replicasets"),
            ("apis/apps/v1", "deployments"),
            ("apis/apps/v1", "statefulsets"),
            ("api/v1", "pods"),
        ];
        let [budgets, sets, deployments, stateful, pods] =
            paths.map(|(group, plural)| path_in(namespace, group, plural));
        let (budgets, sets, deployments, stateful) = futures::try_join!(
            self.list(&budgets, ""),
            self.list(&sets, ""),
            self.list(&deployments, ""),
            self.list(&stateful, ""),
        )?;
        let mut owners = Owners::default();
        owners.add("ReplicaSet", sets);
        owners.add("Deployment", deployments);
        owners.add("StatefulSet", stateful);
        let mut known = BTreeSet::new();
        let (mut facts, mut pages) = (Vec::new(), self.pages(&pods, ""));
        while let Some(page) = pages.next::<wire::Pod>().await? {
            self.add_rare(&mut owners, &mut known, namespace, &page).await?;
            facts.extend(page.into_iter().map(|pod| pod_facts(pod, &owners)));
        }
        Ok(Contents::of(facts, &owners, budgets))
    }

    /// Reads the rare kinds that these pods name and that are not `known` yet.
    async fn add_rare(
        &self,
        owners: &mut Owners,
        known: &mut BTreeSet<&'static str>,
        namespace: &str,
        pods: &[wire::Pod],
    ) -> Result<(), CallError> {
        let named = |kind: &str| pods.iter().filter_map(|pod| pod.metadata.controller()).any(|it| it.kind == kind);
        for (kind, group, plural) in RARE {
            if (named(kind) || (kind == "CronJob" && named("Job"))) && known.insert(kind) {
                owners.add(kind, self.list(&path_in(namespace, group, plural), "").await?);
            }
        }
        Ok(())
    }
}

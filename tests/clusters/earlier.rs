//! Definitions of all our kinds as an earlier version had them, and an object of each that somebody has made by them: whatever brings
//! an installation up to date keeps these.

use std::fmt::Debug;
use std::path::PathBuf;

use chaos_core::api::{ChaosMonkey, Experiment, ExperimentRun, GameDay};
use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cluster::{Cluster, root};
use crate::workload::Workload;
use crate::{gamedays, runs};

/// The folder of the definitions, from the root of the repository.
pub(crate) const FOLDER: &str = "tests/clusters/earlier";
const DEFINITIONS: [&str; 4] = [
    include_str!("earlier/chaosmonkeys.yaml"),
    include_str!("earlier/experiments.yaml"),
    include_str!("earlier/experimentruns.yaml"),
    include_str!("earlier/gamedays.yaml"),
];
/// Kind and name of what somebody has made.
const OBJECTS: [(&str, &str); 4] =
    [("ChaosMonkey", "kept"), ("Experiment", "eta"), ("ExperimentRun", "kept"), ("GameDay", "weekly")];

/// All of the definitions.
pub(crate) fn definitions() -> String {
    DEFINITIONS.join("---\n")
}

/// What the cluster has in their place.
pub(crate) fn specs(cluster: &Cluster) -> Vec<Value> {
    cluster.get(&definitions()).into_iter().map(|mut definition| definition.data["spec"].take()).collect()
}

/// The chart as it was, with the earlier definitions.
pub(crate) fn chart(cluster: &Cluster) -> PathBuf {
    let (ours, chart) = (root().join("deploy/helm"), cluster.path("chart"));
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    for folder in ["", "templates"] {
        let entries = std::fs::read_dir(ours.join(folder)).unwrap().map(Result::unwrap);
        for file in entries.filter(|entry| entry.file_type().unwrap().is_file()) {
            std::fs::copy(file.path(), chart.join(folder).join(file.file_name())).unwrap();
        }
    }
    // Not a template itself: descriptions tell of placeholders in the very words of one.
    std::fs::write(chart.join("earlier.yaml"), definitions()).unwrap();
    std::fs::write(chart.join("templates/crds.yaml"), "{{ .Files.Get \"earlier.yaml\" }}\n").unwrap();
    chart
}

/// An object of each kind, as it was when it was made: its UID and its spec.
pub(crate) struct Kept<'a> {
    workload: &'a Workload<'a>,
    made: Vec<(Option<String>, Value)>,
}

impl<'a> Kept<'a> {
    /// Makes them as soon as their kinds are served. By themselves they kill nothing.
    pub(crate) fn make(workload: &'a Workload<'a>) -> Self {
        let (cluster, namespace) = (workload.cluster, workload.namespace.as_str());
        cluster.eventually("the kinds are served", || async {
            lists::<ChaosMonkey>(workload).await?;
            lists::<Experiment>(workload).await?;
            lists::<ExperimentRun>(workload).await?;
            lists::<GameDay>(workload).await
        });
        workload.monkey("kept", |spec| spec["suspend"] = true.into());
        cluster.apply(&gamedays::manifests(namespace));
        cluster.apply(&runs::run(namespace, "kept", "DryRun").to_string());
        Self { workload, made: found(workload) }
    }

    /// They are the very same.
    pub(crate) fn assert_there(&self) {
        assert_eq!(found(self.workload), self.made, "UID and spec of {OBJECTS:?}");
    }

    /// An operator works on what was made before it: the run comes to its end.
    pub(crate) fn until_planned(&self) {
        let Workload { cluster, namespace } = self.workload;
        let runs: Api<ExperimentRun> = Api::namespaced(cluster.client.clone(), namespace);
        cluster.eventually("the run that was kept is planned", || async {
            let status = runs.get("kept").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            let is_planned = status.verdict.as_ref().is_some_and(|verdict| verdict.outcome == "planned");
            if is_planned { Ok(()) } else { Err(format!("{status:#?}")) }
        });
    }
}

async fn lists<K>(workload: &Workload<'_>) -> Result<(), String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(workload.cluster.client.clone(), &workload.namespace);
    api.list(&ListParams::default()).await.map(drop).map_err(|error| error.to_string())
}

/// What is there of them now.
fn found(workload: &Workload<'_>) -> Vec<(Option<String>, Value)> {
    let object = |(kind, name): (&str, &str)| {
        let metadata = format!("{{name: {name}, namespace: {}}}", workload.namespace);
        format!("{{apiVersion: chaos.dispatch.dev/v1alpha1, kind: {kind}, metadata: {metadata}}}\n")
    };
    let objects = OBJECTS.map(object).join("---\n");
    workload.cluster.get(&objects).into_iter().map(|mut object| (object.uid(), object.data["spec"].take())).collect()
}

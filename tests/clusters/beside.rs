//! A run of the operator that is under way while a test breaks something: it comes to a verdict, and none of its kills is done
//! twice.

use chaos_core::api::{ExperimentRun, ExperimentRunStatus, RunPhase, RunVerdict};
use kube::Api;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::runs;
use crate::workload::Workload;

const NAME: &str = "beside";
/// Kills that it plans, two seconds apart: it is in the middle of them for as long as a test takes to break something.
const KILLS: u32 = 12;

/// A run, and the pods that it kills.
pub(crate) struct Beside<'a> {
    workload: Workload<'a>,
}

impl<'a> Beside<'a> {
    /// On pods of its own: of a namespace in which a monkey kills all records must tell that monkey's kills.
    pub(crate) fn start(cluster: &'a Cluster) -> Self {
        let workload = Workload::deploy(cluster);
        let mut run = runs::run(&workload.namespace, NAME, "Live");
        let experiment = &mut run["spec"]["experiment"];
        experiment["fault"]["podKill"]["strikes"]["target"] = json!(KILLS);
        experiment["phases"]["fault"] = json!("150s");
        // Whatever is broken is away for less than this.
        for (limit, value) in [("maxKills", json!(KILLS)), ("recoverWithin", json!("2m")), ("maxBlind", json!("2m"))] {
            experiment["limits"][limit] = value;
        }
        cluster.apply(&runs::service(&workload.namespace).to_string());
        cluster.apply(&run.to_string());
        Self { workload }
    }

    /// Waits until it has killed something. Then it is under way.
    pub(crate) fn until_it_kills(&self) {
        let status = self.until("the run kills", |status| status.kills > 0 || status.verdict.is_some());
        assert!(status.verdict.is_none(), "it is over before anything was broken: {status:#?}");
    }

    /// Waits until it is over. All records must tell the same kills of it, and none twice.
    pub(crate) fn expect_a_verdict(&self) -> RunVerdict {
        let status = self.until("the run is over", |status| status.phase == Some(RunPhase::Completed));
        let verdict = status.verdict.clone().expect("a verdict");
        // Of evidence that could not be kept whole there is no digest, and its journal may lack kills.
        let is_whole = status.evidence.as_ref().is_some_and(|evidence| evidence.digest.is_some());
        let result = is_whole.then(|| self.fetched(&verdict));
        runs::assert_accounted(&self.workload, &status, result.as_ref());
        verdict
    }

    /// What it proved, as fetched from the cluster.
    fn fetched(&self, verdict: &RunVerdict) -> Value {
        let Workload { cluster, namespace } = &self.workload;
        let end = cluster.run(&["report", &format!("crun/{NAME}"), "-n", namespace]);
        assert_eq!(end.code, Some(i32::from(verdict.exit_code)), "{verdict:?}\n{}", end.stderr);
        runs::told(cluster).1
    }

    fn until(&self, what: &str, holds: impl Fn(&ExperimentRunStatus) -> bool) -> ExperimentRunStatus {
        let Workload { cluster, namespace } = &self.workload;
        let runs: Api<ExperimentRun> = Api::namespaced(cluster.client.clone(), namespace);
        cluster.eventually(what, || async {
            // The server may be the very thing that a test has broken.
            let run = runs.get(NAME).await.map_err(|error| error.to_string())?;
            let status = run.status.unwrap_or_default();
            if holds(&status) { Ok(status) } else { Err(format!("{status:#?}")) }
        })
    }
}

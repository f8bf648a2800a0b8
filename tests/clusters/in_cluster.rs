//! `chaos run --in-cluster`: a run of the operator that is submitted, followed, ended early and withdrawn from the command line, with
//! the exit code, the journal and the reports of a run from this machine.

use std::path::{Path, PathBuf};

use chaos_core::api::{ExperimentRun, labels};
use chaos_tests::Ended;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::cluster::{Cluster, PATIENCE};
use crate::runs;
use crate::workload::Workload;

/// What the file calls its experiment.
const NAME: &str = "followed";

/// An Experiment of the pods of a workload in a file, with so many strikes.
struct Manifest<'a> {
    workload: &'a Workload<'a>,
    file: String,
    /// A copy of the result, be there a folder of the run or not.
    copy: String,
}

impl<'a> Manifest<'a> {
    fn of(workload: &'a Workload<'a>, strikes: u32) -> Self {
        let path = |name: &str| workload.cluster.path(name).to_str().expect("a path").to_owned();
        let (file, copy) = (path("experiment.yaml"), path("copy.json"));
        let mut spec = runs::experiment();
        (spec["fault"]["podKill"]["strikes"]["target"], spec["limits"]["maxKills"]) = (json!(strikes), json!(strikes));
        let experiment = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "Experiment",
            "metadata": {"name": NAME, "namespace": workload.namespace}, "spec": spec,
        });
        std::fs::write(&file, experiment.to_string()).unwrap();
        Self { workload, file, copy }
    }

    fn args<'b>(&'b self, output: &'b str) -> [&'b str; 5] {
        ["run", "--in-cluster", "--output", output, &self.file]
    }

    fn output(&self) -> String {
        format!("json={}", self.copy)
    }

    fn run(&self) -> Ended {
        self.workload.cluster.run(&self.args(&self.output()))
    }

    fn copied(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(&self.copy).unwrap()).unwrap()
    }

    fn api(&self) -> Api<ExperimentRun> {
        Api::namespaced(self.workload.cluster.client.clone(), &self.workload.namespace)
    }

    /// What it has become on the cluster.
    fn submitted(&self) -> ExperimentRun {
        let mut runs = self.workload.cluster.block(self.api().list(&ListParams::default())).unwrap().items;
        assert_eq!(runs.len(), 1, "one run: {runs:#?}");
        runs.remove(0)
    }

    /// Holds what was told here to what the operator says of a run that is over.
    fn assert_told_alike(&self, code: Option<i32>, said: &str) {
        let submitted = self.submitted();
        assert_eq!(submitted.labels()[labels::EXPERIMENT], NAME);
        let (run, status) = (submitted.name_any(), submitted.status.expect("a status"));
        let verdict = status.verdict.as_ref().expect("a verdict");
        assert_eq!(code, Some(i32::from(verdict.exit_code)), "{verdict:?}\n{said}");
        assert!(!said.contains("the evidence says"), "{said}");
        let (folder, result) = runs::told(self.workload.cluster);
        for told in [&result, &self.copied()] {
            assert_eq!(told["verdict"]["exitCode"], verdict.exit_code, "{said}");
            assert_eq!(told["verdict"]["reasonCode"], verdict.reason_code.as_str(), "{said}");
            assert_eq!(told["run"]["experiment"], NAME, "{said}");
        }
        assert_eq!(result["kills"]["done"], status.kills);
        // The journal is whole: it tells the same by itself, and so does what the cluster keeps.
        let again = runs::told_by_journal(self.workload.cluster, &folder, verdict.exit_code);
        assert_eq!(again, result);
        assert_same(&folder, &self.workload.cluster.path("again"));
        assert_same(&folder, &self.fetched(&run, verdict.exit_code).join(folder.file_name().unwrap()));
        runs::assert_accounted(self.workload, &status, Some(&result));
    }

    /// Below which folder `chaos report` tells the run on the cluster, with this exit code.
    fn fetched(&self, run: &str, exit_code: u8) -> PathBuf {
        let (cluster, out) = (self.workload.cluster, self.workload.cluster.path("fetched"));
        let (run, namespace) = (format!("crun/{run}"), self.workload.namespace.as_str());
        let end = cluster.run(&["report", &run, "-n", namespace, "--out", out.to_str().unwrap()]);
        assert_eq!(end.code, Some(i32::from(exit_code)), "{}", end.stderr);
        out
    }
}

/// All reports in one folder are those in the other, to the byte.
fn assert_same(folder: &Path, other: &Path) {
    for name in ["report.html", "result.json", "junit.xml", "summary.md"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert!(read(folder) == read(other), "{name} differs from that in {}", other.display());
    }
}

#[test]
fn a_run_in_the_cluster_ends_as_the_operator_says_with_its_journal_and_reports() {
    let cluster = Cluster::installed();
    let workload = Workload::deploy(&cluster);
    cluster.apply(&runs::service(&workload.namespace).to_string());
    let manifest = Manifest::of(&workload, 3);
    let end = manifest.run();
    // A machine that is too busy costs evidence.
    assert!(matches!(end.code, Some(0 | 7)), "{:?}\n{}", end.code, end.stderr);
    assert!(end.stderr.contains(&format!("ExperimentRun {}/followed-", workload.namespace)), "{}", end.stderr);
    manifest.assert_told_alike(end.code, &end.stderr);
}

#[test]
fn an_interrupt_has_the_operator_wind_a_run_in_the_cluster_down() {
    let cluster = Cluster::installed();
    let workload = Workload::deploy(&cluster);
    cluster.apply(&runs::service(&workload.namespace).to_string());
    // Many more than there will be.
    let manifest = Manifest::of(&workload, 40);
    let mut running = cluster.begin(&manifest.args(&manifest.output()));
    running.expect_output("operator: Fault", PATIENCE);
    let (name, runs) = (manifest.submitted().metadata.name.expect("a name"), manifest.api());
    cluster.eventually("it kills", || async {
        let status = runs.get(&name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        if status.kills > 0 { Ok(()) } else { Err(format!("{status:#?}")) }
    });
    running.signal(Signal::SIGINT);
    let code = running.expect_end(PATIENCE);
    let said = running.output();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("the operator was asked to wind down"), "{said}");
    manifest.assert_told_alike(code, &said);
    let ended = manifest.submitted();
    assert!(ended.spec.control.is_some_and(|control| control.abort), "it was asked to end");
    let status = ended.status.unwrap();
    assert_eq!(status.verdict.unwrap().reason_code, "Interrupted");
    assert!(status.kills < 40, "it was ended early: {} kills", status.kills);
}

#[test]
fn a_terminal_that_is_gone_leaves_a_run_in_the_cluster_to_the_operator() {
    let cluster = Cluster::installed();
    let workload = Workload::deploy(&cluster);
    cluster.apply(&runs::service(&workload.namespace).to_string());
    let manifest = Manifest::of(&workload, 3);
    let mut running = cluster.begin(&manifest.args(&manifest.output()));
    // It is taken up.
    running.expect_output("operator: ", PATIENCE);
    // Where the tests themselves are run under nohup, nothing that they start heeds it.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let heeds_it = u64::from_str_radix(mask, 16).unwrap() & 1 == 0;
    running.signal(Signal::SIGHUP);
    let code = running.expect_end(PATIENCE);
    let said = running.output();
    if heeds_it {
        assert_eq!(code, Some(5), "{said}");
        assert!(said.contains("goes on by itself") && said.contains("chaos report crun/followed-"), "{said}");
    }
    let (name, runs) = (manifest.submitted().metadata.name.expect("a name"), manifest.api());
    cluster.eventually("it is over", || async {
        let status = runs.get(&name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        status.verdict.clone().ok_or_else(|| format!("{status:#?}"))
    });
    let ended = manifest.submitted();
    assert!(ended.spec.control.is_none_or(|control| !control.abort), "nobody asked it to end");
    let verdict = ended.status.and_then(|status| status.verdict).expect("a verdict");
    // A machine that is too busy costs evidence.
    assert!(matches!(verdict.exit_code, 0 | 7), "{verdict:?}");
}

#[test]
fn a_run_that_no_operator_takes_up_is_withdrawn() {
    let cluster = Cluster::start();
    let workload = Workload::deploy(&cluster);
    let manifest = Manifest::of(&workload, 3);
    let unserved = manifest.run();
    assert_eq!(unserved.code, Some(3), "{}", unserved.stderr);
    assert!(unserved.stderr.contains("chaos install"), "{}", unserved.stderr);

    cluster.apply(&chaos_core::schema::crds_yaml());
    let runs = manifest.api();
    let list = || async { runs.list(&ListParams::default()).await.map_err(|error| error.to_string()) };
    cluster.eventually("the kind is served", list);
    let unnoticed = manifest.run();
    assert_eq!(unnoticed.code, Some(3), "{}", unnoticed.stderr);
    assert!(unnoticed.stderr.contains("the run was withdrawn"), "{}", unnoticed.stderr);
    // Whoever gates on results is told, and nothing is left that could begin later.
    assert_eq!(manifest.copied()["verdict"]["reasonCode"], "OutOfReach");
    assert!(cluster.block(list()).unwrap().items.is_empty(), "the run is still there");
    assert_eq!(std::fs::read_dir(cluster.path("out")).unwrap().count(), 0, "a folder of a run that never was");
}

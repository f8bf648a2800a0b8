//! A row while it is played: the program that runs, and what a row does to it and to its surroundings meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use chaos_tests::{Chaos, Running};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::draft::Draft;
use super::field::{Field, LONG};
use super::rows::Row;
use super::stand_in::Scene;

/// One row while it is played.
pub(crate) struct Play<'a> {
    pub(crate) field: &'a Field,
    pub(crate) row: String,
    pub(crate) chaos: Chaos,
    pub(crate) running: Running,
}

impl<'a> Play<'a> {
    /// Sets the scene, writes the files and starts the program.
    pub(crate) fn start(field: &'a Field, namespace: &str, row: &Row) -> Self {
        let chaos = crate::chaos();
        field.stage.set(namespace, |scene| (row.scene)(scene));
        let manifests = (row.files)(Draft::new(namespace, field.stand_in));
        let files: Vec<String> = (0..)
            .zip(manifests)
            .map(|(number, text)| {
                let path = chaos.path(&format!("experiment-{number}.yaml"));
                std::fs::write(&path, text).expect("the manifest is written");
                path.to_string_lossy().into_owned()
            })
            .collect();
        (row.before)(field, namespace);
        let mut args: Vec<String> = vec!["run".into()];
        args.extend(files);
        args.extend(["--kubeconfig".into(), field.kubeconfig.to_string_lossy().into_owned()]);
        args.extend(["--context".into(), field.context.clone(), "--yes".into()]);
        args.extend(row.flags.iter().map(|flag| flag.replace("HOME", &chaos.path("").to_string_lossy())));
        let running = match row.shell {
            None => chaos.start(&args),
            Some(shell) => chaos.start_in_shell(shell, &args),
        };
        Self { field, row: namespace.to_owned(), chaos, running }
    }

    /// Starts the program with this manifest.
    pub(crate) fn run(field: &'a Field, namespace: &str, manifest: &str) -> Self {
        let chaos = crate::chaos();
        let file = crate::manifest(&chaos, manifest);
        let kubeconfig = field.kubeconfig.to_string_lossy();
        let running = chaos.start(["run", &file, "--kubeconfig", &kubeconfig, "--context", &field.context, "--yes"]);
        Self { field, row: namespace.to_owned(), chaos, running }
    }

    /// What `chaos plan` says of the same files.
    pub(crate) fn plan(&self) -> chaos_tests::Ended {
        let files = (0..).map(|number| self.chaos.path(&format!("experiment-{number}.yaml")));
        let mut args: Vec<String> = vec!["plan".into()];
        args.extend(files.take_while(|path| path.exists()).map(|path| path.to_string_lossy().into_owned()));
        args.extend(["--kubeconfig".into(), self.field.kubeconfig.to_string_lossy().into_owned()]);
        args.extend(["--context".into(), self.field.context.clone()]);
        self.chaos.run(&args)
    }

    /// What it has said, on lines of any length.
    pub(crate) fn output(&self) -> String {
        self.running.output().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Runs the row's pods through another, short experiment.
    pub(crate) fn again(&self, phases: &'static str) -> chaos_tests::Ended {
        let draft = Draft::new(&self.row, self.field.stand_in).with(|draft| draft.phases = phases);
        let path = self.chaos.path("again.yaml");
        std::fs::write(&path, draft.yaml()).expect("the manifest is written");
        let file = path.to_string_lossy().into_owned();
        let kubeconfig = self.field.kubeconfig.to_string_lossy().into_owned();
        let context = self.field.context.clone();
        self.chaos.run(["run", &file, "--kubeconfig", &kubeconfig, "--context", &context, "--yes"])
    }

    /// Waits until the program has said this.
    pub(crate) fn until(&mut self, text: &str) {
        self.running.expect_output(text, LONG);
    }

    /// Waits until the application was asked so many times more.
    pub(crate) fn until_asked(&self, more: u64) {
        let asked = || {
            let mut asked = 0;
            self.scene(|scene| asked = scene.asked);
            asked
        };
        let wanted = asked() + more;
        assert!(chaos_tests::wait(LONG, || asked() >= wanted), "the application is not asked any more");
    }

    /// Changes what the stand-in answers.
    pub(crate) fn scene(&self, change: impl FnOnce(&mut Scene)) {
        self.field.stage.set(&self.row, change);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Lets the program run for a twentieth of the time only.
    pub(crate) fn starve(&self, span: Duration) {
        let (stopped, running) = (Duration::from_millis(950), Duration::from_millis(50));
        for _ in 0..(span.as_millis() / 1_000).max(1) {
            self.signal(Signal::SIGSTOP);
            std::thread::sleep(stopped);
            self.signal(Signal::SIGCONT);
            std::thread::sleep(running);
        }
    }

    /// A disruption budget that allows nothing.
    pub(crate) fn forbid_evictions(&self) {
        forbid_evictions(self.field, &self.row);
    }

    /// The result of the only run.
    pub(crate) fn result(&self) -> Value {
        result_of(&self.chaos).expect("the result of one run")
    }

    /// The journals of this row's runs.
    pub(crate) fn journals(&self) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.chaos.path("out")).into_iter().flatten().filter_map(Result::ok);
        folders.map(|folder| folder.path().join("run.journal")).filter(|path| path.exists()).collect()
    }
}

/// A disruption budget that allows nothing, in force.
pub(crate) fn forbid_evictions(field: &Field, row: &str) {
    use k8s_openapi::api::policy::v1::PodDisruptionBudget;
    field.apply(json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "none", "namespace": row},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "app"}}},
    }));
    let budgets: kube::Api<PodDisruptionBudget> = kube::Api::namespaced(field.client.clone(), row);
    let in_force = chaos_tests::wait(LONG, || {
        let budget = field.runtime.block_on(budgets.get("none"));
        budget.ok().and_then(|budget| budget.status).is_some_and(|status| status.expected_pods > 0)
    });
    assert!(in_force, "the budget of {row} does not come into force");
}

/// What the result of the only run says.
pub(crate) struct Verdict {
    pub(crate) reason_code: String,
}

/// The verdict that the only run wrote; `None` where none was written, or there were several runs.
pub(crate) fn verdict_of(chaos: &Chaos) -> Option<Verdict> {
    Some(Verdict { reason_code: result_of(chaos)?["verdict"]["reasonCode"].as_str()?.to_owned() })
}

/// The result that the only run wrote.
fn result_of(chaos: &Chaos) -> Option<Value> {
    let mut folders = std::fs::read_dir(chaos.path("out")).into_iter().flatten().filter_map(Result::ok);
    let (only, None) = (folders.next()?.path(), folders.next()) else { return None };
    serde_json::from_str(&std::fs::read_to_string(only.join("result.json")).ok()?).ok()
}

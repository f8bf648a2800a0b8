//! Runs of experiments: the operator kills and judges, the prober measures, each with its own rights. Everything waits for a
//! condition, and every kill is accounted for.

mod ended;
mod refused;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chaos_core::api::ExperimentRun;
use chaos_core::operated::merge;
use chaos_core::record::Event as Recorded;
use chaos_core::verdict::{JudgeSpec, judge};
use chaos_engine::chunks::{ChunkReader, Role, RunKey};
use chaos_engine::kube::Caller;
use chaos_operator::ProberArgs;
use k8s_openapi::api::core::v1::ConfigMap;

use super::*;

#[derive(Parser)]
struct ProberCli {
    #[command(flatten)]
    prober: ProberArgs,
}

/// The application under test: answers every request, and counts them.
pub(super) struct Stack {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    /// What was asked for.
    paths: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stack {
    /// Listens, and is a Service of the cluster.
    pub(super) async fn start(admin: &Client, namespace: &str, name: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, paths) = (Arc::new(AtomicU64::new(0)), Arc::<Mutex<BTreeSet<String>>>::default());
        let (counted, noted) = (requests.clone(), paths.clone());
        let answer = move |uri: axum::http::Uri| {
            counted.fetch_add(1, Ordering::Relaxed);
            noted.lock().unwrap().insert(uri.path().to_owned());
            async move {
                match uri.path() {
                    "/elsewhere" => (axum::http::StatusCode::FOUND, [("location", "/secret")]),
                    _ => (axum::http::StatusCode::OK, [("x-served-by", "trips")]),
                }
            }
        };
        let router = axum::Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        create(
            admin,
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
                "spec": {"clusterIP": "127.0.0.1", "selector": {"app": name},
                    "ports": [{"name": "http", "port": address.port()}]}}),
        )
        .await;
        Self { address, requests, paths, task }
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// What was asked for so far.
    pub(super) fn paths(&self) -> BTreeSet<String> {
        self.paths.lock().unwrap().clone()
    }
}

impl Fixture {
    /// A prober with the rights of its `ServiceAccount`, and nothing more.
    pub(super) fn prober(&self) -> Operator {
        self.prober_of("4")
    }

    /// The same, which measures that many runs at once.
    fn prober_of(&self, runs: &str) -> Operator {
        let client = self.server.client(Identity::service_account("chaos-system", "chaos-prober"));
        let args = ["test", "--listen", "127.0.0.1:0", "--pod-name", "prober", "--runs", runs];
        let args = ProberCli::parse_from(args).prober;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            chaos_operator::prober::run_on(Clients::same(client), true, args, stopped.cancelled_owned()).await
        });
        Operator { stop, task }
    }

    fn runs(&self) -> Api<ExperimentRun> {
        Api::namespaced(self.admin.clone(), NS)
    }

    pub(super) async fn run(&self, change: impl FnOnce(&mut Value)) -> ExperimentRun {
        self.try_run(change).await.unwrap()
    }

    async fn try_run(&self, change: impl FnOnce(&mut Value)) -> kube::Result<ExperimentRun> {
        self.try_run_as("r", change).await
    }

    pub(super) async fn try_run_as(&self, name: &str, change: impl FnOnce(&mut Value)) -> kube::Result<ExperimentRun> {
        let mut spec = json!({"mode": "Live", "experiment": experiment()});
        change(&mut spec);
        let run = json!({"apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun",
            "metadata": {"name": name, "namespace": NS}, "spec": spec});
        self.runs().create(&PostParams::default(), &serde_json::from_value(run).unwrap()).await
    }

    async fn until_run(&self, what: &str, holds: impl Fn(&ExperimentRun) -> bool) -> ExperimentRun {
        self.until_run_of("r", what, holds).await
    }

    pub(super) async fn until_run_of(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&ExperimentRun) -> bool,
    ) -> ExperimentRun {
        let runs = self.runs();
        eventually(what, || async {
            let run = runs.get(name).await.unwrap();
            if holds(&run) { Ok(run) } else { Err(format!("{:#?}", run.status)) }
        })
        .await
    }

    pub(super) async fn completed(&self) -> ExperimentRun {
        self.until_run("complete", |run| says(run, "Complete").0 == "True").await
    }

    /// Everything that was recorded of the run.
    async fn record(&self, run: &ExperimentRun) -> (Vec<Recorded>, Vec<Recorded>) {
        let key = RunKey { namespace: NS.into(), name: "r".into(), uid: run.uid().unwrap() };
        let mut rows = Vec::new();
        for role in [Role::Operator, Role::Prober] {
            let mut reader = ChunkReader::new(Caller::new(self.admin.clone()), key.clone(), role);
            rows.push(reader.rest().await.unwrap().into_iter().flat_map(|chunk| chunk.events).collect::<Vec<_>>());
        }
        let prober = rows.pop().unwrap();
        (rows.pop().unwrap(), prober)
    }
}

pub(super) fn experiment() -> Value {
    json!({
        "hypothesis": "The gateway answers while trips pods die.",
        "target": {"environment": "demo", "workloads": [{"kind": "Deployment", "name": "trips"}]},
        "fault": {"podKill": {"strikes": {"target": 4, "min": 2}, "every": {"mean": "300ms", "distribution": "Fixed"}}},
        "phases": {"baseline": "1s", "fault": "40s", "recovery": "1s"},
        "probes": [{"name": "ask", "http": {"service": "gateway", "rate": "50/s", "timeout": "1s", "maxLag": "5s"},
            "slo": {"availability": "90%", "confidence": "95%", "evidence": {"observed": {}}}}],
        "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 10, "minInterval": "0s", "recoverWithin": "30s",
            "maxBlind": "30s", "allowForce": false},
        "abort": [], "seed": 7,
    })
}

pub(super) fn says<'a>(run: &'a ExperimentRun, kind: &str) -> (&'a str, &'a str) {
    let conditions = run.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.into_iter().find(|condition| condition.type_ == kind);
    found.map_or(("", ""), |condition| (condition.status.as_str(), condition.reason.as_str()))
}

pub(super) fn verdict(run: &ExperimentRun) -> (&str, &str) {
    let verdict = run.status.as_ref().and_then(|status| status.verdict.as_ref()).expect("a verdict");
    (&verdict.outcome, &verdict.reason_code)
}

fn text(run: &ExperimentRun) -> &str {
    run.status.as_ref().and_then(|status| status.verdict.as_ref()).map_or("", |verdict| &verdict.reason_text)
}

fn killed(run: &ExperimentRun) -> u64 {
    run.status.as_ref().map_or(0, |status| status.kills)
}

pub(super) fn assert_held(run: &ExperimentRun) {
    assert_eq!(verdict(run), ("pass", "HypothesisHeld"), "{}", text(run));
}

/// Every kill of the record hit another pod, and is told by an Event; the status judges what is recorded.
async fn assert_judged(fixture: &Fixture, run: &ExperimentRun) {
    let (operator, prober) = fixture.record(run).await;
    let kills: Vec<_> = operator
        .iter()
        .filter_map(|event| match event {
            Recorded::Kill(kill) if kill.outcome == Outcome::Killed => Some(kill),
            _ => None,
        })
        .collect();
    let uids: BTreeSet<_> = kills.iter().map(|kill| kill.victim.uid.clone()).collect();
    assert_eq!(uids.len(), kills.len(), "no pod is killed twice");
    assert_eq!(kills.len() as u64, killed(run), "the status counts what is recorded");
    let events: Api<Event> = Api::namespaced(fixture.admin.clone(), NS);
    eventually("an Event for every kill", || async {
        let events = events.list(&ListParams::default()).await.unwrap();
        let told = events.items.iter().filter(|event| event.reason.as_deref() == Some("Killed"));
        let told: BTreeSet<_> = told.filter_map(|event| event.regarding.as_ref()?.uid.clone()).collect();
        if told == uids { Ok(()) } else { Err(format!("{told:?} of {uids:?}")) }
    })
    .await;
    let Some(Recorded::Started(started)) = operator.first() else { panic!("a record begins with its start") };
    let experiment = chaos_core::validate::experiment_file("record", &started.manifest).unwrap().remove(0);
    let merged = merge(&operator, &prober);
    let judged = judge(&JudgeSpec::from(&experiment), &merged).verdict;
    let verdict = run.status.as_ref().unwrap().verdict.clone().unwrap();
    assert_eq!((judged.exit_code.code(), judged.reason_text), (verdict.exit_code, verdict.reason_text));
    let digest = run.status.as_ref().unwrap().evidence.clone().unwrap().digest;
    assert_eq!(digest.as_deref(), Some(chaos_engine::run::operated::digest(&merged).as_str()));
    assert!(serde_json::to_vec(&run.status).unwrap().len() <= 64 * 1024);
}

/// The Events of the run tell this of it, in any order, and each thing once.
async fn assert_told(fixture: &Fixture, run: &ExperimentRun, wanted: &[&str]) {
    let events: Api<Event> = Api::namespaced(fixture.admin.clone(), NS);
    eventually("the story of the run", || async {
        let events = events.list(&ListParams::default()).await.unwrap();
        let of_run = events.items.iter().filter(|event| {
            let regards = event.regarding.as_ref().is_some_and(|regarding| regarding.uid == run.metadata.uid);
            regards && event.action.as_deref() == Some("Run")
        });
        let mut told: Vec<&str> = of_run.filter_map(|event| event.reason.as_deref()).collect();
        told.sort_unstable();
        if told == wanted { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_measured_killed_for_and_judged() {
    let fixture = Fixture::alone().await;
    let stack = Stack::start(&fixture.admin, NS, "gateway").await;
    let (operator, prober) = (fixture.operator("a"), fixture.prober());
    fixture.run(|_| ()).await;
    let run = fixture.completed().await;
    assert_held(&run);
    assert_eq!((says(&run, "Complete").1, says(&run, "Passed")), ("HypothesisHeld", ("True", "HypothesisHeld")));
    assert_eq!(killed(&run), 4);
    assert!(stack.requests() > 50, "{}", stack.requests());
    assert_judged(&fixture, &run).await;
    assert_told(&fixture, &run, &["HypothesisHeld", "Started"]).await;
    let maps: Api<ConfigMap> = Api::namespaced(fixture.admin.clone(), NS);
    let evidence = maps.list(&ListParams::default().labels("chaos.dispatch.dev/evidence")).await.unwrap();
    assert!(evidence.items.len() >= 5);
    for map in evidence {
        assert_eq!(map.owner_references()[0].uid, run.uid().unwrap(), "it goes with the run");
        assert_eq!(map.immutable, Some(true));
    }
    assert!(run.finalizers().is_empty());
    operator.end().await;
    prober.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_fault_is_a_monkey_makes_one_and_removes_it() {
    let fixture = Fixture::alone().await;
    let _stack = Stack::start(&fixture.admin, NS, "gateway").await;
    let (operator, prober) = (fixture.operator("a"), fixture.prober());
    fixture
        .run(|spec| {
            spec["experiment"]["fault"] = json!({"monkey": {"meanTimeBetweenKills": "300ms",
                "minTimeBetweenKills": "200ms", "strikes": {"target": 3, "min": 2}}});
        })
        .await;
    let run = fixture.completed().await;
    assert_held(&run);
    assert_judged(&fixture, &run).await;
    assert!(fixture.monkeys().list(&ListParams::default()).await.unwrap().items.is_empty());
    operator.end().await;
    prober.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_crashes_in_mid_run_repeats_no_kill_and_still_judges() {
    let fixture = Fixture::alone().await;
    let _stack = Stack::start(&fixture.admin, NS, "gateway").await;
    let prober = fixture.prober();
    fixture
        .run(|spec| {
            spec["experiment"]["fault"]["podKill"]["strikes"] = json!({"target": 8, "min": 8});
            // Time goes by while nobody drives the run.
            spec["experiment"]["phases"]["fault"] = json!("180s");
        })
        .await;
    for round in 1..=3 {
        let operator = fixture.operator("same-pod");
        fixture.until_run("two more kills", |run| killed(run) >= round * 2).await;
        operator.crash().await;
    }
    let operator = fixture.operator("same-pod");
    let run = fixture.completed().await;
    assert_held(&run);
    assert_eq!(killed(&run), 8);
    assert_judged(&fixture, &run).await;
    assert_told(&fixture, &run, &["HypothesisHeld", "Started"]).await;
    operator.end().await;
    // One that dies between writing the end and telling it leaves that to the next.
    let events: Api<Event> = Api::namespaced(fixture.admin.clone(), NS);
    let end = format!("chaos-run-{}-over", run.uid().unwrap());
    events.delete(&end, &DeleteParams::default()).await.unwrap();
    let operator = fixture.operator("same-pod");
    assert_told(&fixture, &run, &["HypothesisHeld", "Started"]).await;
    operator.end().await;
    prober.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_beyond_those_that_are_measured_waits_for_its_turn() {
    let fixture = Fixture::start().await;
    let _stack = Stack::start(&fixture.admin, NS, "gateway").await;
    let (operator, prober) = (fixture.operator("a"), fixture.prober_of("1"));
    fixture.run(|spec| spec["experiment"]["phases"]["baseline"] = json!("20s")).await;
    fixture.until_run("measured", |run| says(run, "Complete").1 == "Baseline").await;
    fixture.try_run_as("second", |_| ()).await.unwrap();
    let told = |run: &ExperimentRun| says(run, "Ready") == ("False", "Queued");
    fixture.until_run_of("second", "told that it waits", told).await;
    fixture.completed().await;
    let second = fixture.until_run_of("second", "complete", |run| says(run, "Complete").0 == "True").await;
    assert!(killed(&second) > 0, "{:?}: {}", verdict(&second), text(&second));
    operator.end().await;
    prober.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_status_a_person_has_written_is_driven_on() {
    let fixture = Fixture::start().await;
    let _stack = Stack::start(&fixture.admin, NS, "gateway").await;
    let (operator, prober) = (fixture.operator("a"), fixture.prober());
    fixture.run(|_| ()).await;
    fixture.until_run("a kill", |run| killed(run) > 0).await;
    let by_hand = Patch::Merge(json!({"status": {"observedGeneration": 99}}));
    fixture.runs().patch_status("r", &PatchParams::default(), &by_hand).await.unwrap();
    assert_judged(&fixture, &fixture.completed().await).await;
    operator.end().await;
    prober.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_plans_and_a_plan_can_be_approved() {
    let fixture = Fixture::alone().await;
    let stack = Stack::start(&fixture.admin, NS, "gateway").await;
    let operator = fixture.operator("a");
    fixture.run(|spec| spec["mode"] = json!("DryRun")).await;
    let run = fixture.completed().await;
    assert_eq!(verdict(&run), ("planned", "DryRun"));
    assert_told(&fixture, &run, &["DryRun"]).await;
    let planned = run.status.clone().unwrap().resolved.unwrap();
    assert_eq!((planned.candidates, planned.strikes, planned.seed), (3, 4, 7));
    assert_eq!((stack.requests(), killed(&run)), (0, 0));
    fixture.runs().delete("r", &DeleteParams::default()).await.unwrap();
    // The plan waits for somebody, and an approval of another plan is none.
    let prober = fixture.prober();
    fixture.run(|spec| spec["approval"] = json!({"within": "1h"})).await;
    let waiting = fixture.until_run("waiting", |run| says(run, "Complete") == ("False", "AwaitingApproval")).await;
    let (uid, digest) = (waiting.uid().unwrap(), waiting.status.unwrap().resolved.unwrap().plan_digest);
    let approve = async |uid: &str, digest: &str| {
        let control = json!({"approve": {"runUid": uid, "planDigest": digest}});
        let patch = Patch::Merge(json!({"spec": {"control": control}}));
        fixture.runs().patch("r", &PatchParams::default(), &patch).await.unwrap()
    };
    let generation = approve("another-run", &digest).await.metadata.generation;
    fixture.until_run("noticed", |run| run.metadata.generation == generation).await;
    assert_eq!(stack.requests(), 0);
    approve(&uid, &digest).await;
    let run = fixture.completed().await;
    assert_held(&run);
    operator.end().await;
    prober.end().await;
}

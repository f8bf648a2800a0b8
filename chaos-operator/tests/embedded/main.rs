//! The operator as a whole against the embedded API server, in one process: real HTTP semantics, RBAC and CRDs, with a small
//! stand-in for controllers and kubelet. Nothing here waits for a span of time; everything waits for a condition.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and knows the names of its files"
)]

mod caps;
mod consent;
mod gamedays;
mod guards;
mod hostile;
mod one_namespace;
mod permissions;
mod redirects;
mod runs;
mod schemas;
mod stop;
mod take_up;
mod unseen;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use chaos_core::api::{ChaosMonkey, Outcome};
use chaos_engine::kube::Clients;
use chaos_operator::{OperatorArgs, manifests};
use clap::Parser;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Client, ResourceExt as _};
use local_cluster::api_server::{ApiServer, ApiServerConfig, Identity};
use serde_json::{Value, json};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const NS: &str = "dispatch";
/// Where all pods are.
const NODE: &str = "node-1";
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Who uses the machine. Runs whose verdict is looked at have it for themselves: others starve them of the CPU time that it
/// takes to compare two clocks.
static MACHINE: RwLock<()> = RwLock::const_new(());

/// A share of the machine, or all of it, until dropped.
enum Turn {
    Beside { _turn: RwLockReadGuard<'static, ()> },
    Alone { _turn: RwLockWriteGuard<'static, ()> },
}

/// A cluster in memory with a Deployment of three pods that are replaced when they go.
struct Fixture {
    server: ApiServer,
    admin: Client,
    controller: JoinHandle<()>,
    _turn: Turn,
}

/// An operator at work.
struct Operator {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Fixture {
    /// Beside other tests.
    async fn start() -> Self {
        Self::with(Turn::Beside { _turn: MACHINE.read().await }, manifests::for_environment("demo")).await
    }

    /// Beside other tests, with what is installed for one namespace.
    async fn of_one_namespace() -> Self {
        Self::with(Turn::Beside { _turn: MACHINE.read().await }, manifests::for_namespace("demo", NS)).await
    }

    /// Without any other test beside it.
    async fn alone() -> Self {
        Self::with(Turn::Alone { _turn: MACHINE.write().await }, manifests::for_environment("demo")).await
    }

    /// Without any other test beside it. The API server notes each request in that file.
    async fn audited(log: &std::path::Path) -> Self {
        let config = ApiServerConfig { audit_log: Some(log.to_owned()), ..ApiServerConfig::default() };
        Self::on(Turn::Alone { _turn: MACHINE.write().await }, manifests::for_environment("demo"), config).await
    }

    async fn with(turn: Turn, manifests: Vec<(String, String)>) -> Self {
        Self::on(turn, manifests, ApiServerConfig::default()).await
    }

    async fn on(turn: Turn, manifests: Vec<(String, String)>, config: ApiServerConfig) -> Self {
        let server = ApiServer::new(ApiServerConfig { admin_token: "admin".into(), ..config }).unwrap();
        let admin = server.client(Identity::admin());
        for crd in chaos_core::schema::crds() {
            create(&admin, serde_json::to_value(crd).unwrap()).await;
        }
        create(
            &admin,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": NS, "labels": {"chaos.dispatch.dev/enabled": "true"}}}),
        )
        .await;
        for (_, yaml) in manifests {
            for object in serde_yaml::from_multiple::<Value>(&yaml).unwrap() {
                create(&admin, object).await;
            }
        }
        create(&admin, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})).await;
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let nodes: Api<Node> = Api::all(admin.clone());
        nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(&ready)).await.unwrap();
        let set = deploy(&admin, "trips", 3).await;
        let controller = tokio::spawn(replace_pods(admin.clone(), set));
        Self { server, admin, controller, _turn: turn }
    }

    /// An operator with the rights of its `ServiceAccount`, and nothing more.
    fn operator(&self, name: &str) -> Operator {
        self.operator_at(name, "127.0.0.1:0")
    }

    /// The same, with a configuration file.
    fn operator_with(&self, name: &str, config: &std::path::Path) -> Operator {
        let config = config.to_str().expect("a path of this test");
        self.operator_of(&["test", "--listen", "127.0.0.1:0", "--pod-name", name, "--config", config])
    }

    /// The same, with health and metrics at that address.
    fn operator_at(&self, name: &str, address: &str) -> Operator {
        self.operator_of(&["test", "--listen", address, "--pod-name", name])
    }

    fn operator_of(&self, args: &[&str]) -> Operator {
        Operator::start(self.server.client(Identity::service_account("chaos-system", "chaos-operator")), args)
    }

    fn monkeys(&self) -> Api<ChaosMonkey> {
        Api::namespaced(self.admin.clone(), NS)
    }

    async fn monkey(&self, change: impl FnOnce(&mut Value)) -> ChaosMonkey {
        let mut monkey = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ChaosMonkey", "metadata": {"name": "m", "namespace": NS},
            "spec": {
                "target": {"environment": "demo", "workloads": [{"kind": "Deployment", "name": "trips"}]},
                "fault": {"podKill": {"mode": "Evict", "group": "Workload"}},
                "mode": "Live", "meanTimeBetweenKills": "60ms", "minTimeBetweenKills": "30ms",
                "schedule": {}, "guards": [],
                "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 8, "minInterval": "0s", "recoverWithin": "30s",
                    "maxBlind": "30s", "allowForce": false},
            },
        });
        change(&mut monkey["spec"]);
        self.monkeys().create(&PostParams::default(), &serde_json::from_value(monkey).unwrap()).await.unwrap()
    }

    async fn until(&self, what: &str, holds: impl Fn(&ChaosMonkey) -> bool) -> ChaosMonkey {
        let monkeys = self.monkeys();
        eventually(what, || async {
            let monkey = monkeys.get("m").await.unwrap();
            if holds(&monkey) { Ok(monkey) } else { Err(format!("{:#?}", monkey.status)) }
        })
        .await
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

impl Operator {
    fn start(client: Client, args: &[&str]) -> Self {
        let args = Cli::parse_from(args).operator;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            chaos_operator::run_on(Clients::same(client), args, stopped.cancelled_owned()).await
        });
        Self { stop, task }
    }

    /// SIGTERM.
    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// SIGKILL.
    async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

async fn create(client: &Client, object: Value) -> DynamicObject {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let types = object.types.clone().unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.create(&PostParams::default(), &object).await.unwrap_or_else(|error| panic!("{types:?}: {error}"))
}

/// A Deployment with its `ReplicaSet` and pods, all of them ready and with the labels that its controller gives them. Returns the `ReplicaSet`.
async fn deploy(admin: &Client, name: &str, replicas: u32) -> DynamicObject {
    let labels = json!({"app": name, "chaos.dispatch.dev/enabled": "true"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template});
    let deployment = create(
        admin,
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": NS}, "spec": spec}),
    )
    .await;
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": deployment.uid().unwrap(), "controller": true}]);
    let set = create(
        admin,
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": format!("{name}-1"), "namespace": NS, "labels": labels, "ownerReferences": owner}, "spec": spec}),
    )
    .await;
    let observed = json!({"status": {"observedGeneration": 1, "replicas": replicas}});
    for (kind, name) in [("Deployment", name.to_owned()), ("ReplicaSet", format!("{name}-1"))] {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
        let api: Api<DynamicObject> = Api::namespaced_with(admin.clone(), NS, &resource);
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&observed)).await.unwrap();
    }
    for _ in 0..replicas {
        start_pod(admin, &set).await;
    }
    set
}

async fn start_pod(admin: &Client, set: &DynamicObject) {
    let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set.name_any(), "uid": set.uid().unwrap(), "controller": true}]);
    let pod = create(
        admin,
        json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": format!("{}-", set.name_any()), "namespace": NS, "ownerReferences": owner,
            "labels": set.labels()},
        "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]}}),
    )
    .await;
    let pods: Api<Pod> = Api::namespaced(admin.clone(), NS);
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&ready)).await.unwrap();
}

/// Controllers and kubelet: what terminates goes, and is replaced by a pod that is ready.
async fn replace_pods(admin: Client, set: DynamicObject) {
    let pods: Api<Pod> = Api::namespaced(admin.clone(), NS);
    loop {
        let all = pods.list(&ListParams::default()).await.unwrap();
        for pod in all.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some()) {
            let _ = pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await;
            start_pod(&admin, &set).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until it holds; tells what was last found if it never does.
async fn eventually<T, F: Future<Output = Result<T, String>>>(what: &str, check: impl Fn() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match check().await {
            Ok(found) => return found,
            Err(found) if tokio::time::Instant::now() > deadline => panic!("{what} never came true; last: {found}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn condition<'a>(monkey: &'a ChaosMonkey, kind: &str) -> (&'a str, &'a str) {
    let conditions = monkey.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.into_iter().find(|condition| condition.type_ == kind);
    found.map_or(("", ""), |condition| (condition.status.as_str(), condition.reason.as_str()))
}

fn kills(monkey: &ChaosMonkey) -> u64 {
    monkey.status.as_ref().map_or(0, |status| status.kills)
}

/// Kills in the status, each of another pod, are the same as those told by Events.
async fn assert_accounted(fixture: &Fixture, monkey: &ChaosMonkey) {
    let status = monkey.status.as_ref().unwrap();
    let killed: Vec<_> = status.history.iter().filter(|kill| kill.outcome == Outcome::Killed).collect();
    assert_eq!(killed.len() as u64, status.kills);
    let uids: BTreeSet<_> = killed.iter().map(|kill| kill.victim.uid.clone()).collect();
    assert_eq!(uids.len(), killed.len(), "no pod is killed twice");
    let strikes: BTreeSet<_> = killed.iter().map(|kill| kill.strike).collect();
    assert_eq!(strikes.len(), killed.len(), "no strike kills twice");
    let events: Api<Event> = Api::namespaced(fixture.admin.clone(), NS);
    eventually("an Event for every kill", || async {
        let events = events.list(&ListParams::default()).await.unwrap();
        let killed = events.items.iter().filter(|event| event.reason.as_deref() == Some("Killed"));
        let told: BTreeSet<_> = killed.filter_map(|event| event.regarding.as_ref()?.uid.clone()).collect();
        if told == uids { Ok(()) } else { Err(format!("{told:?} of {uids:?}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standing_monkey_kills_up_to_its_daily_cap_and_everything_is_accounted_for() {
    let fixture = Fixture::start().await;
    let operator = fixture.operator("a");
    fixture.monkey(|_| ()).await;
    let monkey = fixture
        .until("eight kills and a skip", |monkey| {
            kills(monkey) == 8
                && monkey.status.as_ref().is_some_and(|s| s.skipped.iter().any(|skip| skip.reason == "MaxKills"))
        })
        .await;
    assert_eq!(condition(&monkey, "Ready"), ("True", "Ready"));
    assert_accounted(&fixture, &monkey).await;
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_crashes_again_and_again_kills_nothing_twice() {
    let fixture = Fixture::start().await;
    fixture.monkey(|spec| spec["limits"]["maxKills"] = json!(12)).await;
    for round in 1..=6 {
        let operator = fixture.operator("same-pod");
        fixture.until("two more kills", |monkey| kills(monkey) >= round * 2).await;
        operator.crash().await;
    }
    let operator = fixture.operator("same-pod");
    let monkey = fixture
        .until("all kills", |monkey| {
            kills(monkey) == 12 && monkey.status.as_ref().is_some_and(|status| status.intents.is_empty())
        })
        .await;
    assert_accounted(&fixture, &monkey).await;
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stop_switch_stops_and_its_deletion_does_not_resume() {
    let fixture = Fixture::start().await;
    let operator = fixture.operator("a");
    fixture.monkey(|spec| spec["limits"]["maxKills"] = json!(1000)).await;
    fixture.until("a kill", |monkey| kills(monkey) > 0).await;
    let maps: Api<ConfigMap> = Api::namespaced(fixture.admin.clone(), "chaos-system");
    maps.delete("chaos-switch", &DeleteParams::default()).await.unwrap();
    let stopped = fixture.until("stopped", |monkey| condition(monkey, "Active") == ("False", "Stopped")).await;
    let later = fixture
        .until("skips that say so", |monkey| {
            let skips = |monkey: &ChaosMonkey| monkey.status.as_ref().map_or(0, |status| status.skips);
            skips(monkey) >= skips(&stopped) + 3
        })
        .await;
    assert_eq!(kills(&later), kills(&stopped));
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_plans_and_reports_and_touches_nothing() {
    let fixture = Fixture::start().await;
    let pods: Api<Pod> = Api::namespaced(fixture.admin.clone(), NS);
    let uids = |list: kube::core::ObjectList<Pod>| {
        list.items.iter().filter_map(kube::ResourceExt::uid).collect::<BTreeSet<_>>()
    };
    let before = uids(pods.list(&ListParams::default()).await.unwrap());
    let operator = fixture.operator("a");
    fixture.monkey(|spec| spec["mode"] = json!("DryRun")).await;
    let monkey = fixture.until("three kills that would be", |monkey| kills(monkey) >= 3).await;
    let history = &monkey.status.as_ref().unwrap().history;
    assert!(history.iter().all(|kill| kill.outcome == Outcome::WouldKill));
    assert_eq!(uids(pods.list(&ListParams::default()).await.unwrap()), before);
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dry_run_counts_is_none_of_the_live_run_and_none_gives_another_an_allowance() {
    let fixture = Fixture::start().await;
    let operator = fixture.operator("a");
    fixture
        .monkey(|spec| {
            spec["mode"] = json!("DryRun");
            // More than there are pods, of which a dry run kills none.
            spec["limits"]["maxKills"] = json!(5);
        })
        .await;
    let reasons = |monkey: &ChaosMonkey| {
        let skipped = monkey.status.iter().flat_map(|status| &status.skipped);
        skipped.map(|skip| skip.reason.clone()).collect::<BTreeSet<_>>()
    };
    let has_enough = |monkey: &ChaosMonkey| reasons(monkey).contains("MaxKills");
    let is_live = |monkey: &ChaosMonkey| monkey.status.as_ref().is_some_and(|status| status.live.is_none());
    let skips = |monkey: &ChaosMonkey| monkey.status.as_ref().map_or(0, |status| status.skips);
    let count = |monkey: &ChaosMonkey, outcome: Outcome| {
        let history = monkey.status.iter().flat_map(|status| &status.history);
        history.filter(|kill| kill.outcome == outcome).count()
    };
    let dry = fixture.until("a day of a dry run", |monkey| kills(monkey) == 5 && has_enough(monkey)).await;
    assert_eq!((count(&dry, Outcome::WouldKill), is_live(&dry)), (5, false), "{:#?}", dry.status);

    let turn = async |mode: &str| {
        let patch = Patch::Merge(json!({"spec": {"mode": mode}}));
        fixture.monkeys().patch("m", &PatchParams::default(), &patch).await.unwrap();
    };
    turn("Live").await;
    let live = fixture.until("a day of kills", |monkey| count(monkey, Outcome::Killed) == 5 && is_live(monkey)).await;
    assert_eq!(kills(&live), 5);

    turn("DryRun").await;
    let again = |monkey: &ChaosMonkey| !is_live(monkey) && skips(monkey) >= skips(&live) + 3;
    let dry = fixture.until("a dry run that would kill none", again).await;
    assert_eq!((kills(&dry), count(&dry, Outcome::WouldKill), has_enough(&dry)), (0, 0, true), "{:#?}", dry.status);
    turn("Live").await;
    let after = |monkey: &ChaosMonkey| is_live(monkey) && skips(monkey) >= skips(&dry) + 3;
    let later = fixture.until("skips, and no kill", after).await;
    assert_eq!((kills(&later), count(&later, Outcome::Killed)), (5, 5), "{:#?}", later.status);
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_owned_monkey_that_is_not_beaten_for_stops_without_a_kill() {
    let fixture = Fixture::start().await;
    let operator = fixture.operator("a");
    fixture
        .monkey(|spec| {
            spec["until"] = json!("2099-01-01T00:00:00Z");
            spec["maxKills"] = json!(5);
            spec["heartbeatLease"] = json!({"name": "no-such-lease", "interval": "200ms"});
        })
        .await;
    let monkey = fixture.until("complete", |monkey| condition(monkey, "Complete") == ("True", "HeartbeatLost")).await;
    assert_eq!(kills(&monkey), 0);
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_spec_is_told_in_a_condition() {
    let fixture = Fixture::start().await;
    let operator = fixture.operator("a");
    let target = json!({"workloads": [{"kind": "Deployment", "name": "trips"}], "podNames": {"include": "("}});
    fixture.monkey(|spec| spec["target"] = target).await;
    fixture.until("invalid", |monkey| condition(monkey, "Ready") == ("False", "Invalid")).await;
    operator.end().await;
}

//! Where the rows of the table are played: one embedded cluster with a namespace and three small pods for each row, and the
//! stand-in that everything asks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chaos_core::api::ChaosMonkey;
use chaos_tests::Chaos;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::stand_in::{Stage, serve};

/// Whatever takes longer on a debug build and a busy machine hangs.
pub(crate) const LONG: Duration = Duration::from_secs(120);
/// Time between two looks at which pods are Ready.
const LOOK: Duration = Duration::from_millis(100);
/// Pods of a row.
pub(crate) const REPLICAS: usize = 3;

/// The cluster and the stand-in.
pub(crate) struct Field {
    chaos: Chaos,
    pub(crate) runtime: Runtime,
    pub(crate) client: Client,
    pub(crate) stage: Stage,
    pub(crate) stand_in: SocketAddr,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) context: String,
}

impl Field {
    /// Starts everything. `more`: further arguments of `chaos cluster up`.
    pub(crate) fn up(more: &[&str]) -> Self {
        let chaos = crate::chaos();
        let up = chaos.run_within([&["cluster", "up"], more].concat(), LONG);
        assert_eq!(up.code, Some(0), "{}", up.stderr);
        let kubeconfig = PathBuf::from(up.stdout.trim().strip_prefix("export KUBECONFIG=").expect("a line to eval"));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Runtime::new().expect("a runtime");
        let read = Kubeconfig::read_from(&kubeconfig).expect("its kubeconfig");
        let context = read.current_context.clone().expect("a current context");
        let client = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.expect("a config");
            Client::try_from(config).expect("a client")
        });
        let stage = Stage::default();
        let stand_in = serve(&runtime, &stage);
        runtime.spawn(tell_ready_pods(client.clone(), stage.clone()));
        Self { chaos, runtime, client, stage, stand_in, kubeconfig, context }
    }

    /// Makes a row's namespace, opted in, with its pods, and waits until they are Ready.
    pub(crate) fn prepare(&self, row: &str) {
        self.apply(json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": row, "labels": {"chaos.dispatch.dev/enabled": "true"}},
        }));
        self.apply(self.deployment(row, 2, &json!({})));
        self.await_pods(row);
    }

    /// Waits until the row's pods are those that were applied last, and Ready.
    pub(crate) fn await_pods(&self, row: &str) {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), row);
        let ready = chaos_tests::wait(LONG, || {
            let deployment = self.runtime.block_on(deployments.get("app")).ok();
            deployment.is_some_and(|deployment| {
                let status = deployment.status.unwrap_or_default();
                let all = i32::try_from(REPLICAS).ok();
                let counts = [status.replicas, status.updated_replicas, status.ready_replicas];
                status.observed_generation == deployment.metadata.generation && counts.iter().all(|count| *count == all)
            })
        });
        assert!(ready, "the pods of {row} do not become Ready");
    }

    /// Pods that do nothing, with this grace period and these hooks. Whether new ones become Ready is asked of the stand-in,
    /// and those that are stay so.
    pub(crate) fn deployment(&self, row: &str, grace_seconds: u32, lifecycle: &Value) -> Value {
        let labels = json!({"app": "app"});
        let pod = |name: &str, field: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": row},
            "spec": {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": {"app": "app", "chaos.dispatch.dev/enabled": "true"}},
                "spec": {"terminationGracePeriodSeconds": grace_seconds, "containers": [{
                    "name": "app", "image": "dispatch.local/stack:dev", "args": ["eta"], "lifecycle": lifecycle,
                    "env": [pod("POD_NAME", "metadata.name"), pod("POD_IP", "status.podIP")],
                    "ports": [{"name": "http", "containerPort": 8084}],
                    "readinessProbe": {
                        "httpGet": {"host": "127.0.0.1", "port": self.stand_in.port(), "path": format!("/{row}/ready")},
                        "periodSeconds": 1, "failureThreshold": 1_000,
                    },
                }]},
            }},
        })
    }

    /// Applies an object as `kubectl apply --server-side` would.
    pub(crate) fn apply(&self, object: Value) {
        let (kind, namespace) = (object["kind"].as_str().unwrap_or_default().to_owned(), namespace_of(&object));
        match kind.as_str() {
            "Namespace" => self.patch::<Namespace>(Api::all(self.client.clone()), object),
            "Deployment" => self.patch::<Deployment>(Api::namespaced(self.client.clone(), &namespace), object),
            "PodDisruptionBudget" => self.patch::<k8s_openapi::api::policy::v1::PodDisruptionBudget>(
                Api::namespaced(self.client.clone(), &namespace),
                object,
            ),
            "ConfigMap" => self.patch::<k8s_openapi::api::core::v1::ConfigMap>(
                Api::namespaced(self.client.clone(), &namespace),
                object,
            ),
            "Lease" => self.patch::<k8s_openapi::api::coordination::v1::Lease>(
                Api::namespaced(self.client.clone(), &namespace),
                object,
            ),
            other => panic!("{other} is not among the kinds of this suite"),
        }
    }

    fn patch<K>(&self, api: Api<K>, object: Value)
    where
        K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        let params = PatchParams::apply("evil").force();
        self.runtime.block_on(api.patch(&name, &params, &Patch::Apply(object))).expect("it is applied");
    }

    /// Registers our kinds, as `chaos install` does, and waits until they are served.
    pub(crate) fn install_kinds(&self) {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for crd in chaos_core::schema::crds() {
            self.runtime.block_on(crds.create(&PostParams::default(), &crd)).expect("a kind is registered");
        }
        let monkeys: Api<ChaosMonkey> = Api::all(self.client.clone());
        let served = || self.runtime.block_on(monkeys.list(&ListParams::default())).is_ok();
        assert!(chaos_tests::wait(LONG, served), "our kinds are not served");
    }

    /// Writes the stop switch of the cluster.
    pub(crate) fn switch(&self, state: &str) {
        self.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "chaos-system"}}));
        self.apply(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chaos-switch", "namespace": "chaos-system"},
            "data": {"state": state},
        }));
    }

    /// Ends the process that holds the cluster, and with it everything on it, without a word.
    pub(crate) fn kill_cluster(&self) {
        let holder = nix::unistd::Pid::from_raw(self.holder().cast_signed());
        nix::sys::signal::kill(holder, nix::sys::signal::Signal::SIGKILL).expect("the cluster runs");
    }

    /// Removes a row's namespace, without waiting for its end.
    pub(crate) fn clear(&self, row: &str) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        // What is left goes with the cluster.
        let _ = self.runtime.block_on(namespaces.delete(row, &DeleteParams::background()));
    }

    /// The process that holds the cluster.
    fn holder(&self) -> u32 {
        let holds = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).skip(1).take(2).eq([&b"cluster"[..], b"hold"])
        };
        self.chaos.processes().into_iter().find(holds).expect("the cluster runs")
    }

    /// Ends the cluster.
    pub(crate) fn down(self) {
        let down = self.chaos.run_within(["cluster", "down"], LONG);
        assert_eq!(down.code, Some(0), "{}", down.stderr);
        self.chaos.expect_nothing_left(Duration::from_secs(10));
    }
}

fn namespace_of(object: &Value) -> String {
    object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned()
}

/// Keeps the scenes' lists of Ready pods current: an application knows who serves it.
async fn tell_ready_pods(client: Client, stage: Stage) {
    let pods: Api<Pod> = Api::all(client);
    let mine = ListParams::default().labels("app=app");
    loop {
        if let Ok(list) = pods.list(&mine).await {
            let mut rows: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
            for pod in list.items.into_iter().filter(is_ready) {
                rows.entry(pod.namespace().unwrap_or_default()).or_default().push(pod.name_any());
            }
            for (row, names) in rows {
                stage.set(&row, |scene| scene.pods = names.join(", "));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a pod's condition Ready is True.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

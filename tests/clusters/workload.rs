//! A namespace with a Deployment that may be killed, and a monkey for it.

use std::future::ready;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chaos_core::api::ChaosMonkey;
use chaos_operator::manifests::user;
use chaos_tests::kills::{Kills, disagreements};
use futures::TryStreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceSpec};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use crate::cluster::{Cluster, PATIENCE};
use crate::given;

/// Three `eta` pods of the dispatch stack: they need nobody, and say when they are ready.
pub(crate) struct Workload<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: String,
}

impl<'a> Workload<'a> {
    /// In a namespace of its own that is opted in; all pods are ready.
    pub(crate) fn deploy(cluster: &'a Cluster) -> Self {
        let workload = Self { cluster, namespace: unique() };
        let name = &workload.namespace;
        let manifests = include_str!("workload.yaml").replace("STACK_IMAGE", &given::stack_image());
        cluster.apply(&manifests.replace("NAMESPACE", name));
        let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), name);
        cluster.eventually("three pods are ready", || async {
            let status = deployments.get("eta").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            if status.ready_replicas == Some(3) { Ok(()) } else { Err(format!("{status:?}")) }
        });
        workload
    }

    pub(crate) fn monkeys(&self) -> Api<ChaosMonkey> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// A standing monkey, about one kill in two seconds, changed by `change`.
    pub(crate) fn monkey(&self, name: &str, change: impl FnOnce(&mut Value)) -> ChaosMonkey {
        let mut monkey = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ChaosMonkey",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "target": {"environment": "test", "workloads": [{"kind": "Deployment", "name": "eta"}]},
                "fault": {"podKill": {"mode": "Evict", "group": "Workload"}},
                "mode": "Live", "meanTimeBetweenKills": "2s", "minTimeBetweenKills": "1s", "schedule": {}, "guards": [],
                "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 1000, "minInterval": "1s", "recoverWithin": "2m",
                    "maxBlind": "5m", "allowForce": false},
            },
        });
        change(&mut monkey["spec"]);
        let monkey = serde_json::from_value(monkey).unwrap();
        self.cluster.block(self.monkeys().create(&PostParams::default(), &monkey)).unwrap()
    }

    /// Waits until the monkey is as wanted.
    pub(crate) fn until(&self, name: &str, what: &str, holds: impl Fn(&ChaosMonkey) -> bool) -> ChaosMonkey {
        let monkeys = self.monkeys();
        self.cluster.eventually(what, || async {
            // The server may be the very thing that a test has broken.
            let monkey = monkeys.get(name).await.map_err(|error| error.to_string())?;
            if holds(&monkey) { Ok(monkey) } else { Err(format!("{:#?}", monkey.status)) }
        })
    }

    /// Waits until a kill is decided and not yet answered: it is sent within some hundredths of a second.
    pub(crate) fn until_amid_a_kill(&self, name: &str) {
        let only = WatchParams::default().fields(&format!("metadata.name={name}"));
        let amid = async {
            let events = self.monkeys().watch(&only, "0").await.unwrap();
            let has_intent = |event: &WatchEvent<ChaosMonkey>| {
                let (WatchEvent::Added(monkey) | WatchEvent::Modified(monkey)) = event else { return false };
                monkey.status.as_ref().is_some_and(|status| !status.intents.is_empty())
            };
            let mut events = pin!(events.try_filter(|event| ready(has_intent(event))));
            events.try_next().await.unwrap().expect("a kill is decided before the watch ends");
        };
        self.cluster.block(async { tokio::time::timeout(PATIENCE, amid).await }).expect("a kill is decided");
    }

    /// Waits until its Service `eta` is reached from this machine by the address that it has in the cluster: the node knows it then.
    pub(crate) fn until_reached(&self) {
        let address = self.service().cluster_ip.unwrap();
        self.until_connected(&address, 8084);
    }

    /// Waits until its Service `eta` is reached by its port of that node.
    pub(crate) fn until_reached_by_node(&self, node: &str) {
        let ports = self.service().ports.unwrap();
        self.until_connected(node, u16::try_from(ports[0].node_port.unwrap()).unwrap());
    }

    fn service(&self) -> ServiceSpec {
        let services: Api<Service> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        self.cluster.block(services.get("eta")).unwrap().spec.unwrap()
    }

    fn until_connected(&self, address: &str, port: u16) {
        self.cluster.eventually("the node knows the Service as it is now", || async {
            // Until then nobody answers, and the kernel may go on asking for two minutes.
            let connecting = tokio::net::TcpStream::connect((address, port));
            let connected = tokio::time::timeout(Duration::from_secs(1), connecting).await;
            connected.map_err(|error| error.to_string())?.map(drop).map_err(|error| error.to_string())
        });
    }

    /// Suspends the monkey and waits until no kill is open; then its status, Events and the audit log must tell the same kills, all
    /// that the operator has made in this namespace. Of each it knows what became of it.
    pub(crate) fn assert_accounted(&self, name: &str) -> Kills {
        let kills = self.assert_accounted_in_doubt(name);
        assert!(kills.in_doubt.is_empty(), "no answer can have been lost: {kills:?}");
        kills
    }

    /// The same where whoever sends a kill, or whoever answers, was killed meanwhile: some may be in doubt, and all records say so.
    pub(crate) fn assert_accounted_in_doubt(&self, name: &str) -> Kills {
        let patch = kube::api::Patch::Merge(json!({"spec": {"suspend": true}}));
        let patched =
            self.cluster.block(self.monkeys().patch(name, &kube::api::PatchParams::default(), &patch)).unwrap();
        let generation = patched.metadata.generation;
        let monkey = self.until(name, "the monkey is at rest", |monkey| {
            let status = monkey.status.as_ref().unwrap();
            status.observed_generation == generation && status.intents.is_empty() && status.upcoming.is_empty()
        });
        let history = serde_json::to_value(&monkey.status.as_ref().unwrap().history).unwrap();
        let status = Kills::of_histories([&history]);
        // What may have been a kill counts for one.
        let told = (status.pods.len() + status.in_doubt.len()) as u64;
        assert_eq!(told, monkey.status.as_ref().unwrap().kills, "the history is whole: {history:#}");
        self.until_told(&[("status", &status)]);
        status
    }

    /// Waits until Events and the audit log tell the very kills that these records of the operator tell, and none twice.
    pub(crate) fn until_told(&self, records: &[(&str, &Kills)]) {
        let cluster = self.cluster;
        if !cluster.has_audit() {
            given::say("CHAOS_TEST_AUDIT names no audit log: status and Events are compared with each other alone");
        }
        let events: Api<Event> = Api::namespaced(cluster.client.clone(), &self.namespace);
        cluster.eventually("all records tell the same kills", || async {
            let list = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let told = Kills::of_events(&serde_json::to_value(list).unwrap());
            let of_operator = || {
                let log = Kills::of_audit(&cluster.audit_of(&self.namespace), &[&user()]);
                if cluster.has_torn_audit() { log.torn(records) } else { log }
            };
            let audit = cluster.has_audit().then(of_operator);
            let all = records.iter().copied().chain([("Events", &told)]);
            let all: Vec<_> = all.chain(audit.iter().map(|audit| ("audit log", audit))).collect();
            let found = disagreements(&all);
            if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
        });
    }
}

/// A name that nothing else has on this cluster.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("chaos-clusters-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Drop for Workload<'_> {
    fn drop(&mut self) {
        let namespaces: Api<Namespace> = Api::all(self.cluster.client.clone());
        // Best effort: the namespace is labelled, and a test that failed must not hide why.
        let _ = self.cluster.block(namespaces.delete(&self.namespace, &DeleteParams::background()));
    }
}

/// Status and reason of a condition.
pub(crate) fn condition<'a>(monkey: &'a ChaosMonkey, kind: &str) -> (&'a str, &'a str) {
    let conditions = monkey.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.into_iter().find(|condition| condition.type_ == kind);
    found.map_or(("", ""), |condition| (condition.status.as_str(), condition.reason.as_str()))
}

pub(crate) fn kills(monkey: &ChaosMonkey) -> u64 {
    monkey.status.as_ref().map_or(0, |status| status.kills)
}

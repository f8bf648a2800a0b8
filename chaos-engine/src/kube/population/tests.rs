//! The reader against an API server of a few lines: what it finds, what blinds it, and how much it asks at once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chaos_core::killer::{SelectedKind, WorkloadName};
use chaos_core::model::{Operator, Requirement, Selector};
use chaos_core::population::SwitchState;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;

use super::*;

/// A list of the Deployment web.
const WEB: &str = r#"{"metadata": {}, "items": [{
    "metadata": {"name": "web", "namespace": "ns-1", "uid": "w", "generation": 1},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}},
    "status": {"observedGeneration": 1}
}]}"#;

/// Two pages of pods, and the Job that owns the one on the second.
const PAGES: [&str; 2] = [
    r#"{"metadata": {"continue": "a/b"}, "items": [{"metadata": {"name": "first", "namespace": "ns-9", "uid": "1"}}]}"#,
    r#"{"metadata": {"continue": ""}, "items": [{"metadata": {"name": "second", "namespace": "ns-9", "uid": "2",
        "ownerReferences": [{"kind": "Job", "name": "night", "uid": "j", "controller": true}]}}]}"#,
];
const JOBS: &str = r#"{"metadata": {}, "items": [{"metadata": {"name": "night", "namespace": "ns-9", "uid": "j"}}]}"#;

/// Namespaces of which `ns-9` alone has pods, each with a Deployment `web` for whoever asks for that name, and a stop switch that is
/// answered with this code.
#[derive(Clone)]
struct Server {
    switch: u16,
    /// Lists of pods that are being read, and the most there ever were.
    reading: Arc<[AtomicUsize; 2]>,
    /// Whatever was asked for with a query, without what every list says.
    asked: Arc<Mutex<BTreeSet<String>>>,
    /// Namespaces of which something was listed that they hold.
    listed: Arc<Mutex<BTreeSet<String>>>,
}

impl Server {
    fn new(switch: u16) -> Self {
        Self { switch, reading: Arc::default(), asked: Arc::default(), listed: Arc::default() }
    }

    /// Of which namespaces something was listed since this was last asked.
    fn listed(&self) -> Vec<String> {
        std::mem::take(&mut *self.listed.lock().unwrap()).into_iter().collect()
    }

    async fn answer(&self, uri: &http::Uri) -> Response<Body> {
        let path = uri.path();
        let selected = uri.query().and_then(|query| query.split_once('&'));
        self.asked.lock().unwrap().extend(selected.map(|(_, query)| format!("{path} {query}")));
        if path.ends_with("/pods") {
            let [reading, most] = &*self.reading;
            most.fetch_max(reading.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
            reading.fetch_sub(1, Ordering::Relaxed);
        }
        let parts: Vec<_> = path.split('/').skip(1).collect();
        if let [.., "namespaces", name, _] = parts.as_slice() {
            self.listed.lock().unwrap().insert((*name).to_owned());
        }
        let (code, text) = match parts.as_slice() {
            ["api", "v1", "namespaces"] => (200, namespaces().to_string()),
            [.., "endless", "deployments"] => (200, r#"{"metadata": {"continue": "on"}, "items": []}"#.to_owned()),
            [.., "countless", "deployments"] => {
                let last = uri.query().and_then(|query| query.rsplit('=').next()?.parse::<u32>().ok()).unwrap_or(0);
                (200, format!(r#"{{"metadata": {{"continue": "{}"}}, "items": []}}"#, last + 1))
            }
            [.., "configmaps", "chaos-switch"] => (self.switch, r#"{"data": {"state": "Running"}}"#.to_owned()),
            [.., "deployments"] if selected.is_some_and(|(_, query)| query.ends_with("web")) => (200, WEB.to_owned()),
            [.., "ns-9", "pods"] => (200, PAGES[usize::from(selected.is_some())].to_owned()),
            [.., "ns-9", "jobs"] => (200, JOBS.to_owned()),
            ["api", "v1", "namespaces", name] => (200, format!(r#"{{"metadata": {{"name": "{name}"}}}}"#)),
            _ => (200, r#"{"metadata": {}, "items": []}"#.to_owned()),
        };
        Response::builder().status(code).body(Body::from(text.into_bytes())).unwrap()
    }

    /// A reader of that many namespaces.
    fn reader(&self, namespaces: usize) -> PopulationReader {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, uri) = (server.clone(), request.uri().clone());
            async move { Ok::<_, Infallible>(server.answer(&uri).await) }
        });
        PopulationReader {
            caller: Caller::new(Client::new(service, "default")),
            scope: NamespaceScope::Named((0..namespaces).map(|i| format!("ns-{i}")).collect()),
            environment: Environment::Known(None),
            policy: None,
        }
    }

    /// A reader of that namespace.
    fn reader_of(&self, namespace: &str) -> PopulationReader {
        PopulationReader { scope: NamespaceScope::Named([namespace.to_owned()].into()), ..self.reader(0) }
    }
}

/// Namespaces of several teams, and one of none.
fn namespaces() -> serde_json::Value {
    let (on, from) = ((labels::ENABLED, "true"), (labels::ALLOW_FROM, "own"));
    let namespace = |name: &str, said: &[(&str, &str)]| {
        let labels: BTreeMap<&str, &str> = said.iter().copied().chain([("team", "a")]).collect();
        serde_json::json!({"metadata": {"name": name, "labels": labels}})
    };
    let mut stopped = namespace("stopped", &[on, from]);
    stopped["metadata"]["annotations"] = serde_json::json!({labels::STOP: "true"});
    serde_json::json!({"metadata": {}, "items": [
        namespace("own", &[on]),
        namespace("shares", &[on, from]),
        stopped,
        namespace("keeps-to-itself", &[on]),
        namespace("shares-with-others", &[on, (labels::ALLOW_FROM, "another")]),
        namespace("is-not-asked", &[from]),
        namespace("is-excluded", &[on, from, (labels::EXCLUDE, "true")]),
        namespace("kube-system", &[on, from]),
        namespace("chaos-system", &[on, from]),
        {"metadata": {"name": "of-no-team", "labels": {labels::ENABLED: "true"}}},
    ]})
}

#[test]
fn a_namespace_is_stopped_by_whatever_does_not_say_false() {
    let is_stopped = |value: &str| {
        let namespace = serde_json::json!({"metadata": {"name": "n", "annotations": {labels::STOP: value}}});
        namespace_facts(serde_json::from_value(namespace).unwrap()).stopped
    };
    assert!(is_stopped("true") && is_stopped("yes") && !is_stopped("false"));
}

#[test]
fn a_pod_with_a_negative_grace_blinds_nobody() {
    let grace = |spec: serde_json::Value| {
        let pod: wire::Pod =
            serde_json::from_value(serde_json::json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        template_facts(&pod).grace_seconds
    };
    assert_eq!(grace(serde_json::json!({"terminationGracePeriodSeconds": -1})), 1);
    assert_eq!(grace(serde_json::json!({"terminationGracePeriodSeconds": 7})), 7);
    assert_eq!(grace(serde_json::json!({})), DEFAULT_GRACE);
}

#[tokio::test]
async fn a_switch_that_could_not_be_read_is_not_one_that_may_not_be_read() {
    for (code, state) in [
        (200, Some(SwitchState::Running)),
        (404, Some(SwitchState::Missing)),
        (403, Some(SwitchState::Unreadable)),
        (401, None),
        (429, None),
        (500, None),
        (503, None),
    ] {
        let read = Server::new(code).reader(1).read(&Scope::Target).await;
        assert_eq!(read.ok().map(|population| population.switch), state, "{code}");
    }
}

#[tokio::test]
async fn hundreds_of_namespaces_are_read_a_few_at_a_time() {
    let server = Server::new(200);
    let population = server.reader(100).read(&Scope::Target).await.unwrap();
    let names: Vec<_> = population.namespaces.into_iter().map(|namespace| namespace.name).collect();
    assert_eq!((names.len(), names[0].as_str(), names[99].as_str()), (100, "ns-0", "ns-99"), "none is left out");
    let most = server.reading[1].load(Ordering::Relaxed);
    assert!((2..=AT_ONCE).contains(&most), "{most} at once");
}

#[tokio::test]
async fn a_list_of_several_pages_is_read_to_its_end_and_the_owners_of_each_page_are_found() {
    let server = Server::new(200);
    let population = server.reader(10).read(&Scope::Namespaces(["ns-9".to_owned()].into())).await.unwrap();
    let kind = |pod: &PodFacts| pod.workload.as_ref().map(|workload| workload.kind.clone());
    let pods: Vec<_> = population.pods.iter().map(|pod| (pod.name.as_str(), kind(pod))).collect();
    assert_eq!(pods, [("first", None), ("second", Some("Job".to_owned()))]);
    let asked: Vec<_> = server.asked.lock().unwrap().iter().cloned().collect();
    assert_eq!(asked, ["/api/v1/namespaces/ns-9/pods continue=a%2Fb"]);
}

#[tokio::test]
async fn a_look_at_a_few_namespaces_reads_no_other_and_none_that_the_target_does_not_mean() {
    let server = Server::new(200);
    let few = Scope::Namespaces(["ns-7", "ns-3", "elsewhere"].map(str::to_owned).into());
    let read = async |reader: PopulationReader| {
        let population = reader.read(&few).await.unwrap();
        population.namespaces.into_iter().map(|namespace| namespace.name).collect::<Vec<_>>()
    };
    assert_eq!(read(server.reader(100)).await, ["ns-3", "ns-7"]);
    // The namespaces of this server have no labels.
    let selector = Selector::new(vec![Requirement { key: "team".to_owned(), operator: Operator::Exists }]);
    let labelled = PopulationReader { scope: NamespaceScope::Labelled(selector), ..server.reader(1) };
    assert_eq!(read(labelled).await, [""; 0]);
}

#[tokio::test]
async fn a_killer_reads_nothing_of_namespaces_in_which_nothing_may_be_killed() {
    let server = Server::new(200);
    let selector = Selector::new(vec![Requirement { key: "team".to_owned(), operator: Operator::Exists }]);
    let whoever = PopulationReader { scope: NamespaceScope::Labelled(selector), ..server.reader(0) };
    let killer = whoever.clone().for_killer(&Policy::operator("own", "chaos-system"));
    let population = killer.read(&Scope::Target).await.unwrap();
    assert_eq!(population.namespaces.len(), 9, "what they say of themselves is known of all");
    // One that is stopped may not be for long, and what was killed there before comes back meanwhile.
    assert_eq!(server.listed(), ["own", "shares", "stopped"]);
    whoever.read(&Scope::Target).await.unwrap();
    assert_eq!(server.listed().len(), 9, "whoever explains reads them all");
    let person = whoever.for_killer(&Policy::cli("own"));
    person.read(&Scope::Target).await.unwrap();
    assert_eq!(server.listed(), ["keeps-to-itself", "own", "shares", "shares-with-others", "stopped"]);
}

#[tokio::test]
async fn where_victims_come_back_is_read_whatever_may_be_killed_there_by_now() {
    let server = Server::new(200);
    // The namespaces of this server that are read by name have no labels.
    let killer = server.reader_of("ns-9").for_killer(&Policy::operator("ns-9", "chaos-system"));
    assert_eq!(killer.read(&Scope::Target).await.unwrap().pods, []);
    assert_eq!(server.listed(), [""; 0]);
    let asked = Scope::Namespaces(["ns-9".to_owned()].into());
    assert_eq!(killer.read(&asked).await.unwrap().pods.len(), 2);
}

#[tokio::test]
async fn a_list_without_an_end_is_read_no_further() {
    for namespace in ["endless", "countless"] {
        let read = Server::new(200).reader_of(namespace).read(&Scope::Target).await;
        let error = read.unwrap_err().to_string();
        assert!(error.contains("deployments") && error.contains("goes on without end"), "{error}");
    }
}

#[tokio::test]
async fn a_look_at_workloads_reads_what_their_selectors_select_and_nothing_else() {
    let server = Server::new(200);
    let named = |namespace: &str, kind: &str, name: &str| WorkloadName {
        namespace: namespace.to_owned(),
        kind: SelectedKind::of(kind).unwrap(),
        name: name.to_owned(),
    };
    let wanted = [
        named("ns-1", "Deployment", "web"),
        named("ns-1", "Deployment", "gone"),
        named("ns-2", "StatefulSet", "store"),
        named("elsewhere", "Deployment", "web"),
    ];
    let population = server.reader(3).read(&Scope::Workloads(wanted.into())).await.unwrap();
    let workloads: Vec<_> =
        population.workloads.iter().map(|workload| (&*workload.key.name, workload.desired)).collect();
    assert_eq!(workloads, [("web", 2)]);
    let asked: Vec<_> = server.asked.lock().unwrap().iter().cloned().collect();
    assert_eq!(
        asked,
        [
            "/api/v1/namespaces/ns-1/pods labelSelector=app%3Dweb%2Ctier",
            "/apis/apps/v1/namespaces/ns-1/deployments fieldSelector=metadata.name%3Dgone",
            "/apis/apps/v1/namespaces/ns-1/deployments fieldSelector=metadata.name%3Dweb",
            "/apis/apps/v1/namespaces/ns-1/replicasets labelSelector=app%3Dweb%2Ctier",
            "/apis/apps/v1/namespaces/ns-2/statefulsets fieldSelector=metadata.name%3Dstore",
        ]
    );
    // A list that is not what was asked for: the name asked for is another one.
    let other = Scope::Workloads([named("ns-1", "Deployment", "my-web")].into());
    assert_eq!(server.reader(3).read(&other).await.unwrap().workloads, []);
}

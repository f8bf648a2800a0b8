//! The reader against an API server of a few lines: what it finds, what blinds it, and how much it asks at once.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chaos_core::model::{Operator, Requirement, Selector};
use chaos_core::population::SwitchState;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;

use super::*;

/// Empty namespaces, and a stop switch that is answered with this code.
#[derive(Clone)]
struct Server {
    switch: u16,
    /// Lists of pods that are being read, and the most there ever were.
    reading: Arc<[AtomicUsize; 2]>,
}

impl Server {
    fn new(switch: u16) -> Self {
        Self { switch, reading: Arc::default() }
    }

    async fn answer(&self, path: &str) -> Response<Body> {
        if path.ends_with("/pods") {
            let [reading, most] = &*self.reading;
            most.fetch_max(reading.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
            reading.fetch_sub(1, Ordering::Relaxed);
        }
        let parts: Vec<_> = path.split('/').skip(1).collect();
        let (code, text) = match parts.as_slice() {
            [.., "configmaps", "chaos-switch"] => (self.switch, r#"{"data": {"state": "Running"}}"#.to_owned()),
            ["api", "v1", "namespaces", name] => (200, format!(r#"{{"metadata": {{"name": "{name}"}}}}"#)),
            _ => (200, r#"{"metadata": {}, "items": []}"#.to_owned()),
        };
        Response::builder().status(code).body(Body::from(text.into_bytes())).unwrap()
    }

    /// A reader of that many namespaces.
    fn reader(&self, namespaces: usize) -> PopulationReader {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, path) = (server.clone(), request.uri().path().to_owned());
            async move { Ok::<_, Infallible>(server.answer(&path).await) }
        });
        PopulationReader {
            caller: Caller::new(Client::new(service, "default")),
            scope: NamespaceScope::Named((0..namespaces).map(|i| format!("ns-{i}")).collect()),
            environment: Environment::Known(None),
        }
    }
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

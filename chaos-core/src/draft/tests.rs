//! Drafts for made-up workloads: each passes the validator, and is as careful as it says.

use serde_json::{Value, json};

use super::*;
use crate::model::{Fault, KillMode};
use crate::units::CountOrPercent;
use crate::validate::experiment_file;

fn workload(kind: &str, name: &str, replicas: u32, template: Value) -> Workload {
    Workload {
        kind: kind.into(),
        namespace: "shop".into(),
        name: name.into(),
        replicas,
        template: serde_json::from_value(template).unwrap(),
    }
}

/// A container with a port `web`, and a readiness probe if its path is given.
fn template(readiness: Option<&str>) -> Value {
    let mut container = json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}]});
    if let Some(path) = readiness {
        container["readinessProbe"] = json!({"httpGet": {"path": path, "port": "web"}});
    }
    json!({"metadata": {"labels": {"app": "cart", "tier": "front"}}, "spec": {"containers": [container]}})
}

fn service(name: &str, ports: Value) -> Service {
    let spec = json!({"clusterIP": "10.0.0.1", "selector": {"app": "cart"}, "ports": ports});
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

#[test]
fn every_draft_is_valid_and_careful() {
    let ready = || template(Some("/ready?deep=1"));
    let one_port = json!([{"port": 80, "targetPort": 8080}]);
    let long = "a-very-long-name-of-a-workload.that.has.dots.and.goes.on-and-on-and-on";
    for (workload, environment, least) in [
        (workload("Deployment", "cart", 3, ready()), Some("staging"), 2),
        (workload("Deployment", "cart", 1, ready()), None, 1),
        (workload("Deployment", "cart", 0, template(None)), None, 1),
        (workload("StatefulSet", "123", 2, template(Some("ready"))), Some("1"), 1),
        (workload("Deployment", "true", 50, template(Some("/a b"))), Some("yes"), 49),
        (workload("Deployment", long, 5, template(None)), None, 4),
    ] {
        let entrance = workload.entrance(&[service("front", one_port.clone())], Wishes::default()).unwrap();
        let text = experiment(&workload, &entrance, environment, "first.yaml");
        let found = experiment_file("first.yaml", &text);
        let found = found.map_err(|problems| format!("{text}\n{}", problems.render(false))).unwrap().remove(0);
        assert_eq!((found.namespace.as_str(), found.name), ("shop", name(&workload)));
        assert_eq!(found.target.workloads[0].name, workload.name);
        assert_eq!(found.target.environment.as_deref(), environment);
        assert_eq!((found.limits.max_unavailable, found.limits.min_ready), (CountOrPercent::Count(1), least));
        assert!(matches!(&found.fault, Fault::PodKill(kill) if kill.kill.mode == KillMode::Evict), "{text}");
        assert!(text.contains("chaos plan first.yaml"), "{text}");
    }
}

#[test]
fn the_entrance_is_the_service_that_selects_the_pods() {
    let cart = workload("Deployment", "cart", 3, template(Some("/ready")));
    let front = service("front", json!([{"port": 80, "targetPort": "web"}]));
    let mut other = service("other", json!([{"port": 80}]));
    other.spec.as_mut().unwrap().selector = Some([("app".to_owned(), "other".to_owned())].into());
    let mut headless = service("headless", json!([{"port": 80}]));
    headless.spec.as_mut().unwrap().cluster_ip = Some("None".into());
    let found = cart.entrance(&[headless.clone(), other.clone(), front.clone()], Wishes::default()).unwrap();
    assert_eq!((found.service.as_str(), found.port.as_deref(), found.path.as_str()), ("front", None, "/ready"));

    let same_name =
        service("cart", json!([{"name": "grpc", "port": 90}, {"name": "web", "port": 80, "targetPort": "web"}]));
    let found = cart.entrance(&[front.clone(), same_name.clone()], Wishes::default()).unwrap();
    assert_eq!((found.service.as_str(), found.port.as_deref()), ("cart", Some("web")), "whose readiness is asked for");
    let by_number = Wishes { port: Some("90"), path: Some("/x"), ..Wishes::default() };
    let found = cart.entrance(std::slice::from_ref(&same_name), by_number).unwrap();
    assert_eq!((found.port.as_deref(), found.path.as_str()), (Some("grpc"), "/x"));

    let says = |services: &[Service], wishes: Wishes<'_>| cart.entrance(services, wishes).unwrap_err().to_string();
    assert!(says(&[other.clone(), headless], Wishes::default()).contains("kubectl expose deployment cart -n shop"));
    assert!(says(&[front.clone(), service("back", json!([]))], Wishes::default()).contains("one of front, back"));
    let unknown = Wishes { service: Some("font"), ..Wishes::default() };
    assert!(says(&[front, other], unknown).contains("it has front, other"));
    let no_port = Wishes { port: Some("metrics"), ..Wishes::default() };
    assert!(says(&[same_name], no_port).contains("no port metrics; hint: it has grpc, web"));
}

#[test]
fn what_a_run_would_lack_is_told_with_the_command() {
    let single = workload("Deployment", "cart", 1, template(None));
    let lacks = single.lacks(&BTreeMap::new());
    assert_eq!(lacks.len(), 3, "{lacks:?}");
    assert!(lacks[0].ends_with("kubectl label namespace shop chaos.dispatch.dev/enabled=true"), "{lacks:?}");
    let patch = r#"kubectl patch deployment cart -n shop --type merge -p '{"spec":{"template":{"metadata":{"labels":{"chaos.dispatch.dev/enabled":"true"}}}}}'"#;
    assert!(lacks[1].contains(patch), "{lacks:?}");
    assert!(lacks[2].starts_with("Deployment cart wants 1 pod, and one must stay ready"), "{lacks:?}");
    assert!(lacks[2].contains("kubectl scale deployment cart -n shop --replicas 2"), "{lacks:?}");

    let mut able = template(None);
    able["metadata"]["labels"][labels::ENABLED] = json!("true");
    let opted_in = BTreeMap::from([(labels::ENABLED.to_owned(), "true".to_owned())]);
    assert_eq!(workload("StatefulSet", "cart", 3, able.clone()).lacks(&opted_in), Vec::<String>::new());
    able["metadata"]["labels"][labels::EXCLUDE] = json!("true");
    assert!(workload("StatefulSet", "cart", 3, able).lacks(&opted_in)[0].contains("forbids every kill"));
}

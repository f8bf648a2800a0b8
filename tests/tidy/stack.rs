//! What the dispatch stack's rendered manifests must say, whoever changes them: no secret stands in them, pods keep to the strictest
//! Pod Security level, and chaos leaves the database alone.

use serde_json::Value;

use crate::tree::read;

fn objects(overlay: &str) -> Vec<Value> {
    let text = read(format!("examples/dispatch-stack/deploy/{overlay}.yaml")).text;
    text.split("\n---\n").map(|document| serde_yaml::from_str(document).expect("YAML")).collect()
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> Option<&'a Value> {
    objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
}

#[test]
fn the_pods_of_every_overlay_keep_to_the_strictest_level() {
    for overlay in ["resilient", "fragile", "postgres"] {
        let objects = objects(overlay);
        let namespace = find(&objects, "Namespace", "dispatch").expect("a namespace");
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
        let pods: Vec<_> = objects.iter().filter(|object| object["spec"]["template"].is_object()).collect();
        assert!(pods.len() >= 7, "{} workloads", pods.len());
        for workload in pods {
            let (name, pod) = (&workload["metadata"]["name"], &workload["spec"]["template"]["spec"]);
            let security = &pod["securityContext"];
            assert_eq!(security["runAsNonRoot"], true, "{overlay}: {name}");
            assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{overlay}: {name}");
            assert_eq!(pod["automountServiceAccountToken"], false, "{overlay}: {name}");
            for container in pod["containers"].as_array().expect("containers") {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false, "{overlay}: {name}");
                assert_eq!(security["readOnlyRootFilesystem"], true, "{overlay}: {name}");
                assert_eq!(security["capabilities"]["drop"][0], "ALL", "{overlay}: {name}");
            }
        }
    }
}

#[test]
fn on_postgresql_stores_keep_nothing_and_the_database_is_left_alone() {
    let objects = objects("postgres");
    assert_eq!(find(&objects, "StatefulSet", "store"), None, "the store on a disk is gone");
    let store = find(&objects, "Deployment", "store").expect("stores");
    assert_eq!(store["spec"]["replicas"], 3);
    let template = &store["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["chaos.dispatch.dev/enabled"], "true");
    let container = &template["spec"]["containers"][0];
    let variables = container["env"].as_array().expect("variables");
    let of = |name: &str| variables.iter().find(|variable| variable["name"] == name);
    assert_eq!(of("DATA_DIR"), None);
    let url = of("DATABASE_URL").expect("where the database is");
    assert_eq!(url["value"], Value::Null, "the URL is a secret");
    assert_eq!(url["valueFrom"]["secretKeyRef"]["name"], "dispatch-database");
    let volumes = template["spec"]["volumes"].as_array().expect("volumes");
    assert!(volumes.iter().all(|volume| volume["secret"].is_object()), "{volumes:?}");
    assert!(find(&objects, "PodDisruptionBudget", "store").is_some());

    let server = find(&objects, "StatefulSet", "postgres").expect("a server");
    let labels = &server["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["chaos.dispatch.dev/enabled"], Value::Null, "chaos would kill the database");
    assert!(find(&objects, "Secret", "dispatch-database").is_none(), "a secret is nothing for a repository");
    let password = server["spec"]["template"]["spec"]["containers"][0]["env"].as_array().expect("variables");
    let password = password.iter().find(|variable| variable["name"] == "POSTGRES_PASSWORD").expect("a password");
    assert_eq!(password["valueFrom"]["secretKeyRef"]["name"], "dispatch-database");
}

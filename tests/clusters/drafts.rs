//! A first experiment for a workload: drafted from the cluster, valid, and one that a run would start with.

use chaos_tests::wait;

use crate::cluster::{Cluster, PATIENCE};
use crate::workload::Workload;

#[test]
fn a_first_experiment_is_drafted_for_a_workload_and_can_be_run() {
    let cluster = Cluster::installed();
    let workload = Workload::deploy(&cluster);
    let namespace = workload.namespace.clone();
    let file = cluster.path("first.yaml").to_string_lossy().into_owned();
    let init = |args: &[&str]| cluster.run(&[&["init", "deployment/eta", "-n", &namespace], args].concat());
    let alone = init(&[]);
    assert_eq!(alone.code, Some(2), "{}", alone.stderr);
    assert!(alone.stderr.contains("kubectl expose deployment eta"), "{}", alone.stderr);

    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: eta, namespace: {namespace}}}, spec: {{\
         selector: {{app: eta}}, ports: [{{name: http, port: 8084, targetPort: http}}]}}}}"
    ));
    let printed = init(&[]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    for line in ["path: /readyz", "minReady: 2", "mode: Evict", "service: eta", "port: http"] {
        assert!(printed.stdout.contains(line), "{line}:\n{}", printed.stdout);
    }
    assert!(!printed.stderr.contains("not opted in"), "{}", printed.stderr);
    let written = init(&["--file", &file, "--path", "/livez"]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{}", written.stderr);
    let again = init(&["--file", &file]);
    assert_eq!(again.code, Some(2), "{}", again.stderr);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    assert!(std::fs::read_to_string(&file).unwrap().contains("path: /livez"), "it is what it was");

    cluster.chaos(&["validate", &file]);
    // Whether this machine reaches a Service of another cluster is not a matter of the draft.
    if cluster.is_embedded() {
        assert!(
            wait(PATIENCE, || cluster.run(&["plan", &file]).code == Some(0)),
            "{}",
            cluster.run(&["plan", &file]).stderr
        );
    }
    let nobody = cluster.run(&["init", "deployment/etaa", "-n", &namespace]);
    assert_eq!(nobody.code, Some(2), "{}", nobody.stderr);
    assert_eq!(cluster.run(&["init", "pod/eta", "-n", &namespace]).code, Some(2));
}

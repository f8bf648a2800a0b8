//! A probe of a Service from outside of the cluster: by its own address, by a NodePort, or not at all, with a hint. On a
//! cluster of `tests/real-kubernetes/up` alone, whose Service addresses this machine can reach or not, as its routes say.

use std::process::Command;

use chaos_tests::Ended;

use crate::cluster::Cluster;
use crate::given;
use crate::workload::Workload;

/// Routes of the machine around the cluster: Service addresses cannot be reached while this lives.
struct NoRoute {
    range: String,
    via: String,
}

impl NoRoute {
    fn to_services() -> Self {
        let machines = given::machines().expect("CHAOS_TEST_MACHINES names the folder given to `up --dir`");
        let identity = std::fs::read_to_string(machines.join("chaos-toolkit-cluster")).unwrap();
        let network = identity.split_whitespace().find_map(|word| word.strip_prefix("network=")).unwrap();
        let route = Self { range: format!("{network}.64.0/18"), via: format!("{network}.0.11") };
        ip(&["route", "replace", "unreachable", &route.range]);
        // Both may stand side by side; the one by the node must go.
        let _ = Command::new("ip").args(["route", "del", &route.range, "via", &route.via]).status();
        route
    }
}

impl Drop for NoRoute {
    fn drop(&mut self) {
        ip(&["route", "del", "unreachable", &self.range]);
        ip(&["route", "replace", &self.range, "via", &self.via]);
    }
}

fn ip(args: &[&str]) {
    assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}; hint: run as root");
}

fn experiment(cluster: &Cluster, workload: &Workload<'_>) -> Ended {
    let file = cluster.path("outside.yaml");
    std::fs::write(&file, include_str!("outside.yaml").replace("NAMESPACE", &workload.namespace)).unwrap();
    cluster.run(&["run", file.to_str().unwrap()])
}

#[test]
#[ignore = "changes routes of this machine to a cluster of tests/real-kubernetes/up"]
fn a_service_is_probed_by_its_address_by_a_node_port_or_refused_with_a_hint() {
    if given::lacks_machines() {
        return;
    }
    let cluster = Cluster::installed();
    let workload = Workload::deploy(&cluster);
    let service = |kind: &str| {
        cluster.apply(&format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: eta, namespace: {}}}, spec: {{type: {kind}, \
             selector: {{app: eta}}, ports: [{{name: http, port: 8084, targetPort: http}}]}}}}",
            workload.namespace
        ));
    };
    service("ClusterIP");
    workload.until_reached();
    let by_address = experiment(&cluster, &workload);
    assert_eq!(by_address.code, Some(0), "{}", by_address.stderr);

    let no_route = NoRoute::to_services();
    let refused = experiment(&cluster, &workload);
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("out of reach from here") && refused.stderr.contains("NodePort"),
        "{}",
        refused.stderr
    );

    service("NodePort");
    workload.until_reached_by_node(&no_route.via);
    let by_node_port = experiment(&cluster, &workload);
    assert_eq!(by_node_port.code, Some(0), "{}", by_node_port.stderr);
    drop(no_route);
}

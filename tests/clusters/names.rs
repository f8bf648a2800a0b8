//! Names of Services: a pod finds them by DNS, with nothing in its image but our static program. On a named cluster alone, as an
//! embedded one has no DNS.

use chaos_operator::manifests::IMAGE;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::given;
use crate::runs;
use crate::workload::Workload;

/// A pod that sends requests to each of these hosts, by a container each. It ends well if all of them are answered.
fn job(namespace: &str, hosts: &[String]) -> Value {
    let image = given::image().unwrap_or_else(|| IMAGE.to_owned());
    let container = |(number, host): (usize, &String)| {
        json!({
            "name": format!("host-{number}"), "image": image, "imagePullPolicy": "IfNotPresent",
            // The search path of a pod puts three names that do not exist before a full one. If nobody denied them, each would take
            // ten seconds.
            "args": ["load", format!("http://{host}:8084/livez"), "--connect-timeout", "20s", "--rate", "10/s", "--duration", "1s",
                "--timeout", "30s", "--max-lag", "20s", "--threshold", "success>=100%"],
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            },
        })
    };
    let containers: Vec<Value> = hosts.iter().enumerate().map(container).collect();
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "names", "namespace": namespace},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": containers,
        }}},
    })
}

#[test]
#[ignore = "takes the DNS of a named cluster, and kubectl"]
fn a_pod_finds_a_service_by_its_short_and_by_its_full_name() {
    if given::lacks(given::kubeconfig().is_none(), "an embedded cluster has no DNS") {
        return;
    }
    let cluster = Cluster::installed();
    let workload = Workload::deploy(&cluster);
    let namespace = workload.namespace.as_str();
    cluster.apply(&runs::service(namespace).to_string());
    // From elsewhere no address of a cluster is reached; connecting has its time there.
    if given::machines().is_some() {
        workload.until_reached();
    }

    let hosts = ["", ".NAMESPACE", ".NAMESPACE.svc", ".NAMESPACE.svc.cluster.local"];
    let hosts = hosts.map(|rest| format!("eta{}", rest.replace("NAMESPACE", namespace)));
    cluster.apply(&job(namespace, &hosts).to_string());
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), namespace);
    let is_complete = cluster.eventually("the Job is over", || async {
        let status = jobs.get("names").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let mut conditions = status.conditions.iter().flatten().filter(|condition| condition.status == "True");
        let ended = conditions.find(|condition| ["Complete", "Failed"].contains(&condition.type_.as_str()));
        ended.map(|condition| condition.type_ == "Complete").ok_or_else(|| format!("{status:?}"))
    });
    let logs = || cluster.kubectl(&["logs", "--namespace", namespace, "--all-containers", "--prefix", "job/names"]);
    assert!(is_complete, "{hosts:?}:\n{}", logs());
}

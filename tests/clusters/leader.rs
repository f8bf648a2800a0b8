//! Two operators, one of which works: whichever is killed, no kill is lost or done twice.

use std::collections::BTreeSet;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::Cluster;
use crate::workload::{Workload, kills};

/// Who holds the operators' Lease.
pub(crate) fn leader(cluster: &Cluster) -> String {
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), "chaos-system");
    cluster.eventually("somebody leads", || async {
        let lease = leases.get("chaos-operator").await.map_err(|error| error.to_string())?;
        lease
            .spec
            .and_then(|spec| spec.holder_identity)
            .filter(|holder| !holder.is_empty())
            .ok_or_else(|| "nobody".to_owned())
    })
}

/// The process of a pod of ours on this machine: on every kind of cluster that is tested, pods are processes of it.
fn process(pod: &str) -> Pid {
    let wanted = format!("POD_NAME={pod}").into_bytes();
    let processes = std::fs::read_dir("/proc").expect("this test needs /proc").filter_map(Result::ok);
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found = pids.find(|pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
    });
    Pid::from_raw(found.unwrap_or_else(|| panic!("no process of pod {pod} on this machine; hint: run as root")))
}

#[test]
fn a_leader_that_is_killed_in_mid_run_is_followed_by_the_other_and_nothing_is_killed_twice() {
    let cluster = Cluster::start();
    cluster.chaos(&["install", "--environment", "test", "--replicas", "2"]);
    let workload = Workload::deploy(&cluster);
    workload.monkey("m", |_| ());
    let mut leaders = BTreeSet::new();
    for round in 1..=2 {
        let target = round * 3;
        workload.until("m", &format!("{target} kills"), |monkey| kills(monkey) >= target);
        let leader = leader(&cluster);
        kill(process(&leader), Signal::SIGKILL).expect("the leader's process is ours to kill");
        leaders.insert(leader);
    }
    let monkey = workload.until("m", "nine kills", |monkey| kills(monkey) >= 9);
    assert!(monkey.status.unwrap().driver.is_some());
    let killed = workload.assert_accounted("m");
    assert!(killed.pods.len() >= 9 && killed.twice.is_empty(), "{killed:?}");
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "chaos-system");
    let log = cluster.block(pods.logs(&leader(&cluster), &LogParams::default())).unwrap();
    let names = killed.pods.values().filter_map(|pod| Some(pod.split_once('/')?.1));
    let told = names.filter(|name| log.contains(name)).count();
    assert!(log.contains("operator starts") && told > 0, "the operator logs every kill:\n{log}");
}

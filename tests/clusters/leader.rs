//! Two operators, one of which works: whichever is killed, no kill of a monkey or a run is lost or done twice.

use std::collections::BTreeSet;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::beside::Beside;
use crate::cluster::Cluster;
use crate::given;
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

/// The process of a pod of ours, if it is one of this machine and may be seen.
fn process(pod: &str) -> Option<Pid> {
    let wanted = format!("POD_NAME={pod}").into_bytes();
    let processes = std::fs::read_dir("/proc").expect("this test needs /proc").filter_map(Result::ok);
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found = pids.find(|pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
    });
    found.map(Pid::from_raw)
}

/// Pods are processes of this machine on an embedded cluster, and on one of `tests/real-kubernetes/up`. On any other they need not be.
fn lacks_process(pod: &str) -> bool {
    let is_missing = process(pod).is_none();
    let is_promised = given::kubeconfig().is_none() || given::machines().is_some();
    assert!(!is_missing || !is_promised, "no process of pod {pod} on this machine; hint: run as root");
    given::lacks(is_missing, "the leader is no process that can be killed from here; hint: if it is one, run as root")
}

#[test]
fn a_leader_that_is_killed_in_mid_run_is_followed_by_the_other_and_nothing_is_killed_twice() {
    let cluster = Cluster::start();
    cluster.install_with(&["--environment", "test", "--replicas", "2"]);
    if lacks_process(&leader(&cluster)) {
        return;
    }
    let workload = Workload::deploy(&cluster);
    let beside = Beside::start(&cluster);
    workload.monkey("m", |_| ());
    beside.until_it_kills();
    let mut leaders = BTreeSet::new();
    // More kills than the one before can have had under way: whoever stands in the Lease then is alive.
    let three_more = || {
        let target = kills(&workload.until("m", "its status", |_| true)) + 3;
        workload.until("m", &format!("{target} kills"), |monkey| kills(monkey) >= target)
    };
    for _ in 1..=2 {
        three_more();
        let leader = leader(&cluster);
        kill(process(&leader).expect("the leader runs"), Signal::SIGKILL).expect("its process is ours to kill");
        leaders.insert(leader);
    }
    let monkey = three_more();
    assert!(monkey.status.unwrap().driver.is_some());
    let killed = workload.assert_accounted_in_doubt("m");
    assert!(killed.pods.len() + killed.in_doubt.len() >= 9 && killed.twice.is_empty(), "{killed:?}");
    // A machine that is too busy costs evidence; a run that outlives two of its operators is cut short by neither.
    let verdict = beside.expect_a_verdict();
    assert!(matches!(verdict.exit_code, 0 | 7), "{verdict:?}");
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "chaos-system");
    let log = cluster.block(pods.logs(&leader(&cluster), &LogParams::default())).unwrap();
    let names = killed.pods.values().filter_map(|pod| Some(pod.split_once('/')?.1));
    let told = names.filter(|name| log.contains(name)).count();
    assert!(log.contains("operator starts") && told > 0, "the operator logs every kill:\n{log}");
}

//! The end of a cluster: nothing is left, however its owner dies.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use local_cluster::Cluster;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::harness::{TESTPOD, TestCluster, config, container, deployment};

/// Processes whose command line or environment names the folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let needle = folder.display().to_string();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id())
        .filter_map(|pid| {
            let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&read("environ")).into_owned();
            let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            (environment.contains(&needle) || command.contains(&needle)).then(|| format!("{pid} {command}"))
        })
        .collect()
}

async fn assert_nothing_left(folder: &Path, killed: Instant) {
    loop {
        let left = processes_of(folder);
        if left.is_empty() && !folder.exists() {
            return;
        }
        assert!(killed.elapsed() < Duration::from_secs(5), "left after 5 s: {left:?}, folder: {}", folder.exists());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_takes_processes_that_left_their_group_along() {
    let cluster = TestCluster::start().await;
    let stray = json!({"args": ["stray"], "readinessProbe": null});
    cluster.create(deployment("stray", 2, &stray)).await;
    cluster.settled("stray", 2).await;
    let folder = cluster.cluster.kubeconfig_path().parent().unwrap().to_owned();
    assert!(processes_of(&folder).len() >= 2);
    cluster.stop().await;
    assert_eq!(processes_of(&folder), Vec::<String>::new());
}

/// SIGKILL of the owner at many instants, from before the supervisor exists to when pods run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_outlives_an_owner_that_is_killed() {
    let parent = tempfile::tempdir().unwrap();
    for (round, delay) in [0_u64, 1, 3, 6, 10, 15, 25, 40, 60, 90, 150, 250, 400].into_iter().enumerate() {
        let folder = parent.path().join(format!("run-{round}"));
        let mut owner = Command::new(TESTPOD).arg("own").arg(&folder).stdout(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(delay)).await;
        owner.start_kill().unwrap();
        owner.wait().await.unwrap();
        assert_nothing_left(&folder, Instant::now()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_is_closed_when_a_running_owner_is_killed() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("run");
    let mut owner = Command::new(TESTPOD).arg("own").arg(&folder).stdout(Stdio::piped()).spawn().unwrap();
    let address = BufReader::new(owner.stdout.take().unwrap()).lines().next_line().await.unwrap().unwrap();
    tokio::net::TcpStream::connect(&address).await.unwrap();
    owner.start_kill().unwrap();
    owner.wait().await.unwrap();
    assert_nothing_left(&folder, Instant::now()).await;
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
}

/// The one process whose death the folder cannot survive tidily: pods still die with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_die_with_the_supervisor_and_the_cluster_ends() {
    let cluster = TestCluster::start().await;
    let plain = container(&json!({"args": ["sleep"], "readinessProbe": null}));
    let mut object = deployment("web", 2, &json!({}));
    object["spec"]["template"]["spec"]["containers"] = json!([plain]);
    cluster.create(object).await;
    cluster.settled("web", 2).await;
    let folder = cluster.cluster.kubeconfig_path().parent().unwrap().to_owned();
    let pod = processes_of(&folder).first().and_then(|line| line.split(' ').next()?.parse::<i32>().ok()).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pod}/stat")).unwrap();
    let supervisor: i32 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap();
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    tokio::time::timeout(Duration::from_secs(5), cluster.cluster.ended()).await.unwrap();
    crate::harness::eventually("pods are gone", async || processes_of(&folder).is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_live_side_by_side_and_a_folder_is_used_once() {
    let first = TestCluster::start().await;
    let second = TestCluster::start().await;
    for cluster in [&first, &second] {
        cluster.create(deployment("web", 1, &json!({}))).await;
    }
    let ip = async |cluster: &TestCluster| crate::harness::pod_address(&cluster.settled("web", 1).await[0]);
    assert_ne!(ip(&first).await, ip(&second).await);
    let folder = first.cluster.kubeconfig_path().parent().unwrap().to_owned();
    let error = Cluster::start(config(&folder)).await.unwrap_err().to_string();
    assert!(error.contains("failed to set up"), "{error}");
    second.stop().await;
    first.stop().await;
}

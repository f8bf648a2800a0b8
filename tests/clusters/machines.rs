//! Machines of the cluster that break under the operator: API server, etcd, a node, the token of an account. On a cluster of
//! `tests/real-kubernetes/up` alone, as root.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::beside::Beside;
use crate::cluster::{Cluster, root};
use crate::given;
use crate::workload::{Workload, condition, kills};

/// The folder of the machines.
fn machines() -> PathBuf {
    given::machines().expect("CHAOS_TEST_MACHINES names the folder given to `up --dir`")
}

/// Process of a program on a machine, as `up` noted it.
fn program(machine: &str, name: &str) -> Pid {
    let file = machines().join("pids").join(machine).join(name);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Pid::from_raw(text.trim().parse().unwrap())
}

/// Starts again what has ended; says why if that failed.
fn start_again() -> Result<(), String> {
    let dir = given::machines().ok_or("CHAOS_TEST_MACHINES names no machines")?;
    let identity = std::fs::read_to_string(dir.join("chaos-toolkit-cluster")).map_err(|error| error.to_string())?;
    let mut command = Command::new(root().join("tests/real-kubernetes/up"));
    command.arg("--dir").arg(&dir);
    for word in identity.split_whitespace() {
        let (flag, value) = word.split_once('=').ok_or_else(|| format!("{word} is no flag and value"))?;
        command.arg(format!("--{flag}")).arg(value);
    }
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn is_gone(pid: Pid) -> bool {
    kill(pid, None).is_err()
}

/// Something that was killed on a machine. It is started again when this goes, in any case.
pub(crate) struct Lost;

impl Lost {
    /// The machine with everything on it: containers, kubelet, network.
    pub(crate) fn machine(name: &str) -> Self {
        let folder = machines();
        let words = [folder.as_os_str().as_encoded_bytes(), name.as_bytes()];
        let entries = std::fs::read_dir("/proc").expect("this test needs /proc").filter_map(Result::ok);
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        // As `machines_of` in tests/real-kubernetes/lib.sh finds it.
        let found = pids.find(|pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut told = line.split(|byte| *byte == 0);
            told.next().is_some_and(|first| first.ends_with(b"/pause")) && told.take(2).eq(words)
        });
        Self::end(Pid::from_raw(found.unwrap_or_else(|| panic!("no machine {name}; hint: run as root"))))
    }

    /// One program of a machine; whatever it started lives on.
    pub(crate) fn program(machine: &str, name: &str) -> Self {
        Self::end(program(machine, name))
    }

    fn end(pid: Pid) -> Self {
        kill(pid, Signal::SIGKILL).unwrap();
        let lost = Self;
        assert!(chaos_tests::wait(Duration::from_secs(90), || is_gone(pid)), "process {pid} does not end");
        lost
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        let started = start_again();
        // A test that failed must not hide why.
        assert!(started.is_ok() || std::thread::panicking(), "{started:?}");
    }
}

/// A program of a machine that stands still. It goes on when this goes, in any case.
struct Frozen(Pid);

impl Frozen {
    fn program(machine: &str, name: &str) -> Self {
        let pid = program(machine, name);
        kill(pid, Signal::SIGSTOP).unwrap();
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let goes_on = kill(self.0, Signal::SIGCONT);
        assert!(goes_on.is_ok() || std::thread::panicking(), "{goes_on:?}");
    }
}

/// Kills a program of the control plane in mid-run and starts it again: kills go on, every one is accounted for, and a run that was
/// under way ends with one of these exit codes.
fn restart(name: &str, ends: &[u8]) {
    if given::lacks_machines() {
        return;
    }
    let cluster = Cluster::start();
    cluster.install_with(&["--environment", "test"]);
    let workload = Workload::deploy(&cluster);
    let beside = Beside::start(&cluster);
    workload.monkey("m", |_| ());
    workload.until("m", "three kills", |monkey| kills(monkey) >= 3);
    beside.until_it_kills();
    if name == "apiserver" {
        cluster.tear_audit();
    }
    workload.until_amid_a_kill("m");
    let lost = Lost::program("control-plane", name);
    let away = Instant::now();
    // Longer than any call waits for an answer, so that every kind of call meets the outage.
    while away.elapsed() < Duration::from_secs(6) {
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(lost);
    let before = kills(&workload.until("m", "it is readable", |_| true));
    workload.until("m", "three more kills", |monkey| kills(monkey) >= before + 3);
    workload.assert_accounted_in_doubt("m");
    let verdict = beside.expect_a_verdict();
    assert!(ends.contains(&verdict.exit_code), "{verdict:?}");
}

#[test]
#[ignore = "breaks the machines of a cluster of tests/real-kubernetes/up"]
fn the_api_server_is_killed_and_comes_back() {
    // While it starts it may know nobody's permissions yet, which stops no run.
    restart("apiserver", &[0, 7]);
}

#[test]
#[ignore = "breaks the machines of a cluster of tests/real-kubernetes/up"]
fn etcd_is_killed_and_comes_back() {
    restart("etcd", &[0, 7]);
}

#[test]
#[ignore = "breaks the machines of a cluster of tests/real-kubernetes/up"]
fn a_frozen_kubelet_holds_the_kills_until_its_pods_serve_again() {
    if given::lacks_machines() {
        return;
    }
    let cluster = Cluster::start();
    cluster.install_with(&["--environment", "test"]);
    let workload = Workload::deploy(&cluster);
    workload.monkey("m", |_| ());
    workload.until("m", "three kills", |monkey| kills(monkey) >= 3);
    let kubelet = Frozen::program("node1", "kubelet");
    let frozen = Instant::now();
    // A killed pod cannot go on a frozen node: the limits hold the next kill, and say so.
    let held = workload.until("m", "a strike is held", |monkey| {
        let status = monkey.status.as_ref().unwrap();
        let skipped = status.skipped.iter().any(|skip| skip.reason != "MinInterval");
        skipped || status.upcoming.iter().any(|strike| strike.waiting_for.is_some())
    });
    while frozen.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let during = kills(&workload.until("m", "it is readable", |_| true));
    drop(kubelet);
    assert!(during <= kills(&held) + 1, "{during} kills while the node was frozen, {} before", kills(&held));
    workload.until("m", "two more kills", |monkey| kills(monkey) >= during + 2);
    workload.assert_accounted("m");
}

#[test]
#[ignore = "breaks the machines of a cluster of tests/real-kubernetes/up"]
fn a_token_that_is_no_longer_valid_holds_the_kills_until_there_is_a_new_one() {
    if given::lacks_machines() {
        return;
    }
    let cluster = Cluster::start();
    cluster.install_with(&["--environment", "test"]);
    cluster.kubectl(&["-n", "chaos-system", "scale", "deployment/chaos-operator", "--replicas=0"]);
    let workload = Workload::deploy(&cluster);
    let token = cluster.path("token");
    let renew = |secret: &str| {
        cluster.kubectl(&["-n", "chaos-system", "create", "secret", "generic", secret]);
        let bound = ["--bound-object-kind=Secret", &format!("--bound-object-name={secret}")];
        let text =
            cluster.kubectl(&[&["-n", "chaos-system", "create", "token", "chaos-operator"][..], &bound].concat());
        std::fs::write(&token, text.trim()).unwrap();
    };
    renew("token-1");
    let kubeconfig = cluster.path("operator.kubeconfig");
    std::fs::write(&kubeconfig, with_token_file(&cluster, &token)).unwrap();
    let mut operator = cluster.operator(&kubeconfig, "outside");
    let log = std::fs::File::create(cluster.path("operator.log")).unwrap();
    let mut operator = operator.stderr(log).spawn().unwrap();
    workload.monkey("m", |_| ());
    workload.until("m", "two kills", |monkey| kills(monkey) >= 2);
    // A token that is bound to an object ends with it: as one that has expired, without the ten minutes that it lasts at least.
    cluster.kubectl(&["-n", "chaos-system", "delete", "secret", "token-1"]);
    let told = || std::fs::read_to_string(cluster.path("operator.log")).unwrap_or_default();
    assert!(chaos_tests::wait(Duration::from_secs(60), || told().contains("Unauthorized")), "{}", told());
    let during = kills(&workload.until("m", "it is readable", |_| true));
    renew("token-2");
    workload.until("m", "two more kills", |monkey| kills(monkey) >= during + 2);
    assert_eq!(condition(&workload.until("m", "it is readable", |_| true), "Ready").0, "True");
    workload.assert_accounted("m");
    kill(Pid::from_raw(operator.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(operator.wait().unwrap().success());
}

/// The administrator's kubeconfig with the token of a file in place of its own.
fn with_token_file(cluster: &Cluster, token: &std::path::Path) -> String {
    let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let mut kubeconfig: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    kubeconfig["users"][0]["user"] = json!({"tokenFile": token});
    serde_json::to_string(&kubeconfig).unwrap()
}

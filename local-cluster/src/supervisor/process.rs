//! Starting, watching and killing the processes of one supervisor, and finding those that slipped out of their group.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use super::log::ContainerLog;
use super::protocol::{Exit, SpawnRequest};
use super::shim::{ORDER_VARIABLE, ShimOrder};

/// How long an exited container's output is waited for. Only a process that left the group can hold it open for longer.
const OUTPUT_DRAIN: Duration = Duration::from_millis(100);

/// A container that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pid: u32,
    child: Child,
    output: JoinSet<()>,
}

/// Starts a container in a process group of its own.
pub(super) fn spawn(request: &SpawnRequest) -> std::io::Result<Running> {
    let order = ShimOrder { parent: nix::unistd::getpid().as_raw(), argv: request.argv.clone() };
    let mut command = Command::new("/proc/self/exe");
    command
        // The same words that made this process the supervisor lead to the shim.
        .args(std::env::args_os().skip(1))
        .env_clear()
        .envs(request.env.iter().map(|(name, value)| (name, value)))
        .env(ORDER_VARIABLE, serde_json::to_string(&order)?)
        .current_dir(&request.directory)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let log = request.log.as_deref().map(ContainerLog::open).transpose()?;
    if log.is_some() {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let mut child = command.spawn()?;
    let pid = child.id().ok_or_else(|| std::io::Error::other("the process has no id"))?;
    let mut output = JoinSet::new();
    if let (Some(log), Some(stdout), Some(stderr)) = (log, child.stdout.take(), child.stderr.take()) {
        output.spawn(log.clone().pump("stdout", stdout));
        output.spawn(log.pump("stderr", stderr));
    }
    Ok(Running { pid, child, output })
}

impl Running {
    /// Waits for the first process to end, kills what is left of its group and lets the log catch up.
    pub(super) async fn exited(mut self) -> Exit {
        let status = self.child.wait().await;
        signal_group(self.pid, Signal::SIGKILL);
        let drained = async { while self.output.join_next().await.is_some() {} };
        // A late line of a process that left its group is not worth a late report.
        let _ = tokio::time::timeout(OUTPUT_DRAIN, drained).await;
        status.map_or(Exit::Code(255), exit_of)
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(255),
    }
}

/// Signals a process group. One that is gone is what the caller wanted.
pub(super) fn signal_group(pid: u32, signal: Signal) {
    if let Some(group) = to_pid(pid) {
        let _ = killpg(group, signal);
    }
}

/// Reaps processes that left their group and ended: they are nobody else's children.
pub(super) fn reap_strays(known: &BTreeMap<u64, u32>) {
    for pid in children() {
        if !known.values().any(|container| to_pid(*container) == Some(pid)) {
            let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// Kills every descendant, however it arranged itself. As this process is a subreaper, killing children until none is
/// left reaches all of them.
pub(super) fn kill_all(known: &BTreeMap<u64, u32>) {
    for pid in known.values() {
        signal_group(*pid, Signal::SIGKILL);
    }
    loop {
        let children = children();
        if children.is_empty() {
            return;
        }
        for pid in &children {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        for pid in children {
            // Blocks until this child is gone; whatever children it had are ours now and are met in the next round.
            let _ = waitpid(pid, None);
        }
    }
}

/// The children of this process, zombies included.
fn children() -> Vec<Pid> {
    let own = nix::unistd::getpid().as_raw();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| parent_of(*pid) == Some(own))
        .map(Pid::from_raw)
        .collect()
}

/// The parent, from `/proc/PID/stat`: `pid (name) state ppid …`, where the name may contain anything.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

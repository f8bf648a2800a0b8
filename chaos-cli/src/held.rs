//! Which process holds the embedded cluster that stays: a state file in a folder that only this user may enter. It starts and
//! ends nothing.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::{Deserialize, Serialize};

/// The cluster that runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    /// The process that holds it.
    pub(crate) pid: i32,
    /// When that process was started (clock ticks since boot): a pid alone may be somebody else's by now.
    started: String,
    /// Its kubeconfig.
    pub(crate) kubeconfig: PathBuf,
}

impl State {
    /// Whether the process that was meant is still there.
    pub(crate) fn is_alive(&self) -> bool {
        started(self.pid).is_some_and(|now| now == self.started)
    }
}

/// The cluster that runs, if one does. What one whose process is gone has left is removed.
pub(crate) fn running() -> anyhow::Result<Option<State>> {
    if !runtime_path().exists() {
        // Looking leaves nothing.
        return Ok(None);
    }
    let Ok(text) = std::fs::read(state_file()?) else { return Ok(None) };
    let state: Option<State> = serde_json::from_slice(&text).ok();
    if let Some(state) = state.filter(State::is_alive) {
        return Ok(Some(state));
    }
    forget()?;
    Ok(None)
}

/// The cluster that runs; an error if none does.
pub(crate) fn expected() -> anyhow::Result<State> {
    running()?.context("no embedded cluster runs; hint: `chaos cluster up`")
}

/// The configuration of the cluster that runs.
pub(crate) async fn config() -> anyhow::Result<Config> {
    let kubeconfig =
        Kubeconfig::read_from(expected()?.kubeconfig).context("failed to read the embedded cluster's kubeconfig")?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("failed to use its kubeconfig")
}

/// Writes down that this process holds a cluster; an error if another one does.
pub(crate) fn remember(kubeconfig: &Path) -> anyhow::Result<()> {
    if let Some(other) = running()? {
        bail!("an embedded cluster runs already (process {})", other.pid);
    }
    let pid = std::process::id().cast_signed();
    let state = State { pid, started: started(pid).unwrap_or_default(), kubeconfig: kubeconfig.to_path_buf() };
    claim(&state_file()?, &serde_json::to_vec(&state).context("failed to write the state")?)
}

/// Writes a file that is not there: whole, or not at all. Of two that come at once the second one learns that it is.
fn claim(file: &Path, text: &[u8]) -> anyhow::Result<()> {
    let own = file.with_extension(std::process::id().to_string());
    let written = std::fs::write(&own, text).and_then(|()| std::fs::hard_link(&own, file));
    // Its other name stays, if it has one by now.
    let _ = std::fs::remove_file(&own);
    written.with_context(|| format!("failed to write {}", file.display()))
}

/// Removes what is known of a cluster that is gone.
pub(crate) fn forget() -> anyhow::Result<()> {
    for file in [state_file()?, log_file()?] {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("failed to remove {}", file.display()));
            }
            _ => (),
        }
    }
    // Kept if something else stands in it.
    let _ = std::fs::remove_dir(runtime_folder()?);
    Ok(())
}

/// Where the process that holds the cluster tells what goes wrong.
pub(crate) fn open_log() -> anyhow::Result<(File, PathBuf)> {
    let path = log_file()?;
    let file = File::create(&path).with_context(|| format!("failed to write {}", path.display()))?;
    Ok((file, path))
}

fn state_file() -> anyhow::Result<PathBuf> {
    Ok(runtime_folder()?.join("cluster.json"))
}

fn log_file() -> anyhow::Result<PathBuf> {
    Ok(runtime_folder()?.join("cluster.log"))
}

/// The folder that the system keeps for what this user runs, where there is one. What is no absolute path names none.
pub(crate) fn system_folder() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute())
}

fn runtime_path() -> PathBuf {
    match system_folder() {
        Some(folder) => folder.join("chaos"),
        None => std::env::temp_dir().join(format!("chaos-{}", nix::unistd::getuid())),
    }
}

/// A folder that belongs to this user and that nobody else may enter: the path of an administrator's kubeconfig is read from it.
fn runtime_folder() -> anyhow::Result<PathBuf> {
    let base = runtime_path();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&base)
        .with_context(|| format!("failed to make the folder {}", base.display()))?;
    // In a folder that everybody may write to, somebody else may have made it first.
    let found =
        std::fs::symlink_metadata(&base).with_context(|| format!("failed to look at the folder {}", base.display()))?;
    let others_may = found.mode() & 0o077;
    let is_ours = found.is_dir() && found.uid() == nix::unistd::getuid().as_raw() && others_may == 0;
    ensure!(
        is_ours,
        "the folder {} is not this user's alone; hint: remove it, or set XDG_RUNTIME_DIR to a folder of your own",
        base.display()
    );
    Ok(base)
}

/// When a process was started, as the kernel counts; `None` if there is no such process.
fn started(pid: i32) -> Option<String> {
    if cfg!(target_os = "linux") {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; what follows it is fixed. Field 22 of all is the start.
        return stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned);
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).ok().map(|()| String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_hold_a_cluster_one_is_remembered_and_the_other_knows() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cluster.json");
        claim(&file, b"first").unwrap();
        assert!(claim(&file, b"second").is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left there");
    }
}

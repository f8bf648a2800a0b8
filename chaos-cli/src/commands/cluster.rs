//! `chaos cluster`: an embedded cluster that stays until it is told to go. `up` starts a process of its own that holds it; a
//! state file in the user's runtime folder ([`held`]) says which.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chaos_engine::kube::answering;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client, ResourceExt as _};
use local_cluster::Cluster;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::demo;
use crate::cli::{self, ClusterArgs, ClusterCommand, ClusterProfile, Global, Overlay};
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::{apply, held, output, ready, signals};

/// A cluster, its operator and a stack that are not up by then never will be.
const UP_WITHIN: Duration = Duration::from_secs(90);
/// A cluster that is told to go is gone by then.
const DOWN_WITHIN: Duration = Duration::from_secs(20);

/// What a new cluster is to hold.
enum Contents {
    /// Nothing.
    Empty,
    /// The operator.
    Operator,
    /// The operator and the dispatch stack.
    Stack { overlay: Overlay, rides: Option<u32> },
}

pub(super) async fn cluster(global: &Global, args: ClusterArgs) -> Result<Exit, Failure> {
    match args.command {
        ClusterCommand::Up { profile, operator, dispatch, rides } => {
            let contents = match dispatch {
                Some(overlay) => Contents::Stack { overlay, rides },
                None if operator => Contents::Operator,
                None => Contents::Empty,
            };
            up(profile, contents).await
        }
        ClusterCommand::Hold { profile } => hold(profile).await,
        ClusterCommand::Status => status().await,
        ClusterCommand::Kubeconfig => kubeconfig().await,
        ClusterCommand::Logs { pod, follow } => logs(global, &pod, follow).await,
        ClusterCommand::Down => down().await,
    }
}

/// A folder for a cluster that does not exist yet, on the user's own runtime folder where there is one.
pub(crate) fn fresh_folder() -> Result<PathBuf, Failure> {
    let base = held::system_folder().unwrap_or_else(std::env::temp_dir);
    Ok(base.join(format!("chaos-cluster-{}-{:08x}", std::process::id(), rand::random::<u32>())))
}

async fn up(profile: ClusterProfile, contents: Contents) -> Result<Exit, Failure> {
    expect_none()?;
    if let Err(error) = start_holder(profile).await {
        // Somebody else may have started one at the same time.
        expect_none()?;
        return Err(error.into());
    }
    fill(contents).await.map_err(|failure| {
        failure.hint("the cluster stays for a look: `chaos cluster status`, `chaos cluster down`")
    })?;
    let state = held::running()?.context("the cluster ended at once")?;
    output::say("the embedded cluster is up:");
    output::data(&format!("export KUBECONFIG={}\n", state.kubeconfig.display()));
    Ok(Exit::OK)
}

/// Refuses a second cluster.
fn expect_none() -> Result<(), Failure> {
    let Some(state) = held::running()? else { return Ok(()) };
    Err(Failure::refused(anyhow::anyhow!(
        "an embedded cluster runs already (process {}); hint: `chaos cluster down`",
        state.pid
    )))
}

/// Puts on the cluster what was asked for.
async fn fill(contents: Contents) -> Result<(), Failure> {
    let target = Target::embedded(held::config().await?).await?;
    match contents {
        Contents::Stack { overlay, rides } => demo::deploy(&target, overlay, rides).await?,
        Contents::Operator => {
            let objects = apply::documents("the operator's manifests", &super::install::demo_manifests())?;
            apply::apply(&target.client, &objects).await?;
            ready::wait(&target.client, &[chaos_core::api::switch::NAMESPACE], UP_WITHIN).await?;
        }
        Contents::Empty => (),
    }
    Ok(())
}

/// Starts the process that holds the cluster, and waits until it says that it is up.
async fn start_holder(profile: ClusterProfile) -> anyhow::Result<()> {
    let (log, log_path) = held::open_log()?;
    let mut holder = tokio::process::Command::new(super::bundled::program()?)
        .args(["cluster", "hold", "--profile", &cli::word(&profile)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Not ours: whoever reads our stderr to its end would wait for as long as the cluster stays.
        .stderr(log)
        // Ctrl-C at the terminal that started it is not meant for it.
        .process_group(0)
        .spawn()
        .context("failed to start the cluster's process")?;
    let said = holder.stdout.take().context("the cluster's process has no output")?;
    match tokio::time::timeout(UP_WITHIN, BufReader::new(said).lines().next_line()).await {
        Ok(Ok(Some(line))) if line == UP => return Ok(()),
        Ok(_) => (),
        Err(_) => holder.kill().await.context("failed to end a cluster that does not come up")?,
    }
    let told = std::fs::read_to_string(&log_path).unwrap_or_default();
    // What is known of one that runs is not ours to remove.
    if held::running()?.is_none() {
        held::forget()?;
    }
    bail!("the cluster's process did not come up: {}", told.trim());
}

/// What the holder says once the cluster is up.
const UP: &str = "up";

async fn hold(profile: ClusterProfile) -> Result<Exit, Failure> {
    let mut asked = signals::listen().context("failed to listen for signals")?;
    let config = demo::cluster_config(profile.meant(), fresh_folder()?)?;
    let cluster = Cluster::start(config).await.context("failed to start the embedded cluster")?;
    if let Err(error) = held::remember(cluster.kubeconfig_path()) {
        cluster.stop().await.context("failed to stop the embedded cluster")?;
        return Err(error.into());
    }
    output::data(&format!("{UP}\n"));
    tokio::select! {
        // An error means that nobody can ask any more.
        _ = asked.wait_for(Option::is_some) => (),
        () = cluster.ended() => (),
    }
    let stopped = cluster.stop().await;
    held::forget()?;
    stopped.context("failed to stop the embedded cluster")?;
    Ok(Exit::OK)
}

async fn status() -> Result<Exit, Failure> {
    let Some(state) = held::running()? else {
        output::data("no embedded cluster runs\n");
        return Ok(Exit::OK);
    };
    let client = client().await?;
    let pods = Api::<Pod>::all(client).list(&ListParams::default()).await.context("failed to list the pods")?;
    output::data(&format!("up: process {}, KUBECONFIG={}\n", state.pid, state.kubeconfig.display()));
    for pod in pods {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Unknown");
        output::data(&format!("  {}/{} {phase}\n", pod.namespace().unwrap_or_default(), pod.name_any()));
    }
    Ok(Exit::OK)
}

async fn kubeconfig() -> Result<Exit, Failure> {
    let state = held::expected()?;
    let text = tokio::fs::read_to_string(&state.kubeconfig).await.context("failed to read its kubeconfig")?;
    output::data(&text);
    Ok(Exit::OK)
}

async fn logs(global: &Global, pod: &str, follow: bool) -> Result<Exit, Failure> {
    use futures::{AsyncBufReadExt as _, TryStreamExt as _};
    let (namespace, name) = pod.split_once('/').unwrap_or((global.namespace.as_deref().unwrap_or("default"), pod));
    let params = LogParams { follow, ..LogParams::default() };
    let stream = Api::<Pod>::namespaced(client().await?, namespace).log_stream(name, &params).await;
    let mut lines = stream.map_err(|error| no_log(error, namespace, name))?.lines();
    while let Some(line) = lines.try_next().await.context("the log broke off")? {
        output::data(&format!("{line}\n"));
        if output::is_gone() {
            break;
        }
    }
    Ok(Exit::OK)
}

/// Why a log cannot be read. A pod that is not there was named wrongly, as anything else that is not there.
fn no_log(error: kube::Error, namespace: &str, name: &str) -> Failure {
    if matches!(&error, kube::Error::Api(status) if status.code == 404) {
        let error =
            anyhow::anyhow!("there is no pod {namespace}/{name}; hint: `chaos cluster status` lists those there are");
        return Failure::invalid(error);
    }
    Failure::of_api(error, format!("failed to read the log of {namespace}/{name}"))
}

async fn down() -> Result<Exit, Failure> {
    let Some(state) = held::running()? else {
        output::say("no embedded cluster runs");
        return Ok(Exit::OK);
    };
    kill(Pid::from_raw(state.pid), Signal::SIGTERM).context("failed to tell the cluster's process to end")?;
    let gone = async {
        while state.is_alive() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(DOWN_WITHIN, gone).await.with_context(|| format!("process {} does not end", state.pid))?;
    output::say("the embedded cluster is gone");
    Ok(Exit::OK)
}

async fn client() -> anyhow::Result<Client> {
    answering(held::config().await?, CONNECT).context("failed to make a client")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_is_not_there_is_told_with_where_those_are_that_are() {
        let answer = |code| {
            let status = kube::core::Status::failure("pods \"a\" not found", "NotFound").with_code(code);
            no_log(kube::Error::Api(status.boxed()), "shop", "a")
        };
        assert_eq!(answer(404).exit(), Exit::INVALID_INPUT);
        let told = "there is no pod shop/a; hint: `chaos cluster status` lists those there are";
        assert_eq!(answer(404).message(), told);
        assert_eq!(answer(500).exit(), Exit::COULD_NOT_RUN);
    }
}

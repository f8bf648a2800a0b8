//! `chaos demo`: an embedded cluster, the operator and the dispatch stack on it, and one experiment against them. Nothing is
//! installed and nothing is left behind; the experiment is run exactly as `chaos run` would.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use kube::api::DynamicObject;
use local_cluster::{Cluster, ClusterConfig, Profile};

use super::bundled;
use super::run::{Job, ManifestFile, not_started, run_job, told};
use crate::cli::{self, ClusterProfile, DemoArgs, Overlay};
use crate::context::Target;
use crate::exit::{Exit, Failure};
use crate::signals::{self, Asked};
use crate::{apply, files, output, ready};

/// The experiment of the demo, as shipped in `experiments/`.
const EXPERIMENT: &str = include_str!("../../../experiments/riders-can-request-while-pods-die.yaml");
const EXPERIMENT_SOURCE: &str = "experiments/riders-can-request-while-pods-die.yaml";

/// The stack that is not ready by then never will be, even from a debug build on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

pub(super) async fn demo(args: DemoArgs) -> Result<Exit, Failure> {
    files::claim_stdout(&args.out.outputs);
    let asked = signals::listen().context("failed to listen for signals")?;
    let (source, text) = manifest(&args)?;
    // Whatever is wrong with the manifest is said before anything is started.
    let experiments = super::validate::experiments(&source, &text)?;
    files::check_copies(&args.out.outputs, experiments.len())?;
    let cluster = start(&args).await?;
    let outcome = on_cluster(&args, &cluster, &asked, &ManifestFile { source, text, experiments }).await;
    if args.keep && outcome.is_ok() && asked.borrow().is_none() {
        keep(&cluster, asked.clone()).await;
    }
    let stopped = cluster.stop().await.context("failed to stop the embedded cluster");
    both(outcome, stopped.map_err(Failure::from))
}

/// The outcome of the demo, and whether its cluster is gone: neither hides the other.
fn both(outcome: Result<Exit, Failure>, stopped: Result<(), Failure>) -> Result<Exit, Failure> {
    let Err(unstopped) = stopped else { return outcome };
    unstopped.report();
    let exit = outcome.unwrap_or_else(|failure| {
        failure.report();
        failure.exit()
    });
    Ok(exit.worse(unstopped.exit()))
}

async fn on_cluster(args: &DemoArgs, cluster: &Cluster, asked: &Asked, file: &ManifestFile) -> Result<Exit, Failure> {
    let config =
        kube::Config::from_custom_kubeconfig(cluster.kubeconfig(), &kube::config::KubeConfigOptions::default())
            .await
            .context("failed to read the embedded cluster's kubeconfig")?;
    let target = Target::embedded(config).await?;
    let mut interrupted = asked.clone();
    let overlay = if args.fragile { Overlay::Fragile } else { Overlay::Resilient };
    tokio::select! {
        deployed = deploy(&target, overlay, args.rides) => deployed?,
        _ = interrupted.wait_for(Option::is_some) => {
            return Err(Failure::stopped(anyhow::anyhow!("stopped before the run started; nothing is left")));
        }
    }
    let mut results = Vec::new();
    for experiment in &file.experiments {
        let interrupted = *asked.borrow();
        let job = Job {
            target: &target,
            experiment: experiment.clone(),
            source: &file.source,
            text: &file.text,
            seed: args.seed,
            attempt: 1,
            out: &args.out,
            environment: vec![
                ("overlay".into(), cli::word(&overlay)),
                ("profile".into(), args.profile.as_told().to_owned()),
            ],
            asked: asked.clone(),
        };
        let run = match interrupted {
            Some(signal) => Err(Failure::stopped(anyhow::anyhow!("{signal} came before it was started"))),
            None => run_job(job).await,
        };
        // One that cannot be started hides nothing that another has shown.
        results.push(run.unwrap_or_else(|failure| {
            failure.report();
            not_started(file, Some(experiment), (args.seed, 1), &failure)
        }));
    }
    Ok(told(&args.out, &results))
}

async fn start(args: &DemoArgs) -> Result<Cluster, Failure> {
    let began = Instant::now();
    let config = cluster_config(args.profile.meant(), super::cluster::fresh_folder()?)?;
    let cluster = Cluster::start(config).await.context("failed to start the embedded cluster")?;
    output::say(&format!("embedded cluster: up in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(cluster)
}

/// Applies CRDs, permissions, the operator and the stack, from the very manifests that a real cluster gets, and waits until
/// riders and drivers are moving.
pub(crate) async fn deploy(target: &Target, overlay: Overlay, rides: Option<u32>) -> Result<(), Failure> {
    let began = Instant::now();
    let operator = apply::documents("the operator's manifests", &super::install::demo_manifests())?;
    let mut stack = apply::documents("the dispatch stack's manifests", overlay.manifests())?;
    if let Some(rides) = rides {
        stack.iter_mut().for_each(|object| set_rides(object, rides));
    }
    apply::apply(&target.client, &operator).await?;
    apply::apply(&target.client, &stack).await?;
    let pods =
        ready::wait(&target.client, &[chaos_core::api::switch::NAMESPACE, "dispatch"], READY_WITHIN).await.map_err(
            |failure| failure.hint("a machine that is busy with other things may do with fewer rides: --rides 5"),
        )?;
    output::say(&format!(
        "operator and {} dispatch stack: {pods} pods ready in {:.1} s",
        cli::word(&overlay),
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Sets how many rides the simulator requests in a second, where the object is the simulator's.
fn set_rides(object: &mut DynamicObject, rides: u32) {
    let containers =
        object.data.pointer_mut("/spec/template/spec/containers").and_then(serde_json::Value::as_array_mut);
    let variables =
        containers.into_iter().flatten().filter_map(|container| container.get_mut("env")?.as_array_mut()).flatten();
    for variable in variables.filter(|variable| variable["name"] == "RIDES_PER_SECOND") {
        variable["value"] = rides.to_string().into();
    }
}

/// The configuration of an embedded cluster that can run the operator and the stack.
pub(crate) fn cluster_config(profile: Profile, dir: PathBuf) -> Result<ClusterConfig, Failure> {
    let program = bundled::program()?;
    let mut config = ClusterConfig::new(dir);
    config.profile = profile;
    config.images = bundled::images(&program);
    config.supervisor = vec![program.into(), bundled::SUPERVISE.into()];
    Ok(config)
}

impl Overlay {
    /// The objects of the stack.
    const fn manifests(self) -> &'static str {
        match self {
            Self::Resilient => dispatch_stack::manifests::RESILIENT,
            Self::Fragile => dispatch_stack::manifests::FRAGILE,
        }
    }
}

impl ClusterProfile {
    /// As the embedded cluster has it.
    pub(crate) const fn meant(self) -> Profile {
        match self {
            Self::Fast => Profile::Fast,
            Self::KubernetesLike => Profile::KubernetesLike,
        }
    }

    /// As results tell it.
    const fn as_told(self) -> &'static str {
        match self {
            Self::Fast => "Fast",
            Self::KubernetesLike => "KubernetesLike",
        }
    }
}

async fn keep(cluster: &Cluster, mut asked: Asked) {
    output::headline("the cluster stays until Ctrl-C:");
    output::say(&format!("  export KUBECONFIG={}", cluster.kubeconfig_path().display()));
    // An error means that nobody can ask any more: the cluster must not stay for ever then.
    let _ = asked.wait_for(Option::is_some).await;
}

fn manifest(args: &DemoArgs) -> Result<(String, String), Failure> {
    match &args.experiment {
        None => Ok((EXPERIMENT_SOURCE.to_owned(), EXPERIMENT.to_owned())),
        Some(path) => super::validate::read(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_cannot_be_stopped_hides_no_outcome() {
        let failed = || Failure::could_not_run(anyhow::anyhow!("no"));
        let end = |outcome, stopped| both(outcome, stopped).unwrap_or_else(|failure| failure.exit());
        assert_eq!(end(Ok(Exit::DIFFERENT), Err(failed())), Exit::DIFFERENT, "a broken promise counts for more");
        assert_eq!(end(Ok(Exit::OK), Err(failed())), Exit::COULD_NOT_RUN);
        assert_eq!(end(Err(Failure::stopped(anyhow::anyhow!("x"))), Err(failed())), Exit::STOPPED);
        assert_eq!(end(Err(failed()), Ok(())), Exit::COULD_NOT_RUN);
        assert_eq!(end(Ok(Exit::INCONCLUSIVE), Ok(())), Exit::INCONCLUSIVE);
    }
}

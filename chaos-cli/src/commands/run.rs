//! `chaos run`: prepares, executes and judges experiments, one after the other, and writes what is told about them.

mod manifests;

use std::sync::Arc;

use anyhow::Context as _;
use chaos_core::digest::sha256_hex;
use chaos_core::model::{Experiment, Policy};
use chaos_core::plan::{self, PlanRequest};
use chaos_core::record::{Event, Started, StopCause};
use chaos_core::result::RunResult;
use chaos_core::verdict::{self, ExitCode, JudgeSpec};
use chaos_engine::clock::RunClock;
use chaos_engine::journal::{JournalWriter, Redactor};
use chaos_engine::program;
use chaos_engine::recorder::Recorder;
use chaos_engine::report::terminal;
use chaos_engine::run::{self, Prepared, RunOrder, Unfit};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::{Global, OutArgs, RunArgs};
use crate::context::Target;
use crate::exit::{Exit, Failure};
use crate::progress::Shown;
use crate::signals::Asked;
use crate::{config, files, output, signals};

use manifests::read_all;
pub(crate) use manifests::{ManifestFile, not_started};

/// One experiment to be run.
pub(crate) struct Job<'a> {
    pub(crate) target: &'a Target,
    pub(crate) experiment: Experiment,
    pub(crate) source: &'a str,
    pub(crate) text: &'a str,
    pub(crate) seed: Option<i64>,
    pub(crate) attempt: u32,
    pub(crate) out: &'a OutArgs,
    /// Facts about the surroundings for the report.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) asked: Asked,
}

pub(super) async fn run(global: &Global, args: RunArgs) -> Result<Exit, Failure> {
    files::claim_stdout(&args.out.outputs);
    let asked = signals::listen().context("failed to listen for signals")?;
    let (files, invalid) = read_all(&args);
    let results = if invalid.is_empty() {
        files::check_copies(&args.out.outputs, files.iter().map(|file| file.experiments.len()).sum())?;
        run_all(global, &args, &files, &asked).await
    } else {
        invalid.into_iter().chain(not_tried(&files, &args)).collect()
    };
    Ok(told(&args.out, &results))
}

/// Results of the experiments that are not started because another file of the command is not valid.
fn not_tried(files: &[ManifestFile], args: &RunArgs) -> Vec<RunResult> {
    let another = Failure::invalid(anyhow::anyhow!("another file of this command is not valid: nothing was started"));
    let experiments = files.iter().flat_map(|file| file.experiments.iter().map(move |experiment| (file, experiment)));
    let asked_for = (args.seed, args.attempt);
    experiments.map(|(file, experiment)| not_started(file, Some(experiment), asked_for, &another)).collect()
}

/// Runs every experiment, one after the other, and tells each failure as it comes. A result for each of them.
async fn run_all(global: &Global, args: &RunArgs, files: &[ManifestFile], asked: &Asked) -> Vec<RunResult> {
    let experiments =
        || files.iter().flat_map(|file| file.experiments.iter().map(move |experiment| (file, experiment)));
    let refused = |(file, experiment): (&ManifestFile, &Experiment), failure: &Failure| {
        not_started(file, Some(experiment), (args.seed, args.attempt), failure)
    };
    let target = match agreed(global, args, asked).await {
        Ok(target) => target,
        Err(failure) => {
            failure.report();
            return experiments().map(|one| refused(one, &failure)).collect();
        }
    };
    super::orphans::say(&target, &args.out.out, experiments().map(|(_, experiment)| experiment)).await;
    let mut results = Vec::new();
    for (file, experiment) in experiments() {
        let interrupted = *asked.borrow();
        let job = Job {
            target: &target,
            experiment: experiment.clone(),
            source: &file.source,
            text: &file.text,
            seed: args.seed,
            attempt: args.attempt,
            out: &args.out,
            environment: Vec::new(),
            asked: asked.clone(),
        };
        let run = match interrupted {
            Some(signal) => Err(Failure::stopped(anyhow::anyhow!("{signal} came before it was started"))),
            None if args.in_cluster => super::in_cluster::run_job(job).await,
            None => run_job(job).await,
        };
        results.push(run.unwrap_or_else(|failure| {
            failure.report();
            refused((file, experiment), &failure)
        }));
    }
    results
}

/// The cluster, once it answers and somebody agreed to break things on it. A signal is heard meanwhile: nothing is there to be
/// wound down.
async fn agreed(global: &Global, args: &RunArgs, asked: &Asked) -> Result<Target, Failure> {
    let (global, mut interrupted) = (global.clone(), asked.clone());
    let agreeing = async {
        let target = Target::connect(&global, args.connect_timeout).await?;
        let meant = target.clone();
        // A person takes time to answer.
        let answer = tokio::task::spawn_blocking(move || meant.confirm(&global, "kill pods"));
        answer.await.context("failed to ask whether pods may be killed")??;
        Ok::<_, Failure>(target)
    };
    tokio::select! {
        agreed = agreeing => agreed,
        _ = interrupted.wait_for(Option::is_some) => {
            Err(Failure::stopped(anyhow::anyhow!("stopped before anything was touched")))
        }
    }
}

/// Tells the results of a command together; gives the worst of their exit codes.
pub(crate) fn told(out: &OutArgs, results: &[RunResult]) -> Exit {
    if results.len() > 1 {
        output::end("\nsummary\n");
        output::end(&terminal::summary(results));
    }
    files::write_copies(&out.outputs, results);
    Exit::from(ExitCode::worst(results.iter().map(|result| result.verdict.exit_code)))
}

/// Runs one experiment and says what it proved.
pub(crate) async fn run_job(job: Job<'_>) -> Result<RunResult, Failure> {
    let experiment = Arc::new(job.experiment.clone());
    let seed = job.seed.or(experiment.seed).unwrap_or_else(|| i64::from(rand::random::<u32>()));
    let around = config::surroundings(job.target)?;
    let redactor = Redactor::of_run(&experiment.probes, around.prometheus.values());
    redactor.check(job.text, &experiment).map_err(Failure::invalid)?;
    let prepared = run::prepare(&job.target.clients, &around, &experiment).await.map_err(unfit)?;
    feasible(&experiment, &prepared, seed)?;
    let run_id = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
    let folder = files::run_folder(&job.out.out, &experiment.name, &run_id)?;
    let kept_in = folder.join(files::JOURNAL);
    let journal = JournalWriter::create(&kept_in).context("failed to start the journal")?;
    let recorder = Recorder::with_journal(journal, redactor);
    let clock = RunClock::start();
    recorder.record(Event::Started(Box::new(started(&job, &run_id, seed, &clock))));
    recorder.record(prepared.planned(clock.now()));
    for text in &prepared.notes {
        output::warn(text);
        recorder.record(Event::Note { at: clock.now(), text: text.clone() });
    }
    output::headline(&experiment.hypothesis);
    output::say(&format!("journal: {}", kept_in.display()));
    let judge = Arc::new(JudgeSpec::from(&*experiment));
    let running =
        Running { experiment, judge: judge.clone(), seed, run_id, recorder: recorder.clone(), clock, prepared };
    let result = kept(&recorder, clock, &judge, execute(&job, running).await).await;
    let written = files::reports(&folder, &kept_in, &result);
    output::verdict(&result, &written);
    Ok(result)
}

/// Refuses what arithmetic rules out on this cluster with this seed, with the numbers, and tells what else speaks against it.
fn feasible(experiment: &Experiment, prepared: &Prepared, seed: i64) -> Result<(), Failure> {
    let population = &*prepared.population;
    let policy = Policy::cli(experiment.namespace.clone());
    let plan = plan::plan(&PlanRequest { experiment, policy: &policy, population, seed, now: population.taken_at });
    let (forbids, beware): (Vec<_>, Vec<_>) = plan.objections.iter().partition(|objection| objection.forbids);
    for objection in beware {
        output::warn(&objection.message);
    }
    if forbids.is_empty() {
        return Ok(());
    }
    let messages: Vec<&str> = forbids.iter().map(|objection| objection.message.as_str()).collect();
    Err(Failure::invalid(anyhow::anyhow!("{}", messages.join("; "))).hint("`chaos plan` shows all of it"))
}

/// Closes the journal. A run whose evidence could not be kept was stopped by that, whatever it had shown.
async fn kept(recorder: &Recorder, clock: RunClock, judge: &JudgeSpec, result: RunResult) -> RunResult {
    recorder.record(Event::Finished { at: clock.now(), exit_code: result.verdict.exit_code.code() });
    let Err(error) = recorder.close().await else { return result };
    if result.verdict.exit_code != ExitCode::Stopped {
        recorder.record(Event::Stop { at: clock.now(), cause: StopCause::Journal { message: error.to_string() } });
    }
    verdict::judge(judge, &recorder.events())
}

/// Why a run was not started, as an exit code.
pub(super) fn unfit(unfit: Unfit) -> Failure {
    match unfit {
        Unfit::OutOfReach(_) => Failure::could_not_run(unfit),
        Unfit::Invalid(_) => Failure::invalid(unfit),
        Unfit::Refused(_) => Failure::refused(unfit),
        Unfit::NoVictim(_) | Unfit::NoneMeant(_) => Failure::invalid_run(unfit),
    }
}

/// What `execute` needs beside the job.
struct Running {
    experiment: Arc<Experiment>,
    judge: Arc<JudgeSpec>,
    seed: i64,
    run_id: String,
    recorder: Recorder,
    clock: RunClock,
    prepared: Prepared,
}

async fn execute(job: &Job<'_>, running: Running) -> RunResult {
    let Running { experiment, judge, seed, run_id, recorder, clock, prepared } = running;
    let (progress, state) = watch::channel(chaos_core::run::RunState::New);
    let shown = Shown::new(&experiment, clock, &recorder, state);
    let stop_showing = CancellationToken::new();
    let showing = tokio::spawn(shown.until(stop_showing.clone()));
    let order = RunOrder {
        run_id,
        experiment,
        judge: judge.clone(),
        seed,
        clients: job.target.clients.clone(),
        namespaces: prepared.namespaces(),
        environment: prepared.population.environment.clone(),
        clock,
        recorder: recorder.clone(),
        asked: job.asked.clone(),
        guards: prepared.guards,
        progress,
    };
    run::execute(order, prepared.probes).await;
    stop_showing.cancel();
    if let Err(error) = showing.await {
        tracing::warn!(%error, "the progress display ended badly");
    }
    verdict::judge(&judge, &recorder.events())
}

fn started(job: &Job<'_>, run_id: &str, seed: i64, clock: &RunClock) -> Started {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut environment = job.environment.clone();
    environment.push(("cores of the load generator".to_owned(), cores.to_string()));
    Started {
        run_id: run_id.to_owned(),
        started_at: clock.started_at(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        tool_digest: program::digest(),
        manifest: job.text.to_owned(),
        experiment: job.experiment.name.clone(),
        manifest_source: job.source.to_owned(),
        manifest_digest: sha256_hex(job.text.as_bytes()),
        seed,
        attempt: job.attempt,
        cluster: job.target.label.clone(),
        environment,
    }
}

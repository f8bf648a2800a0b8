//! `chaos run`: prepares, executes and judges experiments, one after the other, and writes what is told about them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use chaos_core::model::Experiment;
use chaos_core::record::{Event, Started};
use chaos_core::result::RunResult;
use chaos_core::verdict;
use chaos_engine::journal::JournalWriter;
use chaos_engine::recorder::Recorder;
use chaos_engine::run::{self, Prepared, RunOrder, Surroundings, Unfit};
use chaos_engine::{clock::RunClock, journal::Redactor};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::{Global, OutArgs, RunArgs};
use crate::context::Target;
use crate::exit::{Exit, Failure};
use crate::progress::Shown;
use crate::signals::Asked;
use crate::{files, output, signals};

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
    let asked = signals::listen().context("failed to listen for signals")?;
    let files = read_all(&args.files)?;
    let target = Target::connect(global, args.connect_timeout).await?;
    target.confirm(global, "kill pods")?;
    let mut ends = Vec::new();
    for (source, text, experiments) in files {
        for experiment in experiments {
            let name = experiment.name.clone();
            let job = Job {
                target: &target,
                experiment,
                source: &source,
                text: &text,
                seed: args.seed,
                attempt: args.attempt,
                out: &args.out,
                environment: Vec::new(),
                asked: asked.clone(),
            };
            let end = run_job(job).await.unwrap_or_else(|failure| {
                failure.report();
                failure.exit()
            });
            ends.push((name, end));
            if asked.borrow().is_some() {
                break;
            }
        }
    }
    Ok(summary(&ends))
}

/// Runs one experiment and says what it proved; the exit code is the verdict's.
pub(crate) async fn run_job(job: Job<'_>) -> Result<Exit, Failure> {
    let experiment = Arc::new(job.experiment.clone());
    let seed = job.seed.or(experiment.seed).unwrap_or_else(|| i64::from(rand::random::<u32>()));
    let around = Surroundings::default();
    let prepared = run::prepare(&job.target.config, &around, &experiment).await.map_err(unfit)?;
    let run_id = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
    let folder = files::run_folder(&job.out.out, &experiment.name, &run_id)?;
    let journal = JournalWriter::create(&folder.join(files::JOURNAL)).context("failed to start the journal")?;
    let mut redactor = Redactor::default();
    redactor.hide_probes(&experiment.probes);
    let recorder = Recorder::with_journal(journal, redactor);
    let clock = RunClock::start();
    recorder.record(Event::Started(Box::new(started(&job, &run_id, seed, &clock))));
    recorder.record(prepared.planned(clock.now()));
    output::headline(&experiment.hypothesis);
    output::say(&format!("journal: {}", folder.join(files::JOURNAL).display()));
    let result = execute(&job, Running { experiment, seed, run_id, recorder: recorder.clone(), clock, prepared }).await;
    let exit = Exit(result.verdict.exit_code.code());
    recorder.record(Event::Finished { at: clock.now(), exit_code: exit.0 });
    recorder.close().await.context("failed to close the journal")?;
    let written = files::write_reports(&folder, &result)?;
    files::write_copies(&job.out.outputs, &result)?;
    output::verdict(&result, &written);
    Ok(exit)
}

/// Why a run was not started, as an exit code.
fn unfit(unfit: Unfit) -> Failure {
    match unfit {
        Unfit::OutOfReach(_) => Failure::could_not_run(unfit),
        Unfit::Refused(_) => Failure::refused(unfit),
        Unfit::NoVictim(_) => Failure::invalid_run(unfit),
    }
}

/// What `execute` needs beside the job.
struct Running {
    experiment: Arc<chaos_core::model::Experiment>,
    seed: i64,
    run_id: String,
    recorder: Recorder,
    clock: RunClock,
    prepared: Prepared,
}

async fn execute(job: &Job<'_>, running: Running) -> RunResult {
    let Running { experiment, seed, run_id, recorder, clock, prepared } = running;
    let (progress, state) = watch::channel(chaos_core::run::RunState::New);
    let shown = Shown::new(&experiment, clock, &recorder, state);
    let stop_showing = CancellationToken::new();
    let showing = tokio::spawn(shown.until(stop_showing.clone()));
    let judge = Arc::new(verdict::JudgeSpec::from(&*experiment));
    let order = RunOrder {
        run_id,
        experiment,
        judge: judge.clone(),
        seed,
        config: job.target.config.clone(),
        client: job.target.client.clone(),
        namespaces: prepared.namespaces(),
        environment: prepared.population.environment.clone(),
        clock,
        recorder: recorder.clone(),
        asked: job.asked.clone(),
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
        manifest: job.text.to_owned(),
        experiment: job.experiment.name.clone(),
        manifest_source: job.source.to_owned(),
        manifest_digest: Sha256::digest(job.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect(),
        seed,
        attempt: job.attempt,
        cluster: job.target.label.clone(),
        environment,
    }
}

type ReadFile = (String, String, Vec<Experiment>);

/// Reads and checks every file before anything is started.
fn read_all(paths: &[PathBuf]) -> Result<Vec<ReadFile>, Failure> {
    paths
        .iter()
        .map(|path: &PathBuf| {
            let (source, text) = super::validate::read(Path::new(path))?;
            let experiments = super::validate::experiments(&source, &text)?;
            Ok((source, text, experiments))
        })
        .collect()
}

/// Of several runs the worst end wins.
fn summary(ends: &[(String, Exit)]) -> Exit {
    if ends.len() > 1 {
        output::headline("summary");
        for (name, end) in ends {
            output::say(&format!("  {name}: {}", end.meaning()));
        }
    }
    ends.iter().fold(Exit::OK, |worst, (_, end)| worst.worse(*end))
}

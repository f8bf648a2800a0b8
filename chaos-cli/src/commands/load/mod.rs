//! `chaos load`: load without faults, from flags or from a file, with a summary and thresholds that set the exit code.

mod flags;
mod progress;

use std::path::Path;

use anyhow::Context as _;
use chaos_core::load::LoadResult;
use chaos_core::model::{Endpoint, LoadTest};
use chaos_engine::load::LoadRun;
use chaos_engine::probe::Trust;
use chaos_engine::probe::http::{HttpPlan, knock};
use chaos_engine::probe::preflight::Reach;
use chaos_engine::report;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::cli::{Global, LoadArgs, LoadFormat};
use crate::context::Target;
use crate::exit::{Exit, Failure};
use crate::{output, signals};

pub(super) async fn load(global: &Global, args: LoadArgs) -> Result<Exit, Failure> {
    let asked = signals::listen().context("failed to listen for signals")?;
    let tests = tests(&args)?;
    let trust = args.ca_cert.as_deref().map(Trust::of_file).transpose().map_err(Failure::invalid)?;
    let reach = reach(global, &args, &tests).await?;
    Ok(each(tests, &asked, async |test| one(test, &reach, trust.as_ref(), &args, &asked).await).await)
}

/// Runs one after the other, and gives the worst of their ends: one that cannot run hides nothing that another has shown. Those
/// that somebody's wish to end came before have not shown anything.
async fn each<T>(tests: Vec<T>, asked: &signals::Asked, run: impl AsyncFn(T) -> Result<Exit, Failure>) -> Exit {
    let mut worst = Exit::OK;
    for test in tests {
        let interrupted = *asked.borrow();
        let end = match interrupted {
            Some(signal) => Err(Failure::stopped(anyhow::anyhow!("{signal} came before all tests were run"))),
            None => run(test).await,
        };
        worst = worst.worse(end.unwrap_or_else(|failure| {
            failure.report();
            failure.exit()
        }));
        if interrupted.is_some() {
            break;
        }
    }
    worst
}

/// Runs one test and tells its result.
async fn one(
    test: LoadTest,
    reach: &Reach,
    trust: Option<&Trust>,
    args: &LoadArgs,
    asked: &signals::Asked,
) -> Result<Exit, Failure> {
    let plans = plans(&test, reach, trust).await?;
    let mut interrupted = asked.clone();
    tokio::select! {
        reached = reachable(&plans, args) => reached?,
        _ = interrupted.wait_for(Option::is_some) => {
            return Err(Failure::stopped(anyhow::anyhow!("stopped before anything was sent")));
        }
    }
    let result = run(test, plans, args, asked.clone()).await?;
    output::data(&match args.format {
        LoadFormat::Text => report::load::render(&result),
        LoadFormat::Json => report::load::json(&result).context("failed to write the result")?,
    });
    Ok(result.exit_code.into())
}

/// The tests that the target means: of a file all that it holds, else the one that the flags describe.
fn tests(args: &LoadArgs) -> Result<Vec<LoadTest>, Failure> {
    let mut tests = if ["http://", "https://"].iter().any(|scheme| args.target.starts_with(scheme)) {
        vec![flags::test(args)?]
    } else {
        let (source, text) = super::validate::read(Path::new(&args.target))
            .map_err(|failure| failure.hint("a URL starts with http:// or https://; anything else is a file"))?;
        if let Some(flag) = args.request.first_given() {
            let message = format!("{flag} is for a URL: what {source} sends stands in the file");
            return Err(Failure::invalid(anyhow::anyhow!(message)));
        }
        chaos_core::validate::load_file(&source, &text).map_err(|diagnostics| {
            output::laid_out_error(&diagnostics.render(output::is_coloured()));
            Failure::invalid(anyhow::anyhow!("{source} is not valid: nothing was started"))
        })?
    };
    for test in &mut tests {
        test.duration = args.duration.unwrap_or(test.duration);
        test.flows.iter_mut().for_each(|flow| flow.thresholds.extend(args.thresholds.iter().cloned()));
    }
    if args.duration.is_some_and(chaos_core::units::Duration::is_zero) {
        return Err(Failure::invalid(anyhow::anyhow!("--duration: nothing is due in no time")));
    }
    Ok(tests)
}

/// The cluster, where a flow names a Service of it.
async fn reach(global: &Global, args: &LoadArgs, tests: &[LoadTest]) -> Result<Reach, Failure> {
    let mut flows = tests.iter().flat_map(|test| &test.flows);
    if !flows.any(|flow| matches!(flow.load.endpoint, Endpoint::Service { .. })) {
        return Ok(Reach::default());
    }
    let target = Target::connect(global, args.connect_timeout).await?;
    Ok(Reach { client: Some(target.client), ..Reach::default() })
}

async fn plans(test: &LoadTest, reach: &Reach, trust: Option<&Trust>) -> Result<Vec<HttpPlan>, Failure> {
    let mut plans = Vec::with_capacity(test.flows.len());
    for flow in &test.flows {
        let origin = reach.origin(&flow.name, &flow.load.endpoint).await.map_err(Failure::could_not_run)?;
        let mut plan = HttpPlan::new(&flow.name, &flow.load, origin).map_err(Failure::invalid)?;
        if let Some(trust) = trust {
            plan.trust = trust.clone();
        }
        plans.push(plan);
    }
    Ok(plans)
}

/// Whether somebody answers wherever requests are to go; all at once.
async fn reachable(plans: &[HttpPlan], args: &LoadArgs) -> Result<(), Failure> {
    let knocked = join_all(plans.iter().map(|plan| knock(plan, args.connect_timeout))).await;
    knocked.into_iter().try_for_each(|knocked| knocked.map_err(Failure::could_not_run))
}

async fn run(
    test: LoadTest,
    plans: Vec<HttpPlan>,
    args: &LoadArgs,
    asked: signals::Asked,
) -> Result<LoadResult, Failure> {
    let seed = args.seed.or(test.seed).unwrap_or_else(|| i64::from(rand::random::<u32>()));
    let span = test.duration.std();
    output::headline(&format!("{}: {} of load, seed {seed}", test.name, test.duration));
    let run = LoadRun::new(test, plans, seed);
    let stop_showing = CancellationToken::new();
    let showing = tokio::spawn(progress::show(run.live(), span, stop_showing.clone()));
    let result = run.execute(asked).await;
    stop_showing.cancel();
    if let Err(error) = showing.await {
        tracing::warn!(%error, "the progress display ended badly");
    }
    Ok(result.context("failed to run the load")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_not_run_for_a_signal_is_no_good_end() {
        let ends = async |codes: &[Exit], signal_after: usize| {
            let (ask, asked) = tokio::sync::watch::channel(None);
            let tests: Vec<(usize, Exit)> = codes.iter().copied().enumerate().collect();
            let run = async |(number, end): (usize, Exit)| {
                if number + 1 == signal_after {
                    ask.send_replace(Some("SIGINT"));
                }
                Ok::<_, Failure>(end)
            };
            each(tests, &asked, run).await
        };
        assert_eq!(ends(&[Exit::OK, Exit::OK], 0).await, Exit::OK);
        assert_eq!(ends(&[Exit::OK, Exit::OK], 2).await, Exit::OK, "all were run");
        assert_eq!(ends(&[Exit::OK, Exit::OK], 1).await, Exit::STOPPED);
        assert_eq!(ends(&[Exit::DIFFERENT, Exit::OK], 1).await, Exit::DIFFERENT);
        assert_eq!(ends(&[Exit::OK, Exit::DIFFERENT], 1).await, Exit::STOPPED, "what was not run shows nothing");
    }
}

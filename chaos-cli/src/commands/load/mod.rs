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
    let mut worst = Exit::OK;
    for test in tests {
        // One that cannot run hides nothing that another has shown.
        worst = worst.worse(one(test, &reach, trust.as_ref(), &args, &asked).await.unwrap_or_else(|failure| {
            failure.report();
            failure.exit()
        }));
        if asked.borrow().is_some() {
            break;
        }
    }
    Ok(worst)
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

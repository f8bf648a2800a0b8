//! Work on runs that a test brings, with tasks of the test.

use chaos_core::api::RunPhase;
use chaos_engine::kube::Clients;
use chaos_engine::sources::Sources;
use clap::Parser;

use super::*;
use crate::OperatorArgs;
use crate::watched::tests::{admin, run};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    operator: OperatorArgs,
}

fn shared() -> Arc<Shared> {
    let args = Cli::parse_from(["test"]).operator;
    Shared::new(Clients::same(admin()), &args, Sources::default(), CancellationToken::new()).0
}

fn bring(work: &mut Work<ExperimentRun>, name: &str, phase: RunPhase) {
    work.take(Some(Ok(Event::Apply(run(name, phase)))));
}

#[tokio::test]
async fn of_a_run_that_is_over_nothing_is_kept() {
    let until_over: Tend<ExperimentRun> = |_, mut object, _| {
        Box::pin(async move {
            let _ = object.wait_for(|run| is_over(run)).await;
        })
    };
    let mut work = Work::begin(&shared(), None, until_over, is_over);
    for old in ["a", "b", "c"] {
        bring(&mut work, old, RunPhase::Completed);
    }
    assert!(work.tended.is_empty());
    bring(&mut work, "r", RunPhase::Fault);
    bring(&mut work, "r", RunPhase::Completed);
    let tended = work.tended.get_mut("r").expect("whoever tends it would take it for gone");
    (&mut tended.task).await.unwrap();
    bring(&mut work, "a", RunPhase::Completed);
    assert!(work.tended.is_empty());
}

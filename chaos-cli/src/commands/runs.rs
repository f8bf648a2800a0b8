//! `chaos runs`: lists and shows the runs of an operator, follows one to its end, and asks for an early one. It ends nothing
//! itself: the operator winds a run down, by its own rules.

mod shown;

use chaos_core::api::{ExperimentRun, RunPhase, RunVerdict};
use chaos_core::verdict::ExitCode;
use kube::{Api, ResourceExt as _};

use super::followed::{Followed, LOOK, NOTICE_WITHIN, ended, unnoticed};
use crate::cli::{Format, Global, ListArgs, RunsCommand};
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::output;

use shown::RunView;
pub(super) use shown::{RunLine, table};

pub(super) async fn runs(global: &Global, command: RunsCommand) -> Result<Exit, Failure> {
    let target = Target::connect(global, CONNECT).await?;
    let namespace = target.namespace(global);
    let desk = Desk { runs: Api::namespaced(target.clients.write.clone(), &namespace), namespace };
    match command {
        RunsCommand::List(ListArgs { all_namespaces, format }) => {
            let lines = list(global, &target, all_namespaces).await?;
            let text = || table(&lines, (!all_namespaces).then_some(desk.namespace.as_str()));
            output::data(&output::rendered(&lines, format, text)?);
            Ok(Exit::OK)
        }
        RunsCommand::Show { name, format } => {
            show(&desk.get(&name).await?, format)?;
            Ok(Exit::OK)
        }
        RunsCommand::Watch { name, format } => desk.watch(&name, format).await,
        RunsCommand::Abort { name, reason } => {
            desk.abort(&name, reason.as_deref()).await?;
            Ok(Exit::OK)
        }
    }
}

/// The runs that are meant.
pub(super) async fn list(global: &Global, target: &Target, all: bool) -> anyhow::Result<Vec<RunLine>> {
    let runs: Vec<ExperimentRun> = target.list(global, all, "runs").await?;
    Ok(runs.iter().map(RunLine::of).collect())
}

/// The run of that name.
pub(super) async fn get(runs: &Api<ExperimentRun>, namespace: &str, name: &str) -> Result<ExperimentRun, Failure> {
    runs.get(name).await.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 404 && status.message.contains(name) => {
            Failure::invalid(anyhow::anyhow!(
                "there is no run {namespace}/{name}; hint: `chaos runs list -n {namespace}`, or another --namespace"
            ))
        }
        error => Failure::of_api(error, format!("failed to read run {name}")),
    })
}

fn show(run: &ExperimentRun, format: Format) -> anyhow::Result<()> {
    let view = RunView::of(run);
    output::data(&output::rendered(&view, format, || view.text())?);
    Ok(())
}

/// What `chaos run` ends with for this verdict. A code of a newer version says nothing here.
fn exit_of(verdict: &RunVerdict) -> Exit {
    ExitCode::try_from(verdict.exit_code).map_or(Exit::COULD_NOT_RUN, Exit::from)
}

/// The runs of one namespace.
struct Desk {
    runs: Api<ExperimentRun>,
    namespace: String,
}

impl Desk {
    async fn get(&self, name: &str) -> Result<ExperimentRun, Failure> {
        get(&self.runs, &self.namespace, name).await
    }

    fn follow(&self, run: &ExperimentRun) -> Followed {
        Followed::new(self.runs.clone(), &self.namespace, run.name_any(), run.uid().unwrap_or_default())
    }

    async fn watch(&self, name: &str, format: Format) -> Result<Exit, Failure> {
        let mut followed = self.follow(&self.get(name).await?);
        let mut told = String::new();
        loop {
            if let Some(run) = followed.look().await? {
                if let Some(verdict) = run.status.as_ref().and_then(ended) {
                    show(&run, format)?;
                    return Ok(exit_of(&verdict));
                }
                if followed.is_unnoticed(&run) {
                    return Err(unnoticed(&format!("run {}/{name}", self.namespace)));
                }
                let progress = RunView::of(&run).progress();
                if progress != told {
                    output::say(&progress);
                    told = progress;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Asks for the end of a run, and waits until the operator has begun with it. Less chaos needs no confirmation.
    async fn abort(&self, name: &str, reason: Option<&str>) -> Result<(), Failure> {
        let run = self.get(name).await?;
        let full_name = format!("{}/{name}", self.namespace);
        if let Some(RunVerdict { outcome, reason_code, .. }) = run.status.as_ref().and_then(ended) {
            let error = anyhow::anyhow!("run {full_name} is over already: {outcome} ({reason_code})");
            return Err(Failure::refused(error));
        }
        let mut followed = self.follow(&run);
        followed.ask_to_end(reason).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 409 => Failure::refused(anyhow::anyhow!(
                "run {full_name} was deleted and made anew meanwhile: it is not the one that was meant"
            )),
            error => Failure::of_api(error, format!("failed to ask for the end of run {full_name}")),
        })?;
        while followed.elapsed() < NOTICE_WITHIN {
            let status = followed.look().await?.and_then(|run| run.status).unwrap_or_default();
            if let Some(RunVerdict { outcome, reason_code, .. }) = ended(&status) {
                output::say(&format!("run {full_name} is over: {outcome} ({reason_code})"));
                return Ok(());
            }
            if matches!(status.phase, Some(RunPhase::WindingDown | RunPhase::Judging)) {
                output::say(&format!("run {full_name} winds down; hint: `chaos runs watch {name}` waits for its end"));
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(unnoticed("the abort"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_was_watched_ends_as_its_verdict_says() {
        let verdict = |exit_code| RunVerdict {
            outcome: String::new(),
            exit_code,
            reason_code: String::new(),
            reason_text: String::new(),
        };
        for code in 0..=8 {
            assert_eq!(exit_of(&verdict(code)), Exit::from(ExitCode::try_from(code).unwrap()));
        }
        assert_eq!(exit_of(&verdict(99)), Exit::COULD_NOT_RUN);
    }
}

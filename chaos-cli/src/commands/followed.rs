//! A run on the cluster that is followed: looked at again and again until it is over, by whoever submitted it or by anybody
//! else. An API server that is away for a while ends nothing.

use std::time::Duration;

use chaos_core::api::{ExperimentRun, ExperimentRunStatus, RunVerdict};
use chaos_core::operated::{Record, Stage, read_record};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use tokio::time::Instant;

use crate::exit::Failure;

/// Time between two looks at a run.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// An operator that has not noticed by then what is there for it does not work.
pub(super) const NOTICE_WITHIN: Duration = Duration::from_secs(30);
/// An API server that does not answer for this long ends the following, not the run.
const BLIND_AT_MOST: Duration = Duration::from_secs(120);

/// One very run that is looked at: another one of its name is not the one that was meant.
pub(super) struct Followed {
    runs: Api<ExperimentRun>,
    namespace: String,
    name: String,
    uid: String,
    began: Instant,
    seen_at: Instant,
}

impl Followed {
    /// From now on.
    pub(super) fn new(
        runs: Api<ExperimentRun>,
        namespace: impl Into<String>,
        name: impl Into<String>,
        uid: impl Into<String>,
    ) -> Self {
        let now = Instant::now();
        Self { runs, namespace: namespace.into(), name: name.into(), uid: uid.into(), began: now, seen_at: now }
    }

    /// For how long it has been followed.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Looks once. `None`: it could not be read, which may pass; an error is the end of following.
    pub(super) async fn look(&mut self) -> Result<Option<ExperimentRun>, Failure> {
        match self.runs.get_opt(&self.name).await {
            Ok(Some(run)) if run.uid().as_deref() == Some(self.uid.as_str()) => {
                self.seen_at = Instant::now();
                Ok(Some(run))
            }
            Ok(_) => Err(Failure::stopped(anyhow::anyhow!("the run was deleted: that ended it"))),
            Err(error) if self.seen_at.elapsed() > BLIND_AT_MOST => {
                let error = anyhow::Error::new(error).context("lost sight of the run, which goes on by itself");
                Err(Failure::could_not_run(error).hint(&goes_on(&self.namespace, &self.name)))
            }
            Err(error) => {
                tracing::debug!(%error, "the run could not be read");
                Ok(None)
            }
        }
    }

    /// Whether no operator has taken the run up, though there was time enough.
    pub(super) fn is_unnoticed(&self, run: &ExperimentRun) -> bool {
        let is_new = run.status.as_ref().is_none_or(|status| status.phase.is_none());
        is_new && self.elapsed() > NOTICE_WITHIN
    }

    /// Asks the operator to wind the run down.
    pub(super) async fn ask_to_end(&self, reason: Option<&str>) -> kube::Result<ExperimentRun> {
        let mut control = serde_json::json!({"abort": true});
        if let Some(reason) = reason {
            control["reason"] = reason.into();
        }
        let patch = serde_json::json!({"metadata": {"uid": self.uid}, "spec": {"control": control}});
        self.runs.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await
    }
}

/// What the operator made of a run, once that is over.
pub(super) fn ended(status: &ExperimentRunStatus) -> Option<RunVerdict> {
    let Record { stage, verdict, .. } = read_record(status);
    verdict.filter(|_| stage == Stage::Completed)
}

/// How to come back to a run that nobody follows any more.
pub(super) fn goes_on(namespace: &str, name: &str) -> String {
    let meant = format!("{name} -n {namespace}");
    format!("`chaos runs watch {meant}` waits for its end, and `chaos runs abort {meant}` asks for it")
}

/// What was written for an operator, which did not take notice of it.
pub(super) fn unnoticed(what: &str) -> Failure {
    Failure::could_not_run(anyhow::anyhow!(
        "{what} is written, and no operator took notice of it within {} s; hint: does it run? kubectl get pods -n chaos-system",
        NOTICE_WITHIN.as_secs()
    ))
}

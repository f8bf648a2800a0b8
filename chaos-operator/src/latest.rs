//! The newest version of a run that this process knows of, for whoever drives the run: from the watch, or from a write of the
//! status that came upon it. From when it is known that a run was asked to end, its killer is held.

use std::sync::Arc;

use chaos_core::api::{ExperimentRun, RunPhase};
use chaos_engine::kube::{StatusDesk, is_newer};
use chaos_engine::run::operated::{HeldBy, Hold};
use tokio::sync::watch;

/// The newest version of one run.
pub(crate) struct Latest {
    /// What the watch brings.
    watched: watch::Receiver<Arc<ExperimentRun>>,
    /// What writes of the status come upon.
    found: watch::Receiver<Option<Arc<ExperimentRun>>>,
    /// Why no run may kill anything at present.
    held: watch::Receiver<Option<Hold>>,
    desk: StatusDesk<ExperimentRun>,
    object: watch::Sender<Arc<ExperimentRun>>,
    hold: watch::Sender<Option<Hold>>,
}

impl Latest {
    /// From the version that was read when the run was taken up.
    pub(crate) fn new(
        read: ExperimentRun,
        watched: watch::Receiver<Arc<ExperimentRun>>,
        held: watch::Receiver<Option<Hold>>,
        desk: StatusDesk<ExperimentRun>,
    ) -> Self {
        let hold = watch::channel(hold_of(held.borrow().as_ref(), &read)).0;
        let object = watch::channel(Arc::new(read)).0;
        Self { watched, found: desk.changes(), held, desk, object, hold }
    }

    /// The newest version.
    pub(crate) fn object(&self) -> watch::Receiver<Arc<ExperimentRun>> {
        self.object.subscribe()
    }

    /// Why nothing may be killed for this run at present.
    pub(crate) fn hold(&self) -> watch::Receiver<Option<Hold>> {
        self.hold.subscribe()
    }

    /// Passes on what is learned, until the run is being deleted, or is gone.
    pub(crate) async fn follow(&mut self) {
        loop {
            if self.pass_on() {
                return;
            }
            tokio::select! {
                changed = self.watched.changed() => if changed.is_err() { return },
                _ = self.found.changed() => {}
                _ = self.held.changed() => {}
            }
        }
    }

    /// Whether the run is being deleted. Kills are held first: whatever is written once a version is named to the desk counts
    /// as decided on it.
    fn pass_on(&mut self) -> bool {
        let known = self.object.borrow().clone();
        let mut newest = known.clone();
        let (watched, found) = (self.watched.borrow_and_update().clone(), self.found.borrow_and_update().clone());
        for object in found.into_iter().chain([watched]) {
            if is_newer(&object.metadata, &newest.metadata) {
                newest = object;
            }
        }
        let hold = hold_of(self.held.borrow_and_update().as_ref(), &newest);
        self.hold.send_if_modified(|before| std::mem::replace(before, hold.clone()) != hold);
        self.desk.decide_on(&newest.metadata);
        if !Arc::ptr_eq(&newest, &known) {
            self.object.send_replace(newest.clone());
        }
        newest.metadata.deletion_timestamp.is_some()
    }
}

/// Why nothing may be killed for a run at present. Before the fault phase an abort is no reason: nothing is killed then, and who
/// may be killed can still be found out.
fn hold_of(held: Option<&Hold>, run: &ExperimentRun) -> Option<Hold> {
    let is_aborted = run.spec.control.as_ref().is_some_and(|control| control.abort);
    let is_fault = run.status.as_ref().is_some_and(|status| status.phase == Some(RunPhase::Fault));
    let is_over = (is_aborted && is_fault) || run.metadata.deletion_timestamp.is_some();
    let over = || Hold { by: HeldBy::Others, message: "the run was asked to end".to_owned() };
    held.cloned().or_else(|| is_over.then(over))
}

//! A killer in this very process, for `fault.podKill`: the same strike machine as the operator's, kept by the run's journal.

use std::sync::Arc;

use chaos_core::killer::{Killer, KillerSpec, KillerView, Ledger, RunIdentity};
use chaos_core::model::{PodKill, Policy};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::RunOrder;
use super::told::{Told, unknown};
use crate::clock::RunClock;
use crate::drive::drive;
use crate::journal::JournalError;
use crate::kill::{ClusterAccess, Keeper, KillWorld};
use crate::kube::Environment;
use crate::recorder::Recorder;

/// A killer at work.
pub(super) struct OwnKiller {
    ledger: watch::Receiver<Ledger>,
    leave: watch::Sender<bool>,
    task: std::sync::Mutex<Option<JoinHandle<Result<(), JournalError>>>>,
    failed: watch::Receiver<Option<String>>,
}

impl OwnKiller {
    /// Puts it to work. No kill after `until`.
    pub(super) fn start(order: &Arc<RunOrder>, pod_kill: &PodKill, until: Timestamp) -> Self {
        let identity = RunIdentity {
            run: order.run_id.clone(),
            policy: Policy::cli(order.experiment.namespace.clone()),
            seed: order.seed,
            until,
        };
        let environment = Environment::Known(order.environment.clone());
        let spec = KillerSpec::of_pod_kill(&order.experiment, pod_kill, identity);
        let access = ClusterAccess::new(&order.clients, &spec.target, &spec.policy, environment, &order.run_id);
        let killer = Killer::new(spec);
        let (publish, ledger) = watch::channel(Ledger::default());
        let (leave, left) = watch::channel(false);
        let (fail, failed) = watch::channel(None);
        let keeper = JournalKeeper {
            clock: order.clock,
            recorder: order.recorder.clone(),
            publish,
            leave: left,
            told: Told::default(),
        };
        let mut world = KillWorld::new(access, keeper);
        let task = tokio::spawn(async move {
            let driven = drive(&killer, &mut world, Ledger::default()).await.map(|_| ());
            if let Err(error) = &driven {
                fail.send_replace(Some(error.to_string()));
            }
            driven
        });
        Self { ledger, leave, task: std::sync::Mutex::new(Some(task)), failed }
    }

    /// It has nothing left to do.
    pub(super) fn is_done(&self) -> bool {
        self.ledger.borrow().ended.is_some()
    }

    /// Why it cannot do its work, if it cannot.
    pub(super) fn trouble(&self) -> Option<String> {
        self.failed.borrow().clone()
    }

    /// Finishes the strike in hand and starts no other. No more kills once this returns.
    pub(super) async fn rest(&self) {
        self.leave.send_replace(true);
        let task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::warn!(%error, "the killer of this run ended badly");
        }
    }

    /// What is left for a person to do.
    pub(super) async fn clean_up(self) -> Vec<String> {
        self.rest().await;
        unknown(&self.ledger.borrow().intents)
    }
}

/// Keeps the ledger of a run's own killer in the run's journal.
struct JournalKeeper {
    clock: RunClock,
    recorder: Recorder,
    publish: watch::Sender<Ledger>,
    leave: watch::Receiver<bool>,
    told: Told,
}

impl Keeper for JournalKeeper {
    type Error = JournalError;

    fn clock(&self) -> Option<&RunClock> {
        Some(&self.clock)
    }

    async fn view(&mut self) -> KillerView {
        // A machine that slept saw nothing meanwhile: its run ends, and kills nothing before it has.
        KillerView { hold: self.clock.told_sleep(), leave: *self.leave.borrow(), ..KillerView::default() }
    }

    async fn save(&mut self, ledger: &Ledger) -> Result<(), JournalError> {
        let written = self.write(ledger).await;
        let mut known = ledger.clone();
        if written.is_err() {
            // What became of a kill is known even when it cannot be written. New intents are none: nothing is sent for them.
            let sent = self.publish.borrow();
            known.intents.retain(|intent| sent.intents.contains(intent));
        }
        self.publish.send_replace(known);
        written
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        let span = until.map(|until| until.duration_since(self.now()));
        let span = span.and_then(|span| std::time::Duration::try_from(span).ok()).unwrap_or_default();
        tokio::select! {
            () = tokio::time::sleep(span) => (),
            Ok(()) = self.leave.changed() => (),
        }
    }
}

impl JournalKeeper {
    async fn write(&mut self, ledger: &Ledger) -> Result<(), JournalError> {
        let at = self.clock.now();
        let mut events = self.told.intents(&ledger.intents, at);
        events.extend(self.told.kills(&ledger.history, |kill| (self.clock.from_timestamp(kill.at.0), 0)));
        let mut written = Ok(());
        for event in events {
            // The verdict of this process sees all of them, whatever the disk says.
            written = written.and(self.recorder.record_durably(event).await);
        }
        let less_urgent = [self.told.skips(&ledger.skipped, at), self.told.put_off(&ledger.upcoming, at)];
        for event in less_urgent.into_iter().flatten() {
            self.recorder.record(event);
        }
        written
    }
}

#[cfg(test)]
mod tests;

//! Who kills for a run: let in once the beginning of the fault phase is on the cluster, and held while nothing can be written there.

use std::time::Duration;

use chaos_core::forbidden::FORBIDDEN_AT_MOST;
use chaos_core::model::Fault;
use chaos_core::record::{Event, Phase, StopCause};
use jiff::Timestamp;
use tokio::time::Instant;

use super::super::key;
use super::super::killer::{KeptKiller, KillerParts};
use super::{BEAT, Live};
use crate::run::RunError;
use crate::run::killer::Killer;
use crate::run::monkey::{MonkeyOrder, name_of};
use crate::run::told::Told;

/// Pause before what the cluster did not do, or refused, is asked for again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A killer that is wanted, and not there yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vacancy {
    /// No kill from then on.
    until: Timestamp,
    /// Since when it cannot be let in, if so.
    since: Option<Instant>,
}

impl Vacancy {
    /// For as long as there is time to kill.
    pub(super) const fn new(until: Timestamp) -> Self {
        Self { until, since: None }
    }
}

impl Live {
    /// Lets the killer in that is wanted, once all that came before is on the cluster. What fails is tried again for a while.
    pub(super) async fn fill_vacancy(&mut self) {
        let Some(Vacancy { until, since }) = self.vacancy.filter(|_| self.row.is_kept()) else { return };
        let begun = Instant::now();
        let since = since.unwrap_or(begun);
        match self.employ(until, false).await {
            Ok(()) => self.vacancy = None,
            Err(error) if is_borne(&error, since) => {
                tracing::warn!(%error, "a run has no killer yet");
                self.vacancy = Some(Vacancy { until, since: Some(since) });
            }
            Err(error) => {
                self.vacancy = None;
                self.failed.get_or_insert(StopCause::Killer { message: error.to_string() });
            }
        }
    }

    /// No kill is decided on while it could not be told. (A monkey goes on by itself: what it does stands in its own status first.)
    pub(super) fn hold_unkept(&self) {
        if let Some(Killer::Kept(kept)) = &self.killer {
            kept.hold(!self.row.is_kept());
        }
    }

    /// No more kills once this returns. A killer of a process that is gone may have left something open.
    pub(super) async fn rest_killer(&mut self) {
        if let Err(error) = self.find_killer().await {
            self.failed.get_or_insert(StopCause::Killer { message: error.to_string() });
        }
        self.await_rest().await;
    }

    /// Removes what the killer made; gives what is left for a person to do. Whoever takes a run up whose killer was told to rest by
    /// another process has not found it yet: its monkey is there all the same, and a kill of it may be open.
    pub(super) async fn dismiss_killer(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        if self.killer.is_none() {
            if let Err(error) = self.find_killer().await {
                left.push(format!("delete ChaosMonkey {}, if it is there: {error}", name_of(&self.run.uid)));
            }
            self.await_rest().await;
        }
        if let Some(killer) = self.killer.take() {
            left.extend(killer.clean_up().await);
        }
        left
    }

    async fn await_rest(&self) {
        let Some(killer) = &self.killer else { return };
        let since = Instant::now();
        while let Err(error) = killer.rest().await {
            if !is_borne(&error, since) {
                self.note(error.to_string());
                return;
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// Finds the killer that another process may have let in, at rest, if there is none here. None is made.
    async fn find_killer(&mut self) -> Result<(), RunError> {
        let is_fault = |event: &Event| matches!(event, Event::Phase { phase: Phase::Fault, .. });
        if self.killer.is_some() || !self.row.recorder().events().iter().any(is_fault) {
            return Ok(());
        }
        let since = Instant::now();
        loop {
            match self.employ(self.now(), true).await {
                Err(error) if is_borne(&error, since) => tokio::time::sleep(TRY_AGAIN).await,
                found => return found,
            }
        }
    }

    async fn employ(&mut self, until: Timestamp, resting: bool) -> Result<(), RunError> {
        let parts = KillerParts {
            backing: self.backing.clone(),
            run: self.run.clone(),
            seed: self.seed,
            until,
            desk: self.desk.clone(),
            clock: self.clock,
            recorder: self.row.recorder().clone(),
            slack: self.slack.clone(),
            resting,
        };
        if let Some(kept) = KeptKiller::start(parts).await {
            self.killer = Some(Killer::Kept(kept));
            return Ok(());
        }
        let Fault::Monkey(plan) = &self.run.experiment.fault else { return Ok(()) };
        let order = MonkeyOrder {
            run_id: self.run.uid.clone(),
            namespace: self.run.namespace.clone(),
            plan: plan.clone(),
            limits: self.run.experiment.limits,
            seed: self.seed,
            // A monkey is driven by the machine's clock, which may have been set since this run was taken up.
            until: self.clock.on_the_wall(until),
            owner: Some(key(&self.run).owner()),
            beat: BEAT,
            may_create: !resting,
            slack: self.slack.clone(),
            instance: Some(self.backing.instance.clone()),
        };
        let told = Told::knowing(&self.row.recorder().events());
        let (clock, recorder) = (self.clock, self.row.recorder().clone());
        self.killer = Killer::of_monkey(&self.backing.clients, &order, clock, recorder, told).await?;
        Ok(())
    }
}

/// Whether it is borne with that something cannot be done, which it could not be since then.
fn is_borne(error: &RunError, since: Instant) -> bool {
    error.may_pass() && since.elapsed() <= FORBIDDEN_AT_MOST
}

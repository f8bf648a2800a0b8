//! Where a simulated killer's ledger is kept, and what holds it back: what a `Keeper` is to the real world of a killer.

use std::time::Duration;

use chaos_core::killer::{KillerView, Ledger};
use jiff::{SignedDuration, Timestamp};

use super::bugs::Bug;
use super::cluster::{Cluster, State};
use crate::desk::Left;
use crate::history::note;
use crate::seats::{Chair, millis, turn};

/// News of a stop takes this long at most.
pub(crate) const NEWS: SignedDuration = millis(1_000);

/// Keeps a ledger for one process.
pub(crate) trait Keeper: Send + Sync {
    /// Makes this process the one that drives it, and gives what was last saved.
    fn claim(&mut self, chair: &Chair) -> impl Future<Output = Ledger> + Send;

    /// Saves it, if this process still is the one that drives it.
    fn save(&mut self, chair: &Chair, ledger: &Ledger) -> impl Future<Output = Result<(), Left>> + Send;

    /// What is known without asking, by a clock that is so far ahead.
    fn view(&mut self, cluster: &mut State, ahead: SignedDuration) -> KillerView;

    /// How often the run that it kills for has to give a sign of life, if it has to.
    fn heartbeat(&self) -> Option<Duration>;
}

/// The status of a monkey, or the memory of a run that kills by itself.
pub(crate) struct StatusKeeper {
    cluster: Cluster,
    run: String,
    /// Version of the status that the next write follows.
    version: u64,
    /// The last thing that was heard of the stop switch, and when.
    heard: (Timestamp, bool),
    heartbeat: Option<Duration>,
}

impl StatusKeeper {
    pub(crate) fn new(cluster: &Cluster, run: &str, heartbeat: Option<Duration>) -> Self {
        let heard = (cluster.lock().now, false);
        Self { cluster: cluster.clone(), run: run.to_owned(), version: 0, heard, heartbeat }
    }

    /// Waits until the API server answers: what a process must have read or written before it goes on.
    async fn reach(&self, chair: &Chair) {
        loop {
            {
                let mut state = self.cluster.lock();
                let Some(until) = state.away_until() else { return };
                let late = state.between(0, 1_000);
                chair.sleep(until + late);
            }
            turn().await;
        }
    }

    fn written(&mut self, ledger: &Ledger) -> Result<(), Left> {
        let mut state = self.cluster.lock();
        let is_blind = state.scenario.bug == Some(Bug::StatusWithoutVersion);
        let status = state.statuses.entry(self.run.clone()).or_default();
        if status.version != self.version && !is_blind {
            return Err(Left::Fenced);
        }
        status.version += 1;
        self.version = status.version;
        status.before = std::mem::replace(&mut status.ledger, ledger.clone());
        note(state.now, || {
            let open: Vec<_> = ledger.intents.iter().map(|intent| &intent.victim.uid).collect();
            let last = ledger.history.last().map(|kill| (&kill.victim.uid, kill.outcome));
            format!("{} saves {}: open {open:?}, last {last:?}", self.run, self.version)
        });
        Ok(())
    }
}

impl Keeper for StatusKeeper {
    async fn claim(&mut self, chair: &Chair) -> Ledger {
        turn().await;
        self.reach(chair).await;
        let ledger = {
            let mut state = self.cluster.lock();
            let bug = state.scenario.bug;
            let status = state.statuses.entry(self.run.clone()).or_default();
            status.version += 1;
            self.version = status.version;
            let seen = if bug == Some(Bug::LedgerFromCache) { &status.before } else { &status.ledger };
            seen.clone()
        };
        turn().await;
        ledger
    }

    async fn save(&mut self, chair: &Chair, ledger: &Ledger) -> Result<(), Left> {
        turn().await;
        self.reach(chair).await;
        self.written(ledger)?;
        turn().await;
        Ok(())
    }

    fn view(&mut self, cluster: &mut State, ahead: SignedDuration) -> KillerView {
        // News travels for up to a second.
        let lag = cluster.between(0, 1_000);
        if cluster.now.duration_since(self.heard.0) > lag {
            let is_stopped = cluster.stopped_at.is_some() && cluster.scenario.bug != Some(Bug::SwitchIgnored);
            self.heard = (cluster.now, is_stopped);
        }
        let is_deaf = cluster.scenario.bug == Some(Bug::HeartbeatIgnored);
        let beat = cluster.silent_at().filter(|_| !is_deaf).unwrap_or(cluster.now) + ahead;
        let hold = self.heard.1.then(|| "stopped".to_owned());
        KillerView { hold, beat: Some(beat), ..KillerView::default() }
    }

    fn heartbeat(&self) -> Option<Duration> {
        self.heartbeat
    }
}

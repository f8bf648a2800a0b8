//! Where a simulated killer's ledger is kept, and what holds it back: what a `Keeper` is to the real world of a killer.

use std::time::Duration;

use chaos_core::api::KillRecord;
use chaos_core::killer::{KillerView, Ledger};
use jiff::SignedDuration;

use super::bugs::Bug;
use super::cluster::{Cluster, State};
use super::records::{Telling, Told};
use super::scenario::MONKEY;
use crate::desk::Left;
use crate::history::note;
use crate::seats::{Chair, Stage as _, turn};
use crate::watch::{MOST_BEHIND, Watch};

/// News of a stop takes so many milliseconds at most, where no watch is behind for long.
pub(crate) const NEWS: i64 = 1_000;
/// How many of the latest ledgers are kept for whoever reads from a cache.
const KEPT: usize = MOST_BEHIND;

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
    /// How it hears of the stop switch.
    watch: Watch,
    heartbeat: Option<Duration>,
}

impl StatusKeeper {
    pub(crate) fn new(cluster: &Cluster, run: &str, heartbeat: Option<Duration>) -> Self {
        let watch = {
            let mut state = cluster.lock();
            let longest = if state.scenario.is_behind { state.scenario.size.behind_for } else { NEWS };
            Watch::new(state.dice(), longest)
        };
        Self { cluster: cluster.clone(), run: run.to_owned(), version: 0, watch, heartbeat }
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

    /// Writes the status, and gives the kills whose outcome is told for the first time.
    fn written(&mut self, ledger: &Ledger) -> Result<Vec<Told>, Left> {
        let mut state = self.cluster.lock();
        let bug = state.scenario.bug;
        let is_blind = bug == Some(Bug::StatusWithoutVersion);
        let status = state.statuses.entry(self.run.clone()).or_default();
        if status.version != self.version && !is_blind {
            return Err(Left::Fenced);
        }
        status.version += 1;
        self.version = status.version;
        let before = std::mem::replace(&mut status.ledger, ledger.clone());
        if bug == Some(Bug::LedgerFromCache) {
            status.before.push_back(before);
            status.before.drain(..status.before.len().saturating_sub(KEPT));
        }
        state.written += 1;
        note(state.now, || {
            let open: Vec<_> = ledger.intents.iter().map(|intent| &intent.victim.uid).collect();
            let last = ledger.history.last().map(|kill| (&kill.victim.uid, kill.outcome));
            format!("{} saves {}: open {open:?}, last {last:?}", self.run, self.version)
        });
        Ok(state.records.saved(&self.run, ledger, bug))
    }

    /// Events for people, of a monkey's kills.
    fn telling(&self, news: Vec<Told>) -> Telling {
        let is_told = self.run == MONKEY && self.bug() != Some(Bug::EventsForgotten);
        Telling::new(self.cluster.clone(), if is_told { news } else { Vec::new() })
    }

    fn bug(&self) -> Option<Bug> {
        self.cluster.lock().scenario.bug
    }
}

impl Keeper for StatusKeeper {
    async fn claim(&mut self, chair: &Chair) -> Ledger {
        turn().await;
        self.reach(chair).await;
        let ledger = {
            let mut state = self.cluster.lock();
            let bug = state.scenario.bug;
            let behind = if bug == Some(Bug::LedgerFromCache) { 1 + state.dice().below(MOST_BEHIND) } else { 0 };
            let status = state.statuses.entry(self.run.clone()).or_default();
            status.version += 1;
            self.version = status.version;
            let oldest = status.before.front().unwrap_or(&status.ledger);
            let seen = match status.before.len().checked_sub(behind) {
                Some(index) => status.before.get(index).unwrap_or(&status.ledger),
                None => oldest,
            };
            seen.clone()
        };
        turn().await;
        ledger
    }

    async fn save(&mut self, chair: &Chair, ledger: &Ledger) -> Result<(), Left> {
        if self.bug() == Some(Bug::EventsBeforeSave) {
            let told =
                |kill: &KillRecord| Told { run: self.run.clone(), nonce: kill.nonce.clone(), outcome: kill.outcome };
            self.telling(ledger.history.iter().map(told).collect()).tell();
        }
        turn().await;
        self.reach(chair).await;
        let news = self.written(ledger)?;
        let telling = self.telling(news);
        turn().await;
        telling.tell();
        Ok(())
    }

    fn view(&mut self, cluster: &mut State, ahead: SignedDuration) -> KillerView {
        let is_stopped = cluster.is_stopped_by(&self.watch) && cluster.scenario.bug != Some(Bug::SwitchIgnored);
        let is_deaf = cluster.scenario.bug == Some(Bug::HeartbeatIgnored);
        let beat = cluster.silent_at().filter(|_| !is_deaf).unwrap_or(cluster.now) + ahead;
        let hold = is_stopped.then(|| "stopped".to_owned());
        KillerView { hold, beat: Some(beat), ..KillerView::default() }
    }

    fn heartbeat(&self) -> Option<Duration> {
        self.heartbeat
    }
}

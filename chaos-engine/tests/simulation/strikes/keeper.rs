//! Where a simulated killer's ledger is kept, and what holds it back: what a `Keeper` is to the real world of a killer.

use std::time::Duration;

use chaos_core::api::KillRecord;
use chaos_core::killer::{KillerView, Ledger};
use chaos_core::model::Mode;
use jiff::SignedDuration;

use super::board::Place;
use super::bugs::Bug;
use super::cluster::{Cluster, Replaced, State, Status};
use super::people::Wish;
use super::records::{Telling, Told};
use super::scenario::{MONKEY, is_monkey};
use crate::desk::Left;
use crate::history::note;
use crate::seats::{Chair, Stage as _, turn};
use crate::watch::{Change, MOST_BEHIND, Watch};

/// News of a stop takes so many milliseconds at most, where no watch is behind for long.
pub(crate) const NEWS: i64 = 1_000;
/// How many of the latest ledgers are kept for whoever is behind.
const KEPT: usize = MOST_BEHIND;
/// Chance in a thousand that a process takes the monkey up without a write, where that may be.
const UNCLAIMED: u32 = 500;

/// Keeps a ledger for one process.
pub(crate) trait Keeper: Send + Sync {
    /// Makes this process the one that drives it, now or by its first save, and gives what was last saved as far as is known.
    fn claim(&mut self, chair: &Chair) -> impl Future<Output = Ledger> + Send;

    /// Saves it, if this process still is the one that drives it.
    fn save(&mut self, chair: &Chair, ledger: &Ledger) -> impl Future<Output = Result<(), Left>> + Send;

    /// What is known without asking, by a clock that is so far ahead.
    fn view(&mut self, cluster: &mut State, ahead: SignedDuration) -> KillerView;

    /// How often the run that it kills for has to give a sign of life, if it has to.
    fn heartbeat(&self) -> Option<Duration>;

    /// The same, once more before a kill is sent, if whoever keeps it asks that.
    fn last_look(&mut self, _: &mut State, _: SignedDuration) -> Option<KillerView> {
        None
    }

    /// Whether what was claimed kills or only says what it would, if that may be another than at the start.
    fn mode(&self) -> Option<Mode> {
        None
    }

    /// Why it is left, if not because all is done: somebody else has written what this process has not claimed, or people want
    /// something else than what it was made for.
    fn left(&self) -> Option<Left> {
        None
    }
}

/// The status of a monkey, or the memory of a run that kills by itself.
pub(crate) struct StatusKeeper {
    cluster: Cluster,
    run: String,
    /// Version of the status that the next write follows.
    version: u64,
    /// This process has written it, or made sure that nobody else does.
    is_claimed: bool,
    /// The generation of what people want that is known.
    generation: usize,
    /// What they wanted of it when it was claimed.
    mode: Mode,
    /// Why it is left, as was last seen.
    left: Option<Left>,
    /// How it hears of the stop switch, and of the writes of others.
    watch: Watch,
    heartbeat: Option<Duration>,
    /// Its place where all monkeys tell how they stand.
    _place: Option<Place>,
}

impl StatusKeeper {
    pub(crate) fn new(cluster: &Cluster, run: &str, heartbeat: Option<Duration>) -> Self {
        let watch = {
            let mut state = cluster.lock();
            let longest = if state.scenario.is_behind { state.scenario.size.behind_for } else { NEWS };
            Watch::new(state.dice(), longest)
        };
        Self {
            cluster: cluster.clone(),
            run: run.to_owned(),
            version: 0,
            is_claimed: false,
            generation: 0,
            mode: Mode::Live,
            left: None,
            watch,
            heartbeat,
            _place: if is_monkey(run) { Place::at(cluster) } else { None },
        }
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
        let is_blind = match bug {
            Some(Bug::StatusWithoutVersion) => true,
            Some(Bug::FirstWriteWithoutVersion) => !self.is_claimed,
            _ => false,
        };
        let keeps = bug == Some(Bug::LedgerFromCache) || state.scenario.is_lazy;
        let by = Change { number: state.written + 1, at: state.now };
        let version = state.statuses.entry(self.run.clone()).or_default().version;
        if version != self.version && !is_blind {
            return Err(Left::Fenced);
        }
        let known = self.generation;
        self.generation = state.agree(&self.run, ledger, known)?;
        state.check_plan(&self.run, ledger, known);
        let status = state.statuses.entry(self.run.clone()).or_default();
        status.replace(ledger.clone(), by, keeps);
        (self.version, self.is_claimed) = (status.version, true);
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
        let is_told = is_monkey(&self.run) && self.bug() != Some(Bug::EventsForgotten);
        Telling::new(self.cluster.clone(), if is_told { news } else { Vec::new() })
    }

    fn bug(&self) -> Option<Bug> {
        self.cluster.lock().scenario.bug
    }

    /// The ledger as the watch has brought it, if it is taken up without a write: where nothing is open in it, the first save
    /// claims it soon enough. What the watch has not brought yet is not known.
    fn brought(&mut self, state: &mut State) -> Option<Ledger> {
        if !state.scenario.is_lazy || self.run != MONKEY || !state.dice().chance(UNCLAIMED) {
            return None;
        }
        self.generation = state.brought(&self.watch, 0);
        let (now, newest) = (state.now, state.written);
        let status = state.statuses.entry(self.run.clone()).or_default();
        let known = status.before.iter().rposition(|old| self.watch.brings(old.by, newest, now));
        let seen = status.before.get(known.map_or(0, |index| index + 1));
        let (version, ledger) = seen.map_or((status.version, &status.ledger), |old| (old.version, &old.ledger));
        if !ledger.intents.is_empty() || !ledger.recovering.is_empty() {
            return None;
        }
        (self.version, self.is_claimed) = (version, false);
        note(now, || format!("{} is taken up at {version} of {}, unclaimed", self.run, status.version));
        Some(ledger.clone())
    }

    /// Makes this process the one that drives it by a write, and gives what was last saved.
    fn claimed(&mut self, state: &mut State) -> Ledger {
        let is_cached = state.scenario.bug == Some(Bug::LedgerFromCache);
        let behind = if is_cached { 1 + state.dice().below(MOST_BEHIND) } else { 0 };
        let is_lazy = state.scenario.is_lazy;
        self.generation = if self.run == MONKEY { state.people.newest() } else { 0 };
        let by = Change { number: state.written + 1, at: state.now };
        let status = state.statuses.entry(self.run.clone()).or_default();
        let index = status.before.len().saturating_sub(behind);
        let seen = status.before.get(index).map_or(&status.ledger, |old| &old.ledger).clone();
        status.replace(status.ledger.clone(), by, is_lazy);
        (self.version, self.is_claimed) = (status.version, true);
        // Whoever has claimed nothing hears of it.
        state.written += u64::from(is_lazy);
        seen
    }

    /// Whether the watch has brought a write of somebody else to what is not claimed.
    fn overtaken(&self, cluster: &State) -> bool {
        let before = cluster.statuses.get(&self.run).into_iter().flat_map(|status| &status.before);
        let mut since = before.filter(|old| old.version >= self.version);
        !self.is_claimed && since.any(|old| self.watch.brings(old.by, cluster.written, cluster.now))
    }

    /// Whether it is kept for people, who may want something else of it.
    fn is_wanted(&self, cluster: &State) -> bool {
        self.run == MONKEY && cluster.scenario.standing.is_some()
    }

    /// What is known. `is_told`: it is asked for a kill that was saved.
    fn look(&mut self, cluster: &mut State, ahead: SignedDuration, is_told: bool) -> KillerView {
        let is_stopped = cluster.is_stopped_by(&self.watch) && cluster.scenario.bug != Some(Bug::SwitchIgnored);
        let is_deaf = cluster.scenario.bug == Some(Bug::HeartbeatIgnored);
        let beat = cluster.silent_at().filter(|_| !is_deaf).unwrap_or(cluster.now) + ahead;
        let hold = is_stopped.then(|| "stopped".to_owned());
        let hold = hold.or_else(|| cluster.cap_objects(&self.run, cluster.now + ahead, is_told));
        let wish = self.learn(cluster);
        let view = KillerView { hold, beat: Some(beat), leave: self.left.is_some(), ..KillerView::default() };
        match wish {
            Some(Wish { suspended, cancel, postpone, .. }) => KillerView { suspended, cancel, postpone, ..view },
            None => view,
        }
    }

    /// Takes notice of what the watch has brought, and gives what people want, as far as is known.
    fn learn(&mut self, cluster: &State) -> Option<Wish> {
        let is_overtaken = self.overtaken(cluster);
        self.left = is_overtaken.then_some(Left::Changed);
        if !self.is_wanted(cluster) {
            return None;
        }
        let known = cluster.brought(&self.watch, self.generation);
        // Of what is not claimed every other version is somebody else's.
        let is_news = !self.is_claimed && known > self.generation;
        self.generation = known;
        let mut wish = cluster.wish(known).clone();
        if wish.deleted {
            self.left = Some(Left::Gone);
        } else if is_news || wish.mode != self.mode {
            self.left = Some(Left::Changed);
        }
        match cluster.scenario.bug {
            Some(Bug::SuspendIgnored) => wish.suspended = false,
            Some(Bug::CancelIgnored) => wish.cancel.clear(),
            Some(Bug::PostponeIgnored) => wish.postpone.clear(),
            _ => {}
        }
        Some(wish)
    }
}

impl Status {
    /// Replaces the ledger, and keeps the one before for whoever is behind, if anybody can be.
    fn replace(&mut self, ledger: Ledger, by: Change, keeps: bool) {
        let before = std::mem::replace(&mut self.ledger, ledger);
        if keeps {
            self.before.push_back(Replaced { version: self.version, ledger: before, by });
            self.before.drain(..self.before.len().saturating_sub(KEPT));
        }
        self.version += 1;
    }
}

impl Keeper for StatusKeeper {
    async fn claim(&mut self, chair: &Chair) -> Ledger {
        turn().await;
        self.reach(chair).await;
        let ledger = {
            let cluster = self.cluster.clone();
            let mut state = cluster.lock();
            self.left = state.is_gone(&self.run).then_some(Left::Gone);
            if self.left.is_some() {
                return Ledger::default();
            }
            let brought = self.brought(&mut state);
            let ledger = brought.unwrap_or_else(|| self.claimed(&mut state));
            self.mode = state.wish(self.generation).mode;
            state.list_board(chair.ahead());
            // What a watch has brought may be older than what was listed.
            if self.is_claimed {
                state.tell_board(&self.run, &ledger, chair.ahead());
            }
            ledger
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
        self.cluster.lock().tell_board(&self.run, ledger, chair.ahead());
        telling.tell();
        Ok(())
    }

    fn view(&mut self, cluster: &mut State, ahead: SignedDuration) -> KillerView {
        self.look(cluster, ahead, false)
    }

    fn last_look(&mut self, cluster: &mut State, ahead: SignedDuration) -> Option<KillerView> {
        let is_asked = cluster.scenario.standing.is_some() && is_monkey(&self.run);
        let view = is_asked.then(|| self.look(cluster, ahead, true))?;
        // What others have written down meanwhile is known only now.
        let is_blind = cluster.scenario.bug == Some(Bug::CapAskedOnce);
        Some(KillerView { hold: view.hold.filter(|_| !is_blind), ..view })
    }

    fn mode(&self) -> Option<Mode> {
        let cluster = self.cluster.lock();
        let is_live = cluster.scenario.bug == Some(Bug::DryRunIsLive);
        self.is_wanted(&cluster).then_some(if is_live { Mode::Live } else { self.mode })
    }

    fn heartbeat(&self) -> Option<Duration> {
        self.heartbeat
    }

    fn left(&self) -> Option<Left> {
        self.left
    }
}

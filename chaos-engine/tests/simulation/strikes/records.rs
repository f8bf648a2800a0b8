//! The four records of a schedule's kills, and that they agree: the audit log of the server, the journal (what was new in each
//! ledger that was saved), the Events, and the status, which is the ledger itself. An Event may be missing if nobody could tell
//! it, which is known here; everything else may not.

use std::collections::BTreeSet;

use chaos_core::api::{KillRecord, Outcome};
use chaos_core::killer::{KillOrder, Ledger};

use super::bugs::Bug;
use super::cluster::{Cluster, State};
use crate::faults::Fault;
use crate::seats::Stage as _;

/// How often an Event is tried to be told.
const TRIES: u32 = 4;

/// What is written of kills, besides the status.
#[derive(Debug, Default)]
pub(crate) struct Records {
    audit: Vec<Request>,
    journal: Vec<Line>,
    pub(crate) events: Vec<Told>,
    /// Kills whose Event nobody could tell.
    lost: Vec<String>,
}

/// A kill request that came to the server.
#[derive(Debug, Clone)]
struct Request {
    run: String,
    nonce: String,
    uid: String,
    was_carried_out: bool,
}

/// A line of the journal: a kill that was decided, or what came of it.
#[derive(Debug, Clone)]
struct Line {
    run: String,
    nonce: String,
    uid: String,
    outcome: Option<Outcome>,
}

/// What an Event, or another copy of a kill's outcome, tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) run: String,
    pub(crate) nonce: String,
    pub(crate) outcome: Outcome,
}

impl Records {
    /// A kill request came to the server.
    pub(super) fn arrived(&mut self, order: &KillOrder, run: &str, was_carried_out: bool) {
        let (nonce, uid) = (order.nonce.clone(), order.victim.uid.clone());
        self.audit.push(Request { run: run.to_owned(), nonce, uid, was_carried_out });
    }

    /// A ledger was saved: writes down what is new in it, and gives the kills whose outcome is.
    pub(crate) fn saved(&mut self, run: &str, ledger: &Ledger, bug: Option<Bug>) -> Vec<Told> {
        let lines = &mut self.journal;
        let mut add = |nonce: &String, uid: &String, outcome: Option<Outcome>| {
            let is_new = lines.iter().all(|line| line.nonce != *nonce || line.outcome.is_some() != outcome.is_some());
            if is_new {
                lines.push(Line { run: run.to_owned(), nonce: nonce.clone(), uid: uid.clone(), outcome });
            }
            is_new
        };
        if bug != Some(Bug::IntentsUnjournaled) {
            for intent in &ledger.intents {
                add(&intent.nonce, &intent.victim.uid, None);
            }
        }
        let news = ledger.history.iter().filter(|kill| add(&kill.nonce, &kill.victim.uid, Some(kill.outcome)));
        news.map(|kill| Told { run: run.to_owned(), nonce: kill.nonce.clone(), outcome: kill.outcome }).collect()
    }

    /// An Event is there: of several of one name the first.
    pub(crate) fn event(&mut self, told: Told) {
        if self.events.iter().all(|known| known.nonce != told.nonce) {
            self.events.push(told);
        }
    }

    /// What was carried out is what a ledger tells, and what it tells is what was carried out, and journaled before.
    pub(crate) fn check(&self, run: &str, ledger: &Ledger) {
        self.check_audit(run, ledger);
        self.check_journal(run, ledger);
        for told in self.events.iter().filter(|told| told.run == run) {
            let kill = kill_of(ledger, &told.nonce);
            let is_so = kill.is_some_and(|kill| kill.outcome == told.outcome);
            assert!(is_so, "an Event of kill {} tells {:?}, its ledger {kill:?}", told.nonce, told.outcome);
        }
    }

    fn check_audit(&self, run: &str, ledger: &Ledger) {
        let mut nonces = BTreeSet::new();
        for request in self.audit.iter().filter(|request| request.run == run) {
            let Request { nonce, uid, .. } = request;
            assert!(nonces.insert(nonce), "kill {nonce} of {uid} came to the server twice");
            let is_open = ledger.intents.iter().any(|intent| intent.nonce == *nonce);
            let kill = kill_of(ledger, nonce);
            assert!(is_open || kill.is_some(), "kill {nonce} of {uid} came to the server, and is not in its ledger");
            let Some(kill) = kill.filter(|_| request.was_carried_out) else { continue };
            let is_told = matches!(kill.outcome, Outcome::Killed | Outcome::Unknown);
            assert!(is_told, "kill {nonce} of {uid} was carried out, and its ledger says {:?}", kill.outcome);
        }
    }

    fn check_journal(&self, run: &str, ledger: &Ledger) {
        for line in self.journal.iter().filter(|line| line.run == run) {
            let Line { nonce, uid, outcome, .. } = line;
            let is_open = ledger.intents.iter().any(|intent| intent.nonce == *nonce);
            let kill = kill_of(ledger, nonce);
            match (outcome, kill) {
                (None, None) => assert!(is_open, "kill {nonce} of {uid} was journaled, and its outcome is not known"),
                (None, Some(_)) => {}
                (Some(_), kill) => {
                    let known = kill.map(|kill| kill.outcome);
                    assert_eq!(known, *outcome, "outcome of kill {nonce} of {uid} in its ledger, and journaled");
                }
            }
        }
        for KillRecord { nonce, victim, outcome, .. } in &ledger.history {
            let is_journaled = |of_outcome: bool| {
                let is_it = |line: &Line| line.nonce == *nonce && line.uid == victim.uid && line.run == run;
                self.journal.iter().any(|line| is_it(line) && line.outcome.is_some() == of_outcome)
            };
            // What a dry run would have killed is decided on, and over.
            let is_decided = is_journaled(false) || *outcome == Outcome::WouldKill;
            assert!(is_decided, "no journal tells that kill {nonce} of {} was decided", victim.uid);
            assert!(is_journaled(true), "no journal tells what came of kill {nonce} of {}", victim.uid);
        }
    }

    /// Every kill that a ledger tells of was told as an Event, if anybody could.
    pub(super) fn check_events(&self, ledger: &Ledger) {
        for KillRecord { nonce, victim, .. } in &ledger.history {
            let is_told = self.events.iter().any(|told| told.nonce == *nonce) || self.lost.contains(nonce);
            assert!(is_told, "no Event tells what came of kill {nonce} of {}", victim.uid);
        }
    }
}

/// What a ledger tells of a kill.
pub(crate) fn kill_of<'l>(ledger: &'l Ledger, nonce: &str) -> Option<&'l KillRecord> {
    ledger.history.iter().find(|kill| kill.nonce == nonce)
}

/// Events that are about to be told by a process, which may crash before.
pub(super) struct Telling {
    cluster: Cluster,
    news: Vec<Told>,
}

impl Telling {
    pub(super) const fn new(cluster: Cluster, news: Vec<Told>) -> Self {
        Self { cluster, news }
    }

    /// Tells them now.
    pub(super) fn tell(mut self) {
        let news = std::mem::take(&mut self.news);
        let mut state = self.cluster.lock();
        news.into_iter().for_each(|told| state.tell(told));
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if self.news.is_empty() {
            return;
        }
        let news = self.news.drain(..).map(|told| told.nonce);
        if let Some(mut state) = self.cluster.lock_unless_broken() {
            state.records.lost.extend(news);
        }
    }
}

impl State {
    /// Tells an Event, as often as it may help.
    fn tell(&mut self, told: Told) {
        let faults = self.scenario.faults;
        for _ in 0..TRIES {
            match self.dice().fault(faults) {
                Fault::Never(answer) if !answer.error().is_passing() => break,
                Fault::Never(_) => {}
                Fault::None | Fault::Done(_) | Fault::Late(_) => {
                    self.records.event(told);
                    return;
                }
            }
        }
        self.records.lost.push(told.nonce);
    }
}

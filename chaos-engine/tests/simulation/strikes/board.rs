//! The cap on all monkeys of an operator: how they stand, as its process knows it. Each tells what it has saved, and asks before it
//! kills; what follows from that is said by the real tally. Whoever begins anew knows nothing, and lists all monkeys first.

use chaos_core::api::ChaosMonkeyStatus;
use chaos_core::killer::{Caps, Ledger, Tally};
use jiff::{SignedDuration, Timestamp};

use super::bugs::Bug;
use super::cluster::{Cluster, State};
use super::scenario::is_monkey;
use super::specs::MANIFEST;

/// How all monkeys stand.
#[derive(Debug, Default)]
pub(super) struct Board {
    tally: Tally,
    /// All were listed.
    is_complete: bool,
}

/// The place of a monkey at the board. Whoever leaves it, by a crash as well, takes all that was known along.
pub(super) struct Place(Cluster);

impl Place {
    /// A place, if there is a board.
    pub(super) fn at(cluster: &Cluster) -> Option<Self> {
        let is_capped = cluster.lock().cap().is_some();
        is_capped.then(|| Self(cluster.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut state) = self.0.lock_unless_broken() {
            state.board = Board::default();
        }
    }
}

impl State {
    /// Kills that all monkeys together may make a day, if somebody has said so.
    pub(super) fn cap(&self) -> Option<u32> {
        let standing = self.scenario.standing.filter(|standing| standing.is_capped)?;
        Some(if standing.are_rivals { 1 } else { self.scenario.size.standing.cap })
    }

    /// A monkey has saved that, by a clock that is so far ahead.
    pub(super) fn tell_board(&mut self, run: &str, ledger: &Ledger, ahead: SignedDuration) {
        if self.cap().is_none() || !is_monkey(run) {
            return;
        }
        let mut status = ChaosMonkeyStatus::default();
        ledger.write_to(&mut status);
        self.board.tally.tell(run, &MANIFEST, &status, self.now + ahead);
    }

    /// A monkey is taken up: if all of them are not known yet, they are listed.
    pub(super) fn list_board(&mut self, ahead: SignedDuration) {
        if self.cap().is_none() || std::mem::replace(&mut self.board.is_complete, true) {
            return;
        }
        let ledgers = self.statuses.iter().map(|(run, status)| (run.clone(), status.ledger.clone()));
        for (run, ledger) in ledgers.collect::<Vec<_>>() {
            self.tell_board(&run, &ledger, ahead);
        }
    }

    /// Why a monkey may kill nobody more, because of what was killed already. `is_told`: the kill in question was saved.
    pub(super) fn cap_objects(&self, run: &str, now: Timestamp, is_told: bool) -> Option<String> {
        let is_asked = is_monkey(run) && self.scenario.bug != Some(Bug::CapIgnored);
        let kills_per_day = Some(self.cap().filter(|_| is_asked)?);
        if !self.board.is_complete {
            return Some("not all monkeys are known yet".to_owned());
        }
        self.board.tally.objection(run, &MANIFEST, Caps { kills_per_day, at_once: None }, now, is_told)
    }
}

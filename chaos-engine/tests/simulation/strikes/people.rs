//! What people want of a standing monkey meanwhile: they suspend it and let it go on, cancel and postpone what it has planned, let
//! a dry run go live, and delete it. Its processes hear of that by a watch, or when they read its status or write it.

use std::collections::{BTreeMap, BTreeSet};

use chaos_core::killer::{KillOrder, Ledger};
use chaos_core::model::Mode;
use jiff::Timestamp;

use super::bugs::Bug;
use super::cluster::State;
use super::scenario::{MONKEY, SEND_WITHIN, Scenario};
use crate::desk::Left;
use crate::history::note;
use crate::seats::{Stage as _, millis};
use crate::watch::{Change, Watch};

/// A strike is postponed by between so many and so many milliseconds.
const POSTPONED: (i64, i64) = (500, 3_000);

/// What people want.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) mode: Mode,
    pub(super) suspended: bool,
    /// Ids of strikes that must not happen.
    pub(super) cancel: BTreeSet<String>,
    /// Ids of strikes that must not happen before an instant.
    pub(super) postpone: BTreeMap<String, Timestamp>,
    pub(super) deleted: bool,
}

/// What people want, and have wanted.
#[derive(Debug)]
pub(super) struct People {
    /// Each change, and what they want since. Its index is what the generation is to a real object.
    wishes: Vec<(Change, Wish)>,
    /// How often they have looked at the plan.
    looks: usize,
    /// By the nonce of a kill: the generation that was the newest when it was written down.
    written: BTreeMap<String, usize>,
    /// How many seats have left a monkey that is gone.
    pub(super) left: usize,
}

impl People {
    /// What they want at the start.
    pub(super) fn new(scenario: &Scenario) -> Self {
        let is_dry = scenario.standing.is_some_and(|standing| standing.is_dry);
        let wish = Wish {
            mode: if is_dry { Mode::DryRun } else { Mode::Live },
            suspended: false,
            cancel: BTreeSet::new(),
            postpone: BTreeMap::new(),
            deleted: false,
        };
        let change = Change { number: 0, at: scenario.begins() };
        Self { wishes: vec![(change, wish)], looks: 0, written: BTreeMap::new(), left: 0 }
    }

    /// The newest generation.
    pub(super) fn newest(&self) -> usize {
        self.wishes.len() - 1
    }
}

impl State {
    /// What people wanted in that generation.
    pub(super) fn wish(&self, generation: usize) -> &Wish {
        &self.people.wishes[generation].1
    }

    /// Whether that is the monkey, and was deleted.
    pub(super) fn is_gone(&self, run: &str) -> bool {
        run == MONKEY && self.wish(self.people.newest()).deleted
    }

    /// The newest generation that a watch has brought by now to whoever knows that one.
    pub(super) fn brought(&self, watch: &Watch, known: usize) -> usize {
        let newer = self.people.wishes.iter().enumerate().skip(known + 1);
        let mut brought = newer.filter(|(_, (change, _))| watch.brings(*change, self.written, self.now));
        brought.next_back().map_or(known, |(generation, _)| generation)
    }

    /// People want something else, if it is time.
    pub(super) fn want(&mut self) {
        let Some(standing) = self.scenario.standing else { return };
        let (scenario, times) = (&self.scenario, &self.scenario.size.standing);
        let is_past = |after: i64| self.now >= scenario.instant(after);
        let wish = self.wish(self.people.newest());
        let mode = if standing.is_dry && !is_past(times.goes_live) { Mode::DryRun } else { Mode::Live };
        let suspended = standing.is_suspended && is_past(times.suspended.0) && !is_past(times.suspended.1);
        let deleted = standing.is_deleted && is_past(times.deleted);
        let looks = standing.is_edited && times.looks.get(self.people.looks).is_some_and(|after| is_past(*after));
        let is_as_ever = (mode, suspended, deleted) == (wish.mode, wish.suspended, wish.deleted) && !looks;
        if wish.deleted || is_as_ever {
            return;
        }
        let mut wish = Wish { mode, suspended, deleted, ..wish.clone() };
        if looks {
            self.people.looks += 1;
            self.edit(&mut wish);
        }
        self.written += 1;
        let change = Change { number: self.written, at: self.now };
        note(self.now, || format!("people want {wish:?}"));
        self.people.wishes.push((change, wish));
    }

    /// People cancel or postpone the strike that comes next.
    fn edit(&mut self, wish: &mut Wish) {
        let next = self.statuses.get(MONKEY).and_then(|status| status.ledger.upcoming.first());
        let Some(id) = next.map(|planned| planned.id.clone()) else { return };
        if self.dice().below(2) == 0 {
            wish.cancel.insert(id);
            return;
        }
        // In whole milliseconds: an object keeps no more than microseconds.
        let until = self.now + self.between(POSTPONED.0, POSTPONED.1);
        wish.postpone.insert(id, Timestamp::from_millisecond(until.as_millisecond()).unwrap());
    }

    /// Whether that ledger may be saved by whoever knows so much of what people want, and how much that is afterwards. A kill is
    /// written down only by who knows all that they want by then; what has happened stays true, whatever they want.
    pub(super) fn agree(&mut self, run: &str, ledger: &Ledger, known: usize) -> Result<usize, Left> {
        if run != MONKEY {
            return Ok(known);
        }
        if self.is_gone(run) {
            return Err(Left::Gone);
        }
        let newest = self.people.newest();
        let is_careless = self.scenario.bug == Some(Bug::ChangeIgnored);
        let open = self.statuses.get(run).into_iter().flat_map(|status| &status.ledger.intents);
        let open: BTreeSet<&String> = open.map(|intent| &intent.nonce).collect();
        let decides = ledger.intents.iter().any(|intent| !open.contains(&intent.nonce));
        if decides && newest > known && !is_careless {
            return Err(Left::Changed);
        }
        for intent in &ledger.intents {
            self.people.written.entry(intent.nonce.clone()).or_insert(newest);
        }
        Ok(if is_careless { known } else { newest })
    }

    /// What must hold when a kill of a standing monkey leaves at that instant, by the clock of who sends it: what people wanted
    /// when it was written down allowed it, and that is not long ago.
    pub(super) fn check_wanted(&self, order: &KillOrder, at: Timestamp) {
        let (id, longest) = (&order.strike.id, millis(SEND_WITHIN + 500));
        if let Some(generation) = self.people.written.get(&order.nonce) {
            let wish = self.wish(*generation);
            assert_eq!(wish.mode, Mode::Live, "a dry run sent a kill");
            assert!(!wish.suspended, "a kill was written down while its monkey was suspended");
            assert!(!wish.cancel.contains(id), "{id} was cancelled, and a kill sent for it");
            let is_time = wish.postpone.get(id).is_none_or(|until| *until <= at);
            assert!(is_time, "a kill was sent for {id} at {at}, and it was postponed: {:?}", wish.postpone);
        }
        let (change, wish) = &self.people.wishes[self.people.newest()];
        let is_recent = self.now.duration_since(change.at) <= longest || self.scenario.jumps > 0;
        assert!(is_recent || !wish.suspended && !wish.deleted, "a kill was sent long after its monkey was suspended");
    }

    /// What must hold at the end: so many seats, which are all, have left a monkey that is gone.
    pub(super) fn check_left(&self, seats: usize) {
        let (left, has_to_be) = (self.people.left, self.is_gone(MONKEY) && self.is_settled());
        assert!(left == seats || !has_to_be, "{left} of {seats} have left a monkey that is gone");
    }
}

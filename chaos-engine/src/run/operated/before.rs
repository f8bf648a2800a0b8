//! Kills of a run that a process made which drove it before: their instants are told by that one's clock, on another machine
//! perhaps. How far it is from ours shows in a kill that it had told to the record itself.

use std::collections::BTreeSet;

use chaos_core::api::KillRecord;
use chaos_core::killer::Ledger;
use chaos_core::record::Event;

use super::super::told::late_by;
use crate::clock::RunClock;

/// The kills that others made, as they were found when the run was taken up.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// Nonces of kills, and of those of which it is not known yet whether they were made.
    nonces: BTreeSet<String>,
    /// How well their instants are known by the clock of the record if ours is taken for theirs, in nanoseconds.
    uncertainty: u64,
}

impl Before {
    /// What that ledger holds, where the record tells this and ours is that clock.
    pub(super) fn of(ledger: &Ledger, events: &[Event], clock: &RunClock) -> Self {
        let kills = ledger.history.iter().map(|kill| &kill.nonce);
        let nonces = kills.chain(ledger.intents.iter().map(|intent| &intent.nonce)).cloned().collect();
        // The latest that both tell: it was made by whoever drove the run last, as far as anybody knows.
        let apart = ledger.history.iter().rev().find_map(|kill| apart(kill, events, clock));
        Self { nonces, uncertainty: apart.unwrap_or_default() }
    }

    /// How badly the instant of this kill is known at least, in nanoseconds.
    pub(super) fn uncertainty_of(&self, kill: &KillRecord) -> u64 {
        if self.nonces.contains(&kill.nonce) { self.uncertainty } else { 0 }
    }
}

/// How far the instant of a kill is by our clock from the true one, at most, if the record tells that.
fn apart(kill: &KillRecord, events: &[Event], clock: &RunClock) -> Option<u64> {
    let ours = clock.from_timestamp(kill.at.0);
    events.iter().find_map(|event| match event {
        Event::Kill(told) if told.nonce == kill.nonce => {
            // What is not known of its sending says nothing of the clocks.
            let of_clock = told.uncertainty.saturating_sub(late_by(kill));
            Some(told.at.0.abs_diff(ours.0).saturating_add(of_clock))
        }
        _ => None,
    })
}

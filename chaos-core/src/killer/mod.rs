//! The strike machine: when the next kill is due, whether it may happen, whom it hits, and what became of it. The operator
//! runs it for every ChaosMonkey, the CLI for `fault.podKill`, the simulator for both. It is a pure function
//! ([`Machine`](crate::machine::Machine)): it asks for reads, writes and kills, and is told what came of them.
//!
//! The order of one kill, whatever happens in between:
//! 1. as long before the strike is due as that takes, and together with those that come right after it: ask the guards, read the
//!    budgets of their workloads, then the cluster (so that a kill that is no longer in a budget is already in the facts);
//! 2. when it is due: the guards, `eligible`, `victims` and `limits` decide on what was found;
//! 3. reserve: write the budget under the version that was read;
//! 4. save the intent (the driver saves a changed ledger before it acts);
//! 5. kill, with the pod's UID as precondition, sent once;
//! 6. save the outcome;
//! 7. release the reservation.
//!
//! A crash or a lost answer anywhere leaves an intent, a reservation, or both. An intent is resolved by looking the UID up and
//! never drawn again; what its strike was to kill besides is told, and left alone. A reservation of ours without an intent was never sent, or is about to be by another process that drives
//! the same ledger: it is dropped only after the ledger was saved once more, for of two such processes only one can save. That
//! rests on the saves alone, each of which names the version of the ledger that it follows: whoever has saved nothing yet has
//! fenced nobody off, and has killed nobody.
//!
//! ```text
//! step ── takes an answer in, and decides what comes next
//!   ├ plan ── which strikes come when
//!   │   ├ gaps, calendar ── the random gaps between them, and when chaos is allowed
//!   │   └ drawn ── what a plan depends on, as a digest
//!   ├ scope ── how much of the cluster a look reads
//!   ├ early ── looks that are over when their strike is due, and what they found until then
//!   ├ strike ── one strike from its look to the answer of its kill
//!   │   ├ guard ── whether what was heard lets it kill
//!   │   └ decide ── whom it hits, and whether it may
//!   ├ ahead ── a clock that is set ahead meanwhile
//!   └ settle ── what comes afterwards: outcome, release, recovery, answers that were lost
//! messages ── the contract with whoever drives it
//! spec, state, ledger ── what it is held to, what it remembers, and what of that survives a crash
//! reason ── names of why something did not happen
//! tally ── monkeys beside each other
//! ```

mod ahead;
pub mod calendar;
mod decide;
mod drawn;
mod early;
mod gaps;
mod groups;
mod guard;
mod ledger;
mod messages;
mod plan;
mod reason;
mod scope;
mod settle;
mod spec;
mod state;
mod step;
mod strike;
mod tally;
#[cfg(test)]
mod tests;

pub(crate) use gaps::draw as gap;
pub use groups::{GroupNames, MAX_GROUPS, NOT_PLANNED, explain_group};
pub use guard::{GuardReading, held};
pub use ledger::Ledger;
pub use messages::{
    Action, BudgetVersion, KillAnswer, KillAnswerKind, KillOrder, KillerView, Observation, Response, Sighting, Stored,
    VersionedBudget,
};
pub(crate) use plan::SINGLE as SINGLE_STREAM;
pub use reason::{EndReason, Refused, SkipReason};
pub use scope::{Scope, SelectedKind, WorkloadName};
pub use settle::{ANSWER_LOST, UNDATED, sent_within};
pub use spec::{KillerSpec, Life, RunIdentity, Streams, Victims};
pub use state::KillerState;
pub use tally::{Caps, Tally};

use std::time::Duration;

use jiff::Timestamp;

use crate::machine::{Machine, Step};

/// A reservation or an intent whose outcome nobody learned counts for this long: far beyond the time in which a server may
/// still carry out a request that it did not answer (it retries an eviction for about 10 s).
pub const IN_DOUBT: Duration = Duration::from_secs(90);

/// A decided kill that was not sent within this time is not sent any more: the facts it was decided on are too old. It has less
/// time where its killer, or what the schedule allows, ends before.
pub const SEND_WITHIN: Duration = Duration::from_secs(5);

/// The strike machine of one spec.
#[derive(Debug, Clone)]
pub struct Killer {
    spec: KillerSpec,
    digest: String,
}

impl Killer {
    /// The machine for this spec.
    pub fn new(spec: KillerSpec) -> Self {
        let digest = spec.plan_digest();
        Self { spec, digest }
    }

    /// What it is held to.
    pub const fn spec(&self) -> &KillerSpec {
        &self.spec
    }
}

impl Machine for Killer {
    type State = KillerState;
    type Durable = Ledger;
    type View = KillerView;
    type Action = Action;
    type Response = Response;

    fn resume(&self, ledger: Ledger) -> KillerState {
        KillerState::resume(ledger)
    }

    fn durable<'a>(&self, state: &'a KillerState) -> &'a Ledger {
        &state.ledger
    }

    fn step(
        &self,
        state: &KillerState,
        view: &KillerView,
        response: Option<Response>,
        now: Timestamp,
    ) -> Step<KillerState, Action> {
        step::step(self, state, view, response, now)
    }
}

/// Time from `since` to `now`; zero if `since` is later.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

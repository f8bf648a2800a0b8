//! What a killer remembers between two steps: the ledger, and where it is in the strike in hand (lost in a crash, on purpose).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Ledger;
use super::early::Ready;
use super::messages::BudgetVersion;
use super::reason::Refused;
use super::scope::Scope;
use crate::api::{PlannedStrike, UnfinishedStrike, VictimRef};
use crate::limits::{Reservation, WorkloadBudget};
use crate::population::{Population, WorkloadKey};

/// The state of a killer.
#[derive(Debug, Clone, PartialEq)]
pub struct KillerState {
    /// What survives a crash.
    pub ledger: Ledger,
    /// The action whose response is awaited, with all that is needed to go on from it.
    pub(super) phase: Phase,
    /// Facts by which the next strikes know whose budgets they need, and how much they cover, while one is near.
    pub(super) facts: Option<(Scope, Arc<Population>)>,
    /// What lets strikes happen that are not due yet.
    pub(super) ready: Vec<Ready>,
    /// Reservations to give back once no strike would be late for it.
    pub(super) to_release: Vec<Release>,
    /// When the look was asked for that is under way.
    pub(super) asked_at: Option<Timestamp>,
    /// How long looks for strikes take.
    pub(super) look_takes: Duration,
    /// How long surveys of all of the target take where strikes look at a part of it.
    pub(super) survey_takes: Duration,
    /// How long the last look took, whatever it was at.
    pub(super) last_look_took: Duration,
    /// The whole target was seen since this process took over.
    pub(super) seen: bool,
    /// Groups that have pods of the target, when it was last seen.
    pub(super) groups: BTreeSet<String>,
    /// When this process took over.
    pub(super) began_at: Option<Timestamp>,
    /// When all was last looked at that has to be seen strikes aside, with or without success.
    pub(super) looked_at: Option<Timestamp>,
    /// When the whole target was last seen.
    pub(super) surveyed_at: Option<Timestamp>,
    /// The last look that counts as one of the routine did not show what becomes of some kill.
    pub(super) leaves_out: bool,
    /// Since when some of it cannot be seen, and why.
    pub(super) blind: Option<(Timestamp, String)>,
    /// Due strikes that were put off, by number: when to try again.
    pub(super) retry: BTreeMap<u64, Timestamp>,
    /// Open intents by nonce: when to look the victim up again.
    pub(super) look_up: BTreeMap<String, Timestamp>,
    /// Open intents by nonce: when their kills were sent, if this process did.
    pub(super) sent: BTreeMap<String, Timestamp>,
    /// Reservations of ours without an intent that were seen before the last save made for fencing.
    pub(super) fenced: Vec<Reservation>,
    /// Reservations of others, and since when each is known.
    pub(super) sighted: Vec<(Reservation, Timestamp)>,
    /// When a guard last let no kill happen, and why.
    pub(super) unguarded: Option<(Timestamp, Refused)>,
    /// When this machine's clock was last set ahead.
    pub(super) set_at: Option<Timestamp>,
    /// By how much it was set ahead in all.
    pub(super) set_by: Duration,
}

/// What is awaited.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    /// Nothing.
    Idle,
    /// A look at the cluster, for the plan and for recoveries.
    Surveying(Scope),
    /// A look at the cluster, for a strike.
    Examining(Attempt, Scope),
    /// The reservation.
    Reserving(Box<Decision>),
    /// The answer to the kill of this intent, and the budget as it was written with its reservation.
    Sending { attempt: Attempt, nonce: String, reserved: (BudgetVersion, WorkloadBudget) },
    /// A look at the victim of this intent.
    LookingUp { nonce: String },
    /// The budget, to give a reservation back.
    Rereading(Release),
    /// The budget without the reservation.
    Releasing(Release),
}

/// A strike in hand.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempt {
    /// Which.
    pub strike: PlannedStrike,
    /// How often it was examined already, in this attempt.
    pub round: u8,
    /// Victims that it still has to kill besides the next; `None`: not decided yet.
    pub companions: Option<u32>,
    /// The group that all its victims are of; `None`: not decided yet.
    pub group: Option<String>,
    /// The UID of the workload that all its victims are of, where so many are a share of that.
    pub workload: Option<String>,
    /// When its guards held, if they were asked already.
    pub held_at: Option<Timestamp>,
}

/// A kill that is decided and not reserved yet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    pub attempt: Attempt,
    /// When, on facts that were fresh then.
    pub at: Timestamp,
    pub victim: VictimRef,
    pub workload: WorkloadKey,
    /// The budget with the reservation in it.
    pub budget: WorkloadBudget,
    /// Name of the victim's group.
    pub group: String,
    /// Pods of the workload that serve, the victim included.
    pub serving: u32,
}

/// A reservation to give back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Release {
    pub workload: WorkloadKey,
    pub strike: u64,
    pub victim_uid: String,
    /// When it was made: a process that comes after may have made another since.
    pub reserved_at: Timestamp,
    /// When the victim was killed, if it was.
    pub killed_at: Option<Timestamp>,
    /// The budget as it was last known.
    pub known: Option<(BudgetVersion, WorkloadBudget)>,
    pub tries: u8,
    /// The strike goes on with its next victim afterwards.
    pub then: Option<Attempt>,
}

impl Attempt {
    /// The first one of a strike.
    pub(super) const fn first(strike: PlannedStrike) -> Self {
        Self { strike, round: 0, companions: None, group: None, workload: None, held_at: None }
    }

    /// What is told where its next victim is not killed: nor are those that were to follow.
    pub(super) fn told(&self, why: String) -> String {
        match self.companions {
            Some(others) if others > 0 => format!("{why} ({others} more of its pods are left alone with it)"),
            _ => why,
        }
    }

    /// What is left of its strike once its next victim is killed.
    pub(super) fn unfinished(&self) -> Option<UnfinishedStrike> {
        let left = self.companions.filter(|left| *left > 0)?;
        Some(UnfinishedStrike { strike: self.strike.strike, group: self.strike.group.clone(), left })
    }
}

impl KillerState {
    pub(super) fn resume(ledger: Ledger) -> Self {
        Self {
            ledger,
            phase: Phase::Idle,
            facts: None,
            ready: Vec::new(),
            to_release: Vec::new(),
            asked_at: None,
            look_takes: Duration::ZERO,
            survey_takes: Duration::ZERO,
            last_look_took: Duration::ZERO,
            seen: false,
            groups: BTreeSet::new(),
            began_at: None,
            looked_at: None,
            surveyed_at: None,
            leaves_out: false,
            blind: None,
            retry: BTreeMap::new(),
            look_up: BTreeMap::new(),
            sent: BTreeMap::new(),
            fenced: Vec::new(),
            sighted: Vec::new(),
            unguarded: None,
            set_at: None,
            set_by: Duration::ZERO,
        }
    }
}

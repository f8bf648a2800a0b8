//! What the strike machine sees, asks for, and is told: the whole contract with whoever drives it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::guard::GuardReading;
use super::scope::Scope;
use crate::api::{PlannedStrike, VictimRef};
use crate::limits::WorkloadBudget;
use crate::model::{KillMode, MonkeyGuard};
use crate::population::{Population, WorkloadKey};

/// What is known at every step without asking the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KillerView {
    /// Nothing is planned or killed.
    pub suspended: bool,
    /// Why no kill may happen for now (a stop switch, a schema that is not ours…), in words.
    pub hold: Option<String>,
    /// Ids of strikes that must not happen.
    pub cancel: BTreeSet<String>,
    /// Ids of strikes that must not happen before an instant.
    pub postpone: BTreeMap<String, Timestamp>,
    /// When the newest heartbeat was first seen, by the clock of this machine as it shows now.
    pub beat: Option<Timestamp>,
    /// Finish the strike in hand, start no other, and be done.
    pub leave: bool,
    /// By how much this machine's clock was set ahead since the last step: what happened before is no older for that.
    pub ahead: Duration,
}

impl KillerView {
    /// Why a kill that is decided, and written down, must not be sent all the same.
    pub fn objection(&self, order: &KillOrder, now: Timestamp) -> Option<String> {
        let id = &order.strike.id;
        if self.suspended {
            return Some("suspended".to_owned());
        }
        if let Some(why) = &self.hold {
            return Some(why.clone());
        }
        if self.cancel.contains(id) {
            return Some(format!("{id} was cancelled"));
        }
        if let Some(until) = self.postpone.get(id).filter(|until| now < **until) {
            return Some(format!("{id} was postponed to {until}"));
        }
        self.leave.then(|| "this killer was told to leave".to_owned())
    }
}

/// What the machine asks for, one thing at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Read the population for the plan and for recoveries. No kill rests on it: killers may share it, and it may wait for its turn.
    /// Answered by [`Response::Observed`].
    Survey(Scope),
    /// Look for a strike, which waits for nobody: ask these guards, read these budgets, and *afterwards* the population. Answered by
    /// [`Response::Observed`].
    Observe {
        /// How much of the population is wanted.
        scope: Scope,
        /// Workloads whose budgets are wanted.
        budgets: Vec<WorkloadKey>,
        /// Guards whose sources are to be asked, all at once and each within its own timeout.
        guards: Vec<MonkeyGuard>,
    },
    /// Read one budget. Answered by [`Response::Budget`].
    ReadBudget(WorkloadKey),
    /// Write a budget if it is still at that version. Answered by [`Response::Stored`].
    WriteBudget {
        /// Whose.
        workload: WorkloadKey,
        /// The version it must still have.
        at: BudgetVersion,
        /// What it becomes.
        budget: WorkloadBudget,
    },
    /// Kill, once. Answered by [`Response::Kill`].
    Kill(KillOrder),
    /// Look a pod up by name and UID. Answered by [`Response::Found`].
    LookUp(VictimRef),
}

/// The version of a stored budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetVersion {
    /// There is none yet: it has to be created.
    Absent,
    /// It is there, in this version.
    At {
        /// Its resourceVersion.
        version: String,
        /// Its UID: a server makes a Lease anew if one that was deleted meanwhile is written without it.
        uid: String,
    },
}

/// A budget as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionedBudget {
    /// Its version.
    pub version: BudgetVersion,
    /// Its content.
    pub budget: WorkloadBudget,
}

/// One kill. It is sent at most once, and not after its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillOrder {
    /// The strike it belongs to.
    pub strike: PlannedStrike,
    /// Its identity.
    pub nonce: String,
    /// The pod; its UID is the precondition.
    pub victim: VictimRef,
    /// Evict or delete.
    pub mode: KillMode,
    /// Seconds of grace; absent: the pod's own.
    pub grace: Option<Duration>,
    /// Not sent after this instant.
    pub deadline: Timestamp,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// The cluster as it is, or why it cannot be seen.
    Observed(Result<Observation, String>),
    /// A budget, or why it cannot be read.
    Budget(Result<VersionedBudget, String>),
    /// What came of writing a budget.
    Stored(Stored),
    /// What came of a kill.
    Kill(KillAnswer),
    /// What a pod looked like.
    Found(Sighting),
}

/// The cluster, read freshly.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The budgets asked for, read before the population; an error where one cannot be read. A survey asks for none.
    pub budgets: Vec<(WorkloadKey, Result<VersionedBudget, String>)>,
    /// What was heard of each guard that was asked, in their order, or why nothing was; asked before anything was read, so that
    /// it is no older than the rest when that is there.
    pub readings: Vec<Result<GuardReading, String>>,
    /// The population, as far as it was asked for.
    pub population: Arc<Population>,
}

/// What came of writing a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// Written; its new version.
    Done(BudgetVersion),
    /// Somebody else has written it since.
    Conflict,
    /// It was refused, with the server's words.
    Refused(String),
    /// No answer: it may have been written.
    Unknown(String),
}

/// What came of a kill, and when it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillAnswer {
    /// When it was sent (or would have been).
    pub at: Timestamp,
    /// What came of it.
    pub kind: KillAnswerKind,
    /// The server's words.
    pub message: Option<String>,
}

/// What came of a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillAnswerKind {
    /// The server accepted it.
    Accepted,
    /// A disruption budget refused it.
    Blocked,
    /// That pod is not there any more.
    Gone,
    /// Refused for another reason: it certainly did not happen.
    Refused,
    /// It was not sent (its deadline had passed).
    NotSent,
    /// No answer: it may have happened, or may yet.
    Unknown,
}

/// What a pod looked like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// No pod of that UID.
    Gone,
    /// It is being deleted.
    Terminating,
    /// It is there and not being deleted.
    Alive,
    /// It could not be looked up.
    Unseen(String),
}

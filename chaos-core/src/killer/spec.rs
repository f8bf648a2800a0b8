//! What a killer is held to: one shape for a standing monkey, a run-owned monkey and a run's own kills.

use std::time::Duration;

use jiff::Timestamp;

use super::{Ledger, drawn};
use crate::limits::KillsDone;
use crate::model::{
    Distribution, Every, Experiment, Fault, Kill, Limits, Mode, Monkey, MonkeyGuard, PodKill, Policy, Schedule, Target,
    Tenure,
};
use crate::units::CountOrPercent;

/// What a killer is held to.
#[derive(Debug, Clone, PartialEq)]
pub struct KillerSpec {
    /// UID of the monkey or of the run: with the number of the strike the identity of every reservation.
    pub run: String,
    /// Which pods may be hit.
    pub target: Target,
    /// By whose rights.
    pub policy: Policy,
    /// How.
    pub kill: Kill,
    /// Whether it kills or only says what it would.
    pub mode: Mode,
    /// Gaps between strikes.
    pub every: Every,
    /// How strikes relate to groups.
    pub streams: Streams,
    /// Pods of one strike.
    pub victims: Victims,
    /// When it may act.
    pub schedule: Schedule,
    /// What must hold for a kill; a run is guarded itself, and its killer is not.
    pub guards: Vec<MonkeyGuard>,
    /// Upper bounds. `max_kills` is that of the day for a standing killer, that of the run for others.
    pub limits: Limits,
    /// How long it lives, and what becomes of a strike that cannot happen when it is due.
    pub life: Life,
    /// Makes victims and instants repeatable.
    pub seed: i64,
}

/// How strikes relate to groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// Each group has its own stream of strikes.
    PerGroup,
    /// One stream for all; its strikes go to the groups in turn.
    Single,
}

impl Streams {
    /// Those of a fault: the strikes of a monkey come group by group.
    pub const fn of(fault: &Fault) -> Self {
        match fault {
            Fault::PodKill(_) => Self::Single,
            Fault::Monkey(_) => Self::PerGroup,
        }
    }
}

/// How many pods one strike kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Victims {
    /// A count, or a share of the workload, rounded down.
    pub count: CountOrPercent,
    /// One where the share gives none.
    pub at_least_one: bool,
}

/// How long a killer lives, and what becomes of a strike that cannot happen when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// Until it is deleted. A strike that cannot happen is skipped with a reason; nothing is ever made up for.
    Standing,
    /// As long as its run. A strike that cannot happen is put off until it can; the next is due one gap after the actual kill.
    OfRun {
        /// No kill from then on.
        until: Timestamp,
        /// It is done after that many strikes.
        strikes: u32,
        /// Time between two signs of life of the run; absent: the run is this very process.
        heartbeat: Option<Duration>,
    },
}

/// What the CLI adds to an experiment to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunIdentity {
    /// Its id.
    pub run: String,
    /// By whose rights.
    pub policy: Policy,
    /// The seed in force.
    pub seed: i64,
    /// No kill from then on.
    pub until: Timestamp,
}

impl KillerSpec {
    /// The killer of a monkey, run by the operator.
    pub fn of_monkey(monkey: &Monkey, operator_namespace: &str) -> Self {
        let mut limits = monkey.limits;
        let life = match &monkey.tenure {
            Tenure::Standing => Life::Standing,
            Tenure::RunOwned { until, max_kills, heartbeat } => {
                limits.max_kills = limits.max_kills.min(*max_kills);
                Life::OfRun { until: *until, strikes: *max_kills, heartbeat: Some(heartbeat.interval.std()) }
            }
        };
        Self {
            run: monkey.uid.clone(),
            target: monkey.target.clone(),
            policy: Policy::operator(&monkey.namespace, operator_namespace),
            kill: monkey.kill.clone(),
            mode: monkey.mode,
            every: Every { mean: monkey.mean, min: monkey.min, distribution: Distribution::Exponential },
            streams: Streams::PerGroup,
            victims: Victims { count: CountOrPercent::Count(1), at_least_one: true },
            schedule: monkey.schedule.clone(),
            guards: monkey.guards.clone(),
            limits,
            life,
            seed: monkey.seed,
        }
    }

    /// The killer of a run that kills by itself.
    pub fn of_pod_kill(experiment: &Experiment, pod_kill: &PodKill, identity: RunIdentity) -> Self {
        Self {
            run: identity.run,
            target: experiment.target.clone(),
            policy: identity.policy,
            kill: pod_kill.kill.clone(),
            mode: Mode::Live,
            every: pod_kill.every,
            streams: Streams::Single,
            victims: Victims { count: pod_kill.victims, at_least_one: pod_kill.at_least_one },
            schedule: Schedule::always(),
            guards: Vec::new(),
            limits: experiment.limits,
            life: Life::OfRun { until: identity.until, strikes: pod_kill.strikes.target, heartbeat: None },
            seed: identity.seed,
        }
    }

    /// Digest of what the instants of the plan depend on. Another one means that a stored plan is not this spec's.
    pub fn plan_digest(&self) -> String {
        drawn::digest(self)
    }

    /// Whether a strike that cannot happen is put off instead of skipped.
    pub(super) const fn puts_off(&self) -> bool {
        matches!(self.life, Life::OfRun { .. })
    }

    /// No kill from this instant on, if there is one.
    pub(super) const fn until(&self) -> Option<Timestamp> {
        match self.life {
            Life::Standing => None,
            Life::OfRun { until, .. } => Some(until),
        }
    }

    /// What `limits.maxKills` is compared with, as far as this ledger knows it: that of a monkey that was made anew knows nothing of
    /// the one before. What may yet turn out to be a kill counts.
    pub(super) fn kills_done(&self, ledger: &Ledger, now: Timestamp) -> KillsDone {
        let count = |kills: u64| u32::try_from(kills + ledger.intents.len() as u64).unwrap_or(u32::MAX);
        match self.life {
            Life::Standing => KillsDone::OfDay(count(ledger.all_kills_on(now))),
            Life::OfRun { .. } => KillsDone::OfRun(count(ledger.kills)),
        }
    }
}

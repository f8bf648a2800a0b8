//! Whether one kill may happen now: the blast radius, asked again before every kill on fresh facts. Who may be killed at all
//! is said by `eligible`; who is chosen by `victims`. Nothing here widens what those two allow.

mod budget;
#[cfg(test)]
mod clusters;
#[cfg(test)]
pub(crate) mod fixture;
mod refusal;
mod rules;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use budget::{LastKill, Reservation, ReserveError, WorkloadBudget};
pub use refusal::{Refusal, RefusalReason};
pub use rules::lets_kill;

use crate::check::{Check, Finding};
use crate::model::{KillMode, Limits, Policy};
use crate::population::{PodFacts, Population, WorkloadFacts};
use crate::units::Duration;

/// No kill is decided on facts older than this, however large `limits.maxBlind` is.
pub const FRESH: Duration = Duration::from_secs(5);

/// The kill that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct KillRequest<'a> {
    /// The bounds of the spec.
    pub limits: &'a Limits,
    /// By whose rights.
    pub policy: &'a Policy,
    /// Evict or delete.
    pub mode: KillMode,
    /// UID of the run or of the monkey.
    pub run: &'a str,
    /// Number of the strike: with `run` the identity of a reservation. The victim's own reservation does not stand in its way.
    pub strike: u64,
    /// What `limits.maxKills` counts.
    pub done: KillsDone,
    /// The pod.
    pub victim: &'a PodFacts,
    /// Further pods of the same workload that the same strike is going to kill and that hold no reservation yet: a strike
    /// that does not fit as a whole is refused, not clamped.
    pub companions: u32,
}

impl KillRequest<'_> {
    /// Whether that is the victim's own reservation: it stands for this very kill.
    fn is_held_by(&self, held: &Reservation) -> bool {
        held.run == self.run && held.strike == self.strike && held.victim_uid == self.victim.uid
    }
}

/// What `limits.maxKills` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillsDone {
    /// Kills of this run so far.
    OfRun(u32),
    /// Kills of this standing monkey so far today (UTC), as its own status has them: one that was made anew begins at none. The
    /// workload's own count of the day, kept in its budget, counts too, with what is reserved there: nothing resets that.
    OfDay(u32),
}

/// Whether the kill may happen now. The first rule that stands in the way is the answer.
pub fn admit(
    request: &KillRequest<'_>,
    population: &Population,
    budget: &WorkloadBudget,
    now: Timestamp,
) -> Result<(), Refusal> {
    let view = View::new(request, population, budget, now);
    RULES.iter().try_for_each(|(_, rule)| match rule(&view) {
        Finding::Pass(_) => Ok(()),
        Finding::Fail(reason, message) => Err(Refusal { reason, message }),
    })
}

/// Says what every rule finds, those that pass included.
pub fn explain(
    request: &KillRequest<'_>,
    population: &Population,
    budget: &WorkloadBudget,
    now: Timestamp,
) -> Vec<Check<RefusalReason>> {
    let view = View::new(request, population, budget, now);
    RULES.iter().map(|(name, rule)| Check { name, finding: rule(&view) }).collect()
}

type Rule = fn(&View<'_>) -> Finding<RefusalReason>;

const RULES: &[(&str, Rule)] = &[
    ("fresh facts", rules::fresh),
    ("stop switch", rules::switch),
    ("workload", rules::workload),
    ("maxKills", rules::max_kills),
    ("minInterval", rules::min_interval),
    ("rollout", rules::rollout),
    ("maxUnavailable", rules::max_unavailable),
    ("minReady", rules::min_ready),
    ("disruption budget", rules::disruption_budget),
];

/// The question, the facts, and what several rules need of them.
struct View<'a> {
    request: &'a KillRequest<'a>,
    population: &'a Population,
    budget: &'a WorkloadBudget,
    now: Timestamp,
    /// The victim's top controller, if it is known.
    workload: Option<&'a WorkloadFacts>,
    /// Its pods that serve and that nobody (else) has reserved, the victim included.
    free: usize,
    /// How many of `free` this strike takes.
    taken: usize,
}

impl<'a> View<'a> {
    fn new(
        request: &'a KillRequest<'a>,
        population: &'a Population,
        budget: &'a WorkloadBudget,
        now: Timestamp,
    ) -> Self {
        let workload = request.victim.workload.as_ref().and_then(|key| population.workload(&key.uid));
        let reserved =
            |uid: &str| budget.reservations.iter().any(|held| held.victim_uid == uid && !request.is_held_by(held));
        let of_workload = |pod: &&PodFacts| pod.workload.as_ref().map(|key| &key.uid) == workload.map(|w| &w.key.uid);
        let serving = population.pods.iter().filter(of_workload).filter(|pod| population.serves(pod));
        let free = serving.filter(|pod| !reserved(&pod.uid)).count();
        let victim = usize::from(population.serves(request.victim) && !reserved(&request.victim.uid));
        Self { request, population, budget, now, workload, free, taken: victim + request.companions as usize }
    }
}

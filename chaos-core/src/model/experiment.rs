//! An Experiment as it is meant. Its phases run in `run`, its claims are judged in `verdict`.

use super::{Arrival, Distribution, GroupBy, HttpProbe, Kill, Limits, NamespaceScope, Phases, Probe, Strikes, Target};
use crate::units::{CountOrPercent, Duration, Percent};

/// A hypothesis about what the platform promises while parts of it die.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Experiment {
    /// Name of the object.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// One sentence that a run proves or refutes.
    pub hypothesis: String,
    /// Which pods may be hit.
    pub target: Target,
    /// What is done to them.
    pub fault: Fault,
    /// How long each phase lasts.
    pub phases: Phases,
    /// How the promise is measured; names are unique.
    pub probes: Vec<Probe>,
    /// Upper bounds.
    pub limits: Limits,
    /// What stops the run early.
    pub guards: Vec<Guard>,
    /// The seed in force; absent: to be drawn.
    pub seed: Option<i64>,
}

/// What an experiment does to its target.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The run itself kills pods.
    PodKill(PodKill),
    /// The run makes its own ChaosMonkey: the operator kills, the run judges.
    Monkey(MonkeyPlan),
}

/// Kills of an experiment that kills by itself.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PodKill {
    /// How.
    pub kill: Kill,
    /// Victims of one strike.
    pub victims: CountOrPercent,
    /// One victim where the percentage gives none.
    pub at_least_one: bool,
    /// Planned and least strikes.
    pub strikes: Strikes,
    /// Time between two strikes.
    pub every: Every,
}

/// Kills that a run-owned ChaosMonkey does for the run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MonkeyPlan {
    /// The target as written: the run's own ChaosMonkey carries it.
    pub target: Box<crate::api::Target>,
    /// How.
    pub kill: Kill,
    /// Planned and least strikes.
    pub strikes: Strikes,
    /// Time between two kills of a group.
    pub every: Every,
}

/// Time between two strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Every {
    /// The mean gap.
    pub mean: Duration,
    /// The least gap; below the mean.
    pub min: Duration,
    /// How gaps are drawn.
    pub distribution: Distribution,
}

/// A promise about the requests of an http probe.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Slo {
    /// What is promised: one claim for availability, one for latency; never empty.
    pub claims: Vec<ClaimSpec>,
    /// Confidence of what is certified, strictly between 0 and 100 %.
    pub confidence: Percent,
    /// What a pass must prove.
    pub evidence: Evidence,
    /// Requests of the service in 30 days, if the share of that budget is to be told.
    pub requests_per_30d: Option<u64>,
    /// What a killed pod costs by design, if that is declared.
    pub declared: Option<DeclaredOutage>,
}

/// What a killed pod costs by design, by declaration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeclaredOutage {
    /// How long a dead pod goes on getting its share of the requests; above zero.
    pub detection: Duration,
    /// The share of those requests that retries rescue.
    pub rescued: Percent,
}

/// One promised share of requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClaimSpec {
    /// Answered well.
    Availability {
        /// Promised share, strictly between 0 and 100 %.
        share: Percent,
    },
    /// Answered well and within a bound.
    Latency {
        /// The bound.
        under: Duration,
        /// Promised share, strictly between 0 and 100 %.
        share: Percent,
    },
}

/// What a pass must prove.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// Nothing is certified.
    Observed,
    /// At least `share` of such kills cost at most `max_loss` requests.
    HarmlessKills {
        /// The share, strictly between 0 and 100 %.
        share: Percent,
        /// Bad requests that a harmless kill may cost.
        max_loss: u64,
    },
    /// The promise itself, under a declared worst loss of one kill.
    Availability {
        /// No kill costs more requests than this.
        worst_loss_per_kill: u64,
        /// Where that number comes from.
        source: String,
    },
}

/// What stops a run early.
#[derive(Debug, Clone, PartialEq)]
pub enum Guard {
    /// The error budget of a probe burns too fast.
    BurnRate(BurnRate),
    /// An alert fires.
    Alert(AlertGuard),
}

/// A guard: any firing alert that is selected.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AlertGuard {
    /// Who is asked.
    pub source: super::PrometheusSource,
    /// The matchers as written; they parse.
    pub matchers: Vec<String>,
    /// A source that takes longer did not answer.
    pub timeout: Duration,
}

/// A guard: the error budget of a probe burns too fast on both windows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BurnRate {
    /// Name of an http probe of this experiment.
    pub probe: String,
    /// How many times faster than allowed; at least 1.
    pub factor: f64,
    /// The long window.
    pub long: Duration,
    /// The short window, below the long one.
    pub short: Duration,
}

impl Fault {
    /// How pods are killed.
    pub const fn kill(&self) -> &Kill {
        match self {
            Self::PodKill(kill) => &kill.kill,
            Self::Monkey(monkey) => &monkey.kill,
        }
    }

    /// Planned and least strikes.
    pub const fn strikes(&self) -> Strikes {
        match self {
            Self::PodKill(kill) => kill.strikes,
            Self::Monkey(monkey) => monkey.strikes,
        }
    }

    /// Time between two strikes (of a group, for a monkey).
    pub const fn every(&self) -> Every {
        match self {
            Self::PodKill(kill) => kill.every,
            Self::Monkey(monkey) => monkey.every,
        }
    }

    /// What makes two pods belong to one group.
    pub const fn group(&self) -> &GroupBy {
        &self.kill().group
    }
}

impl ClaimSpec {
    /// The promised share of good requests.
    pub const fn share(self) -> Percent {
        match self {
            Self::Availability { share } | Self::Latency { share, .. } => share,
        }
    }
}

impl Experiment {
    /// The most streams of kills that run beside each other, as far as the manifest alone tells.
    pub fn streams(&self) -> Option<u64> {
        let namespaces = match &self.target.namespaces {
            NamespaceScope::Named(names) => Some(names.len() as u64),
            NamespaceScope::Labelled(_) => None,
        };
        let workloads = self.target.workloads.len() as u64;
        match (&self.fault, self.fault.group()) {
            (Fault::PodKill(_), _) => Some(1),
            (Fault::Monkey(_), GroupBy::Namespace) => namespaces,
            (Fault::Monkey(_), GroupBy::Workload) if workloads > 0 => namespaces.map(|n| n * workloads),
            (Fault::Monkey(_), _) => None,
        }
    }

    /// Kills of one strike, as far as the manifest alone tells: a percentage of victims counts as one.
    pub fn kills_per_strike(&self) -> u64 {
        match &self.fault {
            Fault::PodKill(PodKill { victims: CountOrPercent::Count(count), .. }) => u64::from(*count).max(1),
            Fault::PodKill(_) | Fault::Monkey(_) => 1,
        }
    }

    /// Trials that are planned: all kills of a strike come before the replacement of the first is Ready, so they are one.
    pub fn planned_trials(&self) -> u64 {
        u64::from(self.fault.strikes().target)
    }

    /// `b = q·n/K` as planned: requests of the fault and recovery phases that may be bad, for each trial.
    pub fn budget_per_trial(&self, http: &HttpProbe, claim: ClaimSpec) -> f64 {
        let strikes = f64::from(self.fault.strikes().target.max(1));
        let streams = self.streams().unwrap_or(1).max(1) as f64;
        let fault = self.fault.every().mean.std().mul_f64(strikes / streams);
        let baseline = self.phases.baseline.std();
        let until = baseline.saturating_add(fault).saturating_add(self.phases.recovery.std());
        let requests = http.load.samples_between(baseline.into(), until.into());
        claim.share().complement() * requests / strikes
    }

    /// Requests that can be due in the fault and recovery phases at most: both last as long as they may, and between them the last
    /// kill takes as long as it may to recover, all at the highest rate.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; `as` saturates")]
    pub fn most_requests(&self, http: &HttpProbe) -> u64 {
        let spans = [self.phases.fault, self.limits.recover_within, self.phases.recovery];
        let seconds: f64 = spans.iter().map(|span| span.as_secs_f64()).sum();
        // The first one of a span is due at its beginning.
        let most = http.load.peak_rate() * seconds + 1.0;
        let by_chance = match http.load.arrival {
            Arrival::Constant => 0.0,
            // More than so many standard deviations come once in a billion runs.
            Arrival::Poisson => 6.0 * most.sqrt(),
        };
        (most + by_chance) as u64
    }

    /// The probe of that name.
    pub fn probe(&self, name: &str) -> Option<&Probe> {
        self.probes.iter().find(|probe| probe.name == name)
    }
}

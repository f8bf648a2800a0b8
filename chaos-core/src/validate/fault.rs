//! `spec.fault` and `spec.limits`: how pods are killed and how much of it at most, and that the two agree.

use super::names;
use super::path::Path;
use super::problem::Problems;
use crate::api;
use crate::model::{Every, Fault, GroupBy, Kill, Limits, MonkeyPlan, PodKill, Strikes};
use crate::units::{CountOrPercent, Duration};

/// The longest grace period, and the longest of any pause: a typo in a unit must not keep a run for days.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The fault; `None` where it is not said which.
pub(super) fn fault(raw: &api::ExperimentSpec, at: &Path, problems: &mut Problems) -> Option<Fault> {
    let (target, limits, raw) = (&raw.target, &raw.limits, &raw.fault);
    match (&raw.pod_kill, &raw.monkey) {
        (Some(raw), None) => Some(Fault::PodKill(pod_kill(raw, limits, &at.field("podKill"), problems))),
        (None, Some(raw)) => Some(Fault::Monkey(monkey(raw, target, limits, &at.field("monkey"), problems))),
        (None, None) => {
            problems.add_at_key(at, "no fault is given").hint("give one of podKill, monkey");
            None
        }
        (Some(_), Some(_)) => {
            problems.add_at_key(at, "podKill and monkey are both given").hint("keep one of them");
            None
        }
    }
}

fn pod_kill(raw: &api::PodKill, limits: &Limits, at: &Path, problems: &mut Problems) -> PodKill {
    let kill = Kill {
        mode: raw.mode,
        grace: grace(raw.grace_period, limits, &at.field("gracePeriod"), problems),
        group: group(&raw.group, &at.field("group"), problems),
    };
    match raw.victims {
        CountOrPercent::Count(0) => {
            problems.add(&at.field("victims"), "a strike without a victim proves nothing");
        }
        CountOrPercent::Percent(share) if share.ratio() <= 0.0 && !raw.at_least_one => {
            problems.add(&at.field("victims"), "a strike without a victim proves nothing");
        }
        CountOrPercent::Count(_) if raw.at_least_one => {
            problems
                .add_at_key(
                    &at.field("atLeastOne"),
                    "it says what happens where a percentage gives none; victims is a count",
                )
                .hint("leave it out");
        }
        _ => {}
    }
    if let (CountOrPercent::Count(victims), CountOrPercent::Count(max)) = (raw.victims, limits.max_unavailable)
        && victims > max
    {
        problems
            .add(&at.field("victims"), format!("{victims} victims of one strike, and limits.maxUnavailable is {max}"));
    }
    let victims = match raw.victims {
        CountOrPercent::Count(count) => count,
        CountOrPercent::Percent(_) => 1,
    };
    strikes(raw.strikes, victims, limits, &at.field("strikes"), problems);
    PodKill {
        kill,
        victims: raw.victims,
        at_least_one: raw.at_least_one,
        strikes: raw.strikes,
        every: {
            let (mean, min) = (raw.every.mean, raw.every.min);
            let at = at.field("every");
            let gaps = Every { mean, min, distribution: raw.every.distribution };
            every(gaps, limits, &at.field("mean"), &at.field("min"), problems)
        },
    }
}

fn monkey(
    raw: &api::MonkeyFault,
    target: &api::Target,
    limits: &Limits,
    at: &Path,
    problems: &mut Problems,
) -> MonkeyPlan {
    let kill = Kill {
        mode: raw.kill_mode,
        grace: grace(raw.grace_period, limits, &at.field("gracePeriod"), problems),
        group: group(&raw.group, &at.field("group"), problems),
    };
    strikes(raw.strikes, 1, limits, &at.field("strikes"), problems);
    let gaps = Every {
        mean: raw.mean_time_between_kills,
        min: raw.min_time_between_kills,
        distribution: api::Distribution::Exponential,
    };
    let (mean_at, min_at) = (at.field("meanTimeBetweenKills"), at.field("minTimeBetweenKills"));
    let every = every(gaps, limits, &mean_at, &min_at, problems);
    MonkeyPlan { target: Box::new(target.clone()), kill, strikes: raw.strikes, every }
}

/// How a standing monkey kills.
pub(super) fn standing(raw: &api::StandingFault, limits: &Limits, at: &Path, problems: &mut Problems) -> Kill {
    let at = at.field("podKill");
    let raw = &raw.pod_kill;
    Kill {
        mode: raw.mode,
        grace: grace(raw.grace_period, limits, &at.field("gracePeriod"), problems),
        group: group(&raw.group, &at.field("group"), problems),
    }
}

/// Gaps between kills: the mean above the least, and the least not below what the limits allow.
pub(super) fn every(every: Every, limits: &Limits, mean_at: &Path, min_at: &Path, problems: &mut Problems) -> Every {
    let random = every.distribution == api::Distribution::Exponential;
    if every.mean.is_zero() {
        problems.add(mean_at, "there must be some time between two kills");
    } else if random && every.min >= every.mean {
        problems
            .add(
                min_at,
                format!(
                    "the least gap {} is not below the mean {}: nothing would be left to chance",
                    every.min, every.mean
                ),
            )
            .hint(format!("lower it to {} or less, or use distribution: Fixed where there is one", half(every.mean)));
    } else if !random && every.min > every.mean {
        problems.add(min_at, format!("the least gap {} is above the fixed gap {}", every.min, every.mean));
    }
    let least = if random { every.min } else { every.mean };
    if least < limits.min_interval {
        problems
            .add(
                if random { min_at } else { mean_at },
                format!(
                    "kills may come after {least}, and limits.minInterval refuses them before {}",
                    limits.min_interval
                ),
            )
            .hint(format!("raise it to {} or lower limits.minInterval", limits.min_interval));
    }
    if every.mean > Duration::from_secs(90 * 24 * 3600) {
        problems.add(mean_at, format!("{} is longer than 90 days", every.mean));
    }
    every
}

/// Bounds that make sense by themselves.
pub(super) fn limits(raw: &Limits, at: &Path, problems: &mut Problems) {
    let zero = match raw.max_unavailable {
        CountOrPercent::Count(count) => count == 0,
        CountOrPercent::Percent(share) => share.ratio() <= 0.0,
    };
    if zero {
        problems
            .add(&at.field("maxUnavailable"), "with none unavailable, no pod can be killed")
            .hint("allow at least 1");
    }
    for (field, value) in [("recoverWithin", raw.recover_within), ("maxBlind", raw.max_blind)] {
        if value.is_zero() {
            problems.add(&at.field(field), "it must be above zero");
        } else if value > LONGEST {
            problems.add(&at.field(field), format!("{value} is longer than a day"));
        }
    }
}

fn strikes(raw: Strikes, victims: u32, limits: &Limits, at: &Path, problems: &mut Problems) {
    if raw.min > raw.target {
        problems.add(&at.field("min"), format!("at least {} strikes of {} planned ones", raw.min, raw.target));
    }
    let kills = raw.target.saturating_mul(victims);
    if kills > limits.max_kills {
        problems
            .add(&at.field("target"), format!("{kills} kills are planned, and limits.maxKills is {}", limits.max_kills))
            .hint(format!("raise limits.maxKills to {kills} or plan fewer"));
    }
}

fn grace(raw: Option<Duration>, limits: &Limits, at: &Path, problems: &mut Problems) -> Option<Duration> {
    let grace = raw?;
    if grace.is_zero() && !limits.allow_force {
        problems
            .add(at, "a grace period of zero kills without a chance to finish")
            .hint("set limits.allowForce: true if that is meant");
    }
    if grace.std().subsec_nanos() != 0 {
        problems.add(at, format!("{grace}: Kubernetes counts grace periods in whole seconds"));
    }
    if grace > LONGEST {
        problems.add(at, format!("{grace} is longer than a day"));
    }
    raw
}

fn group(raw: &GroupBy, at: &Path, problems: &mut Problems) -> GroupBy {
    if let GroupBy::Label(key) = raw {
        let known = ["Workload", "Namespace", "Zone", "Node"];
        if let Some(meant) = super::suggest::closest(key, known.into_iter()) {
            problems.add(at, format!("{key:?} would be a label key")).hint(format!("did you mean {meant}?"));
        } else {
            super::target::name(key, names::label_key, at, problems);
        }
    }
    raw.clone()
}

fn half(duration: Duration) -> Duration {
    Duration::from(duration.std() / 2)
}

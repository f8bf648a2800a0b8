//! The rules of `admit`, one function each.

use jiff::{SignedDuration, Timestamp};

use super::{FRESH, Finding, KillsDone, RefusalReason, View};
use crate::model::{Actor, KillMode};
use crate::population::SwitchState;
use crate::units::Duration;

/// So far the clocks of two machines may be from each other without anything being wrong with one.
const AHEAD: SignedDuration = SignedDuration::from_secs(5);

pub(super) fn fresh(view: &View<'_>) -> Finding<RefusalReason> {
    let bound = view.request.limits.max_blind.min(FRESH);
    let age = view.now.duration_since(view.population.taken_at);
    // Facts from the future would be fresh for ever: the clock that stamped them is not ours.
    if age.unsigned_abs() > bound.std() {
        return Finding::fail(
            RefusalReason::StaleView,
            format!("the cluster was read {} ms ago; {bound} is the most", age.as_millis()),
        );
    }
    Finding::pass(format!("read {} ms ago", age.as_millis()))
}

pub(super) fn switch(view: &View<'_>) -> Finding<RefusalReason> {
    match lets_kill(view.population.switch, view.request.policy.actor) {
        Ok(why) => Finding::pass(why),
        Err(why) => Finding::fail(RefusalReason::Stopped, why),
    }
}

/// Whether the stop switch lets whoever acts kill, and why.
///
/// # Errors
/// It does not.
pub const fn lets_kill(switch: SwitchState, actor: Actor) -> Result<&'static str, &'static str> {
    match (switch, actor) {
        (SwitchState::Running, _) => Ok("Running"),
        (SwitchState::Stopped, _) => Err("the stop switch of the cluster is on"),
        (SwitchState::Missing, Actor::Cli) => Ok("this cluster has none"),
        (SwitchState::Unreadable, Actor::Cli) => Ok("not readable with these credentials"),
        (SwitchState::Missing, Actor::Operator) => {
            Err("the stop switch of the cluster is missing, which counts as stopped")
        }
        (SwitchState::Unreadable, Actor::Operator) => {
            Err("the stop switch of the cluster cannot be read, which counts as stopped")
        }
    }
}

pub(super) fn workload(view: &View<'_>) -> Finding<RefusalReason> {
    match view.workload {
        Some(workload) => {
            Finding::pass(format!("{} {} wants {} pods", workload.key.kind, workload.key.name, workload.desired))
        }
        None => Finding::fail(RefusalReason::WorkloadUnknown, "the top controller of the pod is not known"),
    }
}

pub(super) fn max_kills(view: &View<'_>) -> Finding<RefusalReason> {
    let max = view.request.limits.max_kills;
    let (done, of) = match view.request.done {
        KillsDone::OfRun(done) => (done, "of this run"),
        KillsDone::OfDay(done) => (done.max(kills_of_day(view)), "of this day (UTC)"),
    };
    let wanted = done.saturating_add(1).saturating_add(view.request.companions);
    if wanted > max {
        return Finding::fail(RefusalReason::MaxKills, format!("{done} of {max} kills {of} are done"));
    }
    Finding::pass(format!("{done} of {max} kills {of} are done"))
}

/// Kills of the workload on this day by any chaos. What is reserved may be one already that is not counted yet.
fn kills_of_day(view: &View<'_>) -> u32 {
    let others = view.budget.reservations.iter().filter(|held| !view.request.is_held_by(held));
    view.budget.kills_on(view.now).saturating_add(u32::try_from(others.count()).unwrap_or(u32::MAX))
}

pub(super) fn min_interval(view: &View<'_>) -> Finding<RefusalReason> {
    let min = view.request.limits.min_interval;
    let Some(last) = view.budget.last_strike_before(view.request.run, view.request.strike) else {
        return Finding::pass("no kill of this workload yet");
    };
    let since = view.now.duration_since(last);
    if std::time::Duration::try_from(since).is_ok_and(|since| since >= min.std()) {
        return Finding::pass(format!("the last kill of this workload was {} ms ago", since.as_millis()));
    }
    Finding::fail(RefusalReason::MinInterval, too_soon(last, since, min))
}

/// A kill by a clock that was ahead of this one keeps the next waiting until this one has caught up.
fn too_soon(last: Timestamp, since: SignedDuration, min: Duration) -> String {
    if since > -AHEAD {
        return format!("the last kill of this workload was {} ms ago; {min} is the least", since.as_millis());
    }
    let ahead = since.unsigned_abs().as_secs();
    format!(
        "the last kill of this workload was at {last} by its budget, {ahead} s from now: a clock was wrong; hint: it waits until \
         then, unless the Lease of that budget is deleted"
    )
}

pub(super) fn rollout(view: &View<'_>) -> Finding<RefusalReason> {
    match view.workload.and_then(|workload| workload.rollout.as_ref()) {
        Some(why) => Finding::fail(RefusalReason::RolloutInProgress, format!("a rollout is under way: {why}")),
        None => Finding::pass("none under way"),
    }
}

pub(super) fn max_unavailable(view: &View<'_>) -> Finding<RefusalReason> {
    let desired = view.workload.map_or(0, |workload| workload.desired as usize);
    let limit = view.request.limits.max_unavailable;
    let max = limit.of(desired);
    let before = desired.saturating_sub(view.free);
    let after = desired.saturating_sub(view.free.saturating_sub(view.taken));
    if after > max {
        return Finding::fail(
            RefusalReason::MaxUnavailable,
            format!("{before} of {desired} pods are unavailable, {after} would be; {limit} allows {max}"),
        );
    }
    Finding::pass(format!("{after} of {desired} pods would be unavailable; {limit} allows {max}"))
}

pub(super) fn min_ready(view: &View<'_>) -> Finding<RefusalReason> {
    let min = view.request.limits.min_ready as usize;
    match view.free.checked_sub(view.taken) {
        Some(left) if left >= min => Finding::pass(format!("{left} pods would be left ready; {min} is the least")),
        left => Finding::fail(
            RefusalReason::MinReady,
            format!("{} pods would be left ready; {min} is the least", left.unwrap_or_default()),
        ),
    }
}

pub(super) fn disruption_budget(view: &View<'_>) -> Finding<RefusalReason> {
    if view.request.mode == KillMode::Delete {
        return Finding::pass("deletes do not ask");
    }
    let victim = &view.request.victim.uid;
    let covering: Vec<_> = view.population.budgets.iter().filter(|b| b.covers.contains(victim)).collect();
    // The eviction API itself refuses a pod that two budgets cover.
    if let [one, another, ..] = covering.as_slice() {
        return Finding::fail(
            RefusalReason::DisruptionBudget,
            format!("budgets {} and {} both cover it: it cannot be evicted", one.name, another.name),
        );
    }
    let wanted = i64::from(view.request.companions) + 1;
    match covering.first() {
        None => Finding::pass("no budget covers it"),
        Some(budget) if i64::from(budget.disruptions_allowed) < wanted => Finding::fail(
            RefusalReason::DisruptionBudget,
            format!("budget {} allows {} disruptions now", budget.name, budget.disruptions_allowed),
        ),
        Some(budget) => {
            Finding::pass(format!("budget {} allows {} disruptions now", budget.name, budget.disruptions_allowed))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_in_the_future_is_told_as_what_it_is() {
        let last = Timestamp::constant(1_795_435_200, 0);
        let said = |seconds: i64| too_soon(last, SignedDuration::from_secs(seconds), Duration::from_secs(8));
        assert_eq!(said(3), "the last kill of this workload was 3000 ms ago; 8s is the least");
        assert_eq!(said(-1), "the last kill of this workload was -1000 ms ago; 8s is the least");
        let wrong = said(-3_600);
        assert!(
            wrong.contains("2026-11-23T12:00:00Z by its budget, 3600 s from now") && wrong.contains("hint: "),
            "{wrong}"
        );
    }
}

//! The blast radius: every rule at its edge, and random histories that must never exceed it.

use jiff::SignedDuration;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::fixture::{NOW, cases, population};
use super::*;
use crate::population::{BudgetFacts, SwitchState};
use crate::units::CountOrPercent;

/// A request for the first pod of a healthy workload of five, and everything around it.
struct Case {
    limits: Limits,
    policy: Policy,
    mode: KillMode,
    done: KillsDone,
    companions: u32,
    population: Population,
    budget: WorkloadBudget,
}

fn limits() -> Limits {
    Limits {
        max_unavailable: CountOrPercent::Count(2),
        min_ready: 1,
        max_kills: 10,
        min_interval: Duration::from_secs(1),
        recover_within: Duration::from_secs(30),
        max_blind: Duration::from_secs(30),
        allow_force: false,
    }
}

fn ask(change: impl FnOnce(&mut Case)) -> Result<(), RefusalReason> {
    let mut case = Case {
        limits: limits(),
        policy: Policy::operator("dispatch", "chaos-system"),
        mode: KillMode::Evict,
        done: KillsDone::OfRun(0),
        companions: 0,
        population: population(5),
        budget: WorkloadBudget::default(),
    };
    change(&mut case);
    let request = KillRequest {
        limits: &case.limits,
        policy: &case.policy,
        mode: case.mode,
        run: "run",
        strike: 7,
        done: case.done,
        victim: &case.population.pods[0],
        companions: case.companions,
    };
    let answer = admit(&request, &case.population, &case.budget, NOW).map_err(|refusal| refusal.reason);
    let rows = explain(&request, &case.population, &case.budget, NOW);
    let failed = rows.iter().any(|row| matches!(row.finding, Finding::Fail(..)));
    assert_eq!(answer.is_err(), failed, "explain and admit disagree");
    answer
}

fn held(run: &str, strike: u64, pod: u32, seconds_ago: i64) -> Reservation {
    let since = NOW - SignedDuration::from_secs(seconds_ago);
    Reservation { run: run.into(), strike, victim_uid: format!("pod-{pod}"), since }
}

#[test]
fn a_healthy_workload_may_lose_a_pod() {
    assert_eq!(ask(|_| {}), Ok(()));
}

#[test]
fn unavailable_pods_of_every_cause_count() {
    let refused = Err(RefusalReason::MaxUnavailable);
    assert_eq!(ask(|c| c.limits.max_unavailable = CountOrPercent::Count(0)), refused);
    assert_eq!(ask(|c| c.population.pods[1].ready = false), Ok(()));
    assert_eq!(ask(|c| (1..3).for_each(|i| c.population.pods[i].ready = false)), refused);
    assert_eq!(ask(|c| (1..3).for_each(|i| c.population.pods[i].terminating = true)), refused);
    assert_eq!(ask(|c| c.population.pods.truncate(3)), refused);
    assert_eq!(ask(|c| c.population.workloads[0].desired = 7), refused);
    // pod-1 and pod-4 are Ready, and their node is not.
    assert_eq!(ask(|c| c.population.nodes.as_mut().unwrap()[1].ready = false), refused);
    // … or is gone.
    assert_eq!(ask(|c| c.population.nodes.as_mut().unwrap().retain(|node| node.name != "node-1")), refused);
    // Other chaos is about to kill two others; its reservations are old enough not to matter for the interval.
    assert_eq!(ask(|c| c.budget.reservations = vec![held("other", 1, 1, 60), held("third", 1, 2, 60)]), refused);
    // A reserved pod that is down already is not counted twice.
    assert_eq!(
        ask(|c| {
            c.budget.reservations = vec![held("other", 1, 1, 60)];
            c.population.pods[1].terminating = true;
        }),
        Ok(())
    );
    // 34 % of five is one.
    assert_eq!(ask(|c| c.limits.max_unavailable = "34%".parse().map(CountOrPercent::Percent).unwrap()), Ok(()));
    assert_eq!(ask(|c| c.limits.max_unavailable = "19%".parse().map(CountOrPercent::Percent).unwrap()), refused);
}

#[test]
fn the_last_ready_pod_stays_unless_said_otherwise() {
    let alone = |c: &mut Case| {
        c.population = population(1);
        c.limits.max_unavailable = CountOrPercent::Count(1);
    };
    assert_eq!(ask(alone), Err(RefusalReason::MinReady));
    assert_eq!(ask(|c| (alone(c), c.limits.min_ready = 0).1), Ok(()));
    assert_eq!(ask(|c| c.limits.min_ready = 4), Ok(()));
    assert_eq!(ask(|c| c.limits.min_ready = 5), Err(RefusalReason::MinReady));
}

#[test]
fn a_strike_that_does_not_fit_as_a_whole_is_refused() {
    assert_eq!(ask(|c| c.companions = 1), Ok(()));
    assert_eq!(ask(|c| c.companions = 2), Err(RefusalReason::MaxUnavailable));
    // Once the other victim of the same strike holds its reservation, it counts through that.
    let both = vec![held("run", 7, 0, 0), held("run", 7, 1, 0)];
    assert_eq!(ask(|c| c.budget.reservations = both.clone()), Ok(()));
    assert_eq!(
        ask(|c| {
            c.budget.reservations = both.clone();
            c.limits.max_unavailable = CountOrPercent::Count(1);
        }),
        Err(RefusalReason::MaxUnavailable)
    );
    assert_eq!(ask(|c| (c.companions, c.limits.max_kills) = (1, 1)), Err(RefusalReason::MaxKills));
}

#[test]
fn kills_of_a_workload_keep_their_distance_whoever_makes_them() {
    let killed = |run: &str, strike, millis_ago| {
        let mut budget = WorkloadBudget::default();
        budget.record(run, strike, NOW - SignedDuration::from_millis(millis_ago));
        budget
    };
    let refused = Err(RefusalReason::MinInterval);
    assert_eq!(ask(|c| c.budget = killed("other", 1, 999)), refused);
    assert_eq!(ask(|c| c.budget = killed("other", 1, 1000)), Ok(()));
    assert_eq!(ask(|c| c.budget = killed("run", 6, 999)), refused);
    assert_eq!(ask(|c| c.budget = killed("run", 7, 1)), Ok(()), "victims of one strike need no distance");
    assert_eq!(ask(|c| c.budget = killed("other", 1, -5000)), refused, "a kill in the future is recent");
    assert_eq!(ask(|c| c.budget.reservations = vec![held("other", 1, 1, 0)]), refused);
}

#[test]
fn counts_of_the_day_survive_a_new_monkey() {
    let mut budget = WorkloadBudget::default();
    for hours in [30, 5, 4, 3] {
        budget.record("old", hours, NOW - SignedDuration::from_hours(hours.cast_signed()));
    }
    assert_eq!(budget.kills_on(NOW), 3);
    assert_eq!(budget.kills_on(NOW + SignedDuration::from_hours(24)), 0);
    let with = |max| {
        let budget = budget.clone();
        ask(move |c| (c.budget, c.done, c.limits.max_kills) = (budget, KillsDone::OfDay(0), max))
    };
    assert_eq!(with(3), Err(RefusalReason::MaxKills));
    assert_eq!(with(4), Ok(()));
    // A kill of somebody else may have happened that is not counted before its reservation is given back.
    budget.reservations.push(held("other", 1, 1, 60));
    let with = |max| {
        let budget = budget.clone();
        ask(move |c| (c.budget, c.done, c.limits.max_kills) = (budget, KillsDone::OfDay(0), max))
    };
    assert_eq!(with(4), Err(RefusalReason::MaxKills));
    assert_eq!(with(5), Ok(()));
    assert_eq!(ask(|c| c.done = KillsDone::OfRun(10)), Err(RefusalReason::MaxKills));
    assert_eq!(ask(|c| c.done = KillsDone::OfRun(9)), Ok(()));
}

#[test]
fn what_a_dry_run_would_have_killed_counts_as_if_it_had() {
    let mut budget = WorkloadBudget::default();
    budget.record("other", 1, NOW - SignedDuration::from_hours(3));
    let real = budget.clone();
    for hours in [14_i64, 13, 2] {
        budget.pretend("dry", hours.cast_unsigned(), NOW - SignedDuration::from_hours(hours), NOW);
    }
    // NOW is noon: two of them are of the day before.
    assert_eq!((budget.kills_on(NOW), real.kills_on(NOW)), (2, 1));
    assert_eq!(budget.last_strike_before("dry", 99), Some(NOW - SignedDuration::from_hours(2)));
    let mut before = WorkloadBudget::default();
    before.pretend("dry", 1, NOW - SignedDuration::from_hours(13), NOW);
    assert_eq!((before.kills_on(NOW), before.last_kill.unwrap().strike), (0, 1), "its interval counts all the same");
}

#[test]
fn a_clock_that_is_behind_does_not_reset_the_day() {
    let mut budget = WorkloadBudget::default();
    budget.record("a", 1, NOW);
    budget.record("a", 2, NOW - SignedDuration::from_hours(24));
    assert_eq!((budget.kills_on(NOW), budget.last_kill.unwrap().at), (2, NOW));
}

#[test]
fn nothing_is_killed_blindly_or_against_a_stop() {
    let stale = Err(RefusalReason::StaleView);
    assert_eq!(ask(|c| c.population.taken_at = NOW - SignedDuration::from_secs(5)), Ok(()));
    assert_eq!(ask(|c| c.population.taken_at = NOW - SignedDuration::from_millis(5001)), stale);
    assert_eq!(ask(|c| c.population.taken_at = NOW + SignedDuration::from_secs(60)), stale);
    let stopped = Err(RefusalReason::Stopped);
    for (switch, operator, cli) in [
        (SwitchState::Running, Ok(()), Ok(())),
        (SwitchState::Stopped, stopped, stopped),
        (SwitchState::Missing, stopped, Ok(())),
        (SwitchState::Unreadable, stopped, Ok(())),
    ] {
        assert_eq!(ask(|c| c.population.switch = switch), operator, "{switch:?}");
        assert_eq!(ask(|c| (c.population.switch, c.policy) = (switch, Policy::cli("dispatch"))), cli, "{switch:?}");
    }
}

#[test]
fn rollouts_and_disruption_budgets_are_respected() {
    assert_eq!(
        ask(|c| c.population.workloads[0].rollout = Some("new generation".into())),
        Err(RefusalReason::RolloutInProgress)
    );
    assert_eq!(ask(|c| c.population.workloads.clear()), Err(RefusalReason::WorkloadUnknown));
    let budget = |allowed| BudgetFacts {
        namespace: "dispatch".into(),
        name: "b".into(),
        covers: vec!["pod-0".into()],
        disruptions_allowed: allowed,
    };
    assert_eq!(ask(|c| c.population.budgets = vec![budget(1)]), Ok(()));
    assert_eq!(ask(|c| c.population.budgets = vec![budget(0)]), Err(RefusalReason::DisruptionBudget));
    assert_eq!(ask(|c| c.population.budgets = vec![budget(9), budget(9)]), Err(RefusalReason::DisruptionBudget));
    assert_eq!(
        ask(|c| (c.population.budgets, c.companions) = (vec![budget(1)], 1)),
        Err(RefusalReason::DisruptionBudget)
    );
    assert_eq!(ask(|c| (c.population.budgets, c.mode) = (vec![budget(0)], KillMode::Delete)), Ok(()));
}

#[test]
fn a_reservation_is_made_once_and_given_back_once() {
    let mut budget = WorkloadBudget::default();
    budget.reserve(held("a", 1, 0, 10)).unwrap();
    budget.reserve(held("a", 1, 0, 0)).unwrap();
    assert_eq!(budget.reservations, [held("a", 1, 0, 10)], "the first instant stays");
    assert_eq!(budget.reserve(held("b", 1, 0, 0)), Err(ReserveError::VictimTaken));
    budget.reserve(held("a", 1, 1, 0)).unwrap();
    assert!(!budget.release_victim("a", 1, "pod-1", NOW - SignedDuration::from_secs(1)), "a process before made that");
    assert!(budget.release_victim("a", 1, "pod-1", NOW) && !budget.release_victim("a", 1, "pod-1", NOW));
    assert!(budget.release("a", 1) && !budget.release("a", 1));
    assert_eq!(budget, WorkloadBudget::default());
    let text = serde_json::to_string(&WorkloadBudget::default()).unwrap();
    assert_eq!(serde_json::from_str::<WorkloadBudget>(&text).unwrap(), budget);
    assert_eq!(serde_json::from_str::<WorkloadBudget>("{}").unwrap(), budget);
}

/// Several killers share a workload whose pods come and go: whatever they do in whatever order, no admitted kill may leave
/// more unavailable or fewer ready than the limits of the one that was admitted say.
#[test]
fn random_killers_never_exceed_the_blast_radius() {
    for seed in 0..cases(3_000) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let size = rng.random_range(1..8);
        let mut world = population(size);
        let mut budget = WorkloadBudget::default();
        let policy = Policy::cli("dispatch");
        for step in 0..40_u64 {
            for pod in &mut world.pods {
                pod.ready = if pod.ready { rng.random_range(0..20) > 0 } else { rng.random_range(0..3) == 0 };
            }
            let limits = Limits {
                max_unavailable: CountOrPercent::Count(rng.random_range(0..4)),
                min_ready: rng.random_range(0..3),
                min_interval: Duration::default(),
                ..limits()
            };
            let victim = world.pods[rng.random_range(0..size as usize)].clone();
            let run = ["a", "b", "c"][rng.random_range(0..3)];
            let request = KillRequest {
                limits: &limits,
                policy: &policy,
                mode: KillMode::Evict,
                run,
                strike: step,
                done: KillsDone::OfRun(0),
                victim: &victim,
                companions: 0,
            };
            let admitted = admit(&request, &world, &budget, NOW).is_ok();
            let mine = Reservation { run: run.into(), strike: step, victim_uid: victim.uid.clone(), since: NOW };
            if admitted && budget.reserve(mine).is_ok() {
                let gone = |pod: &PodFacts| budget.reservations.iter().any(|held| held.victim_uid == pod.uid);
                let left = world.pods.iter().filter(|pod| world.serves(pod) && !gone(pod)).count();
                assert!(left >= limits.min_ready as usize, "seed {seed} step {step}: {left} left");
                assert!(size as usize - left <= limits.max_unavailable.of(size as usize), "seed {seed} step {step}");
            }
            // Now and then a kill is carried out: the pod is down, its reservation free.
            if rng.random_range(0..3) == 0
                && let Some(held) = budget.reservations.first().cloned()
            {
                if let Some(pod) = world.pods.iter_mut().find(|pod| pod.uid == held.victim_uid) {
                    pod.ready = false;
                }
                budget.record(&held.run, held.strike, NOW);
                budget.release(&held.run, held.strike);
            }
        }
    }
}

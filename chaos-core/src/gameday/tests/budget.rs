//! Error budgets and checks: what is spent or not known starts nothing, what is scarce shrinks, and all is said.

use serde_json::{Value, json};

use super::super::*;
use super::world::{Answer, Crash, World, at, machine};
use crate::api::StepPhase::{Failed, NotRun, Passed};

const START: &str = "2026-06-01T08:59:00Z";
const END: &str = "2026-06-01T09:50:00Z";

/// What metrics say at an instant.
type Metrics = fn(Timestamp) -> Result<Vec<f64>, String>;

/// The seed of a run that is shrunk: that is how it is told here.
const SHRUNK: i64 = 77;

fn guarded(spec: &mut Value) {
    spec["guards"] = json!([{"errorBudget":
        {"source": "platform", "query": "slo:left", "keep": "25%", "shrinkBelow": "50%"}}]);
    for step in spec["steps"].as_array_mut().unwrap() {
        step["experiment"]["shrunk"] = json!({"seed": SHRUNK});
    }
}

fn played(left: Metrics, change: impl FnOnce(&mut Value)) -> World {
    let mut world = World { left, ..World::new(START) };
    world.play(
        &machine(|spec| {
            guarded(spec);
            change(spec);
        }),
        END,
    );
    world
}

/// Before that instant the one answer, from then on the other.
fn is_early(now: Timestamp, minute: i64) -> bool {
    now < at("2026-06-01T09:00:00Z") + jiff::SignedDuration::from_secs(60 * minute)
}

#[test]
fn a_budget_that_is_there_changes_nothing() {
    let world = played(|_| Ok(vec![0.8]), |_| ());
    assert_eq!(world.outcomes(), [("pass", "Passed")]);
    assert_eq!((world.created.len(), world.shrunk.len()), (2, 0));
    let whole = played(|_| Ok(vec![1.0 + 1e-9]), |_| ());
    assert_eq!(whole.created.len(), 2, "sums of floating-point numbers may be a little more than the whole");
    let border = played(|_| Ok(vec![0.25]), |_| ());
    assert_eq!(border.created.len(), 2, "what is to be kept is there");
}

#[test]
fn a_budget_that_is_spent_starts_nothing_and_says_so() {
    for left in [|_: Timestamp| Ok(vec![0.249]), |_| Ok(vec![-3.0])] {
        let world = played(left, |_| ());
        assert_eq!((world.created.len(), world.skips()), (0, vec![("BudgetSpent", 1)]));
        let told = &world.saved.skipped[0].message;
        assert!(told.contains("of the error budget is left, by source platform; 25% has to be"), "{told}");
    }
}

#[test]
fn what_is_not_known_waits_until_the_deadline_and_starts_nothing() {
    let unknown: [Metrics; 5] = [
        |_| Err("timeout: no answer".into()),
        |_| Ok(vec![f64::NAN]),
        |_| Ok(vec![f64::INFINITY]),
        |_| Ok(vec![63.0]),
        |_| Ok(vec![]),
    ];
    for left in unknown {
        let world = played(left, |_| ());
        assert_eq!(world.created.len(), 0);
        let (reason, count) = world.skips()[0];
        assert!(["BudgetUnknown", "StartingDeadline"].contains(&reason) && count == 1, "{:?}", world.skips());
    }
    let late = played(|now| if is_early(now, 4) { Err("away".into()) } else { Ok(vec![0.9]) }, |_| ());
    assert_eq!(late.outcomes(), [("pass", "Passed")], "it comes back within the deadline of ten minutes");
}

#[test]
fn what_was_heard_counts_from_when_the_oldest_of_it_was() {
    let seconds = Duration::from_secs;
    let heard = at(START);
    let is_known = |age: u64, later: i64| {
        let reading = budget::Reading::heard(Ok(vec![0.9]), seconds(age), heard);
        let day = machine(guarded).day.unwrap();
        budget::allowed(&day, Some(&reading), heard + jiff::SignedDuration::from_secs(later))
    };
    assert_eq!(is_known(0, 9), budget::Allowed::Full);
    assert_eq!(is_known(4, 5), budget::Allowed::Full);
    assert_eq!(is_known(4, 6), budget::Allowed::Ask, "the oldest is ten seconds old");
    // Sources that never answer within ten seconds of each other: it is said, and not asked for again and again in vain.
    let budget::Allowed::Unknown(why) = is_known(40, 9) else { panic!("{:?}", is_known(40, 9)) };
    assert!(why.contains("40 s apart"), "{why}");
}

#[test]
fn a_scarce_budget_shrinks_experiments() {
    let world = played(|_| Ok(vec![0.3]), |_| ());
    assert_eq!(world.outcomes(), [("pass", "Passed")]);
    assert_eq!(world.shrunk, world.created);
    let told = world.saved.last.as_ref().unwrap().steps[0].guard.clone().unwrap();
    assert!(
        told.starts_with("30.0 % of the error budget is left") && told.ends_with("below 50% experiments are shrunk")
    );
}

#[test]
fn the_lowest_of_several_budgets_decides() {
    let two = |spec: &mut Value| {
        let second = json!({"errorBudget": {"source": "other", "query": "left", "keep": "10%"}});
        spec["guards"].as_array_mut().unwrap().push(second);
    };
    assert_eq!(played(|_| Ok(vec![0.9, 0.05]), two).skips(), [("BudgetSpent", 1)]);
    assert_eq!(played(|_| Ok(vec![0.9, 0.2]), two).shrunk.len(), 0);
    assert_eq!(played(|_| Ok(vec![0.4, 0.9]), two).shrunk.len(), 2);
    assert_eq!(played(|_| Ok(vec![0.9]), two).created.len(), 0, "an answer too few is no answer");
}

#[test]
fn the_budget_is_asked_again_before_each_experiment() {
    // The first run lasts a minute.
    let world = played(|now| Ok(vec![if is_early(now, 1) { 0.9 } else { 0.1 }]), |_| ());
    assert_eq!(world.outcomes(), [("aborted", "BudgetSpent")]);
    assert_eq!((world.phases(), world.created.len()), (vec![("first", Passed), ("second", Failed)], 1));
    let world = played(|now| if is_early(now, 1) { Ok(vec![0.9]) } else { Err("away".into()) }, |_| ());
    assert_eq!(world.outcomes(), [("aborted", "NotCreated")], "a step waits five minutes for what is not known");
    assert!(
        world.saved.history[0].message.contains("the error budget is not known: away"),
        "{:?}",
        world.saved.history
    );
    let stopped = played(
        |now| Ok(vec![if is_early(now, 1) { 0.9 } else { 0.1 }]),
        |spec| {
            spec["steps"].as_array_mut().unwrap().push(json!({"name": "third", "dependsOn": ["second"], "wait": "1m"}));
        },
    );
    assert_eq!(stopped.phases(), [("first", Passed), ("second", Failed), ("third", NotRun)]);
}

#[test]
fn an_order_is_held_to_it_too() {
    let order = |spec: &mut Value| {
        spec["schedule"] = json!("Manual");
        spec["control"] = json!({"start": {"gameDayUid": "u", "id": "now"}});
    };
    assert_eq!(played(|_| Ok(vec![0.1]), order).skips(), [("BudgetSpent", 1)]);
    assert_eq!(played(|_| Ok(vec![0.9]), order).outcomes(), [("pass", "Passed")]);
}

#[test]
fn a_crash_at_any_point_creates_nothing_twice_and_nothing_unasked() {
    let left = |now: Timestamp| Ok(vec![if is_early(now, 1) { 0.9 } else { 0.3 }]);
    let points = played(left, |_| ()).points;
    for point in 0..points {
        for answer in [Answer::Well, Answer::Lost] {
            let crashes = vec![Crash { at: point, jump: jiff::SignedDuration::from_secs(1) }];
            let of: fn(usize) -> Answer = match answer {
                Answer::Lost => |write| if write == 1 { Answer::Lost } else { Answer::Well },
                _ => |_| Answer::Well,
            };
            let mut world = World { left, crashes, answer: of, ..World::new(START) };
            world.play(&machine(guarded), END);
            assert_eq!(world.created.len(), 2, "crash at {point}, {answer:?}: {:?}", world.saved);
            assert_eq!(world.shrunk, world.created[1..], "crash at {point}, {answer:?}");
        }
    }
}

fn checked(value: Metrics) -> World {
    let mut world = World { left: value, ..World::new(START) };
    world.play(
        &machine(|spec| {
            spec["steps"][0] =
                json!({"name": "first", "check": {"source": "platform", "query": "up", "min": 1, "max": 2, "within": "5m"}});
        }),
        END,
    );
    world
}

#[test]
fn a_check_waits_for_its_value_and_proves_nothing_without_one() {
    let passed = checked(|now| Ok(vec![if is_early(now, 2) { 0.0 } else { 1.5 }]));
    assert_eq!((passed.outcomes(), passed.created.len()), (vec![("pass", "Passed")], 1));
    assert_eq!(passed.saved.last.as_ref().unwrap().steps[0].message.as_deref(), Some("1.5 is between 1 and 2"));
    let unmet = checked(|_| Ok(vec![2.5]));
    assert_eq!((unmet.outcomes(), unmet.created.len()), (vec![("fail", "CheckFailed")], 0));
    assert!(unmet.saved.history[0].message.contains("not within 5m: 2.5 is not between 1 and 2"));
    let unknown: [Metrics; 3] = [|_| Err("away".into()), |_| Ok(vec![f64::NAN]), |_| Ok(vec![])];
    for value in unknown {
        let world = checked(value);
        assert_eq!((world.outcomes(), world.created.len()), (vec![("inconclusive", "CheckUnknown")], 0));
    }
    // What is not known at the end counts, whatever was seen before.
    let lost = checked(|now| if is_early(now, 2) { Ok(vec![2.5]) } else { Err("away".into()) });
    assert_eq!(lost.outcomes(), [("inconclusive", "CheckUnknown")]);
}

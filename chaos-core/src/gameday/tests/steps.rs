//! Steps, their order, and what follows from one that does not pass.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::*;
use super::world::{Answer, Crash, World, at, machine};
use crate::api::StepPhase::{Failed, NotRun, Passed};

const START: &str = "2026-06-01T08:59:00Z";
const END: &str = "2026-06-01T09:50:00Z";

fn played(change: impl FnOnce(&mut Value), world: World) -> World {
    let mut world = World { ..world };
    world.play(&machine(change), END);
    world
}

#[test]
fn steps_wait_for_those_that_they_depend_on() {
    let diamond = |spec: &mut Value| {
        spec["steps"] = json!([
            {"name": "d", "dependsOn": ["b", "c"], "experiment": {"name": "d"}},
            {"name": "b", "dependsOn": ["a"], "experiment": {"name": "b"}},
            {"name": "c", "dependsOn": ["a"], "experiment": {"name": "c"}},
            {"name": "a", "experiment": {"name": "a"}},
        ]);
    };
    let world = played(diamond, World::new(START));
    let order: Vec<&str> = world.created.iter().map(|name| name.split('-').nth(1).unwrap()).collect();
    assert_eq!(order, ["a", "b", "c", "d"]);
    let began = |name: &str| world.runs.iter().find(|(run, _)| run.contains(name)).unwrap().1.began;
    assert_eq!(began("-b-"), began("-c-"), "side by side");
    assert!(began("-d-") >= world.runs.values().find(|run| run.began == began("-b-")).unwrap().ends);
    assert_eq!(world.outcomes(), [("pass", "Passed")]);
}

#[test]
fn a_failure_stops_or_not_and_never_passes() {
    let three = |spec: &mut Value| {
        spec["steps"].as_array_mut().unwrap().push(json!({"name": "third", "dependsOn": ["second"], "wait": "1m"}));
    };
    for (outcome, expected) in
        [("fail", "fail"), ("inconclusive", "inconclusive"), ("invalid", "invalid"), ("aborted", "aborted")]
    {
        let of = |outcome: &str| -> fn(&str) -> &'static str {
            match outcome {
                "fail" => |name| if name == "e1" { "fail" } else { "pass" },
                "inconclusive" => |name| if name == "e1" { "inconclusive" } else { "pass" },
                "invalid" => |name| if name == "e1" { "invalid" } else { "pass" },
                _ => |name| if name == "e1" { "aborted" } else { "pass" },
            }
        };
        let world = played(three, World { outcome: of(outcome), ..World::new(START) });
        assert_eq!(world.outcomes(), [(expected, "X")]);
        assert_eq!(world.phases(), [("first", Failed), ("second", NotRun), ("third", NotRun)]);
        let go_on = |spec: &mut Value| {
            three(spec);
            spec["onFailure"] = json!("Continue");
        };
        let world = played(go_on, World { outcome: of(outcome), ..World::new(START) });
        assert_eq!(world.outcomes(), [(expected, "X")]);
        assert_eq!(world.phases(), [("first", Failed), ("second", Passed), ("third", Passed)]);
    }
}

fn with_approval(spec: &mut Value) {
    spec["steps"][0] = json!({"name": "first", "approval": {"prompt": "Are the dashboards green?", "within": "30m"}});
    // A gate is a gate.
    spec["onFailure"] = json!("Continue");
}

#[test]
fn an_approval_counts_for_its_step_its_execution_and_its_game_day() {
    let approve =
        |uid: &str, execution: &str, step: &str| json!([{"gameDayUid": uid, "execution": execution, "step": step}]);
    for (uid, execution, step) in [
        ("other", "20260601t090000z", "first"),
        ("u", "20260601t080000z", "first"),
        ("u", "20260601t090000z", "second"),
    ] {
        let world = played(
            |spec| {
                with_approval(spec);
                spec["control"] = json!({"approve": approve(uid, execution, step)});
            },
            World::new(START),
        );
        assert_eq!(world.outcomes(), [("aborted", "NotApproved")], "{uid} {execution} {step}");
        assert_eq!((world.phases(), world.created.len()), (vec![("first", Failed), ("second", NotRun)], 0));
    }
    let mut world = World::new(START);
    world.play(&machine(with_approval), "2026-06-01T09:20:00Z");
    assert!(world.created.is_empty());
    let approved = machine(|spec| {
        with_approval(spec);
        spec["control"] = json!({"approve": approve("u", "20260601t090000z", "first")});
    });
    world.play(&approved, END);
    assert_eq!((world.outcomes(), world.created.len()), (vec![("pass", "Passed")], 1));
}

#[test]
fn a_wait_takes_its_time_also_when_the_clock_is_set_back() {
    let wait = |spec: &mut Value| spec["steps"][0] = json!({"name": "first", "wait": "20m"});
    let mut world = World::new(START);
    world.play(&machine(wait), "2026-06-01T09:19:59Z");
    assert!(world.created.is_empty());
    world.play(&machine(wait), "2026-06-01T09:20:03Z");
    assert_eq!(world.created.len(), 1);
    let mut world = World::new(START);
    world.play(&machine(wait), "2026-06-01T09:10:00Z");
    world.now = at("2026-06-01T05:00:00Z");
    world.play(&machine(wait), "2026-06-01T05:20:03Z");
    assert_eq!(world.created.len(), 1, "twenty minutes at the most");
}

#[test]
fn an_execution_is_ended_by_order_by_another_plan_and_by_a_spec_that_is_none() {
    let end = |change: fn(&mut Value), reason: &str| {
        let mut world = World { lasts: 1_200, ..World::new(START) };
        world.play(&machine(|_| ()), "2026-06-01T09:05:00Z");
        world.play(&machine(change), END);
        assert_eq!((world.outcomes(), world.created.len()), (vec![("aborted", reason)], 1));
        assert_eq!(world.phases(), [("first", Failed), ("second", NotRun)]);
        assert!(world.runs.values().all(|run| run.outcome == "aborted"));
    };
    end(|spec| spec["control"] = json!({"abort": ["20260601t090000z"]}), "Aborted");
    end(|spec| spec["onFailure"] = json!("Continue"), "SpecChanged");
    end(|spec| spec["mode"] = json!("DryRun"), "SpecChanged");
    let mut world = World { lasts: 1_200, ..World::new(START) };
    let valid = machine(|_| ());
    world.play(&valid, "2026-06-01T09:05:00Z");
    world.play(&GameDayMachine { day: None, ..valid }, END);
    assert_eq!(world.outcomes(), [("aborted", "SpecChanged")]);
}

#[test]
fn a_run_that_is_deleted_or_takes_too_long_ends_its_step() {
    let mut world = World { lasts: 1_200, ..World::new(START) };
    world.play(&machine(|_| ()), "2026-06-01T09:05:00Z");
    world.runs.clear();
    world.play(&machine(|_| ()), END);
    assert_eq!(world.outcomes(), [("aborted", "RunDeleted")]);
    // Another one of its name is not it.
    let mut world = World { lasts: 1_200, ..World::new(START) };
    world.play(&machine(|_| ()), "2026-06-01T09:05:00Z");
    world.runs.values_mut().for_each(|run| run.uid = "other".into());
    world.play(&machine(|_| ()), END);
    assert_eq!(world.outcomes(), [("aborted", "RunDeleted")]);
    let bound = |spec: &mut Value| spec["steps"][0]["experiment"]["within"] = json!("5m");
    let world = played(bound, World { lasts: 3_000, ..World::new(START) });
    assert_eq!(world.outcomes(), [("aborted", "X")]);
    assert_eq!(world.runs.values().next().unwrap().outcome, "aborted");
}

#[test]
fn a_run_that_cannot_be_created_is_told_and_never_left_behind() {
    let world = played(|_| (), World { answer: |_| Answer::No, ..World::new(START) });
    assert_eq!(world.outcomes(), [("invalid", "NotCreated")]);
    // No answer for longer than it may take: what may have been created is looked for, and ended.
    let lost = |write: usize| if write <= 200 { Answer::Lost } else { Answer::Well };
    let world = played(|_| (), World { answer: lost, lasts: 100_000, ..World::new(START) });
    assert_eq!(world.outcomes()[0].0, "aborted");
    assert!(world.runs.values().all(|run| run.ends <= world.now), "no run is left behind");
    // One that does not end although it was asked to is deleted.
    let deaf = |write: usize| if write == 1 { Answer::Well } else { Answer::Away };
    let mut world = World { answer: deaf, lasts: 100_000, ..World::new(START) };
    let bound = |spec: &mut Value| spec["steps"][0]["experiment"]["within"] = json!("5m");
    world.play(&machine(bound), "2026-06-01T09:21:00Z");
    world.answer = |_| Answer::Well;
    world.play(&machine(bound), END);
    assert_eq!(world.saved.active, []);
}

#[test]
fn a_run_of_which_nobody_heard_whether_it_was_created_is_looked_for_as_long_as_it_may_come_to_be() {
    let world = played(|_| (), World { answer: |_| Answer::Away, ..World::new(START) });
    assert_eq!(world.outcomes(), [("aborted", "NotCreated")]);
    let result = &world.saved.history[0];
    let lasted = result.finished_at.0.duration_since(result.started_at.0).as_secs();
    // It is asked for during five minutes, the last time right before their end.
    assert!((334..400).contains(&lasted), "{lasted}");
}

#[test]
fn a_run_that_may_not_be_created_is_asked_for_again_for_a_while() {
    let early = |write: usize| if write <= 10 { Answer::Forbidden } else { Answer::Well };
    let world = played(|_| (), World { answer: early, ..World::new(START) });
    assert_eq!(world.outcomes(), [("pass", "Passed")]);
    let world = played(|_| (), World { answer: |_| Answer::Forbidden, ..World::new(START) });
    assert_eq!(world.outcomes(), [("invalid", "NotCreated")], "nothing was created, and nobody looks for it");
    let result = &world.saved.history[0];
    let lasted = result.finished_at.0.duration_since(result.started_at.0).as_secs();
    assert!((30..=34).contains(&lasted), "{lasted}");
    assert!((15..=18).contains(&world.writes), "with a pause between two tries: {}", world.writes);
    // Every other answer begins the time anew.
    let now_and_then = |write: usize| if write.is_multiple_of(10) { Answer::Away } else { Answer::Forbidden };
    let world = played(|_| (), World { answer: now_and_then, ..World::new(START) });
    assert_eq!(world.outcomes(), [("aborted", "NotCreated")], "and has an end all the same");
}

#[test]
fn concurrency_policies_are_honoured() {
    // Two runs of 40 minutes each take longer than the hour.
    let long = || World { lasts: 2_400, ..World::new(START) };
    let run = |policy: &str, mut world: World| {
        world.play(&machine(|spec| spec["concurrencyPolicy"] = json!(policy)), "2026-06-01T11:50:00Z");
        world
    };
    let world = run("Forbid", long());
    assert_eq!((world.saved.started, world.skips()), (2, vec![("StillRunning", 1)]));
    let world = run("Replace", long());
    assert_eq!((world.saved.started, world.skips()), (3, vec![]));
    assert_eq!(world.outcomes(), [("aborted", "Replaced"), ("aborted", "Replaced")]);
    let world = run("Allow", World { exclusive: false, ..long() });
    assert_eq!((world.saved.started, world.saved.active.len(), world.skips()), (3, 1, vec![]));
    let mut world = World { exclusive: false, lasts: 100_000, ..World::new(START) };
    world.play(&machine(|spec| spec["concurrencyPolicy"] = json!("Allow")), "2026-06-01T16:50:00Z");
    assert_eq!((world.saved.active.len(), world.skips()), (5, vec![("TooManyActive", 3)]));
}

#[test]
fn an_order_starts_once_and_keeps_to_the_rules() {
    let order = |spec: &mut Value, uid: &str, id: &str| {
        spec["schedule"] = json!("Manual");
        spec["control"] = json!({"start": {"gameDayUid": uid, "id": id}});
    };
    let world = played(|spec| order(spec, "other", "now"), World::new(START));
    assert_eq!(world.saved.started, 0, "it is another game day that was meant");
    let mut world = World::new(START);
    world.play(&machine(|spec| order(spec, "u", "now")), END);
    assert_eq!((world.saved.started, world.saved.next_at), (1, None));
    world.play(&machine(|spec| order(spec, "u", "again")), "2026-06-01T10:50:00Z");
    world.play(&machine(|spec| order(spec, "u", "now")), "2026-06-01T11:50:00Z");
    assert_eq!((world.saved.started, world.created.len()), (3, 6), "runs of its own each time");
    for (change, reason) in [
        ((|spec| spec["suspend"] = json!(true)) as fn(&mut Value), "Suspended"),
        (|spec| spec["blackout"] = json!([{"date": "2026-06-01"}]), "Blackout"),
    ] {
        let both = |spec: &mut Value| {
            order(spec, "u", "now");
            change(spec);
        };
        let world = played(both, World::new(START));
        assert_eq!((world.saved.started, world.skips()), (0, vec![(reason, 1)]));
    }
    let mut world = World::new(START);
    world.view.hold = Some("off".into());
    world.play(&machine(|spec| order(spec, "u", "now")), END);
    assert_eq!((world.saved.started, world.skips()), (0, vec![("Held", 1)]), "it does not wait for ever");
}

#[test]
fn history_is_kept_within_its_limits_and_the_runs_go_with_it() {
    let mut world = World { outcome: |name| if name == "e2" { "fail" } else { "pass" }, ..World::new(START) };
    let limits = |spec: &mut Value| spec["history"] = json!({"passed": 1, "failed": 2});
    world.play(&machine(limits), "2026-06-01T14:30:00Z");
    assert_eq!((world.saved.history.len(), world.saved.started), (2, 6));
    assert_eq!((world.runs.len(), world.deleted.len()), (4, 8));
    world.outcome = |_| "pass";
    world.play(&machine(limits), "2026-06-01T18:30:00Z");
    assert_eq!(world.outcomes(), [("fail", "X"), ("fail", "X"), ("pass", "Passed")]);
}

#[test]
fn runs_are_kept_while_a_creation_of_theirs_may_still_come() {
    let mut world = World::new(START);
    let nothing = |spec: &mut Value| spec["history"] = json!({"passed": 0, "failed": 0});
    world.play(&machine(nothing), "2026-06-01T09:03:20Z");
    assert_eq!((world.outcomes(), world.runs.len()), (vec![("pass", "Passed")], 2), "it would make them once more");
    world.play(&machine(nothing), "2026-06-01T09:04:00Z");
    assert_eq!((world.outcomes(), world.runs.len()), (vec![], 0));
}

#[test]
fn a_run_that_was_created_before_a_crash_is_not_left_behind_though_creating_it_is_refused_by_now() {
    for at in 0..12 {
        let crashes = vec![Crash { at, jump: SignedDuration::ZERO }];
        let answer = |write: usize| if write == 2 { Answer::No } else { Answer::Well };
        let world = played(|_| {}, World { answer, crashes, ..World::new(START) });
        let known = |name: &String| world.saved.history.iter().flat_map(|of| &of.runs).any(|run| run.name == *name);
        assert!(world.runs.keys().all(known), "crash {at}: {:?}, {:?}", world.runs, world.saved.history);
    }
}

#[test]
fn a_dry_run_goes_through_the_same_steps() {
    let world = played(|spec| spec["mode"] = json!("DryRun"), World::new(START));
    assert_eq!((world.outcomes(), world.created.len()), (vec![("planned", "Passed")], 2));
}

#[test]
fn names_of_runs_are_labels_and_tell_everything_apart() {
    let long = "a".repeat(63);
    let all: BTreeSet<String> =
        [("day", "u", "x", "s"), ("day", "v", "x", "s"), ("day", "u", "y", "s"), ("day", "u", "x", "t")]
            .map(|(day, uid, execution, step)| run_name(day, uid, execution, step))
            .into();
    assert_eq!(all.len(), 4);
    let name = run_name(&long, "u", "x", &format!("{}-{}", "b".repeat(19), "c".repeat(20)));
    assert!(name.len() <= 63 && !name.contains("--"), "{name}");
}

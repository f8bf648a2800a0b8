//! Every path through the phases, played with a hand-moved clock.

use super::*;
use crate::machine::{Machine as _, Next};

fn machine() -> RunMachine {
    RunMachine {
        baseline: Duration::from_secs(8),
        fault_ceiling: Duration::from_secs(120),
        recovery: Duration::from_secs(10),
        recover_within: Duration::from_secs(30),
        max_blind: Duration::from_secs(30),
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_second(i64::try_from(second).unwrap()).unwrap()
}

/// Plays a run: `view_at` says what is seen at a second, the answer is every action with the second it came at.
fn play(view_at: impl Fn(u64) -> RunView) -> Vec<(u64, RunAction)> {
    let (machine, mut state, mut now, mut actions) = (machine(), RunState::New, at(0), Vec::new());
    loop {
        let second = u64::try_from(now.as_second()).unwrap();
        let step = machine.step(&state, &view_at(second), Some(()), now);
        state = step.state;
        match step.next {
            Next::Act(action) => actions.push((second, action)),
            Next::Wait(until) => {
                let until = until.expect("no state waits without a deadline");
                assert!(until > now, "no busy loop: {state:?}");
                now = until;
            }
            Next::Done => return actions,
        }
        assert!(second < 1_000, "the run never ends: {state:?}");
    }
}

fn kinds(actions: &[(u64, RunAction)]) -> Vec<(u64, String)> {
    let name = |action: &RunAction| format!("{action:?}").split([' ', '(']).next().unwrap_or_default().to_owned();
    actions.iter().map(|(at, action)| (*at, name(action))).collect()
}

fn expect(actions: &[(u64, RunAction)], expected: &[(u64, &str)]) {
    let expected: Vec<(u64, String)> = expected.iter().map(|(at, name)| (*at, (*name).to_owned())).collect();
    assert_eq!(kinds(actions), expected);
}

#[test]
fn ends_the_fault_phase_when_the_last_kill_has_recovered() {
    let actions = play(|second| RunView {
        killer_done: second >= 60,
        unrecovered: (60..63).contains(&second).then(|| (at(59), "trips-1".to_owned())),
        ..RunView::default()
    });
    expect(
        &actions,
        &[
            (0, "StartProbes"),
            (0, "AskBefore"),
            (8, "StartKiller"),
            (60, "StopKiller"),
            (63, "BeginRecovery"),
            (73, "StopKiller"),
            (73, "StopProbes"),
            (73, "AskAfter"),
            (73, "CleanUp"),
        ],
    );
}

#[test]
fn the_fault_phase_has_a_ceiling() {
    let actions = play(|_| RunView::default());
    assert!(kinds(&actions).contains(&(128, "StopKiller".to_owned())));
}

#[test]
fn nothing_is_killed_when_the_baseline_is_not_steady() {
    let actions = play(|second| RunView { unsteady: second >= 4, ..RunView::default() });
    let expected = [(0, "StartProbes"), (0, "AskBefore"), (8, "StopProbes"), (8, "AskAfter"), (8, "CleanUp")];
    expect(&actions, &expected);
}

#[test]
fn nothing_is_killed_before_every_probe_has_answered() {
    let late = |answered: u64| play(move |second| RunView { unanswered: second < answered, ..RunView::default() });
    for (answered, started) in [(3, 8), (11, 11), (10_000, 638)] {
        let actions = kinds(&late(answered));
        assert!(actions.contains(&(started, "StartKiller".to_owned())), "answered at {answered} s: {actions:?}");
    }
    let spoilt = play(|second| RunView { unanswered: second < 11, unsteady: second >= 11, ..RunView::default() });
    assert!(kinds(&spoilt).iter().all(|(_, name)| name != "StartKiller"));
}

#[test]
fn nothing_is_killed_before_the_baseline_is_told_and_nobody_is_late_while_nobody_can_listen() {
    let told = |deaf_until: u64, told_at: u64| {
        play(move |second| RunView {
            unmeasured: (second < told_at).then(|| at(second.min(deaf_until))),
            ..RunView::default()
        })
    };
    for (deaf_until, told_at, ends) in [(0, 27, None), (0, 1_000, Some(28)), (25, 44, None), (25, 1_000, Some(45))] {
        let actions = told(deaf_until, told_at);
        let stop = actions.iter().find(|(_, action)| matches!(action, RunAction::NoteStop(_)));
        assert_eq!(stop.map(|(second, _)| *second), ends, "{deaf_until} {told_at}: {actions:?}");
        let started = actions.iter().find(|(_, action)| matches!(action, RunAction::StartKiller { .. }));
        let expected = ends.is_none().then_some(told_at);
        assert_eq!(started.map(|(second, _)| *second), expected, "{deaf_until} {told_at}: {actions:?}");
    }
}

#[test]
fn kills_end_at_an_instant_that_is_read_back_as_it_was_told() {
    let now: Timestamp = "2026-11-28T09:00:00.123456789Z".parse().unwrap();
    let step = machine().step(&RunState::Baseline { until: now }, &RunView::default(), None, now);
    let Next::Act(RunAction::StartKiller { until }) = step.next else { panic!("nothing is killed") };
    assert_eq!(until.to_string(), "2026-11-28T09:02:00.123456Z");
    assert_eq!(step.state, RunState::Fault { ceiling: until });
}

#[test]
fn every_early_end_winds_everything_down_once() {
    let signal = || StopCause::Signal { name: "SIGINT".into() };
    for asked in [0, 3, 20, 127, 129, 135] {
        let actions = play(|second| RunView { stop: (second >= asked).then(signal), ..RunView::default() });
        let names: Vec<String> = kinds(&actions).into_iter().map(|(_, name)| name).collect();
        let tail = names.iter().rev().take(5).rev().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(tail, ["NoteStop", "StopKiller", "StopProbes", "AskAfter", "CleanUp"], "stopped at {asked} s");
        assert_eq!(names.iter().filter(|name| *name == "NoteStop").count(), 1);
    }
}

#[test]
fn a_kill_that_does_not_recover_stops_the_run() {
    let actions = play(|second| RunView {
        unrecovered: (second >= 20).then(|| (at(20), "trips-1".to_owned())),
        ..RunView::default()
    });
    let (second, cause) = actions.iter().find(|(_, action)| matches!(action, RunAction::NoteStop(_))).unwrap();
    assert_eq!(*second, 50);
    let RunAction::NoteStop(StopCause::NotRecovered { message }) = cause else { panic!("{cause:?}") };
    assert!(message.contains("trips-1"), "{message}");
}

#[test]
fn a_guard_that_cannot_be_read_stops_the_run_only_after_max_blind() {
    let unguarded = |from: u64, to: u64| {
        play(move |second| RunView {
            unguarded: (from..to).contains(&second).then(|| (at(from), "timeout".to_owned())),
            ..RunView::default()
        })
    };
    assert!(!kinds(&unguarded(20, 49)).iter().any(|(_, name)| name == "NoteStop"));
    assert!(kinds(&unguarded(20, 90)).contains(&(50, "NoteStop".to_owned())));
}

#[test]
fn a_cluster_out_of_sight_stops_the_run_only_after_max_blind() {
    let blind = |from: u64, to: u64| {
        play(move |second| RunView {
            blind: (from..to).contains(&second).then(|| (at(from), "connection refused".to_owned())),
            ..RunView::default()
        })
    };
    assert!(!kinds(&blind(20, 49)).iter().any(|(_, name)| name == "NoteStop"));
    assert!(kinds(&blind(20, 90)).contains(&(50, "NoteStop".to_owned())));
}

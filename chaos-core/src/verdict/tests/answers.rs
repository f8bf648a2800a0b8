//! Answers and the application's own checker in whole made-up runs: what they prove, and what they leave open.

use super::runs::{decided, ready, with_probe};
use crate::evidence::fixture::Story;
use crate::record::{Event, StopCause};
use crate::result::{Finding, Holds, RunResult};
use crate::verdict::{JudgedBy, Level, ReasonCode, judge};

/// A run with these answers of a probe that may be off for so long.
fn of(tolerate: &str, samples: &[(u64, Option<bool>)]) -> RunResult {
    let mut story = Story::with_kills(61);
    samples.iter().for_each(|(at, met)| story.sample(*at, *met));
    judge(&with_probe("ready", ready(tolerate)), &story.events())
}

#[test]
fn a_broken_rule_of_the_business_fails_whatever_else_is_fine() {
    let spec = with_probe("ledger", JudgedBy::Invariants { after_fault: true });
    let mut story = Story::with_kills(61);
    decided(&judge(&spec, &story.events()), ReasonCode::NothingChecked);
    story.check(0, &[]);
    decided(&judge(&spec, &story.events()), ReasonCode::NothingChecked);
    story.check(1_234, &[]);
    decided(&judge(&spec, &story.events()), ReasonCode::HypothesisHeld);
    story.check(1_234, &["ride 17 was acknowledged and is gone"]);
    story.stop(StopCause::Signal { name: "SIGINT".into() });
    let result = judge(&spec, &story.events());
    decided(&result, ReasonCode::InvariantBroken);
    assert!(result.verdict.reason_text.contains("ride 17 was acknowledged and is gone"));
    assert_eq!((result.invariants[0].checked, result.invariants[0].violations), (1_234, 1));
}

#[test]
fn expectations_are_typed_and_never_passed_without_an_answer() {
    let of = |samples: &[(u64, Option<bool>)]| of("0s", samples);
    decided(&of(&[(5_000, Some(true)), (20_000, Some(true))]), ReasonCode::HypothesisHeld);
    decided(&of(&[]), ReasonCode::NoSample);
    decided(&of(&[(5_000, Some(true))]), ReasonCode::NoSample);
    decided(&of(&[(5_000, Some(false)), (20_000, Some(true))]), ReasonCode::NotSteady);
    decided(&of(&[(5_000, Some(true)), (20_000, Some(false)), (21_000, Some(true))]), ReasonCode::ExpectationBroken);
    decided(&of(&[(5_000, Some(true)), (20_000, None), (21_000, Some(true))]), ReasonCode::ProbeUnanswered);
}

#[test]
fn a_tolerated_time_is_a_time_and_not_a_number_of_answers() {
    let off = |until: u64| {
        let off: Vec<_> = (20_000..=until).step_by(500).map(|at| (at, Some(false))).collect();
        let ends = [(19_500, Some(true)), (until + 500, Some(true))];
        of("2s", &[&ends[..1], &off[..], &ends[1..]].concat())
    };
    decided(&off(21_000), ReasonCode::HypothesisHeld);
    // Off for 1.5 s at least, and for 2.5 s at most.
    decided(&off(21_500), ReasonCode::ExpectationUndecided);
    // For exactly as long as is tolerated, as far as was seen.
    decided(&off(22_000), ReasonCode::ExpectationUndecided);
    decided(&off(22_500), ReasonCode::ExpectationBroken);
}

#[test]
fn a_look_says_nothing_about_the_time_between_two() {
    let far = of("10s", &[(0, Some(true)), (30_000, Some(false)), (60_000, Some(true))]);
    decided(&far, ReasonCode::ExpectationUndecided);
    assert!(far.verdict.reason_text.contains("at least 0.0 s and at most 60.0 s"), "{}", far.verdict.reason_text);
}

#[test]
fn an_unanswered_look_may_have_been_as_expected() {
    let at = |from: u64, met: Option<bool>| (from * 1_000, met);
    let gap = [at(0, Some(true)), at(20, Some(false)), at(25, None), at(30, Some(false)), at(31, Some(true))];
    let asunder = of("8s", &gap);
    decided(&asunder, ReasonCode::ProbeUnanswered);
    let undecided = |found: &&Finding| found.reason_code == ReasonCode::ExpectationUndecided;
    let told = &asunder.verdict.findings.iter().find(undecided).expect("how long it was off is told").message;
    assert!(told.contains("at least 0.0 s and at most 31.0 s"), "{told}");
    let on_one_side = [&gap[..4], &[at(35, Some(false)), at(39, Some(false))]].concat();
    decided(&of("8s", &on_one_side), ReasonCode::ExpectationBroken);
}

#[test]
fn what_is_off_before_the_fault_is_counted_on_in_it_and_is_not_its_doing() {
    let off = |from: u64, until: u64| {
        let seconds = (0..=70).map(|second| second * 1_000);
        of("9s", &seconds.map(|at| (at, Some(!(from..=until).contains(&at)))).collect::<Vec<_>>())
    };
    decided(&off(1_000, 19_000), ReasonCode::NotSteady);
    decided(&off(11_000, 29_000), ReasonCode::ExpectationBroken);
    decided(&off(1_000, 7_000), ReasonCode::HypothesisHeld);
}

#[test]
fn what_was_off_before_the_fault_hides_nothing_that_breaks_in_it() {
    let at_once = of("0s", &[(5_000, Some(false)), (6_000, Some(true)), (20_000, Some(false)), (21_000, Some(true))]);
    decided(&at_once, ReasonCode::ExpectationBroken);
    let reasons: Vec<_> = at_once.verdict.findings.iter().map(|finding| finding.reason_code).collect();
    assert_eq!(reasons, [ReasonCode::ExpectationBroken, ReasonCode::NotSteady], "both are told");
    // Off from before the fault until 19 s, and from 30 s to 45 s.
    let off = |second: u64| (1..=19).contains(&second) || (30..=45).contains(&second);
    let samples: Vec<_> = (0..=70).map(|second| (second * 1_000, Some(!off(second)))).collect();
    decided(&of("9s", &samples), ReasonCode::ExpectationBroken);
    // The same time off goes on: nothing new breaks.
    decided(&of("0s", &[(5_000, Some(false)), (20_000, Some(false)), (21_000, Some(true))]), ReasonCode::NotSteady);
}

#[test]
fn what_is_off_when_the_record_ends_is_not_known_to_heal() {
    let open = of("30s", &[(5_000, Some(true)), (60_000, Some(true)), (61_000, Some(false)), (69_000, Some(false))]);
    decided(&open, ReasonCode::ExpectationUndecided);
    assert!(open.verdict.reason_text.contains("to the end of the record"), "{}", open.verdict.reason_text);
}

#[test]
fn a_claim_says_what_the_verdict_says() {
    let claim = |result: &RunResult| {
        result.claims.iter().find(|claim| claim.level == Level::Expectation).map(|claim| claim.holds).unwrap()
    };
    let met = [(5_000, Some(true)), (20_000, Some(true))];
    let tolerated = [(5_000, Some(true)), (5_500, Some(false)), (6_000, Some(true)), (20_000, Some(true))];
    assert_eq!(claim(&of("0s", &met)), Holds::Yes);
    assert_eq!(claim(&of("2s", &tolerated)), Holds::Yes);
    assert_eq!(claim(&of("0s", &tolerated)), Holds::No);
    assert_eq!(claim(&of("750ms", &tolerated)), Holds::Undecided);
    assert_eq!(claim(&of("0s", &[])), Holds::Undecided);
}

#[test]
fn a_probe_that_stops_looking_does_not_pass() {
    let mut spec = with_probe("ready", ready("0s"));
    if let JudgedBy::Expectation(expected) = &mut spec.probes[1].judged_by {
        expected.gap = Some("3s".parse().unwrap());
    }
    let looks = |left_out: std::ops::RangeInclusive<u64>| {
        let mut story = Story::with_kills(61);
        (0..=81)
            .filter(|second| !left_out.contains(second))
            .for_each(|second| story.sample(second * 1_000, Some(true)));
        judge(&spec, &story.events())
    };
    decided(&looks(30..=31), ReasonCode::HypothesisHeld);
    for left_out in [30..=32, 8..=13, 78..=81] {
        decided(&looks(left_out), ReasonCode::ProbeUnanswered);
    }
    // The baseline is not judged by it: one answer is enough there.
    decided(&looks(2..=8), ReasonCode::HypothesisHeld);
}

#[test]
fn a_rule_that_was_broken_before_the_fault_is_not_its_doing() {
    let spec = with_probe("ledger", JudgedBy::Invariants { after_fault: true });
    let of = |before: &[&str], after: &[&str]| {
        let mut story = Story::with_kills(61);
        story.check_at(5_000, 100, before);
        story.check(1_234, after);
        judge(&spec, &story.events())
    };
    decided(&of(&[], &[]), ReasonCode::HypothesisHeld);
    decided(&of(&["ride 1 is gone"], &[]), ReasonCode::NotSteady);
    decided(&of(&["ride 1 is gone"], &["ride 1 is gone"]), ReasonCode::NotSteady);
    decided(&of(&["ride 1 is gone"], &["ride 1 is gone", "ride 2 is gone"]), ReasonCode::InvariantBroken);
    let mut story = Story::with_kills(61);
    story.check_at(5_000, 100, &[]);
    decided(&judge(&spec, &story.events()), ReasonCode::NothingChecked);
    let early = with_probe("ledger", JudgedBy::Invariants { after_fault: false });
    decided(&judge(&early, &story.events()), ReasonCode::HypothesisHeld);
}

#[test]
fn what_was_checked_before_the_fault_alone_shows_no_rule_to_be_kept_after_it() {
    let of = |after_fault: bool| {
        let mut story = Story::with_kills(61);
        story.check_at(5_000, 100, &[]);
        judge(&with_probe("ledger", JudgedBy::Invariants { after_fault }), &story.events())
    };
    let told = |result: &RunResult| {
        let claim = result.claims.iter().find(|claim| claim.level == Level::Invariant).unwrap();
        (claim.holds, claim.n, result.invariants[0].checked)
    };
    let edge = of(true);
    decided(&edge, ReasonCode::NothingChecked);
    assert_eq!(told(&edge), (Holds::Undecided, 0, 0), "as the verdict says");
    assert_eq!(told(&of(false)), (Holds::Yes, 100, 100));
}

/// The answers of an `Edge` checker, before the fault and after it: stories from the first to the last, and how many in all.
fn told_twice(before: (u32, Option<u64>), after: (u32, Option<u64>)) -> RunResult {
    let mut story = Story::with_kills(61);
    for (at, (stories, all)) in [(5_000, before), (story.end, after)] {
        let stories: Vec<String> = (0..stories).map(|ride| format!("ride {ride} is gone")).collect();
        story.check_at(at, 2_000, &stories.iter().map(String::as_str).collect::<Vec<_>>());
        if let Some(Event::Invariants { total, .. }) = story.extra.last_mut() {
            *total = all;
        }
    }
    judge(&with_probe("ledger", JudgedBy::Invariants { after_fault: true }), &story.events())
}

#[test]
fn every_violation_counts_once_and_those_without_a_story_count_too() {
    let found = |before, after| {
        let result = told_twice(before, after);
        let claim = result.claims.iter().find(|claim| claim.level == Level::Invariant).unwrap();
        assert!((claim.value - result.invariants[0].violations as f64).abs() < 0.5, "{claim:?}");
        (result.invariants[0].violations, result.verdict.reason_text)
    };
    let (count, text) = found((0, None), (1_000, Some(1_500)));
    assert!(
        (count, text.starts_with("ledger: 1,500 violations of business rules; the first: I1: ")) == (1_500, true),
        "{text}"
    );
    // What was broken before is told again: of these three one is new.
    let (count, text) = found((2, None), (3, None));
    assert!(
        (count, text.starts_with("ledger: 1 violation of business rules; the first: I1: ride 2 ")) == (3, true),
        "{text}"
    );
    // And of these with too many to tell, three hundred.
    let (count, text) = found((1_000, Some(1_200)), (1_000, Some(1_500)));
    let words = "ledger: 300 violations of business rules; their stories are not kept, as there are too many";
    assert_eq!((count, text.as_str()), (1_500, words));
    let (count, text) = found((1_000, Some(1_200)), (1_000, Some(1_200)));
    assert!(
        (count, text.starts_with("ledger: 1,200 violations of business rules before the fault")) == (1_200, true),
        "{text}"
    );
}

#[test]
fn a_record_of_an_older_tool_has_no_total() {
    let told = r#"{"invariants":{"probe":"ledger","at":5,"checked":7,"violations":[]}}"#;
    let event = Event::from_json(told.as_bytes()).unwrap();
    assert!(matches!(event, Event::Invariants { total: None, .. }));
    assert_eq!(serde_json::to_string(&event).unwrap(), told);
}

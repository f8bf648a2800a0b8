//! Baseline and recovery, which can only be refuted: what a burst does, and what an outage.

use super::runs::{decided, harmless, spec};
use crate::evidence::fixture::Story;
use crate::model::{ClaimSpec, Evidence};
use crate::record::BadClass;
use crate::result::Holds;
use crate::verdict::rule::{PhaseTerms, RecoveryRuling, Slice, alpha_of_recovery, phase, recovery};
use crate::verdict::{ExitCode, JudgeSpec, JudgedBy, Level, ReasonCode, judge};

const TERMS: PhaseTerms = PhaseTerms { budget: 0.001, alpha: 0.05, alpha_to_fail: 0.05 };

/// One promise of this share, `observed`.
fn promises(share: &str) -> JudgeSpec {
    let mut spec = spec(Evidence::Observed);
    if let JudgedBy::Slo(slo) = &mut spec.probes[0].judged_by {
        slo.claims = vec![ClaimSpec::Availability { share: share.parse().unwrap() }];
    }
    spec
}

#[test]
fn a_phase_is_refuted_by_what_bursts_do_not_explain() {
    let refuted = |terms: &PhaseTerms, bad| phase(terms, 1_000, bad).refuted;
    assert!(!refuted(&TERMS, 19) && refuted(&TERMS, 20), "q/α is 2 %");
    let three = PhaseTerms { alpha_to_fail: 0.05 / 3.0, ..TERMS };
    assert!(!refuted(&three, 59) && refuted(&three, 60), "a third of α");
    assert!(phase(&TERMS, 1_000, 4).doubtful && !phase(&TERMS, 1_000, 3).doubtful, "as if each were on its own");
    assert_eq!(phase(&three, 1_000, 4).doubtful, phase(&TERMS, 1_000, 4).doubtful, "α is divided for failing only");
    for requests in [0, 1, 1_000] {
        let good = phase(&TERMS, requests, 0);
        assert!(!good.refuted && !good.doubtful);
    }
}

#[test]
fn a_weak_promise_is_refuted_by_facts_only() {
    let weak = PhaseTerms { budget: 0.1, ..TERMS };
    assert!(!phase(&weak, 1_000, 499).refuted && phase(&weak, 1_000, 500).refuted, "half is an outage for any promise");
    let strict = PhaseTerms { budget: 0.01, alpha_to_fail: 0.01, ..TERMS };
    assert!(!phase(&strict, 1_000, 99).refuted && phase(&strict, 1_000, 99).doubtful);
    assert!(phase(&strict, 1_000, 100).refuted, "a tenth is an outage");
    assert!(!phase(&strict, 99, 98).refuted && phase(&strict, 99, 99).refuted, "of so few, only all of them");
    assert!(!phase(&weak, 1, 1).refuted, "one of one is no fact about a phase");
}

#[test]
fn a_little_more_than_a_weak_promise_allows_is_no_outage() {
    // What bursts of a second do to a recovery of 10 s: at a truth of exactly 90 %, a fifth is bad in one of four runs.
    let limit = |budget: f64| phase(&PhaseTerms { budget, alpha_to_fail: 0.01, ..TERMS }, 1_000, 0).limit;
    for (budget, expected) in [
        (0.005, 0.1),
        (0.01, 0.1),
        (0.02, 0.2),
        (0.05, 0.5),
        (0.1, 0.5),
        (0.25, 0.5),
        (0.4, 0.8),
        (0.5, 1.0),
        (0.9, 1.0),
    ] {
        assert!((limit(budget) - expected).abs() < 1e-9, "{budget}: {}", limit(budget));
    }
    let weak = PhaseTerms { budget: 0.1, alpha_to_fail: 0.01, ..TERMS };
    let burst = phase(&weak, 1_000, 200);
    assert!(!burst.refuted && burst.doubtful, "no failure, and no pass");
}

#[test]
fn what_is_told_of_a_recovery_says_whether_chance_or_an_outage_refutes_it() {
    for (share, method, why) in [
        ("99.99%", "Markov bound of the share of bad requests; bets on its seconds (e-value ", "refuted beyond chance"),
        ("99%", "share of bad requests that is an outage; bets on its seconds (e-value ", "refuted by an outage"),
    ] {
        let mut story = Story::with_kills(61);
        story.lose(75_000, 300, BadClass::Timeout);
        let result = judge(&promises(share), &story.events());
        let claim = result.claims.iter().find(|claim| claim.level == Level::Recovery).unwrap();
        assert!(claim.method.starts_with(method) && claim.holds == Holds::No, "{share}: {claim:?}");
        let finding = result.verdict.findings.iter().find(|f| f.reason_code == ReasonCode::RecoveryRefuted).unwrap();
        assert!(finding.message.ends_with(why), "{}", finding.message);
    }
}

#[test]
fn a_burst_of_five_in_the_recovery_fails_nothing_and_passes_nothing() {
    let mut story = Story::with_kills(61);
    story.lose(75_000, 5, BadClass::Timeout);
    let result = judge(&spec(harmless()), &story.events());
    decided(&result, ReasonCode::BudgetExceeded);
    assert_eq!(result.verdict.exit_code, ExitCode::Inconclusive);
    let text = &result.verdict.reason_text;
    assert!(text.contains("after the kills 5 of 1,000 requests were bad"), "{text}");
    assert!(text.contains("it takes a longer recovery"), "{text}");
    let holds = |level| result.claims.iter().find(|claim| claim.level == level).map(|claim| claim.holds);
    assert_eq!(holds(Level::Recovery), Some(Holds::Undecided));
}

/// A recovery of seconds with 100 requests each, of which so many are bad: 99.9 % promised, one promise, 95 % confidence.
fn seconds(bad: &[u64]) -> RecoveryRuling {
    let terms = PhaseTerms { alpha_to_fail: alpha_of_recovery(0.05, 1), ..TERMS };
    let slice = |(number, bad): (u64, &u64)| Slice { number, requests: 100, bad: *bad };
    recovery(&terms, &(0..).zip(bad).map(slice).collect::<Vec<_>>())
}

#[test]
fn an_excess_that_goes_on_from_second_to_second_is_refuted_and_a_burst_is_not() {
    let steady = |lost: u64, of: usize| seconds(&vec![lost; of]);
    assert!(!steady(5, 4).refuted && steady(5, 5).refuted, "{:?} {:?}", steady(5, 4), steady(5, 5));
    assert!(steady(1, 30).refuted, "ten times what may be bad");
    assert!(!steady(0, 600).doubtful);
    // One burst, in one second or in two that are next to each other, at the beginning or at the end.
    let bursts: [&[u64]; 8] = [
        &[5],
        &[20],
        &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 20],
        &[10, 10],
        &[0, 0, 0, 0, 0, 0, 0, 0, 10, 10],
        &[49, 50, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 99],
    ];
    for burst in bursts {
        let ruling = seconds(burst);
        let by_bets = ruling.e_value >= ruling.e_threshold;
        assert!(ruling.doubtful && !by_bets, "{burst:?}: {ruling:?}");
        assert_eq!(ruling.refuted, ruling.share.refuted);
    }
    // What a burst leaves in the next second is no evidence of its own.
    let (next, apart) = (seconds(&[10, 10, 0, 0, 0, 0]), seconds(&[10, 0, 10, 0, 0, 0]));
    assert!(apart.e_value > 3.0 * next.e_value, "{next:?} {apart:?}");
}

#[test]
fn both_tests_of_the_recovery_share_its_part_of_alpha() {
    // A fifth of 5 % for the one promise, and half of that for each test.
    let ruling = seconds(&[0; 10]);
    assert!((ruling.e_threshold - 200.0).abs() < 1e-9, "{ruling:?}");
    let strict = PhaseTerms { budget: 0.000_1, alpha_to_fail: 0.01, ..TERMS };
    let slice = Slice { number: 0, requests: 1_000, bad: 0 };
    assert!((recovery(&strict, &[slice]).share.limit - 0.02).abs() < 1e-9, "q over half of it");
}

#[test]
fn a_platform_that_goes_on_losing_a_twentieth_fails_in_recovery() {
    let mut story = Story::with_kills(61);
    (72_000..82_000).step_by(1_000).for_each(|at| story.lose(at, 5, BadClass::Status));
    let result = judge(&spec(harmless()), &story.events());
    decided(&result, ReasonCode::RecoveryRefuted);
    let text = &result.verdict.reason_text;
    assert!(text.contains("after the kills 50 of 1,000 requests were bad: refuted, second by second"), "{text}");
    let claim = result.claims.iter().find(|claim| claim.level == Level::Recovery).unwrap();
    assert!(claim.holds == Holds::No && claim.value >= claim.bound && claim.assumption.is_some(), "{claim:?}");
}

#[test]
fn no_run_begins_on_a_platform_that_may_be_failing_already() {
    let mut story = Story::with_kills(61);
    story.lose(2_000, 3, BadClass::Status);
    decided(&judge(&spec(harmless()), &story.events()), ReasonCode::HypothesisHeld);
    story.lose(5_000, 1, BadClass::Status);
    let result = judge(&spec(harmless()), &story.events());
    decided(&result, ReasonCode::NotSteady);
    let text = &result.verdict.reason_text;
    assert!(text.contains("before the fault 4 of 1,000 requests were bad"), "{text}");
}

#[test]
fn a_platform_that_does_not_heal_fails_in_recovery() {
    let mut story = Story::with_kills(61);
    story.lose(75_000, 300, BadClass::Timeout);
    decided(&judge(&spec(harmless()), &story.events()), ReasonCode::RecoveryRefuted);
}

#[test]
fn an_outage_that_begins_with_the_recovery_is_never_a_pass() {
    for (share, recovery, outage) in ["99.9%", "99%", "90%", "80%"]
        .into_iter()
        .flat_map(|s| [(s, 4_u64, 1_u64), (s, 4, 30), (s, 10, 30), (s, 60, 30)])
    {
        // So many kills that the budget of all of them would bear the outage of a weak promise.
        let mut story = Story::with_kills(300);
        story.end = story.recovery + recovery * 1_000;
        story.lose(story.recovery, 100 * outage.min(recovery), BadClass::Refused);
        let verdict = judge(&promises(share), &story.events()).verdict;
        let told = format!("{share}, {outage} s of {recovery} s: {}", verdict.reason_text);
        assert!(matches!(verdict.exit_code, ExitCode::Failed | ExitCode::Inconclusive), "{told}");
        if outage >= recovery {
            assert_eq!(verdict.exit_code, ExitCode::Failed, "{told}");
        }
    }
}

#[test]
fn every_test_that_can_fail_a_run_by_chance_has_its_part_of_alpha() {
    assert_eq!(spec(Evidence::Observed).chances_to_fail(), 1, "betting");
    let declared = Evidence::Availability { worst_loss_per_kill: 4, source: "the gateway".into() };
    assert_eq!(spec(declared).chances_to_fail(), 1, "what exceeds the declaration does so for sure");
    let mut two = spec(harmless());
    assert_eq!(two.chances_to_fail(), 2);
    two.probes.push(spec(Evidence::Observed).probes.remove(0));
    assert_eq!(two.chances_to_fail(), 3, "of all probes");
    // A fifth of the 5 % is the recovery's, and half of that each promise's.
    assert!((alpha_of_recovery(0.05, 2) - 0.005).abs() < 1e-12);
}

#[test]
fn a_tenth_of_the_recovery_bad_fails_and_less_is_doubt() {
    for (bad, reason) in [(99, ReasonCode::BudgetExceeded), (100, ReasonCode::RecoveryRefuted)] {
        let mut story = Story::with_kills(61);
        story.lose(75_000, bad, BadClass::Timeout);
        decided(&judge(&spec(harmless()), &story.events()), reason);
    }
}

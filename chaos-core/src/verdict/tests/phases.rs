//! Baseline and recovery, which can only be refuted: what a burst does, and what an outage.

use super::runs::{decided, harmless, spec};
use crate::evidence::fixture::Story;
use crate::model::{ClaimSpec, Evidence};
use crate::record::BadClass;
use crate::result::Holds;
use crate::verdict::rule::{PhaseTerms, alpha_of_recovery, phase};
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
        ("99.99%", "Markov bound of the share of bad requests", "refuted beyond chance"),
        ("99%", "share of bad requests that is an outage", "refuted by an outage"),
    ] {
        let mut story = Story::with_kills(61);
        story.lose(75_000, 300, BadClass::Timeout);
        let result = judge(&promises(share), &story.events());
        let claim = result.claims.iter().find(|claim| claim.level == Level::Recovery).unwrap();
        assert_eq!((claim.method.as_str(), claim.holds), (method, Holds::No), "{share}");
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

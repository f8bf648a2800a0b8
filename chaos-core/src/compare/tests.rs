//! Runs that differ in one thing, and runs that do not.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::evidence::fixture::Story;
use crate::model::{ClaimSpec, Evidence, Slo};
use crate::record::BadClass;
use crate::verdict::{JudgeSpec, JudgedBy, ProbeSpec, judge};

fn spec() -> JudgeSpec {
    let slo = Slo {
        claims: vec![ClaimSpec::Availability { share: "99%".parse().unwrap() }],
        confidence: "95%".parse().unwrap(),
        evidence: Evidence::Observed,
        requests_per_30d: None,
        declared: None,
    };
    let probe = |name: &str, judged_by| ProbeSpec { name: name.into(), judged_by };
    JudgeSpec {
        name: "riders".into(),
        namespace: "dispatch".into(),
        hypothesis: "It holds.".into(),
        strikes_target: 60,
        strikes_min: 5,
        probes: vec![probe("ride", JudgedBy::Slo(slo)), probe("ledger", JudgedBy::Invariants { after_fault: true })],
    }
}

/// A run of so many kills of which the first `bad` cost two requests.
fn run(kills: u64, bad: u64, ready: u64, broken: &[&str]) -> RunResult {
    let mut story = Story::new(11_000 + kills * 1_000, 21_000 + kills * 1_000);
    story.probe("ride", 100.0);
    for kill in 0..kills {
        // Not all alike: no two kills are.
        story.kill(11_000 + kill * 1_000, ready + kill % 7 * 10);
        if kill < bad {
            story.lose(11_010 + kill * 1_000, 2, BadClass::Reset);
        }
    }
    story.check(100, broken);
    judge(&spec(), &story.events())
}

fn standing_of<'c>(comparison: &'c Comparison, what: &str) -> &'c Figure {
    comparison.figures.iter().find(|figure| figure.what.contains(what)).unwrap()
}

#[test]
fn the_same_run_does_not_differ_and_says_what_would_have_been_seen() {
    let result = run(60, 1, 300, &[]);
    let comparison = compare(&result, &result).unwrap();
    assert_eq!(comparison.standing, Standing::NoDifference);
    assert!(comparison.notes.is_empty(), "{:?}", comparison.notes);
    let bad = standing_of(&comparison, "cost a request");
    assert_eq!((bad.kills, bad.standing), ([60, 60], Standing::NoDifference));
    assert!(bad.would_be_seen.as_ref().unwrap().ends_with("of 60 would have been seen"), "{bad:?}");
}

#[test]
fn one_more_bad_kill_is_chance_and_twenty_more_are_not() {
    let old = run(60, 1, 300, &[]);
    assert_eq!(compare(&old, &run(60, 2, 300, &[])).unwrap().standing, Standing::NoDifference);
    let worse = compare(&old, &run(60, 21, 300, &[])).unwrap();
    assert_eq!(worse.standing, Standing::Worse);
    assert_eq!(standing_of(&worse, "cost a request").standing, Standing::Worse);
    assert!(worse.reason.contains("cost a request"), "{}", worse.reason);
    let better = compare(&run(60, 21, 300, &[]), &old).unwrap();
    assert_eq!(better.standing, Standing::Better);
}

#[test]
fn a_window_of_which_nothing_is_known_is_no_good_one() {
    let (old, mut new) = (run(60, 0, 300, &[]), run(60, 30, 300, &[]));
    for row in &mut new.kill_rows[30..] {
        for loss in &mut row.losses {
            loss.unknown = loss.requests;
        }
    }
    let comparison = compare(&old, &new).unwrap();
    let bad = standing_of(&comparison, "cost a request");
    assert_eq!((bad.kills, bad.new.to_bits()), ([60, 30], 1.0_f64.to_bits()), "{bad:?}");
    let notes = comparison.notes.iter().filter(|note| note.contains("of the new run nothing is known"));
    assert_eq!(notes.count(), 1, "{:?}", comparison.notes);
}

#[test]
fn slower_replacements_are_found_and_a_hair_slower_is_no_change() {
    let old = run(60, 0, 300, &[]);
    let worse = compare(&old, &run(60, 0, 450, &[])).unwrap();
    let ready = standing_of(&worse, "replacement Ready");
    assert_eq!(ready.standing, Standing::Worse);
    assert!(ready.what.contains("p50 330.0 to 480.0 ms"), "{}", ready.what);
    let hair = compare(&old, &run(60, 0, 320, &[])).unwrap();
    let ready = standing_of(&hair, "replacement Ready");
    assert!(ready.p_corrected < ALPHA, "it is sure, and below a tenth: {ready:?}");
    assert_eq!(hair.standing, Standing::NoDifference);
}

#[test]
fn a_broken_rule_is_a_fact_and_needs_no_statistics() {
    let worse = compare(&run(60, 0, 300, &[]), &run(60, 0, 300, &["ride 3 is gone"])).unwrap();
    assert_eq!(worse.standing, Standing::Worse);
    let facts: Vec<&str> =
        worse.facts.iter().filter(|fact| fact.standing == Standing::Worse).map(|fact| fact.what.as_str()).collect();
    assert_eq!(facts.len(), 3, "outcome, claim and count: {facts:?}");
    assert_eq!(compare(&run(60, 0, 300, &["x"]), &run(60, 0, 300, &["y"])).unwrap().standing, Standing::NoDifference);
}

#[test]
fn rules_that_were_not_checked_after_the_kills_are_no_better_than_broken_ones() {
    let mut story = Story::with_kills(60);
    story.check_at(5_000, 100, &[]);
    let unchecked = judge(&spec(), &story.events());
    assert_eq!(unchecked.verdict.reason_code, ReasonCode::NothingChecked);
    let comparison = compare(&run(60, 0, 300, &["gone"]), &unchecked).unwrap();
    let better: Vec<&Fact> = comparison.facts.iter().filter(|fact| fact.standing == Standing::Better).collect();
    assert!(better.is_empty(), "{better:?}");
}

#[test]
fn too_few_kills_or_a_stopped_run_compare_nothing_but_facts() {
    let old = run(60, 0, 300, &[]);
    for new in [run(4, 4, 900, &[]), stopped()] {
        let comparison = compare(&old, &new).unwrap();
        assert_eq!((comparison.standing, comparison.figures.len()), (Standing::TooLittle, 0), "{}", comparison.reason);
    }
    // Whatever the evidence, a lost ride is a lost ride.
    assert_eq!(compare(&old, &run(4, 0, 300, &["gone"])).unwrap().standing, Standing::Worse);
}

fn stopped() -> RunResult {
    let mut story = Story::with_kills(60);
    story.stop(crate::record::StopCause::Signal { name: "SIGINT".into() });
    story.check(100, &[]);
    judge(&spec(), &story.events())
}

#[test]
fn another_experiment_cannot_be_compared_and_another_manifest_is_told() {
    let (old, mut new) = (run(60, 0, 300, &[]), run(60, 0, 300, &[]));
    new.run.manifest_digest = "11".into();
    new.run.attempt = 2;
    assert_eq!(compare(&old, &new).unwrap().notes.len(), 2);
    for probe in &mut new.probes {
        probe.probe = "other".into();
    }
    new.invariants.clear();
    assert!(matches!(compare(&old, &new), Err(CompareError::NothingInCommon { .. })));
}

#[test]
fn without_a_difference_worse_is_seldom_said() {
    // Two runs of one platform whose kills cost something by chance, one in ten, many times.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut hit = || (0..40).filter(|_| rng.random_bool(0.1)).count() as u64;
    let mut wrong = 0;
    for _ in 0..40 {
        let comparison = compare(&run(40, hit(), 300, &[]), &run(40, hit(), 300, &[])).unwrap();
        wrong += u64::from(comparison.standing == Standing::Worse);
    }
    assert!(wrong <= 4, "{wrong} of 40");
}

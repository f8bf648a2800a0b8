//! Whole made-up runs through `judge`: outcome, reason, sentence and figures; and the live test.

use crate::evidence::fixture::{Story, ms};
use crate::model::{ClaimSpec, Evidence, Slo};
use crate::record::{BadClass, Event, PodChange, StopCause};
use crate::result::{Holds, RunResult};
use crate::units::Duration;
use crate::verdict::{ExitCode, Expected, JudgeSpec, JudgedBy, Level, ProbeSpec, ReasonCode, judge, refuted_live};

fn slo(evidence: Evidence) -> Slo {
    Slo {
        claims: vec![ClaimSpec::Availability { share: "99.9%".parse().unwrap() }],
        confidence: "95%".parse().unwrap(),
        evidence,
        requests_per_30d: Some(10_000_000),
        declared: None,
    }
}

pub(super) fn harmless() -> Evidence {
    Evidence::HarmlessKills { share: "90%".parse().unwrap(), max_loss: 0 }
}

pub(super) fn spec(evidence: Evidence) -> JudgeSpec {
    JudgeSpec {
        name: "riders".into(),
        namespace: "dispatch".into(),
        hypothesis: "Riders can request rides while trips pods die at random.".into(),
        strikes_target: 61,
        strikes_min: 29,
        probes: vec![ProbeSpec { name: "ride".into(), judged_by: JudgedBy::Slo(slo(evidence)) }],
    }
}

pub(super) fn with_probe(name: &str, judged_by: JudgedBy) -> JudgeSpec {
    let mut spec = spec(harmless());
    spec.probes.push(ProbeSpec { name: name.into(), judged_by });
    spec
}

pub(super) fn ready(tolerate: &str) -> JudgedBy {
    JudgedBy::Expectation(Expected {
        words: "at least 1".into(),
        tolerate: tolerate.parse().unwrap(),
        after_fault: true,
        gap: None,
    })
}

#[track_caller]
pub(super) fn decided(result: &RunResult, reason: ReasonCode) {
    assert_eq!(result.verdict.reason_code, reason, "{}", result.verdict.reason_text);
    assert_eq!(result.verdict.exit_code, reason.exit_code());
}

#[test]
fn a_clean_run_passes_and_says_what_is_certified() {
    let result = judge(&spec(harmless()), &Story::with_kills(61).events());
    decided(&result, ReasonCode::HypothesisHeld);
    assert_eq!(
        result.verdict.reason_text,
        "ride: 61 of 61 kills cost no request, so at least 90% of such kills do not (95% confidence); 100% of 7,200 requests \
         answered well (promised 99.9%) over 61 kill windows"
    );
    assert_eq!((result.kills.done, result.kills.trials, result.kills.exposed, result.kills.bad), (61, 61, 61, 0));
    assert!(result.verdict.findings.is_empty());
    let levels: Vec<(Level, Holds)> = result.claims.iter().map(|claim| (claim.level, claim.holds)).collect();
    assert_eq!(
        levels,
        [
            (Level::Baseline, Holds::NotRefuted),
            (Level::Observed, Holds::Yes),
            (Level::Recovery, Holds::NotRefuted),
            (Level::HarmlessKills, Holds::Yes)
        ]
    );
}

#[test]
fn the_sentence_of_certified_availability_carries_its_assumption() {
    let evidence = Evidence::Availability { worst_loss_per_kill: 2, source: "the gateway retries".into() };
    let result = judge(&spec(evidence), &Story::with_kills(61).events());
    decided(&result, ReasonCode::HypothesisHeld);
    assert!(
        result.verdict.reason_text.contains("if no kill costs more than 2 requests (declared: the gateway retries)"),
        "{}",
        result.verdict.reason_text
    );
}

#[test]
fn observed_says_that_nothing_is_certified() {
    let result = judge(&spec(Evidence::Observed), &Story::with_kills(30).events());
    decided(&result, ReasonCode::HypothesisHeld);
    assert_eq!(
        result.verdict.reason_text,
        "ride: 100% of 4,100 requests answered well (promised 99.9%) over 30 kill windows; observed only, nothing is certified"
    );
}

#[test]
fn kills_that_each_cut_off_what_was_under_way_cost_what_was_declared() {
    // Each of 300 kills cuts off one request, due 10 ms before it: the first window must not have two of them.
    let mut story = Story::with_kills(300);
    for kill in 0..300 {
        story.lose(10_990 + kill * 1_000, 1, BadClass::Reset);
    }
    story.bad.iter_mut().for_each(|bad| bad.failed_after = Some(12_000_000));
    let mut spec = spec(Evidence::Availability { worst_loss_per_kill: 1, source: "one at a time".into() });
    if let JudgedBy::Slo(slo) = &mut spec.probes[0].judged_by {
        slo.claims = vec![ClaimSpec::Availability { share: "95%".parse().unwrap() }];
    }
    let result = judge(&spec, &story.events());
    assert!(result.verdict.findings.iter().all(|f| f.reason_code != ReasonCode::WorstLossExceeded), "{result:?}");
    assert_eq!(result.kills.bad, 300);
}

#[test]
fn an_outage_that_heals_fails_the_run() {
    let mut story = Story::with_kills(61);
    for kill in 10..20 {
        story.lose(11_000 + kill * 1_000, 30, BadClass::Refused);
    }
    let result = judge(&spec(harmless()), &story.events());
    decided(&result, ReasonCode::SloRefuted);
    assert_eq!(result.verdict.exit_code, ExitCode::Failed);
    assert_eq!(result.kills.bad, 10);
    assert_eq!(result.probes[0].worst_outage.unwrap().duration_us, 300_000);
    assert_eq!(result.probes[0].budget_30d_ppm, Some(30_000));
    let mut large = spec(harmless());
    if let JudgedBy::Slo(slo) = &mut large.probes[0].judged_by {
        slo.requests_per_30d = Some(1_000_000_000_000_000);
    }
    assert_eq!(judge(&large, &story.events()).probes[0].budget_30d_ppm, Some(1), "little, and not nothing");
}

#[test]
fn a_kill_with_a_request_of_unknown_outcome_is_not_bad_and_is_told() {
    let mut story = Story::with_kills(61);
    story.lose(31_100, 1, BadClass::Unsent);
    let result = judge(&spec(harmless()), &story.events());
    decided(&result, ReasonCode::HypothesisHeld);
    assert_eq!((result.kills.exposed, result.kills.bad, result.kills.unknown), (61, 0, 1));
    assert_eq!(
        result.verdict.reason_text,
        "ride: 60 of 61 kills cost no request (1 unknown counts as bad), so at least 90% of such kills do not \
         (95% confidence); 99.98% of 7,200 requests answered well (promised 99.9%, 1 unknown counts as bad) over 61 kill windows"
    );
}

#[test]
fn fewer_kills_than_the_least_are_inconclusive_and_say_how_many_more() {
    let result = judge(&spec(harmless()), &Story::with_kills(28).events());
    decided(&result, ReasonCode::TooFewKills);
    assert!(result.verdict.reason_text.contains("it takes 1 more"), "{}", result.verdict.reason_text);
}

#[test]
fn a_bad_kill_too_many_says_how_many_more_it_takes() {
    let mut story = Story::with_kills(30);
    story.lose(15_010, 1, BadClass::Reset);
    let result = judge(&spec(harmless()), &story.events());
    decided(&result, ReasonCode::TooLittleEvidence);
    assert!(
        result.verdict.reason_text.contains("it takes 16 more exposed kills without a loss"),
        "{}",
        result.verdict.reason_text
    );
}

#[test]
fn zero_kills_never_pass() {
    decided(&judge(&spec(Evidence::Observed), &Story::with_kills(0).events()), ReasonCode::TooFewKills);
    let mut spec = spec(Evidence::Observed);
    spec.strikes_min = 0;
    decided(&judge(&spec, &Story::with_kills(0).events()), ReasonCode::TooFewKills);
}

#[test]
fn victims_that_did_not_die_are_no_kills() {
    for evidence in [Evidence::Observed, harmless()] {
        let mut story = Story::with_kills(61);
        let went = |event: &Event| matches!(event, Event::Pod(seen) if seen.what == PodChange::Deleted);
        let mut left = 20;
        story.extra.retain(|event| {
            left -= u32::from(went(event) && left > 0);
            !went(event) || left > 0
        });
        let result = judge(&spec(evidence.clone()), &story.events());
        decided(&result, ReasonCode::TooFewKills);
        assert!(result.verdict.reason_text.contains("42 victims were still there"), "{}", result.verdict.reason_text);
        assert_eq!((result.kills.done, result.kills.strikes, result.kills.still_there), (61, 19, 42));
        assert_eq!(result.kills.exposed, 19);
    }
}

#[test]
fn a_probe_without_requests_is_an_invalid_run() {
    let mut story = Story::with_kills(61);
    story.schedules.clear();
    story.extra.retain(|event| !matches!(event, Event::Served { .. }));
    decided(&judge(&spec(harmless()), &story.events()), ReasonCode::NoSample);
}

#[test]
fn a_baseline_that_is_red_is_an_invalid_run_but_a_refuted_promise_still_fails() {
    let mut story = Story::with_kills(61);
    story.lose(2_000, 20, BadClass::Status);
    decided(&judge(&spec(harmless()), &story.events()), ReasonCode::NotSteady);
    for kill in 0..10 {
        story.lose(11_000 + kill * 1_000, 30, BadClass::Status);
    }
    decided(&judge(&spec(harmless()), &story.events()), ReasonCode::SloRefuted);
}

#[test]
fn unexposed_or_unknown_kills_certify_nothing() {
    let mut story = Story::with_kills(61);
    story.extra.retain(|event| !matches!(event, Event::Served { .. }));
    let result = judge(&spec(harmless()), &story.events());
    decided(&result, ReasonCode::TooLittleExposure);
    story.schedules[0].exposure_known = false;
    let result = judge(&spec(harmless()), &story.events());
    decided(&result, ReasonCode::TooLittleExposure);
    assert!(result.verdict.reason_text.contains("hint: `exposure`"), "{}", result.verdict.reason_text);
}

#[test]
fn a_certificate_of_availability_says_whose_requests_are_its_budget() {
    let mut story = Story::with_kills(61);
    // One kill in the middle did not meet the traffic: its window has a second of 100 requests.
    story.extra.retain(|event| !matches!(event, Event::Served { pod, .. } if pod == "trips-30"));
    let evidence = Evidence::Availability { worst_loss_per_kill: 2, source: "the gateway retries".into() };
    let result = judge(&spec(evidence), &story.events());
    let claim = result.claims.iter().find(|claim| claim.level == Level::Availability).unwrap();
    assert_eq!((claim.n, claim.trials, claim.exposed), (7_200, 61, 60), "all requests, all windows");
    assert_eq!(
        claim.method,
        "Hoeffding-Bentkus p-value for losses in [0, M]; 7,100 requests of exposed windows allow each of 60 exposed kills a \
         mean loss of 0.1183"
    );
}

#[test]
fn a_kill_window_without_a_request_is_no_trial_of_harmlessness() {
    // Kills every 100 ms, of which each tenth window holds the second's one request.
    let mut story = Story::new(17_100, 400_000);
    story.probe("ride", 1.0);
    for i in 0..61 {
        story.kill(11_000 + i * 100, 50);
    }
    let mut some = spec(harmless());
    if let JudgedBy::Slo(slo) = &mut some.probes[0].judged_by {
        slo.claims = vec![ClaimSpec::Availability { share: "99%".parse().unwrap() }];
    }
    let result = judge(&some, &story.events());
    let claim = result.claims.iter().find(|claim| claim.level == Level::HarmlessKills).unwrap();
    assert_eq!((claim.trials, claim.exposed, result.kills.exposed), (61, 7, 7));
    decided(&result, ReasonCode::TooLittleExposure);
}

#[test]
fn a_starved_load_generator_is_inconclusive_never_a_fail() {
    let mut story = Story::with_kills(61);
    for kill in 0..61 {
        story.lose(11_100 + kill * 1_000, 50, BadClass::Unsent);
    }
    decided(&judge(&spec(harmless()), &story.events()), ReasonCode::TooMuchLag);
}

#[test]
fn slow_answers_are_bad_for_a_promise_of_latency_only() {
    let mut story = Story::with_kills(61);
    for kill in 0..20 {
        story.lose(11_100 + kill * 1_000, 20, BadClass::Slow);
    }
    decided(&judge(&spec(Evidence::Observed), &story.events()), ReasonCode::HypothesisHeld);
    let mut both = spec(Evidence::Observed);
    if let JudgedBy::Slo(slo) = &mut both.probes[0].judged_by {
        slo.claims.push(ClaimSpec::Latency { under: Duration::from_millis(300), share: "99%".parse().unwrap() });
    }
    let result = judge(&both, &story.events());
    decided(&result, ReasonCode::SloRefuted);
    assert!(result.verdict.reason_text.contains("99% answered well within 300ms"), "{}", result.verdict.reason_text);
}

#[test]
fn a_run_that_ends_in_its_baseline_says_what_ended_it() {
    let spec = with_probe("ready", ready("0s"));
    let of = |met: Option<bool>| {
        let mut story = Story::with_kills(0);
        (story.fault, story.recovery, story.end) = (20_000, 20_000, 10_000);
        story.sample(5_000, met);
        judge(&spec, &story.events())
    };
    decided(&of(Some(false)), ReasonCode::NotSteady);
    decided(&of(None), ReasonCode::ProbeUnanswered);
    decided(&of(Some(true)), ReasonCode::TooFewKills);
}

#[test]
fn a_run_that_was_stopped_certifies_nothing_though_all_its_kills_were_harmless() {
    let certified = |is_stopped: bool| {
        let mut story = Story::with_kills(61);
        if is_stopped {
            story.stop(StopCause::Signal { name: "SIGINT".into() });
        }
        let result = judge(&spec(harmless()), &story.events());
        result.claims.iter().find(|claim| claim.level == Level::HarmlessKills).map(|claim| claim.holds)
    };
    assert_eq!(certified(false), Some(Holds::Yes));
    assert_eq!(certified(true), Some(Holds::Undecided));
}

#[test]
fn every_early_end_has_its_reason() {
    let message = || "why".to_owned();
    for (cause, reason) in [
        (StopCause::Guard { message: message() }, ReasonCode::GuardTripped),
        (StopCause::Switch { message: message() }, ReasonCode::Switched),
        (StopCause::Signal { name: "SIGTERM".into() }, ReasonCode::Interrupted),
        (StopCause::NotRecovered { message: message() }, ReasonCode::NotRecovered),
        (StopCause::Blind { message: message() }, ReasonCode::BlindTooLong),
        (StopCause::Journal { message: message() }, ReasonCode::JournalFailed),
        (StopCause::Killer { message: message() }, ReasonCode::KillerGaveUp),
        (StopCause::NoProbes { message: message() }, ReasonCode::ProbesNotStarted),
        (StopCause::Probes { message: message() }, ReasonCode::ProberLost),
        (StopCause::SloRefuted { probe: "ride".into() }, ReasonCode::SloRefuted),
    ] {
        let mut story = Story::with_kills(61);
        story.stop(cause);
        decided(&judge(&spec(harmless()), &story.events()), reason);
    }
}

#[test]
fn a_prober_that_was_lost_is_told_as_that_and_not_as_questions_that_were_not_asked() {
    let spec = with_probe("ready", ready("0s"));
    let mut story = Story::with_kills(61);
    story.stop(StopCause::Probes { message: "silent for 20 s".into() });
    let result = judge(&spec, &story.events());
    decided(&result, ReasonCode::ProberLost);
    assert_eq!(result.verdict.exit_code, ExitCode::Inconclusive);
    assert!(result.verdict.reason_text.contains("silent for 20 s"));
    // What was measured before still fails a run.
    story.lose(20_000, 500, BadClass::Refused);
    decided(&judge(&spec, &story.events()), ReasonCode::SloRefuted);
}

#[test]
fn what_is_left_behind_comes_first() {
    let mut story = Story::with_kills(61);
    story.check(5, &["lost"]);
    story.wound_down = Some(vec!["delete ChaosMonkey dispatch/run-1".into()]);
    let result = judge(&with_probe("ledger", JudgedBy::Invariants { after_fault: true }), &story.events());
    decided(&result, ReasonCode::WindDownIncomplete);
    assert!(result.verdict.reason_text.contains("delete ChaosMonkey dispatch/run-1"));
    assert_eq!(result.verdict.findings.len(), 2);
}

#[test]
fn a_torn_record_is_an_orphaned_run_and_finished_changes_nothing() {
    let mut story = Story::with_kills(61);
    let whole = story.events();
    let mut finished = whole.clone();
    finished.push(Event::Finished { at: ms(99_000), exit_code: 0 });
    assert_eq!(judge(&spec(harmless()), &whole), judge(&spec(harmless()), &finished));
    story.wound_down = None;
    decided(&judge(&spec(harmless()), &story.events()), ReasonCode::Orphaned);
    for cut in 0..whole.len() {
        let result = judge(&spec(harmless()), &whole[..cut]);
        assert_ne!(result.verdict.exit_code, ExitCode::Held, "the first {cut} events");
    }
}

#[test]
fn a_clock_that_is_not_known_well_enough_is_inconclusive() {
    for (uncertainty, reason) in [(50_000_000, ReasonCode::HypothesisHeld), (50_000_001, ReasonCode::ClockUncertain)] {
        let mut story = Story::with_kills(61);
        for event in &mut story.extra {
            if let Event::Kill(kill) = event {
                kill.uncertainty = uncertainty;
                break;
            }
        }
        decided(&judge(&spec(harmless()), &story.events()), reason);
    }
}

#[test]
fn a_record_that_contradicts_itself_is_told_as_such() {
    let mut story = Story::with_kills(61);
    story.lose(11_100, 3, BadClass::Reset);
    let mut events = story.events();
    events.remove(events.iter().position(|event| matches!(event, Event::Bad(_))).unwrap());
    decided(&judge(&spec(harmless()), &events), ReasonCode::RecordInconsistent);
    decided(&judge(&spec(harmless()), &[]), ReasonCode::RecordInconsistent);
}

#[test]
fn what_is_left_behind_is_told_whatever_contradicts_itself() {
    let mut story = Story::with_kills(61);
    story.lose(11_100, 3, BadClass::Reset);
    story.wound_down = Some(vec!["monkey crun-1 is still there".into()]);
    let mut events = story.events();
    events.remove(events.iter().position(|event| matches!(event, Event::Bad(_))).unwrap());
    let result = judge(&spec(harmless()), &events);
    decided(&result, ReasonCode::WindDownIncomplete);
    assert_eq!(result.verdict.exit_code, ExitCode::LeftBehind);
    assert_eq!(result.leftovers, ["monkey crun-1 is still there"]);
    assert_eq!(result.verdict.findings[1].reason_code, ReasonCode::RecordInconsistent, "and that, too");
}

#[test]
fn a_broken_rule_is_told_whatever_contradicts_itself_and_a_count_is_not() {
    let of = |cause: StopCause, stories: &[&str]| {
        let mut story = Story::with_kills(61);
        story.lose(11_100, 3, BadClass::Reset);
        story.check(5, stories);
        story.stop(cause);
        let mut events = story.events();
        events.remove(events.iter().position(|event| matches!(event, Event::Bad(_))).unwrap());
        judge(&with_probe("ledger", JudgedBy::Invariants { after_fault: true }), &events)
    };
    let signal = || StopCause::Signal { name: "SIGTERM".into() };
    let result = of(signal(), &["ride 17 is gone"]);
    decided(&result, ReasonCode::InvariantBroken);
    let reasons: Vec<ReasonCode> = result.verdict.findings.iter().map(|finding| finding.reason_code).collect();
    assert_eq!(reasons, [ReasonCode::InvariantBroken, ReasonCode::Interrupted, ReasonCode::RecordInconsistent]);
    assert_eq!(result.invariants[0].stories[0].story, "ride 17 is gone");
    decided(&of(signal(), &[]), ReasonCode::Interrupted);
    decided(&of(StopCause::SloRefuted { probe: "ride".into() }, &[]), ReasonCode::RecordInconsistent);
}

#[test]
fn the_live_test_fires_as_soon_as_a_promise_is_refuted_and_not_before() {
    let mut story = Story::with_kills(20);
    story.recovery = 90_000;
    story.end = 100_000;
    assert_eq!(refuted_live(&spec(harmless()), &story.events()), None);
    for kill in 0..19 {
        story.lose(11_000 + kill * 1_000, 20, BadClass::Refused);
    }
    let refutation = refuted_live(&spec(harmless()), &story.events()).unwrap();
    assert_eq!(refutation.probe, "ride");
    assert!(refutation.e_value >= refutation.e_threshold && (refutation.e_threshold - 50.0).abs() < 1e-9);
    let mut open = Story::with_kills(1);
    open.lose(11_000, 500, BadClass::Refused);
    assert_eq!(refuted_live(&spec(harmless()), &open.events()), None, "the open window is not judged");
}

#[test]
fn the_result_is_json_with_integers_and_a_schema() {
    let result = judge(&spec(harmless()), &Story::with_kills(3).events());
    let json = serde_json::to_value(&result).unwrap();
    assert_eq!(json["schemaVersion"], "1.0");
    assert_eq!(json["verdict"]["exitCode"], 7);
    assert_eq!(json["verdict"]["reasonCode"], "TooFewKills");
    assert_eq!(json["claims"][1]["K"], 3);
    assert_eq!(serde_json::from_value::<RunResult>(json).unwrap(), result);
    let schema = serde_json::to_value(schemars::schema_for!(RunResult)).unwrap();
    assert!(schema["properties"]["verdict"].is_object());
}

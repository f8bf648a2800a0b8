//! Kill windows, exposure, slots and timelines on made-up runs.

use super::fixture::{Story, ms};
use super::*;
use crate::api::Outcome;
use crate::limits::fixture::population;
use crate::record::{BadClass, Event, PodChange};
use crate::result::Counts;

fn spans(evidence: &Evidence<'_>) -> Vec<(u64, u64)> {
    evidence.trials.iter().map(|t| (t.span.start.0 / 1_000_000, t.span.end.0 / 1_000_000)).collect()
}

#[test]
fn windows_reach_from_kill_to_kill_and_to_the_ends_of_what_is_judged() {
    let events = Story::with_kills(3).events();
    let evidence = evidence(&events).unwrap();
    assert_eq!(spans(&evidence), [(10_000, 12_000), (12_000, 13_000), (13_000, 24_000)]);
    let requests: Vec<u64> = evidence.loads[0].trials.iter().map(|t| t.counts.slots).collect();
    assert_eq!(requests, [200, 100, 1_100]);
    assert_eq!(evidence.loads[0].baseline, Counts { slots: 1_000, good: 1_000, ..Counts::default() });
    assert_eq!(evidence.loads[0].judged.slots, 1_400);
    assert_eq!(evidence.loads[0].recovery.slots, 1_000);
}

#[test]
fn the_classes_are_those_of_what_is_judged_and_of_the_baseline_where_that_is_all() {
    let mut story = Story::with_kills(3);
    story.lose(1_000, 5, BadClass::Refused);
    story.lose(12_000, 3, BadClass::Status);
    let classes = |story: &Story| -> Vec<(BadClass, u64)> {
        let events = story.events();
        let evidence = evidence(&events).unwrap();
        evidence.loads[0].classes.iter().map(|(class, (count, _))| (*class, *count)).collect()
    };
    assert_eq!(classes(&story), [(BadClass::Status, 3)]);
    let mut early = Story::new(30_000, 8_000);
    early.fault = 30_000;
    early.probe("ride", 100.0);
    early.lose(1_000, 5, BadClass::Refused);
    assert_eq!(classes(&early), [(BadClass::Refused, 5)]);
}

#[test]
fn a_slot_due_at_the_instant_of_a_kill_belongs_to_the_window_of_that_kill() {
    let mut story = Story::with_kills(2);
    story.lose(12_000, 1, BadClass::Reset);
    story.lose(11_990, 1, BadClass::Reset);
    let events = story.events();
    let evidence = evidence(&events).unwrap();
    let failed: Vec<u64> = evidence.loads[0].trials.iter().map(|t| t.counts.failed).collect();
    assert_eq!(failed, [1, 1]);
}

#[test]
fn what_a_kill_cuts_off_counts_for_it_though_it_was_due_before() {
    let of = |class: BadClass, latency: Option<u64>, failed_after: Option<u64>| {
        let mut story = Story::with_kills(3);
        story.lose(11_980, 1, class);
        (story.bad[0].latency, story.bad[0].failed_after) = (latency, failed_after);
        let events = story.events();
        let evidence = evidence(&events).unwrap();
        let trials = &evidence.loads[0].trials;
        let counted: Vec<(u64, u64)> = trials.iter().map(|t| (t.counts.slots, t.counts.failed)).collect();
        (counted, trials[1].first_failure)
    };
    let (due_in, failed_in) = ([(200, 1), (100, 0), (1_100, 0)], [(199, 0), (101, 1), (1_100, 0)]);
    let (before, after) = (Some(19_999_999), Some(20_000_000));
    for (class, latency, failed_after, counted) in [
        (BadClass::Reset, None, before, due_in),
        (BadClass::Reset, None, after, failed_in),
        // A record of an older tool does not say when.
        (BadClass::Reset, None, None, due_in),
        (BadClass::Status, after, None, failed_in),
        // Neither kill made it slow at an instant.
        (BadClass::Timeout, Some(5_000_000_000), None, due_in),
    ] {
        let (found, first_failure) = of(class, latency, failed_after);
        assert_eq!(found, counted, "{class:?} {latency:?} {failed_after:?}");
        assert_eq!(first_failure, (counted == failed_in).then_some(ms(12_000)));
    }
    // Cut off when all is over: the last window has it.
    let mut story = Story::with_kills(3);
    story.lose(23_980, 1, BadClass::Reset);
    story.bad[0].failed_after = Some(10_000_000_000);
    let events = story.events();
    let failed = evidence(&events).unwrap().loads[0].trials[2].counts.failed;
    assert_eq!(failed, 1);
}

#[test]
fn what_the_first_kill_cuts_off_counts_for_it_though_it_was_due_in_the_baseline() {
    let of = |class: BadClass, latency: Option<u64>, failed_after: Option<u64>| {
        let mut story = Story::with_kills(3);
        story.lose(9_500, 3, class);
        story.bad.iter_mut().for_each(|bad| (bad.latency, bad.failed_after) = (latency, failed_after));
        let events = story.events();
        let evidence = evidence(&events).unwrap();
        let load = &evidence.loads[0];
        assert_eq!(load.classes.get(&class).map(|(count, _)| *count), (load.judged.slots > 1_400).then_some(3));
        let (first, all) = (&load.trials[0], [load.baseline, load.judged, load.trials[0].counts]);
        let bad = all.map(|counts| (counts.failed + counts.slow, counts.unknown));
        (all.map(|counts| counts.slots), bad, first.first_failure)
    };
    // Due from 9.5 s on; the fault begins at 10 s, the first kill comes at 11 s.
    let in_the_baseline = ([1_000, 1_400, 200], [(3, 0), (0, 0), (0, 0)], None);
    let in_the_fault = ([997, 1_403, 203], [(0, 0), (3, 0), (3, 0)], Some(ms(10_000)));
    let not_known = ([997, 1_403, 203], [(0, 0), (0, 3), (0, 3)], None);
    let (before, after) = (Some(479_999_999), Some(1_501_000_000));
    for (class, latency, failed_after, counted) in [
        (BadClass::Reset, None, before, in_the_baseline),
        (BadClass::Reset, None, after, in_the_fault),
        (BadClass::Status, after, None, in_the_fault),
        // A record of an older tool does not say when.
        (BadClass::Reset, None, None, in_the_baseline),
        // Nothing made these late at an instant.
        (BadClass::Timeout, before, None, in_the_baseline),
        (BadClass::Timeout, Some(5_000_000_000), None, not_known),
        (BadClass::TooSlow, before, None, in_the_baseline),
        (BadClass::TooSlow, after, None, not_known),
    ] {
        assert_eq!(of(class, latency, failed_after), counted, "{class:?} {latency:?} {failed_after:?}");
    }
}

#[test]
fn a_kill_before_the_replacement_is_ready_is_the_same_trial() {
    let mut story = Story::new(15_000, 25_000);
    story.probe("ride", 100.0);
    story.kill(11_000, 1_500);
    story.kill(12_499, 300);
    story.kill(12_900, 300);
    let events = story.events();
    let evidence = evidence(&events).unwrap();
    assert_eq!(spans(&evidence), [(10_000, 12_900), (12_900, 25_000)]);
    assert_eq!(evidence.trials[0].kills, [0, 1]);
}

#[test]
fn a_kill_at_the_instant_of_ready_is_a_trial_of_its_own() {
    let mut story = Story::new(15_000, 25_000);
    story.probe("ride", 100.0);
    story.kill(11_000, 1_500);
    story.kill(12_500, 300);
    let events = story.events();
    assert_eq!(spans(&evidence(&events).unwrap()), [(10_000, 12_500), (12_500, 25_000)]);
}

#[test]
fn without_a_ready_replacement_all_later_kills_overlap() {
    let mut story = Story::new(15_000, 25_000);
    story.probe("ride", 100.0);
    story.bare_kill(11_000, Outcome::Killed);
    story.kill(12_500, 300);
    story.kill(14_500, 300);
    let events = story.events();
    // The first kill takes the first new pod for its own, the third is left without one.
    let evidence = evidence(&events).unwrap();
    assert_eq!(evidence.timelines[0].ready(), Some(ms(12_800)));
    assert_eq!(evidence.timelines[2].ready(), None);
    assert_eq!(spans(&evidence), [(10_000, 25_000)]);
}

#[test]
fn replacements_are_matched_by_owner_and_creation_never_by_name() {
    let mut story = Story::new(15_000, 25_000);
    story.probe("ride", 100.0);
    let victim = story.bare_kill(11_000, Outcome::Killed);
    story.sight(10_500, PodChange::Created, "older", "older");
    story.sight(10_900, PodChange::Ready, "older", "older");
    story.sight(11_020, PodChange::Created, &victim.pod, "same-name");
    story.sight(11_400, PodChange::Ready, &victim.pod, "same-name");
    story.sight(11_010, PodChange::Created, "foreign", "foreign");
    let Some(Event::Pod(foreign)) = story.extra.last_mut() else { panic!("a sighting was added") };
    foreign.owner_uid = Some("another".into());
    let events = story.events();
    let evidence = evidence(&events).unwrap();
    let replacement = evidence.timelines[0].replacement.as_ref().unwrap();
    assert_eq!((replacement.uid, replacement.ready), ("same-name", Some(ms(11_400))));
}

#[test]
fn a_pod_that_was_hit_had_become_ready_though_nobody_saw_it() {
    let population = Box::new(population(2));
    let planned = Event::Planned { at: ms(1), population, eligible: Vec::new(), excluded: Vec::new() };
    let story = |hit: &str, sees_it_appear: bool, knows_the_population: bool| {
        let mut story = Story::new(15_000, 25_000);
        story.probe("ride", 100.0);
        if knows_the_population {
            story.extra.push(planned.clone());
        }
        story.bare_kill(11_000, Outcome::Killed);
        story.call(12_500, Outcome::Killed);
        let Some(Event::Kill(kill)) = story.extra.last_mut() else { panic!("a kill was added") };
        kill.victim.pod = hit.into();
        kill.victim.uid = hit.into();
        if sees_it_appear {
            story.sight(11_010, PodChange::Created, hit, hit);
        }
        story.sight(12_550, PodChange::Deleted, "other", "other");
        story.replace(12_510, 300);
        story.events()
    };
    for (sees_it_appear, created) in [(true, ms(11_010)), (false, ms(12_500))] {
        let events = story("replacement", sees_it_appear, true);
        let evidence = evidence(&events).unwrap();
        let replacement = evidence.timelines[0].replacement.as_ref().unwrap();
        assert_eq!((replacement.uid, replacement.created), ("replacement", created));
        assert_eq!(replacement.ready, Some(ms(12_500)), "at the latest when it was hit");
        assert_eq!(evidence.timelines[1].ready(), Some(ms(12_810)));
        assert_eq!(spans(&evidence), [(10_000, 12_500), (12_500, 25_000)]);
    }
    // One that was there from the start replaced nobody; and without a population nobody knows what was.
    for (hit, knows_the_population) in [("pod-1", true), ("replacement", false)] {
        let events = story(hit, false, knows_the_population);
        let evidence = evidence(&events).unwrap();
        assert_eq!(evidence.timelines[0].ready(), Some(ms(12_810)), "{hit}");
        assert_eq!((evidence.timelines[1].ready(), evidence.trials.len()), (None, 1), "{hit}");
    }
}

#[test]
fn a_pod_that_is_sighted_after_its_own_kill_stands_for_none_that_came_later() {
    let mut story = Story::new(15_000, 25_000);
    story.probe("ride", 100.0);
    story.bare_kill(11_000, Outcome::Killed);
    story.call(12_500, Outcome::Killed);
    let Some(Event::Kill(kill)) = story.extra.last_mut() else { panic!("a kill was added") };
    (kill.victim.pod, kill.victim.uid) = ("late".into(), "late".into());
    story.bare_kill(13_000, Outcome::Killed);
    story.replace(12_510, 300);
    story.replace(13_010, 890);
    story.sight(13_600, PodChange::Created, "late", "late");
    story.sight(13_700, PodChange::Ready, "late", "late");
    let events = story.events();
    let evidence = evidence(&events).unwrap();
    let replacements = evidence.timelines.iter().map(|timeline| timeline.replacement.as_ref().unwrap());
    let told: Vec<_> = replacements.map(|new| (new.uid, new.created, new.ready)).collect();
    let expected = [
        ("late", ms(12_500), Some(ms(12_500))),
        ("new-12510", ms(12_510), Some(ms(12_810))),
        ("new-13010", ms(13_010), Some(ms(13_900))),
    ];
    assert_eq!(told, expected);
}

#[test]
fn only_pods_that_were_really_killed_open_a_window() {
    let mut story = Story::new(16_000, 26_000);
    story.probe("ride", 100.0);
    story.kill(11_000, 300);
    story.bare_kill(12_000, Outcome::Blocked);
    story.bare_kill(12_500, Outcome::Gone);
    story.bare_kill(13_000, Outcome::WouldKill);
    story.bare_kill(13_500, Outcome::Failed);
    story.bare_kill(14_000, Outcome::Unknown);
    let seen = story.bare_kill(15_000, Outcome::Unknown);
    story.sight(15_010, PodChange::Terminating, &seen.pod, &seen.uid);
    let events = story.events();
    assert_eq!(spans(&evidence(&events).unwrap()), [(10_000, 15_000), (15_000, 26_000)]);
}

#[test]
fn exposure_is_a_request_that_reached_the_victim_within_five_seconds() {
    for (served, expected) in [
        (Some(20_000), Exposure::Yes),
        (Some(15_000), Exposure::Yes),
        (Some(14_999), Exposure::No),
        (Some(20_001), Exposure::No),
        (None, Exposure::No),
    ] {
        let mut story = Story::new(25_000, 35_000);
        story.probe("ride", 100.0);
        let victim = story.bare_kill(20_000, Outcome::Killed);
        story.replace(20_010, 100);
        if let Some(at) = served {
            story.serve(&victim.pod, at);
        }
        story.serve("another", 19_999);
        let events = story.events();
        let evidence = evidence(&events).unwrap();
        assert_eq!(evidence.loads[0].exposure, [expected], "{served:?}");
    }
}

#[test]
fn a_request_served_by_an_earlier_pod_of_that_name_is_no_exposure() {
    let mut story = Story::new(25_000, 35_000);
    story.probe("ride", 100.0);
    let victim = story.bare_kill(20_000, Outcome::Killed);
    story.serve(&victim.pod, 18_000);
    story.sight(19_000, PodChange::Created, &victim.pod, &victim.uid);
    let events = story.events();
    assert_eq!(evidence(&events).unwrap().loads[0].exposure, [Exposure::No]);
}

#[test]
fn without_a_way_to_know_exposure_is_unknown() {
    let mut story = Story::with_kills(1);
    story.schedules[0].exposure_known = false;
    let events = story.events();
    assert_eq!(evidence(&events).unwrap().loads[0].trials[0].exposure, Exposure::Unknown);
}

#[test]
fn a_failure_of_a_late_request_says_nothing_about_the_system() {
    let mut story = Story::with_kills(1);
    for class in [BadClass::Refused, BadClass::Slow, BadClass::Late, BadClass::Unsent, BadClass::UnknownOutcome] {
        story.lose(11_500, 1, class);
        let slot = story.bad.last_mut().unwrap();
        slot.lag = Some(50_000_001);
        let events = story.events();
        let counts = evidence(&events).unwrap().loads[0].trials[0].counts;
        assert_eq!((counts.failed, counts.slow, counts.unknown), (0, 0, 1), "{class:?}");
        story.bad.clear();
    }
    story.lose(11_500, 1, BadClass::Refused);
    story.bad[0].lag = Some(50_000_000);
    let events = story.events();
    assert_eq!(evidence(&events).unwrap().loads[0].trials[0].counts.failed, 1);
}

#[test]
fn slots_that_nobody_recorded_are_unknown() {
    let mut events = Story::with_kills(2).events();
    events.retain(|event| !matches!(event, Event::Bin(bin) if bin.at == ms(12_000)));
    let counts: Vec<_> = evidence(&events).unwrap().loads[0].trials.iter().map(|t| t.counts.unknown).collect();
    assert_eq!(counts, [0, 100]);
}

#[test]
fn a_probe_that_stops_just_before_the_end_was_stopped_in_order() {
    let whole = Story::with_kills(1).events();
    let without_last = |seconds: u64| {
        let mut events = whole.clone();
        events.retain(|event| !matches!(event, Event::Bin(bin) if bin.at >= ms(22_000 - seconds * 1_000)));
        events
    };
    let unknown = |events: &[Event]| evidence(events).unwrap().loads[0].judged.unknown;
    assert_eq!(unknown(&without_last(1)), 0);
    assert!(unknown(&without_last(2)) >= 100);
}

#[test]
fn the_worst_outage_is_the_longest_run_of_failures_in_time() {
    let mut story = Story::with_kills(3);
    story.lose(11_000, 5, BadClass::Reset);
    story.lose(12_000, 20, BadClass::Refused);
    story.lose(12_200, 3, BadClass::Unsent);
    story.lose(12_230, 7, BadClass::Timeout);
    story.lose(13_000, 25, BadClass::Slow);
    let events = story.events();
    let outage = evidence(&events).unwrap().loads[0].worst_outage.unwrap();
    assert_eq!((outage.start_us, outage.duration_us, outage.requests), (12_000_000, 300_000, 27));
}

#[test]
fn the_timeline_of_a_trial_ends_with_the_first_success_after_the_last_failure() {
    let mut story = Story::with_kills(2);
    story.lose(11_020, 2, BadClass::Reset);
    story.lose(11_060, 1, BadClass::Reset);
    let events = story.events();
    let evidence = evidence(&events).unwrap();
    let trial = evidence.loads[0].trials[0];
    assert_eq!(
        (trial.first_failure, trial.last_failure, trial.first_success),
        (Some(ms(11_020)), Some(ms(11_060)), Some(ms(11_070)))
    );
    assert_eq!(evidence.timelines[0].terminating, Some(ms(11_005)));
    assert_eq!(evidence.timelines[0].endpoint_out, Some(ms(11_020)));
}

#[test]
fn a_record_that_contradicts_itself_is_an_error() {
    let mut story = Story::with_kills(1);
    story.lose(11_020, 2, BadClass::Reset);
    let whole = story.events();
    assert!(evidence(&whole).is_ok());
    assert_eq!(evidence(&whole[1..]).unwrap_err(), EvidenceError::NoStart);

    let mut lost_bad = whole.clone();
    lost_bad.remove(whole.iter().position(|event| matches!(event, Event::Bad(_))).unwrap());
    assert!(matches!(evidence(&lost_bad), Err(EvidenceError::BinMismatch { expected: 2, found: 1, .. })));

    let mut moved = story.clone();
    moved.bad[0].due = ms(11_500);
    assert!(matches!(evidence(&moved.events()), Err(EvidenceError::DueTime { slot: 1_102, .. })));

    let mut nobody = whole.clone();
    nobody.retain(|event| !matches!(event, Event::Schedule(_)));
    assert!(matches!(evidence(&nobody), Err(EvidenceError::NoSchedule { .. })));

    let mut twice = story.clone();
    twice.probe("ride", 50.0);
    assert!(matches!(evidence(&twice.events()), Err(EvidenceError::TwoSchedules { .. })));

    let mut still = story;
    still.schedules[0].rate = 0.0;
    assert!(matches!(evidence(&still.events()), Err(EvidenceError::BadRate { .. })));
}

#[test]
fn an_outage_that_heals_still_counts_with_poisson_arrivals() {
    let mut story = Story::new(40_000, 50_000);
    story.probe("ride", 200.0);
    story.schedules[0].poisson_seed = Some(9);
    for at in [12_000, 20_000, 30_000] {
        story.kill(at, 300);
    }
    story.lose(20_000, 60, BadClass::Timeout);
    let events = story.events();
    let evidence = evidence(&events).unwrap();
    let failed: Vec<u64> = evidence.loads[0].trials.iter().map(|t| t.counts.failed).collect();
    assert_eq!(failed, [0, 60, 0]);
    let outage = evidence.loads[0].worst_outage.unwrap();
    assert_eq!(outage.requests, 60);
    assert!((outage.duration_us as f64 / 1e6 - 0.3).abs() < 0.15, "{outage:?}");
}

//! Events in, decisions out.

use super::Decision::{Crossed, Held, Undecided};
use super::*;
use crate::record::{BadClass, BadSlot, Bin, Event, ProbeSchedule, RunTime};
use crate::verdict::ExitCode;

/// A hundred samples of one second: `slow` of them took 200 ms, the others 10 ms; then these were not good.
fn flow(slow: u64, bad: &[(u64, BadClass)]) -> FlowFold {
    let mut fold = LoadFold::default();
    fold.take(&Event::Schedule(ProbeSchedule {
        probe: "p".into(),
        first_due: RunTime(0),
        rate: 100.0,
        stages: Vec::new(),
        poisson_seed: None,
        max_lag: 50_000_000,
        latency_bound: None,
        exposure_known: false,
    }));
    let (mut fast, mut unsent, mut silent) = (100 - slow, 0, 0);
    for (slot, class) in bad {
        let latency = class.has_latency().then_some(9_900_000);
        fast -= u64::from(latency.is_none());
        unsent += u64::from(*class == BadClass::Unsent);
        silent += u64::from(latency.is_none());
        let (probe, detail) = ("p".to_owned(), format!("{class:?}"));
        let lag = (*class != BadClass::Unsent).then_some(1_000);
        let (due, failed_after) = (RunTime(0), None);
        fold.take(&Event::Bad(BadSlot { probe, slot: *slot, due, lag, latency, failed_after, class: *class, detail }));
    }
    assert!(silent <= 100 - slow);
    let latency = [(10_000, fast), (200_000, slow)].into_iter().filter(|(_, count)| *count > 0).collect();
    let (probe, at, good) = ("p".to_owned(), RunTime(0), 100 - bad.len() as u64);
    fold.take(&Event::Bin(Bin { probe, first_slot: 0, slots: 100, at, good, latency, lag: vec![(40, 100 - unsent)] }));
    fold.flows()[0].clone()
}

fn decision(threshold: &str, flow: &FlowFold) -> Decision {
    decide(&threshold.parse().unwrap(), flow, 1.0).decision
}

#[test]
fn a_quantile_is_one_of_all_requests() {
    let slow = flow(1, &[]);
    for (threshold, expected) in [
        ("p99<10.001ms", Decision::Held),
        ("p99<=10ms", Decision::Held),
        // What counts as 10 ms took from 9.937 ms on: see the buckets of a recorder.
        ("p99<10ms", Decision::Undecided),
        ("p99<9.937ms", Decision::Crossed),
        ("lag-p99<=40us", Decision::Held),
        ("lag-p99<40us", Decision::Crossed),
        ("p99.1<100ms", Decision::Crossed),
        ("max<=200ms", Decision::Held),
    ] {
        assert_eq!(decision(threshold, &slow), expected, "{threshold}");
    }
    // Two refusals in no time do not make the others' 99th percentile.
    let refusing = flow(0, &[(3, BadClass::Refused), (4, BadClass::Status)]);
    assert_eq!(decision("p98<11ms", &refusing), Decision::Held);
    assert_eq!(decision("p99<11ms", &refusing), Decision::Crossed);
    assert_eq!(decide(&"p99<11ms".parse().unwrap(), &refusing, 1.0).found, "only 98 of 100 were answered well");
}

#[test]
fn bad_answers_are_taken_out_of_the_latencies() {
    let summary = flow(2, &[(3, BadClass::Status), (4, BadClass::Late)]).summary(1.0, &[]);
    assert_eq!((summary.latency.count, summary.good, summary.failed, summary.late), (98, 98, 1, 1));
    assert_eq!((summary.latency.p50_us, summary.latency.max_us, summary.lag.count), (10_000, 200_000, 100));
}

#[test]
fn what_is_not_known_can_only_leave_it_undecided() {
    let unknown = flow(0, &[(1, BadClass::Unsent), (2, BadClass::UnknownOutcome), (3, BadClass::Refused)]);
    for (threshold, expected) in [
        ("success>99.5%", Decision::Crossed),
        ("success>98%", Decision::Undecided),
        ("success>=97%", Decision::Held),
        ("failed<1%", Decision::Crossed),
        ("failed<2%", Decision::Undecided),
        ("failed<=3%", Decision::Held),
        ("failures<1", Decision::Crossed),
        ("failures<3", Decision::Undecided),
        ("failures<4", Decision::Held),
        ("rate>99/s", Decision::Crossed),
        ("rate>98/s", Decision::Undecided),
        ("rate>=97/s", Decision::Held),
        ("p99<1s", Decision::Undecided),
        ("p97<1s", Decision::Held),
        ("max<1s", Decision::Crossed),
        ("unknown<3", Decision::Held),
        ("unknown<2", Decision::Crossed),
        ("lag-p99<1ms", Decision::Held),
        ("lag-max<1ms", Decision::Crossed),
        ("lag-p50<40us", Decision::Crossed),
    ] {
        assert_eq!(decision(threshold, &unknown), expected, "{threshold}");
    }
}

#[test]
fn nothing_measured_decides_nothing() {
    let mut fold = LoadFold::default();
    fold.take(&Event::Schedule(flow(0, &[]).schedule().clone()));
    for threshold in ["p99<1s", "success>1%", "failures<1", "unknown<1", "failed<50%"] {
        assert_eq!(decision(threshold, &fold.flows()[0]), Decision::Undecided, "{threshold}");
    }
}

#[test]
fn causes_are_bounded_and_the_most_frequent_comes_first() {
    let mut fold = LoadFold::default();
    fold.take(&Event::Schedule(flow(0, &[]).schedule().clone()));
    for slot in 0..1_000 {
        let detail = if slot % 2 == 0 { "the same".to_owned() } else { format!("answer {slot}") };
        let (probe, class) = ("p".to_owned(), BadClass::Body);
        let (due, lag, latency) = (RunTime(slot), Some(0), None);
        fold.take(&Event::Bad(BadSlot { probe, slot, due, lag, latency, failed_after: None, class, detail }));
    }
    let causes = fold.flows()[0].summary(1.0, &[]).causes;
    assert_eq!(causes.iter().map(|cause| cause.count).sum::<u64>(), 1_000);
    assert!(causes.len() <= 22 && causes[0].detail == "the same" && causes[1].detail == "other causes", "{causes:?}");
}

#[test]
fn the_worst_decides_the_exit_code() {
    let judged = |decisions: &[Decision]| -> Vec<JudgedThreshold> {
        let of = |decision: &Decision| JudgedThreshold {
            flow: "p".into(),
            threshold: "t".into(),
            decision: *decision,
            found: String::new(),
        };
        decisions.iter().map(of).collect()
    };
    for (decisions, due, stopped, expected) in [
        (&[][..], 1, false, ExitCode::Held),
        (&[Held], 1, false, ExitCode::Held),
        (&[Held, Undecided], 1, false, ExitCode::Inconclusive),
        (&[Undecided, Crossed], 1, false, ExitCode::Failed),
        (&[Held], 1, true, ExitCode::Stopped),
        (&[Crossed], 1, true, ExitCode::Failed),
        (&[], 0, false, ExitCode::InvalidRun),
        (&[Undecided], 0, false, ExitCode::InvalidRun),
        (&[], 0, true, ExitCode::Stopped),
    ] {
        assert_eq!(exit_code(&judged(decisions), due, stopped), expected, "{decisions:?} {due} {stopped}");
    }
}

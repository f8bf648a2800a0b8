//! Records with numbers that no run writes: they are judged all the same, at once and without a panic.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::{Value, json};

use super::advice::healthy;
use super::runs::{decided, harmless, ready, spec};
use crate::api::{Outcome, SkipRecord};
use crate::evidence::evidence;
use crate::evidence::fixture::{Story, ms};
use crate::record::{BadClass, Event, Phase, RateStage, RunTime, StopCause};
use crate::verdict::{JudgeSpec, JudgedBy, ProbeSpec, ReasonCode, judge};

/// The ends of what can stand where a number does.
fn extremes() -> [Value; 9] {
    [
        json!(0),
        json!(1),
        json!(-1),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX - 1),
        json!(u64::MAX),
        json!(f64::MAX),
        json!(f64::MIN_POSITIVE),
    ]
}

/// A short run with every kind of event, a ramp and Poisson arrivals.
fn whole() -> Vec<Event> {
    let mut story = Story::new(13_000, 15_000);
    story.probe("ride", 10.0);
    story.schedules[0].stages = vec![RateStage { span: 2_000_000_000, to: 20.0 }];
    story.probe("eta", 10.0);
    story.schedules[1].poisson_seed = Some(9);
    story.kill(11_000, 300);
    story.kill(12_000, 300);
    let victim = story.bare_kill(12_500, Outcome::Killed);
    story.lose(11_000, 3, BadClass::Reset);
    story.lose_of("eta", 12_000, 2, BadClass::Slow);
    for bad in &mut story.bad {
        (bad.latency, bad.failed_after) = (Some(1_000), Some(2_000));
    }
    story.sample(12_000, Some(true));
    story.check(7, &["ride 17 is gone"]);
    story.stop(StopCause::Signal { name: "SIGINT".into() });
    let population = healthy();
    let eligible = population.pods.iter().map(|pod| pod.uid.clone()).collect();
    let skip = SkipRecord {
        strike: 3,
        group: "Deployment/trips".into(),
        at: MicroTime(population.taken_at),
        reason: "RolloutInProgress".into(),
        message: "a new generation is not observed yet".into(),
    };
    story.extra.extend([
        Event::Planned { at: ms(1), population: Box::new(population), eligible, excluded: Vec::new() },
        Event::Intent { at: ms(12_400), strike: 2, nonce: "nonce-2".into(), victim },
        Event::Skipped { at: ms(12_600), skip },
        Event::PutOff { at: ms(12_700), strike: 4, reason: "NotRecovered".into() },
        Event::Clock { at: ms(12_800), offset: -5, uncertainty: 7 },
        Event::Blind { at: ms(12_800), cause: "out of reach".into() },
        Event::Sight { at: ms(12_900) },
        Event::Note { at: ms(12_900), text: "a note".into() },
        Event::Told { exit_code: 1, reason_code: "SloRefuted".into(), reason_text: "refuted".into() },
    ]);
    let mut events = story.events();
    events.push(Event::Finished { at: ms(15_000), exit_code: 5 });
    events
}

/// The same, as it lies there when whoever drove it died.
fn torn() -> Vec<Event> {
    let is_end = |event: &Event| {
        matches!(event, Event::Phase { phase: Phase::WindDown, .. } | Event::WoundDown { .. } | Event::Finished { .. })
    };
    whole().into_iter().filter(|event| !is_end(event)).collect()
}

fn spec_of_all() -> JudgeSpec {
    let mut spec = spec(harmless());
    let eta = ProbeSpec { name: "eta".into(), ..spec.probes[0].clone() };
    let ready = ProbeSpec { name: "ready".into(), judged_by: ready("1s") };
    let ledger = ProbeSpec { name: "ledger".into(), judged_by: JudgedBy::Invariants { after_fault: true } };
    spec.probes.extend([eta, ready, ledger]);
    spec
}

/// Where the numbers of a value stand.
fn numbers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, item)| numbers(item, &format!("{at}/{i}"), found));
        }
        Value::Object(fields) => fields.iter().for_each(|(name, field)| numbers(field, &format!("{at}/{name}"), found)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn no_number_in_any_event_stops_a_judgement() {
    let spec = spec_of_all();
    let mut tried = 0;
    for record in [whole(), torn()] {
        assert!(evidence(&record).is_ok());
        for (index, event) in record.iter().enumerate() {
            let written = serde_json::to_value(event).unwrap();
            let mut places = Vec::new();
            numbers(&written, "", &mut places);
            for (place, extreme) in places.iter().flat_map(|place| extremes().map(|extreme| (place, extreme))) {
                let mut changed = written.clone();
                *changed.pointer_mut(place).unwrap() = extreme;
                // What is no event any more is not read at all.
                let Ok(event) = Event::from_json(changed.to_string().as_bytes()) else { continue };
                let mut events = record.clone();
                events[index] = event;
                judge(&spec, &events);
                tried += 1;
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn a_record_of_centuries_is_not_counted_slot_by_slot() {
    let endless = |change: fn(&mut Event)| {
        let mut story = Story::with_kills(1);
        story.wound_down = None;
        let mut events = story.events();
        events.retain(|event| !matches!(event, Event::Phase { phase: Phase::WindDown, .. }));
        events.push(Event::Note { at: RunTime(u64::MAX), text: "in the year 2610".into() });
        events.iter_mut().for_each(change);
        decided(&judge(&spec(harmless()), &events), ReasonCode::RecordInconsistent);
    };
    endless(|_| {});
    // Not even where every second claims to hold them all, or the rate is none.
    endless(|event| {
        if let Event::Bin(bin) = event {
            (bin.slots, bin.good) = (u64::MAX, u64::MAX);
        }
    });
    endless(|event| {
        if let Event::Schedule(schedule) = event {
            schedule.stages = vec![RateStage { span: u64::MAX, to: f64::MAX }];
        }
    });
}

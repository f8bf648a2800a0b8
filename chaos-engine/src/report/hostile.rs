//! Journals with numbers that no run writes: every output is made of them all the same, at once, small and without a panic.

use std::collections::BTreeSet;

use chaos_core::model::Experiment;
use chaos_core::record::{Event, Phase, RunTime};
use chaos_core::replay::replay;
use chaos_core::verdict::{JudgeSpec, judge};
use serde_json::{Value, json};

use super::golden::{operated, stopped, whole};
use super::sample::experiment;
use super::terminal::Medium;
use super::{github, html, json, junit, markdown, terminal};

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

/// Makes every output, and says how long the page for people is.
fn rendered(experiment: &Experiment, events: &[Event]) -> usize {
    // A record without a population cannot be planned again, and says so.
    let _ = replay(experiment, events);
    let result = judge(&JudgeSpec::from(experiment), events);
    json::render(&result).unwrap();
    junit::render(&result).unwrap();
    markdown::render(&result);
    github::render(&result);
    terminal::render(&result, Medium::Screen);
    html::render(&result).len()
}

#[test]
fn no_number_in_a_journal_stops_a_report() {
    let experiment = experiment();
    for record in [whole(), stopped(), operated()] {
        let usual = rendered(&experiment, &record);
        let mut seen = BTreeSet::new();
        // The first of each kind: the others are like it.
        for (index, event) in record.iter().enumerate().filter(|(_, event)| seen.insert(event.name())) {
            let written = serde_json::to_value(event).unwrap();
            let mut places = Vec::new();
            numbers(&written, "", &mut places);
            for place in places {
                for extreme in [json!(0), json!(-1), json!(i64::MAX), json!(u64::MAX), json!(f64::MAX)] {
                    let mut changed = written.clone();
                    *changed.pointer_mut(&place).unwrap() = extreme.clone();
                    let Ok(event) = Event::from_json(changed.to_string().as_bytes()) else { continue };
                    let mut events = record.clone();
                    events[index] = event;
                    let length = rendered(&experiment, &events);
                    assert!(length < 2 * usual, "{place} of {} is {extreme}: {length} bytes", record[index].name());
                }
            }
        }
    }
}

#[test]
fn a_drawing_of_centuries_has_few_ticks() {
    let mut record = whole();
    record.retain(|event| match event {
        Event::Bad(_) => false,
        Event::Bin(bin) => bin.first_slot == 0,
        _ => true,
    });
    for event in &mut record {
        match event {
            // One request in three years, and an answer to the first.
            Event::Schedule(schedule) => schedule.rate = 1e-8,
            Event::Bin(bin) => (bin.slots, bin.good) = (1, 1),
            Event::Phase { at, phase: Phase::WindDown } => *at = RunTime(u64::MAX),
            _ => {}
        }
    }
    let experiment = experiment();
    assert!(rendered(&experiment, &record) < 2 * rendered(&experiment, &whole()));
}

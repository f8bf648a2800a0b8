//! How fast victims are chosen and evidence becomes verdicts and reports, each beside the least that a program could do there.
//! `cargo bench -p chaos-engine --bench evidence`. Leaves the journal of a made-up hour at 1,000 requests a second with 1,000
//! kills in `target/tmp/hour.chaos`, for `chaos report`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a bench fails by panicking; criterion's macros have no documentation"
)]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use chaos_core::population::{PodFacts, Population};
use chaos_core::record::Event;
use chaos_core::victims::victim;
use chaos_engine::journal::{self, JournalWriter, Redactor};
use chaos_engine::recorder::Recorder;
use chaos_engine::report::{html, json, junit, markdown};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;

#[allow(dead_code, reason = "tests of reports use more of it")]
#[path = "../src/report/sample.rs"]
mod sample;

use sample::Size;

/// A million requests, a thousand kills.
const MILLION: Size = Size { kills: 1_000, every_ms: 980, rate: 1_000, buckets: 100 };
/// An hour at 1,000 requests a second.
const HOUR: Size = Size { kills: 1_000, every_ms: 3_579, rate: 1_000, buckets: 100 };
/// Events that are put onto the journal's queue before waiting for the disk.
const BATCH: usize = 20_000;

/// Every third kill costs up to 48 requests.
fn events(size: Size) -> Vec<Event> {
    let losses: Vec<(u64, u64)> = (0..size.kills).step_by(3).map(|kill| (kill, 6 + kill % 8 * 6)).collect();
    sample::events(size, &losses)
}

fn victims(criterion: &mut Criterion) {
    let events = events(MILLION);
    let Some(Event::Planned { population, .. }) = events.get(1) else { panic!("the plan is the second event") };
    let of = |number: u32| PodFacts { uid: format!("{number:032x}"), ..population.pods[0].clone() };
    let population = Population { pods: (0..10_000).map(of).collect(), ..Population::clone(population) };
    let pods: Vec<&PodFacts> = population.pods.iter().collect();
    let mut group = criterion.benchmark_group("victims of 10,000 pods");
    group.bench_function("one drawn by hash", |bench| {
        let mut strike = 0;
        bench.iter(|| {
            strike += 1;
            victim(7, strike, black_box(&pods))
        });
    });
    group.bench_function("least: shuffled", |bench| {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        bench.iter(|| {
            let mut pods = black_box(&pods).clone();
            pods.shuffle(&mut rng);
            pods
        });
    });
    group.finish();
}

fn verdicts(criterion: &mut Criterion) {
    let events = events(MILLION);
    let mut group = criterion.benchmark_group("a million requests, a thousand kills");
    group.sample_size(20);
    group.bench_function("judged", |bench| bench.iter(|| sample::judged(black_box(&events))));
    group.bench_function("least: events copied", |bench| bench.iter(|| black_box(&events).clone()));
    group.finish();
}

fn journals(criterion: &mut Criterion) {
    let (path, events) = hour();
    let payloads: Vec<Vec<u8>> = events.iter().map(|event| serde_json::to_vec(event).unwrap()).collect();
    let mut group = criterion.benchmark_group("the journal of an hour at 1,000 requests a second");
    group.sample_size(20).throughput(Throughput::Elements(events.len() as u64));
    // To forget it again is no part of reading it.
    group.bench_function("read", |bench| bench.iter_with_large_drop(|| journal::read(black_box(&path)).unwrap()));
    group.bench_function("least: its JSON read as values", |bench| {
        bench.iter_with_large_drop(|| {
            let parse = |payload: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(payload).unwrap();
            payloads.iter().map(parse).collect::<Vec<_>>()
        });
    });
    group.finish();
}

fn reports(criterion: &mut Criterion) {
    let result = sample::judged(&events(HOUR));
    eprintln!("the report of an hour: {} bytes", html::render(&result).len());
    let mut group = criterion.benchmark_group("an hour at 1,000 requests a second");
    group.sample_size(20);
    group.bench_function("HTML", |bench| bench.iter(|| html::render(black_box(&result))));
    group.bench_function("JSON, JUnit, Markdown", |bench| {
        bench.iter(|| {
            let result = black_box(&result);
            (json::render(result).unwrap(), junit::render(result).unwrap(), markdown::render(result))
        });
    });
    group.finish();
}

/// Writes the journal of an hour.
fn hour() -> (PathBuf, Vec<Event>) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hour.chaos");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{}: {error}", path.display()),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let recorder = Recorder::with_journal(JournalWriter::create(&path).unwrap(), Redactor::default());
    let events = events(HOUR);
    for batch in events.chunks(BATCH) {
        let (last, others) = batch.split_last().unwrap();
        others.iter().for_each(|event| recorder.record(event.clone()));
        runtime.block_on(recorder.record_durably(last.clone())).unwrap();
    }
    (path, events)
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    targets = victims, verdicts, journals, reports
}
criterion_main!(benches);

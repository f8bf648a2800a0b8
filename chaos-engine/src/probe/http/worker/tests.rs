//! The generator's own weakness: whatever holds it up, it must not be the system's failure.

use std::time::Duration;

use chaos_core::record::{BadSlot, Event, ProbeSchedule, RunTime};
use tokio::sync::mpsc;

use chaos_core::model::HttpVersion;

use super::super::{HttpPlan, LoadContext, StepPlan};
use super::*;
use crate::journal::Redactor;
use crate::probe::Trust;
use crate::recorder::Recorder;

fn lane(context: &LoadContext, url: &str, timeout: Duration) -> (ProbeSchedule, Lane) {
    let plan = HttpPlan {
        name: "p".into(),
        origin: url.parse().unwrap(),
        steps: vec![StepPlan::get("/".parse().unwrap())],
        rate: 100.0,
        stages: Vec::new(),
        poisson: false,
        timeout,
        max_lag: Duration::from_millis(50),
        latency_bound: Some(Duration::from_millis(100)),
        within: None,
        keep_alive: true,
        version: HttpVersion::Http1,
        trust: Trust::default(),
        server_name: None,
        exposure: None,
    };
    let schedule = ProbeSchedule {
        probe: "p".into(),
        first_due: context.clock.now(),
        rate: plan.rate,
        stages: Vec::new(),
        poisson_seed: None,
        max_lag: 50_000_000,
        latency_bound: Some(100_000_000),
        exposure_known: false,
    };
    let ledger = Ledger::new(&schedule, context.recorder.clone());
    (schedule.clone(), Lane::new(schedule.due_times(), ledger, Exchange::new(plan, context).unwrap()))
}

fn context() -> LoadContext {
    LoadContext { recorder: Recorder::in_memory(Redactor::default()), clock: RunClock::start(), seed: 0, run: 0 }
}

fn bad(recorder: &Recorder) -> Vec<BadSlot> {
    recorder
        .events()
        .into_iter()
        .filter_map(|event| if let Event::Bad(bad) = event { Some(bad) } else { None })
        .collect()
}

/// Answers one request on each connection, each after `delay`, from a thread of its own that nobody holds up.
fn server(delay: Duration) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                use std::io::{Read as _, Write as _};
                let (mut stream, mut request) = (stream, [0; 4096]);
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    std::thread::sleep(delay);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_generator_that_is_held_up_blames_nobody() {
    let context = context();
    let (_, lane) = lane(&context, &server(Duration::from_millis(20)), Duration::from_millis(200));
    let (send, receive) = mpsc::channel(1_000);
    let worker = tokio::spawn(Worker::new(context.clock, vec![lane]).run(receive));
    // A request is under way when the thread is taken away for longer than its timeout, with slots that wait meanwhile.
    send.send(Order::Send { lane: 0, slot: 0 }).await.unwrap();
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    std::thread::sleep(Duration::from_millis(500));
    for slot in 1..40 {
        send.send(Order::Send { lane: 0, slot }).await.unwrap();
    }
    send.send(Order::End { slots: vec![40] }).await.unwrap();
    worker.await.unwrap();
    let bad = bad(&context.recorder);
    let classes: std::collections::BTreeSet<_> = bad.iter().map(|bad| bad.class).collect();
    assert!(bad.iter().all(|bad| bad.class.is_unknown()), "{bad:?}");
    assert!(classes.contains(&BadClass::Late) && bad.len() >= 39, "{classes:?}");
}

#[tokio::test]
async fn slots_that_never_arrived_or_are_too_old_are_unsent() {
    let context = context();
    let (schedule, lane) = lane(&context, &server(Duration::ZERO), Duration::from_secs(5));
    let (send, receive) = mpsc::channel(1_000);
    let old = RunTime(schedule.first_due.0.saturating_sub(2_000_000_000));
    let lane = Lane { due: ProbeSchedule { first_due: old, ..schedule }.due_times(), ..lane };
    // The clock started just now: a due time before it is as old as the start.
    send.send(Order::Send { lane: 0, slot: 3 }).await.unwrap();
    send.send(Order::End { slots: vec![6] }).await.unwrap();
    Worker::new(context.clock, vec![lane]).run(receive).await;
    let unsent: Vec<_> =
        bad(&context.recorder).into_iter().filter(|bad| bad.class == BadClass::Unsent).map(|bad| bad.slot).collect();
    assert!([[0, 1, 2].as_slice(), &[4, 5]].concat().iter().all(|slot| unsent.contains(slot)), "{unsent:?}");
    let bins = context.recorder.events().into_iter();
    let slots: u64 = bins.filter_map(|event| if let Event::Bin(bin) = event { Some(bin.slots) } else { None }).sum();
    assert_eq!(slots, 6);
}

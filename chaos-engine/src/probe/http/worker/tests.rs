//! The generator's own weakness: whatever holds it up, it must not be the system's failure.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chaos_core::record::{BadSlot, Event, ProbeSchedule, RunTime};
use tokio::sync::oneshot;

use chaos_core::model::HttpVersion;

use super::super::{HttpPlan, LoadContext, StepPlan, schedule};
use super::*;
use crate::journal::Redactor;
use crate::probe::Trust;
use crate::recorder::Recorder;

/// A hundred requests a second.
fn plan(url: &str, timeout: Duration) -> HttpPlan {
    HttpPlan {
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
    }
}

/// The probe of a plan, from now on.
fn lane(context: &LoadContext, plan: HttpPlan) -> (ProbeSchedule, Lane) {
    let schedule = schedule(&plan, context.clock.now(), 0);
    let ledger = Ledger::new(&schedule, context.recorder.clone());
    (schedule, Lane::new(ledger, Exchange::new(plan, context).unwrap()))
}

/// Gives the slots of the first so many milliseconds.
fn pacer(context: &LoadContext, schedule: &ProbeSchedule, millis: u64) -> (oneshot::Sender<RunTime>, Pacer) {
    let (stop, stopped) = oneshot::channel();
    let end = RunTime(schedule.first_due.0 + millis * 1_000_000);
    (stop, Pacer::new(vec![schedule.due_times()], Some(end), stopped, context.clock).unwrap())
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

fn slots(recorder: &Recorder) -> u64 {
    recorder
        .events()
        .into_iter()
        .filter_map(|event| if let Event::Bin(bin) = event { Some(bin.slots) } else { None })
        .sum()
}

/// Answers each request after `delay`, from threads of its own that nobody holds up. Counts them.
fn server(delay: Duration) -> (String, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || {
                use std::io::{Read as _, Write as _};
                let (mut stream, mut request) = (stream, [0; 4096]);
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    counter.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(delay);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                }
            });
        }
    });
    (url, seen)
}

#[tokio::test]
async fn a_generator_that_is_held_up_blames_nobody() {
    let context = context();
    let (url, seen) = server(Duration::from_millis(20));
    let (schedule, lane) = lane(&context, plan(&url, Duration::from_millis(200)));
    let (_running, pacer) = pacer(&context, &schedule, 400);
    let worker = tokio::spawn(Worker::new(context.clock, vec![lane]).run(pacer));
    // A request is under way when the thread is taken away for longer than its timeout; all others become due meanwhile.
    while seen.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    std::thread::sleep(Duration::from_millis(500));
    worker.await.unwrap();
    let bad = bad(&context.recorder);
    let classes: BTreeSet<_> = bad.iter().map(|bad| bad.class).collect();
    assert!(bad.iter().all(|bad| bad.class.is_unknown()), "{bad:?}");
    assert_eq!(slots(&context.recorder), 40);
    assert!(classes.contains(&BadClass::Late) && bad.len() >= 38, "{classes:?}");
}

#[tokio::test]
async fn what_fails_because_the_machine_slept_blames_nobody() {
    let hour = Duration::from_secs(3_600);
    for (slept, class) in [(Duration::ZERO, BadClass::Refused), (hour, BadClass::UnknownOutcome)] {
        let context = context();
        // Nobody listens there any more.
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (schedule, lane) = lane(&context, plan(&format!("http://{nobody}"), Duration::from_secs(5)));
        let (_running, pacer) = pacer(&context, &schedule, 50);
        Worker::new(context.clock.after_sleep(slept), vec![lane]).run(pacer).await;
        let bad = bad(&context.recorder);
        assert!(bad.len() == 5 && bad.iter().all(|bad| bad.class == class), "{bad:?}");
    }
}

#[tokio::test]
async fn an_answer_that_only_its_lag_makes_slow_blames_nobody() {
    for (delay, within, class) in [
        (20, None, BadClass::UnknownOutcome),
        (20, Some(Duration::from_millis(100)), BadClass::UnknownOutcome),
        (600, None, BadClass::Slow),
        (600, Some(Duration::from_millis(100)), BadClass::TooSlow),
    ] {
        let context = context();
        let (url, _) = server(Duration::from_millis(delay));
        // More lag is tolerated than the promise has milliseconds.
        let plan = HttpPlan { max_lag: Duration::from_secs(1), within, ..plan(&url, Duration::from_secs(5)) };
        let (schedule, lane) = lane(&context, plan);
        let (_running, pacer) = pacer(&context, &schedule, 50);
        std::thread::sleep(Duration::from_millis(200));
        Worker::new(context.clock, vec![lane]).run(pacer).await;
        let classes: Vec<_> = bad(&context.recorder).iter().map(|bad| bad.class).collect();
        assert_eq!(classes, [class; 5], "an answer after {delay} ms");
    }
}

#[tokio::test]
async fn slots_that_are_too_old_are_unsent() {
    let context = context();
    let (url, seen) = server(Duration::ZERO);
    let (schedule, lane) = lane(&context, plan(&url, Duration::from_secs(5)));
    let (_running, pacer) = pacer(&context, &schedule, 600);
    std::thread::sleep(OLDEST + Duration::from_millis(200));
    Worker::new(context.clock, vec![lane]).run(pacer).await;
    let bad = bad(&context.recorder);
    let of = |class: BadClass| bad.iter().filter(|bad| bad.class == class).map(|bad| bad.slot).collect::<BTreeSet<_>>();
    let (unsent, late) = (of(BadClass::Unsent), of(BadClass::Late));
    assert!(unsent.contains(&0) && unsent.len() >= 20, "{unsent:?}");
    assert!(unsent.iter().all(|slot| late.first().is_none_or(|first| slot < first)), "{unsent:?} {late:?}");
    assert_eq!((unsent.len() + late.len(), slots(&context.recorder)), (60, 60));
    assert_eq!(seen.load(Ordering::SeqCst), late.len(), "one that is told as unsent was sent");
}

#[tokio::test]
async fn what_was_due_before_the_stop_is_sent_and_nothing_after_it() {
    let context = context();
    let (url, seen) = server(Duration::ZERO);
    let (schedule, lane) = lane(&context, plan(&url, Duration::from_secs(5)));
    let (stop, pacer) = pacer(&context, &schedule, 60_000);
    // Slots 0 to 4 are due before, slot 5 is not.
    stop.send(RunTime(schedule.first_due.0 + 50_000_000)).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    Worker::new(context.clock, vec![lane]).run(pacer).await;
    assert_eq!((slots(&context.recorder), seen.load(Ordering::SeqCst)), (5, 5));
}

#[tokio::test]
async fn load_that_nobody_holds_any_more_ends() {
    let context = context();
    let (url, _) = server(Duration::ZERO);
    let (schedule, lane) = lane(&context, plan(&url, Duration::from_secs(5)));
    let (stop, pacer) = pacer(&context, &ProbeSchedule { rate: 0.001, ..schedule }, 3_600_000);
    let worker = tokio::spawn(Worker::new(context.clock, vec![lane]).run(pacer));
    drop(stop);
    tokio::time::timeout(Duration::from_secs(30), worker).await.unwrap().unwrap();
    assert!(slots(&context.recorder) <= 1);
}

//! Work on runs that a test brings, with tasks of the test.

use std::sync::atomic::{AtomicUsize, Ordering};

use chaos_core::api::{ExperimentRunStatus, ResolvedRun, RunPhase, RunProgress, StopRecord};
use chaos_engine::run::operated::Announcer as _;

use super::*;
use crate::watched::tests::{admin, monkey, run, unreadable};

fn shared() -> Arc<Shared> {
    crate::shared::tests::shared(admin()).0
}

#[tokio::test]
async fn what_was_planned_and_what_ended_a_run_early_are_counted_once() {
    let shared = shared();
    let status = |text: serde_json::Value| serde_json::from_value::<ExperimentRunStatus>(text).unwrap();
    let new = ExperimentRunStatus::default();
    let resolved = ResolvedRun { strikes: 4, ..ResolvedRun::default() };
    let started = ExperimentRunStatus {
        resolved: Some(resolved),
        ..status(serde_json::json!({"startedAt": "2026-11-23T12:00:00Z"}))
    };
    let stop = StopRecord { cause: "Guard".to_owned(), message: "too many".to_owned() };
    let progress = Some(RunProgress { stop: Some(stop), ..RunProgress::default() });
    let stopping = ExperimentRunStatus { progress, ..started.clone() };
    let run = run("r", RunPhase::Fault);
    for (before, after) in [(&new, &started), (&started, &stopping), (&stopping, &stopping)] {
        shared.changed(&run, before, after);
    }
    let text = shared.metrics.text();
    for line in ["chaos_strikes_planned_total 4", "chaos_run_stops_total{reason=\"Guard\"} 1"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

fn bring(work: &mut Work<ExperimentRun>, name: &str, phase: RunPhase) {
    work.take(Some(Ok(Event::Apply(run(name, phase)))));
}

#[tokio::test]
async fn of_a_run_that_is_over_nothing_is_kept() {
    let until_over: Tend<ExperimentRun> = |_, mut object, _, _| {
        Box::pin(async move {
            let _ = object.wait_for(|run| is_over(run)).await;
        })
    };
    let mut work = Work::begin(&shared(), None, until_over, is_over, |_, _| ());
    for old in ["a", "b", "c"] {
        bring(&mut work, old, RunPhase::Completed);
    }
    assert!(work.tended.is_empty());
    bring(&mut work, "r", RunPhase::Fault);
    bring(&mut work, "r", RunPhase::Completed);
    let tended = work.tended.get_mut("r").expect("whoever tends it would take it for gone");
    (&mut tended.task).await.unwrap();
    bring(&mut work, "a", RunPhase::Completed);
    assert!(work.tended.is_empty());
}

#[tokio::test]
async fn of_what_a_new_process_finds_it_tells_again_what_is_over() {
    static TOLD: AtomicUsize = AtomicUsize::new(0);
    let idle: Tend<ExperimentRun> = |_, _, _, _| Box::pin(async {});
    let retell: fn(&Shared, &ExperimentRun) = |_, _| {
        TOLD.fetch_add(1, Ordering::Relaxed);
    };
    let mut work = Work::begin(&shared(), None, idle, is_over, retell);
    work.take(Some(Ok(Event::Init)));
    work.take(Some(Ok(Event::InitApply(run("a", RunPhase::Completed)))));
    // Whoever tends this one tells it again.
    work.take(Some(Ok(Event::InitApply(run("b", RunPhase::Fault)))));
    work.take(Some(Ok(Event::InitDone)));
    assert_eq!(work.tended.keys().collect::<Vec<_>>(), ["b"]);
    // From then on whoever writes a status tells it.
    bring(&mut work, "a", RunPhase::Completed);
    assert_eq!(TOLD.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_object_whose_task_panics_is_counted_and_looked_after_again() {
    static STARTS: AtomicUsize = AtomicUsize::new(0);
    let panics_once: Tend<ExperimentRun> = |_, _, _, rest| {
        Box::pin(async move {
            assert!(STARTS.fetch_add(1, Ordering::Relaxed) > 0, "the first one panics");
            rest.cancelled().await;
        })
    };
    let shared = shared();
    let mut work = Work::begin(&shared, None, panics_once, is_over, |_, _| ());
    bring(&mut work, "r", RunPhase::Fault);
    let again = async {
        while STARTS.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("nobody looks after it");
    let metrics = shared.metrics.text();
    assert!(metrics.contains("chaos_reconcile_errors_total{reason=\"Panic\"} 1"), "{metrics}");
    work.end().await;
    assert_eq!(STARTS.load(Ordering::Relaxed), 2, "whoever rests is not begun again");
}

#[tokio::test]
async fn an_object_that_is_left_before_it_is_over_or_gone_is_looked_after_again() {
    static STARTS: AtomicUsize = AtomicUsize::new(0);
    let leaves_twice: Tend<ExperimentRun> = |_, mut object, _, _| {
        Box::pin(async move {
            if STARTS.fetch_add(1, Ordering::Relaxed) >= 2 {
                let _ = object.wait_for(|run| is_over(run)).await;
            }
        })
    };
    let mut work = Work::begin(&shared(), None, leaves_twice, is_over, |_, _| ());
    bring(&mut work, "r", RunPhase::Fault);
    // The last that the watch brings for a long time, perhaps while it is being left.
    bring(&mut work, "r", RunPhase::Fault);
    let again = async {
        while STARTS.load(Ordering::Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("nobody looks after it");
    bring(&mut work, "r", RunPhase::Completed);
    if let Some(tended) = work.tended.get_mut("r") {
        tokio::time::timeout(Duration::from_secs(20), &mut tended.task).await.expect("it is over").unwrap();
    }
    assert_eq!(STARTS.load(Ordering::Relaxed), 3, "what is over is not begun again");
    bring(&mut work, "other", RunPhase::Completed);
    assert!(work.tended.is_empty());
}

#[tokio::test]
async fn the_status_of_a_monkey_is_handed_over_once_and_not_kept() {
    static HANDED: std::sync::Mutex<Vec<Option<u64>>> = std::sync::Mutex::new(Vec::new());
    let panics_once: Tend<ChaosMonkey> = |_, _, first, rest| {
        Box::pin(async move {
            let is_first = {
                let mut handed = HANDED.lock().unwrap();
                handed.push(first.and_then(|first| first.status).map(|status| status.kills));
                handed.len() == 1
            };
            assert!(!is_first, "the first one panics");
            rest.cancelled().await;
        })
    };
    let monkey = |kills: u64| monkey("m", &serde_json::json!({"kills": kills}));
    let mut work = Work::begin(&shared(), None, panics_once, |_| false, |_, _| ()).handing_over();
    work.take(Some(Ok(Event::InitApply(monkey(3)))));
    assert!(work.tended["m"].object.borrow().status.is_none(), "it is kept");
    let again = async {
        while HANDED.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("nobody looks after it");
    work.take(Some(Ok(Event::Apply(monkey(4)))));
    assert!(work.tended["m"].object.borrow().status.is_none(), "it is kept");
    work.end().await;
    assert_eq!(*HANDED.lock().unwrap(), [Some(3), None]);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_any_more_is_left_and_told_once_and_taken_up_when_it_can() {
    static STARTS: AtomicUsize = AtomicUsize::new(0);
    static LEFT: AtomicUsize = AtomicUsize::new(0);
    let until_gone: Tend<ExperimentRun> = |_, mut object, _, _| {
        Box::pin(async move {
            STARTS.fetch_add(1, Ordering::Relaxed);
            while object.changed().await.is_ok() {}
            LEFT.fetch_add(1, Ordering::Relaxed);
        })
    };
    let reached = |count: &'static AtomicUsize, most: usize| {
        tokio::time::timeout(Duration::from_secs(20), async move {
            while count.load(Ordering::Relaxed) < most {
                tokio::task::yield_now().await;
            }
        })
    };
    let shared = shared();
    let mut work = Work::begin(&shared, None, until_gone, is_over, |_, _| ());
    bring(&mut work, "r", RunPhase::Fault);
    reached(&STARTS, 1).await.unwrap();
    for _ in 0..2 {
        work.take(Some(Err(unreadable("r", false))));
    }
    assert!(work.tended.is_empty(), "it goes on by what the object said before");
    reached(&LEFT, 1).await.expect("whoever tends it does not hear of it");
    let metrics = shared.metrics.text();
    assert!(metrics.contains("chaos_reconcile_errors_total{reason=\"Unreadable\"} 1"), "{metrics}");
    bring(&mut work, "r", RunPhase::Fault);
    reached(&STARTS, 2).await.expect("nobody takes it up again");
    assert!(work.unreadable.is_empty());
    // Its last version cannot be read: it is gone all the same.
    work.take(Some(Err(unreadable("r", true))));
    reached(&LEFT, 2).await.expect("whoever tends it does not hear that it is gone");
    assert!(work.tended.is_empty() && work.unreadable.is_empty());
}

#[tokio::test]
async fn a_process_that_leads_no_more_works_on_nothing() {
    let until_rest: Tend<ExperimentRun> = |_, _, _, rest| Box::pin(async move { rest.cancelled().await });
    let shared = shared();
    let works_on = |objects: usize| {
        let line = format!("chaos_objects{{kind=\"ExperimentRun\"}} {objects}");
        shared.metrics.text().lines().any(|found| found == line)
    };
    let mut work = Work::begin(&shared, None, until_rest, is_over, |_, _| ());
    bring(&mut work, "r", RunPhase::Fault);
    assert!(works_on(1));
    work.end().await;
    assert!(works_on(0), "{}", shared.metrics.text());
}

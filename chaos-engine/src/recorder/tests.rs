//! The three readers of a record agree, and a journal that cannot be written is heard of.

use super::*;
use crate::journal;
use chaos_core::record::{BadClass, BadSlot, Bin, Phase, RunTime};

fn bin(second: u64, good: u64, latency: u64) -> Event {
    Event::Bin(Bin {
        probe: "p".into(),
        first_slot: second * 10,
        slots: 10,
        at: RunTime(second * 1_000_000_000),
        good,
        latency: vec![(latency, 9), (latency * 10, 1)],
        lag: vec![(50, 10)],
    })
}

fn bad(class: BadClass) -> Event {
    bad_slot(3, class)
}

fn bad_slot(slot: u64, class: BadClass) -> Event {
    let (probe, detail) = ("p".to_owned(), "token=x ?token=secret".to_owned());
    let (due, lag) = (RunTime(5), Some(1));
    Event::Bad(BadSlot { probe, slot, due, lag, latency: None, failed_after: None, class, detail })
}

#[tokio::test]
async fn memory_journal_and_summary_hold_the_same_events_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.chaos");
    let recorder = Recorder::with_journal(JournalWriter::create(&path).unwrap(), Redactor::default());
    recorder.record(Event::Phase { at: RunTime(1), phase: Phase::Fault });
    recorder.record(bad(BadClass::Reset));
    recorder.record(bad(BadClass::Late));
    for second in 0..7 {
        recorder.record(bin(second, 8, 100 + second));
    }
    recorder.record_durably(Event::Finished { at: RunTime(9), exit_code: 0 }).await.unwrap();

    assert_eq!(journal::read(&path).unwrap().events, recorder.events(), "durable means readable now");
    assert_eq!(recorder.since(8), recorder.events()[8..]);
    assert!(recorder.since(99).is_empty());
    recorder.close().await.unwrap();
    let read = journal::read(&path).unwrap();
    assert_eq!(read.events, recorder.events());
    assert!(read.is_finished() && !String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("secret"));

    let live = recorder.live().borrow().clone();
    let probe = &live.probes["p"];
    assert_eq!(live.phase, Some((Phase::Fault, RunTime(1))));
    assert_eq!((probe.slots, probe.good, probe.failed, probe.unknown), (70, 56, 1, 1));
    assert_eq!((probe.p50, probe.p99), (Some(104), Some(1_060)));
    assert!((probe.rate - 10.0).abs() < 1e-9);
}

#[test]
fn what_failed_is_never_more_than_what_was_asked() {
    let recorder = Recorder::in_memory(Redactor::default());
    let counts = |recorder: &Recorder| {
        let live = recorder.live().borrow().clone();
        let probe = &live.probes["p"];
        (probe.slots, probe.failed, probe.slow, probe.unknown)
    };
    // Slots of the second that is under way, and of the one after it, end before the second is told.
    (0..25).for_each(|slot| recorder.record(bad_slot(slot, BadClass::Status)));
    assert_eq!(counts(&recorder), (0, 0, 0, 0));
    recorder.record(bin(0, 0, 100));
    assert_eq!(counts(&recorder), (10, 10, 0, 0));
    recorder.record(bad_slot(25, BadClass::Slow));
    recorder.record(bad_slot(26, BadClass::Unsent));
    recorder.record(bin(1, 0, 100));
    recorder.record(bin(2, 4, 100));
    assert_eq!(counts(&recorder), (30, 25, 1, 1));
    recorder.record(bad_slot(27, BadClass::Status));
    assert_eq!(counts(&recorder), (30, 26, 1, 1), "one that is told after its second counts at once");
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_is_heard_of() {
    // Writes to /dev/full fail with "no space left on device"; a link lets the writer create its file there.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.chaos");
    assert!(matches!(JournalWriter::create(&folder.path().join("no/such")), Err(JournalError::Create { .. })));
    let journal = JournalWriter::on_file(&path, std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let recorder = Recorder::with_journal(journal.unwrap(), Redactor::default());
    let mut failure = recorder.journal_failure();
    recorder.record(bad(BadClass::Reset));
    let message = failure.wait_for(Option::is_some).await.unwrap().clone();
    assert!(message.unwrap().contains("space"));
    let durable = recorder.record_durably(Event::Sight { at: RunTime(1) }).await;
    assert!(matches!(durable, Err(JournalError::Write { .. })), "{durable:?}");
    assert_eq!(recorder.events().len(), 2, "the verdict still sees them");
    assert!(recorder.close().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_is_not_waited_for_without_an_end() {
    // A pipe that nobody reads takes some of a large event, and then hangs.
    let (held, pipe) = std::io::pipe().unwrap();
    let journal = JournalWriter::on_file("pipe".as_ref(), std::os::fd::OwnedFd::from(pipe).into()).unwrap();
    let recorder = Recorder::with_journal(journal, Redactor::default());
    // Dropped before the recorder, which waits for its writer.
    let reader = held;
    let note = || Event::Note { at: RunTime(1), text: "x".repeat(1 << 20) };
    let hour = std::time::Duration::from_secs(3_600);
    let (began, failure) = (tokio::time::Instant::now(), recorder.journal_failure());
    for _ in 0..3 {
        let stored = tokio::time::timeout(hour, recorder.record_durably(note())).await.expect("it gives up");
        assert!(matches!(&stored, Err(JournalError::Write { message, .. }) if message.contains("10 s")), "{stored:?}");
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(11), "once it is known to hang nobody waits for it");
    assert!(failure.borrow().is_some(), "the run has to end");
    assert_eq!(recorder.events().len(), 3, "the verdict still sees them");
    let closed = tokio::time::timeout(hour, recorder.close()).await.expect("the run ends all the same");
    assert!(matches!(&closed, Err(JournalError::Write { message, .. }) if message.contains("30 s")), "{closed:?}");
    drop(reader);
}

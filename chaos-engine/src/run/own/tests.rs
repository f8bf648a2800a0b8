//! What is known of kills when the journal cannot be written any more.

use chaos_core::api::{IntentRecord, KillRecord, Outcome};
use chaos_core::record::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::super::fixture::victim;
use super::*;
use crate::journal::{JournalWriter, Redactor};

fn intent(nonce: &str, now: Timestamp) -> IntentRecord {
    let victim = victim("app", &format!("app-{nonce}"), nonce);
    let now = MicroTime(now);
    let (nonce, group) = (nonce.into(), "app".into());
    IntentRecord { strike: 1, nonce, group, victim, due: now.clone(), decided_at: now.clone(), deadline: now }
}

fn killed(intent: &IntentRecord) -> KillRecord {
    let IntentRecord { strike, nonce, group, victim, due, .. } = intent.clone();
    KillRecord { strike, nonce, group, victim, at: due, outcome: Outcome::Killed, message: None }
}

/// A keeper whose record is in memory only.
fn keeper(clock: RunClock, recorder: Recorder) -> (JournalKeeper, watch::Sender<bool>) {
    let (leave, left) = watch::channel(false);
    let publish = watch::channel(Ledger::default()).0;
    (JournalKeeper { clock, recorder, publish, leave: left, told: Told::default() }, leave)
}

#[tokio::test]
async fn after_a_sleep_of_the_machine_nothing_is_killed() {
    let hour = std::time::Duration::from_secs(3_600);
    for (clock, holds) in [(RunClock::start(), false), (RunClock::start().after_sleep(hour), true)] {
        let (mut keeper, _leave) = keeper(clock, Recorder::in_memory(Redactor::default()));
        assert_eq!(keeper.view().await.hold.is_some(), holds);
        // What was decided before it fell asleep is not sent either.
        assert_eq!(keeper.last_look().await.hold.is_some(), holds);
    }
}

#[tokio::test]
async fn a_full_disk_hides_no_outcome_and_makes_no_kill_of_what_was_never_sent() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let journal = JournalWriter::on_file("full".as_ref(), full).unwrap();
    let recorder = Recorder::with_journal(journal, Redactor::default());
    let clock = RunClock::start();
    let (first, second) = (intent("1", clock.started_at()), intent("2", clock.started_at()));
    let sent = Ledger { intents: vec![first.clone()], ..Ledger::default() };
    let (publish, ledger) = watch::channel(sent);
    let (_leave, left) = watch::channel(false);
    let mut keeper = JournalKeeper { clock, recorder: recorder.clone(), publish, leave: left, told: Told::default() };

    let after = Ledger { history: vec![killed(&first)], intents: vec![second], ..Ledger::default() };
    assert!(keeper.save(&after).await.is_err(), "nothing more may be sent");

    let shown = ledger.borrow().clone();
    assert_eq!(shown.history, after.history, "the kill has its outcome");
    assert_eq!(shown.intents, [], "of the other nothing was sent");
    let events = recorder.events();
    let outcome = events.iter().filter(|event| matches!(event, Event::Kill(kill) if kill.nonce == "1"));
    assert_eq!(outcome.count(), 1, "the verdict sees it: {events:?}");
}

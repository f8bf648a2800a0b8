//! Whole, torn, foreign and newer journals; and the golden one of each version, which must stay readable for ever.

use std::path::{Path, PathBuf};

use chaos_core::api::{Outcome, VictimRef};
use chaos_core::record::{
    Answer, BadClass, BadSlot, Bin, Event, Kill, Phase, ProbeSchedule, RunTime, Sample, Violation,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::format::{EVENT, HEADER, frame, header};
use super::*;

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.chaos");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn encode(events: &[Event]) -> Vec<u8> {
    let frames = events.iter().flat_map(|event| frame(EVENT, &serde_json::to_vec(event).unwrap()).unwrap());
    header().into_iter().chain(frames).collect()
}

fn victim() -> VictimRef {
    VictimRef {
        namespace: "dispatch".into(),
        pod: "trips-7c9-abcde".into(),
        uid: "u1".into(),
        workload: "Deployment/trips".into(),
        workload_uid: "w1".into(),
        owner_uid: "r1".into(),
        node: Some("node-a".into()),
    }
}

fn examples() -> Vec<Event> {
    let at = RunTime(1_234_567_890);
    let probe = || "request-ride".to_owned();
    vec![
        Event::Schedule(ProbeSchedule {
            probe: probe(),
            first_due: at,
            rate: 100.0,
            stages: Vec::new(),
            poisson_seed: Some(7),
            max_lag: 50_000_000,
            latency_bound: None,
            exposure_known: true,
        }),
        Event::Phase { at, phase: Phase::Fault },
        Event::Intent { at, strike: 1, nonce: "n1".into(), victim: victim() },
        Event::Kill(Kill {
            at,
            uncertainty: 0,
            strike: 1,
            nonce: "n1".into(),
            victim: victim(),
            outcome: Outcome::Killed,
            message: None,
        }),
        Event::Bad(BadSlot {
            probe: probe(),
            slot: 17,
            due: at,
            lag: Some(20_000),
            latency: None,
            failed_after: None,
            class: BadClass::Reset,
            detail: "connection reset by peer".into(),
        }),
        Event::Bin(Bin {
            probe: probe(),
            first_slot: 0,
            slots: 100,
            at,
            good: 99,
            latency: vec![(851, 99)],
            lag: vec![(20, 100)],
        }),
        Event::Served { probe: probe(), pod: "trips-7c9-abcde".into(), at },
        Event::Sample(Sample { probe: probe(), at, answer: Answer::Value(0.75.into()), met: Some(true) }),
        Event::Invariants {
            probe: probe(),
            at,
            checked: 9,
            violations: vec![Violation { invariant: "no lost ride".into(), story: "ride 7 …".into() }],
            total: None,
        },
        Event::Finished { at, exit_code: 0 },
    ]
}

#[test]
fn a_whole_journal_gives_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.chaos");
    let mut writer = JournalWriter::create(&path).unwrap();
    for event in examples() {
        writer.write(&event);
    }
    writer.close().unwrap();
    let journal = read(&path).unwrap();
    assert_eq!(journal, Journal { version: VERSION, events: examples(), skipped: 0, torn: None });
    assert!(is_finished(&path).unwrap());
    assert!(matches!(JournalWriter::create(&path), Err(JournalError::Create { .. })), "never overwritten");
}

#[test]
fn a_journal_without_an_end_is_an_orphan_once_nobody_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.chaos");
    let mut writer = JournalWriter::create(&path).unwrap();
    writer.write(&examples()[0]);
    assert_eq!((is_orphaned(&path).unwrap(), is_written(&path).unwrap()), (false, true));
    writer.close().unwrap();
    drop(writer);
    assert_eq!((is_orphaned(&path).unwrap(), is_written(&path).unwrap()), (true, false));
    std::fs::write(&path, encode(&examples())).unwrap();
    assert!(!is_orphaned(&path).unwrap(), "it has an end");
    assert!(is_orphaned(&folder.path().join("none")).is_err());
}

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests-data/journal-{version}.chaos"))
}

#[test]
fn the_golden_journal_of_version_1_0_is_read_and_its_events_are_still_written_alike() {
    let path = golden("1.0");
    let journal = read(&path).unwrap();
    assert_eq!((journal.version, journal.skipped, journal.torn), ((1, 0), 0, None));
    assert_eq!(journal.events, examples());
    let written = std::fs::read(&path).unwrap();
    assert!(encode(&examples())[HEADER..] == written[HEADER..], "a changed encoding of an event needs a new name");
}

/// What version 1.1 has besides: the operator's word, before the end.
fn with_a_word() -> Vec<Event> {
    let mut events = examples();
    let (reason_code, reason_text) = ("SloRefuted".into(), "request-ride: refuted".into());
    events.insert(events.len() - 1, Event::Told { exit_code: 1, reason_code, reason_text });
    events
}

#[test]
fn the_golden_journal_of_version_1_1_is_read_and_still_written_alike() {
    let path = golden("1.1");
    if std::env::var_os("CHAOS_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, encode(&with_a_word())).unwrap();
    }
    assert_eq!(read(&path).unwrap().events, with_a_word());
    assert!(
        encode(&with_a_word()) == std::fs::read(&path).unwrap(),
        "a changed encoding needs a new minor version and golden file"
    );
}

#[test]
fn frames_of_the_future_are_skipped() {
    let mut bytes = encode(&examples()[..2]);
    bytes[10] = 9; // minor version
    bytes.extend(frame(EVENT, br#"{"quantumFault":{"at":1}}"#).unwrap());
    bytes.extend(frame(200, b"\x00\x01").unwrap());
    bytes.extend(encode(&examples()[2..3])[HEADER..].iter());
    let (_folder, path) = file(&bytes);
    let journal = read(&path).unwrap();
    assert_eq!((journal.events.len(), journal.skipped, journal.torn, journal.version), (3, 2, None, (1, 9)));
}

#[test]
fn what_is_no_journal_of_ours_is_said_so() {
    for (bytes, expected) in [
        (&b"apiVersion: v1\n"[..], "is not a journal"),
        (b"CHAOSJNX\x01\0\0\0", "is not a journal"),
        (b"CHAOSJNL\x02\0\x03\0", "format 2.3"),
    ] {
        let (_folder, path) = file(bytes);
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("hint: "), "{error}");
        assert!(is_finished(&path).is_err());
    }
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [Path::new("/dev/zero"), pipe.as_path(), folder.path()] {
        assert!(matches!(read(path), Err(JournalError::NoFile { .. })), "{}", path.display());
        assert!(is_written(path).is_err() && is_finished(path).is_err() && is_journal(path).is_err());
    }
    // Nobody has the memory for what this says it holds.
    let huge = folder.path().join("huge");
    std::fs::File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(read(&huge), Err(JournalError::NotAJournal { .. })));
    let mut bytes = encode(&[]);
    bytes.extend(frame(EVENT, b"{\"phase\":7}").unwrap());
    let (_folder, path) = file(&bytes);
    assert!(matches!(read(&path), Err(JournalError::BadEvent { offset: 12, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Wherever a process dies, everything before is kept and the rest is counted.
    #[test]
    fn a_torn_tail_loses_only_itself(cut in 0usize..3_000) {
        let whole = encode(&examples());
        let cut = cut.min(whole.len());
        let (_folder, path) = file(&whole[..cut]);
        let journal = read(&path).unwrap();
        let kept = encode(&journal.events).len();
        prop_assert_eq!(&journal.events, &examples()[..journal.events.len()]);
        let good = journal.torn.map_or(cut, |torn| usize::try_from(torn.offset).unwrap());
        prop_assert!(good == kept || (cut < HEADER && good == 0));
        prop_assert_eq!(journal.torn.map_or(0, |torn| torn.dropped), (cut - good) as u64);
        prop_assert_eq!(is_finished(&path).unwrap(), cut == whole.len());
    }

    /// A flipped bit is never read as something else.
    #[test]
    fn damage_is_never_evidence(at in HEADER..2_000, bit in 0u8..8) {
        let mut bytes = encode(&examples());
        prop_assume!(at < bytes.len());
        bytes[at] ^= 1 << bit;
        let (_folder, path) = file(&bytes);
        let journal = read(&path).unwrap();
        prop_assert!(journal.torn.is_some());
        prop_assert_eq!(&journal.events, &examples()[..journal.events.len()]);
    }
}

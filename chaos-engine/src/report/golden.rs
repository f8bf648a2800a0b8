//! Journals of whole runs, as tools of each format wrote them, which must be read for ever, and the result that each comes to. One
//! run held its promise, one was stopped, of one the operator said something worse; together they hold every kind of event. `CHAOS_WRITE_GOLDEN=1` writes the results again,
//! which a changed rule may ask for, and the journals only where there are none: those of an old version are never made again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use chaos_core::api::VictimRef;
use chaos_core::record::{Event, StopCause};

use super::json;
use super::sample::{Size, at, events, judged};
use crate::journal::{self, JournalWriter};

/// Six kills, so that the files stay small.
const SIZE: Size = Size { kills: 6, every_ms: 1_000, rate: 20, buckets: 2 };

/// All that happens in a run which ends by itself.
pub(super) fn whole() -> Vec<Event> {
    let mut whole = events(SIZE, &[(1, 4)]);
    let victims: Vec<(u64, String, VictimRef)> = whole
        .iter()
        .filter_map(|event| match event {
            Event::Kill(kill) => Some((kill.strike, kill.nonce.clone(), kill.victim.clone())),
            _ => None,
        })
        .collect();
    whole.extend(victims.into_iter().map(|(strike, nonce, victim)| Event::Intent {
        at: at(10_000 + strike * 1_000),
        strike,
        nonce,
        victim,
    }));
    whole.push(Event::Clock { at: at(9_000), offset: -1_200_000, uncertainty: 900_000 });
    whole.push(Event::Note { at: at(9_000), text: "a note".into() });
    whole.push(Event::Finished { at: at(28_000), exit_code: 7 });
    whole
}

/// The same run where the cluster is out of sight for a while, and a person ends it.
pub(super) fn stopped() -> Vec<Event> {
    let mut stopped = whole();
    stopped.pop();
    stopped.push(Event::PutOff { at: at(12_000), strike: 2, reason: "NotRecovered".into() });
    stopped.push(Event::Blind { at: at(13_000), cause: "the API server is out of reach".into() });
    stopped.push(Event::Sight { at: at(14_000) });
    stopped.push(Event::Stop { at: at(15_000), cause: StopCause::Signal { name: "SIGTERM".into() } });
    stopped.push(Event::Finished { at: at(28_000), exit_code: 5 });
    stopped
}

/// The first one where an operator drove it and came to a worse verdict, as it is fetched from the cluster.
pub(super) fn operated() -> Vec<Event> {
    let mut operated = whole();
    let (reason_code, reason_text) = ("SloRefuted".into(), "request-ride: refuted".into());
    operated.insert(operated.len() - 1, Event::Told { exit_code: 1, reason_code, reason_text });
    operated
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests-data").join(name)
}

#[test]
fn whole_runs_of_every_version_are_read_and_come_to_the_same_results() {
    let write = std::env::var_os("CHAOS_WRITE_GOLDEN").is_some();
    let mut kinds = BTreeSet::new();
    for (name, version, made) in [
        ("run-held-1.0", (1, 0), whole()),
        ("run-stopped-1.0", (1, 0), stopped()),
        ("run-operated-1.1", (1, 1), operated()),
    ] {
        let (path, result_path) = (golden(&format!("{name}.chaos")), golden(&format!("{name}.json")));
        if write && !path.exists() {
            let mut writer = JournalWriter::create(&path).unwrap();
            made.iter().for_each(|event| writer.write(event));
            writer.close().unwrap();
        }
        let journal = journal::read(&path).unwrap();
        assert_eq!((journal.version, journal.skipped, journal.torn), (version, 0, None), "{name}");
        kinds.extend(journal.events.iter().map(Event::name));
        let result = json::render(&judged(&journal.events)).unwrap();
        if write {
            std::fs::write(&result_path, &result).unwrap();
        }
        assert!(
            result == std::fs::read_to_string(&result_path).unwrap(),
            "{name} comes to another result; hint: if the rule was changed on purpose, CHAOS_WRITE_GOLDEN=1 writes it again"
        );
    }
    assert_eq!(kinds, Event::NAMES.iter().copied().collect(), "every kind of event is in one of them");
}

//! `cargo run --release -p chaos-engine --example replay -- EVENTS`: writes a journal of so many failing requests and reads
//! it back, for events a second of both. For measuring the journal.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use chaos_core::record::{BadClass, BadSlot, Event, RunTime};
use chaos_engine::journal::{JournalWriter, Redactor, read};
use chaos_engine::recorder::Recorder;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the output of an example")]
async fn main() -> Result<()> {
    let count: u64 = std::env::args().nth(1).context("usage: replay EVENTS")?.parse()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("run.chaos");
    let recorder = Recorder::with_journal(JournalWriter::create(&path)?, Redactor::default());
    let started = Instant::now();
    for slot in 0..count {
        let due = RunTime(slot * 1_000_000);
        let (probe, detail) = ("request-ride".to_owned(), "answer: connection reset by peer".to_owned());
        let (lag, latency, failed_after) = (Some(20_000), None, Some(2_000_000));
        let bad = BadSlot { probe, slot, due, lag, latency, failed_after, class: BadClass::Reset, detail };
        recorder.record(Event::Bad(bad));
        if slot % 10_000 == 9_999 {
            // As fast as the disk, not faster: a journal that falls behind is an error.
            recorder.record_durably(Event::Sight { at: due }).await?;
        }
    }
    recorder.close().await?;
    let written = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let journal = read(&path)?;
    let replayed = started.elapsed().as_secs_f64();
    ensure!(journal.events.len() as u64 >= count && journal.torn.is_none(), "events are missing");
    let size = std::fs::metadata(&path)?.len() as f64 / 1e6;
    println!(
        "{size:.0} MB; written {:.2} M events/s, replayed {:.2} M events/s",
        count as f64 / written / 1e6,
        count as f64 / replayed / 1e6
    );
    Ok(())
}

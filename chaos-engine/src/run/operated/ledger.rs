//! The operator's row of a run's evidence: in memory for the judge, and on the cluster for whoever comes after.

use std::time::{Duration, Instant};

use chaos_core::record::{Event, Phase};

use crate::chunks::{ChunkReader, ChunkWriter, ReadError, Role, RunKey, WriteError};
use crate::kube::{Caller, Clients};
use crate::recorder::Recorder;

/// Events are written at the latest after this, or as soon as there are so many.
const WRITE_EVERY: (Duration, usize) = (Duration::from_secs(10), 30);

/// The operator's row of the evidence.
pub(super) struct OwnRow {
    recorder: Recorder,
    writer: ChunkWriter,
    written: usize,
    written_at: Instant,
}

impl OwnRow {
    /// Reads what was written of it, and goes on behind that.
    pub(super) async fn open(
        clients: &Clients,
        run: RunKey,
        instance: &str,
        recorder: Recorder,
    ) -> Result<Self, ReadError> {
        let (read, write) = (Caller::new(clients.read.clone()), Caller::new(clients.write.clone()));
        let mut reader = ChunkReader::new(read.clone(), run.clone(), Role::Operator);
        for event in reader.rest().await?.into_iter().flat_map(|chunk| chunk.events) {
            recorder.record(event);
        }
        let (next, events) = (reader.read_so_far(), reader.events());
        let writer = ChunkWriter::new(read, write, run, Role::Operator, instance.to_owned(), next, events);
        let written = recorder.count();
        Ok(Self { recorder, writer, written, written_at: Instant::now() })
    }

    pub(super) const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// ConfigMaps so far.
    pub(super) const fn chunks(&self) -> u64 {
        self.writer.written()
    }

    /// Whether anything was recorded.
    pub(super) fn is_empty(&self) -> bool {
        self.recorder.count() == 0
    }

    /// Records an event unless one like it was: what is done once more after a crash is told once.
    pub(super) fn record_once(&self, event: Event, alike: impl Fn(&Event) -> bool) {
        if !self.recorder.events().iter().any(alike) {
            self.recorder.record(event);
        }
    }

    /// Records the beginning of a phase, once.
    pub(super) fn phase(&self, at: chaos_core::record::RunTime, phase: Phase) {
        let alike = move |event: &Event| matches!(event, Event::Phase { phase: known, .. } if *known == phase);
        self.record_once(Event::Phase { at, phase }, alike);
    }

    /// Writes what was recorded since the last time.
    pub(super) async fn write(&mut self) -> Result<(), WriteError> {
        let news = self.recorder.since(self.written);
        if news.is_empty() {
            return Ok(());
        }
        self.writer.append(&news, None).await?;
        self.written += news.len();
        self.written_at = Instant::now();
        Ok(())
    }

    /// Writes if it is time to.
    pub(super) async fn write_in_time(&mut self) -> Result<(), WriteError> {
        let waiting = self.recorder.count().saturating_sub(self.written);
        if waiting >= WRITE_EVERY.1 || (waiting > 0 && self.written_at.elapsed() >= WRITE_EVERY.0) {
            return self.write().await;
        }
        Ok(())
    }
}

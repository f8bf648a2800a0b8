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
    writing: Writing,
}

/// How the latest write went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Writing {
    /// Well, or there was none.
    #[default]
    Well,
    /// The cluster does not take it at present.
    Unreached {
        /// Since when.
        since: Instant,
        /// Why, the last time.
        why: String,
    },
    /// The cluster will not take it.
    Lost {
        /// Why.
        why: String,
    },
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
        let writer = ChunkWriter::new(read, write, run, Role::Operator, instance.to_owned()).behind(&reader);
        let written = recorder.count();
        Ok(Self { recorder, writer, written, written_at: Instant::now(), writing: Writing::Well })
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
        let begun = Instant::now();
        let appended = self.writer.append(&news, None).await;
        self.writing.take(&appended, begun);
        appended?;
        self.written += news.len();
        self.written_at = Instant::now();
        Ok(())
    }

    /// Writes if it is time to: what could not be written is overdue.
    pub(super) async fn write_in_time(&mut self) -> Result<(), WriteError> {
        let waiting = self.recorder.count().saturating_sub(self.written);
        let overdue = self.written_at.elapsed() >= WRITE_EVERY.0 || self.writing != Writing::Well;
        if waiting >= WRITE_EVERY.1 || (waiting > 0 && overdue) {
            return self.write().await;
        }
        Ok(())
    }

    /// What others can read of it: whoever watches may have recorded more since.
    pub(super) fn kept(&self) -> Vec<Event> {
        let mut events = self.recorder.events();
        events.truncate(self.written);
        events
    }

    /// Why what happens is not kept any more, if that is so: it is lost, or could not be written for longer than `at_most`.
    pub(super) fn failure(&self, at_most: Duration) -> Option<String> {
        self.writing.failure(at_most, Instant::now())
    }
}

impl Writing {
    /// Takes notice of how a write went that was begun at `begun`.
    fn take(&mut self, written: &Result<(), WriteError>, begun: Instant) {
        *self = match (written, &*self) {
            (Ok(()), _) => Self::Well,
            (Err(error), before) if error.may_pass() => {
                let since = if let Self::Unreached { since, .. } = before { *since } else { begun };
                Self::Unreached { since, why: error.to_string() }
            }
            (Err(error), _) => Self::Lost { why: error.to_string() },
        };
    }

    fn failure(&self, at_most: Duration, now: Instant) -> Option<String> {
        match self {
            Self::Well => None,
            Self::Unreached { since, why } => {
                let span = now.saturating_duration_since(*since);
                (span > at_most).then(|| format!("the evidence could not be written for {} s: {why}", span.as_secs()))
            }
            Self::Lost { why } => Some(why.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::kube::CallError;

    fn silent() -> WriteError {
        CallError::Lost { what: "create".into(), message: "no answer".into() }.into()
    }

    fn refused(code: u16) -> WriteError {
        let status = Box::new(Status::failure("no", "Reason").with_code(code));
        CallError::Refused { what: "create".into(), status }.into()
    }

    #[test]
    fn a_cluster_that_does_not_answer_is_borne_with_for_a_while_and_a_refusal_is_not() {
        let (begun, at_most) = (Instant::now(), Duration::from_secs(30));
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut writing = Writing::default();
        assert_eq!(writing.failure(at_most, begun), None);
        writing.take(&Err(silent()), begun);
        writing.take(&Err(refused(503)), after(20));
        assert_eq!(writing.failure(at_most, after(30)), None);
        let failure = writing.failure(at_most, after(31)).expect("another attempt does not begin the time anew");
        assert!(failure.contains("for 31 s"), "{failure}");
        writing.take(&Ok(()), after(32));
        assert_eq!(writing.failure(at_most, after(100)), None);
        for error in [refused(403), WriteError::Full] {
            let why = error.to_string();
            writing.take(&Err(error), begun);
            assert_eq!(writing.failure(at_most, begun), Some(why));
        }
    }
}

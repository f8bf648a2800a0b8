//! The operator's row of a run's evidence: in memory for the judge, and on the cluster for whoever comes after.

use std::time::{Duration, Instant};

use chaos_core::forbidden::FORBIDDEN_AT_MOST;
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
    /// It ended in the middle of what somebody wrote who is gone.
    torn: bool,
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
        /// Since when it says that it may not be written, if that is why.
        forbidden: Option<Instant>,
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
        let torn = reader.is_torn();
        let writer = ChunkWriter::new(read, write, run, Role::Operator, instance.to_owned()).behind(&reader);
        let written = recorder.count();
        Ok(Self { recorder, writer, written, written_at: Instant::now(), writing: Writing::Well, torn })
    }

    pub(super) const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// ConfigMaps so far.
    pub(super) const fn chunks(&self) -> u64 {
        self.writer.written()
    }

    /// Whether it ended in the middle of what somebody wrote who is gone: that is left out.
    pub(super) const fn is_torn(&self) -> bool {
        self.torn
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

    /// Whether the latest of what happens could be written.
    pub(super) fn is_kept(&self) -> bool {
        self.writing == Writing::Well
    }

    /// Why what happens is not kept any more, if that is so: it is lost, or could not be written for longer than `at_most`, or not
    /// for longer than a refusal is borne with.
    pub(super) fn failure(&self, at_most: Duration) -> Option<String> {
        self.writing.failure(at_most, Instant::now())
    }

    /// Whether the cluster has refused to take it for longer than is borne with.
    pub(super) fn is_refused(&self) -> bool {
        self.writing.is_refused(Instant::now())
    }
}

impl Writing {
    /// Takes notice of how a write went that was begun at `begun`.
    fn take(&mut self, written: &Result<(), WriteError>, begun: Instant) {
        *self = match (written, &*self) {
            (Ok(()), _) => Self::Well,
            (Err(error), before) if error.may_pass() => {
                let (since, forbidden) = match before {
                    Self::Unreached { since, forbidden, .. } => (*since, *forbidden),
                    Self::Well | Self::Lost { .. } => (begun, None),
                };
                let forbidden = error.is_forbidden().then(|| forbidden.unwrap_or(begun));
                Self::Unreached { since, forbidden, why: error.to_string() }
            }
            (Err(error), _) => Self::Lost { why: error.to_string() },
        };
    }

    fn failure(&self, at_most: Duration, now: Instant) -> Option<String> {
        match self {
            Self::Well => None,
            Self::Unreached { since, why, .. } => {
                let span = now.saturating_duration_since(*since);
                let is_over = span > at_most || self.is_refused(now);
                is_over.then(|| format!("the evidence could not be written for {} s: {why}", span.as_secs()))
            }
            Self::Lost { why } => Some(why.clone()),
        }
    }

    fn is_refused(&self, now: Instant) -> bool {
        let Self::Unreached { forbidden: Some(since), .. } = self else { return false };
        now.saturating_duration_since(*since) > FORBIDDEN_AT_MOST
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
    fn a_cluster_that_does_not_answer_is_borne_with_for_a_while_and_what_it_never_takes_is_not() {
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
        let why = WriteError::Full.to_string();
        writing.take(&Err(WriteError::Full), begun);
        assert_eq!(writing.failure(at_most, begun), Some(why));
    }

    #[test]
    fn a_refusal_is_borne_with_for_as_long_as_a_server_may_take_to_know_who_may_do_what() {
        let (begun, at_most) = (Instant::now(), Duration::from_secs(600));
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut writing = Writing::default();
        for second in [0, 10, 29] {
            writing.take(&Err(refused(403)), after(second));
            assert_eq!(writing.failure(at_most, after(second)), None, "{second} s");
        }
        assert_eq!(writing.failure(at_most, begun + FORBIDDEN_AT_MOST), None);
        let failure = writing.failure(at_most, after(31)).expect("another attempt does not begin the time anew");
        assert!(failure.contains("for 31 s") && failure.contains("(403)"), "{failure}");
        assert!(writing.is_refused(after(31)));
        // The time that it did not answer is none in which it refused.
        let mut writing = Writing::default();
        writing.take(&Err(silent()), begun);
        writing.take(&Err(refused(403)), after(100));
        assert_eq!(writing.failure(at_most, after(130)), None);
        assert!(writing.failure(at_most, after(131)).is_some());
        writing.take(&Err(refused(503)), after(132));
        assert_eq!(writing.failure(at_most, after(200)), None, "it does not refuse any more");
        // Where a run has less patience with a silent server it has no more with one that refuses.
        writing.take(&Err(refused(403)), after(201));
        assert!(writing.failure(Duration::from_secs(5), after(202)).is_some());
        writing.take(&Ok(()), after(203));
        assert!(!writing.is_refused(after(300)) && writing == Writing::Well);
    }
}

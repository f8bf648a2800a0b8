//! The bounded history of one collection. It only remembers; who watches it is not its business.

use std::sync::Arc;

use super::Object;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// It did not exist before.
    Added,
    /// It existed before.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change of one object.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The new version; for a deletion the last version, at the revision of the deletion.
    pub object: Arc<Object>,
    /// The version before, if there was one.
    pub previous: Option<Arc<Object>>,
}

impl Event {
    /// The store's revision after this change.
    pub fn revision(&self) -> u64 {
        self.object.revision()
    }
}

/// The history asked for is no longer there: the reader has to list again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {requested} ({oldest})")]
pub struct Compacted {
    /// The revision asked for.
    pub requested: u64,
    /// The oldest revision that history can still start from.
    pub oldest: u64,
}

/// Events in revision order. Between one and two capacities are kept: dropping the older half at once keeps appending
/// cheap and lets readers have a plain slice.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    events: Vec<Arc<Event>>,
    compacted: u64,
}

impl EventLog {
    /// A log that knows nothing of what was before `revision`.
    pub(super) fn starting_at(revision: u64) -> Self {
        Self { events: Vec::new(), compacted: revision }
    }

    pub(super) fn push(&mut self, event: Event, capacity: usize) {
        self.events.push(Arc::new(event));
        if self.events.len() > capacity.saturating_mul(2) {
            let dropped = self.events.len() - capacity;
            self.compacted = self.events[dropped - 1].revision();
            self.events.drain(..dropped);
        }
    }

    pub(super) fn after(&self, revision: u64) -> Result<&[Arc<Event>], Compacted> {
        if revision < self.compacted {
            return Err(Compacted { requested: revision, oldest: self.compacted });
        }
        let start = self.events.partition_point(|event| event.revision() <= revision);
        Ok(&self.events[start..])
    }
}

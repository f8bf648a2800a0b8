//! Writes one row of a run's evidence. What may have been written, as its answers were lost, is written again as it was before
//! anything else is: by that alone it is told from what somebody else wrote in its place.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chaos_core::api::labels;
use chaos_core::prober::Report;
use chaos_core::record::Event;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{
    ANEW, CHUNK_BYTES, ChunkReader, CodecError, EVENTS, MORE, MOST_EVENTS, REPORT, Role, RunKey, WRITER, encode,
};
use crate::kube::{CallError, Caller};

/// How often a write is tried when its fate is not clear.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);

/// Writes one row of a run's evidence.
pub struct ChunkWriter {
    read: Caller,
    write: Caller,
    run: RunKey,
    role: Role,
    /// Who writes: another process is another writer.
    writer: String,
    next: u64,
    events: usize,
    /// The row ends in the middle of a batch of somebody who is gone.
    torn: bool,
    /// ConfigMaps of what was begun, of which nobody knows yet that they were written.
    open: VecDeque<ConfigMap>,
    /// Events in them.
    in_open: usize,
    /// Events that were written since an append was last told to be done: whoever tries again comes with them once more.
    ahead: usize,
}

/// Evidence could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody else writes this row.
    #[error("somebody else writes the evidence of this run")]
    Taken,
    /// The run or its namespace is gone.
    #[error("the run is gone")]
    Gone,
    /// There is more of it than anybody needs.
    #[error("the evidence is full: {MOST_EVENTS} events were written")]
    Full,
    /// The server does not answer, or refuses.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An event cannot be written.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl WriteError {
    /// Whether the same write may succeed later: the server did not answer, could not do it at that time, or said that it may
    /// not be done, as one that has just been started says of everything.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Call(_))
    }

    /// Whether the server says that it may not be done.
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_forbidden())
    }
}

impl ChunkWriter {
    /// A writer of a row that nothing was written of yet.
    pub const fn new(read: Caller, write: Caller, run: RunKey, role: Role, writer: String) -> Self {
        let open = VecDeque::new();
        Self { read, write, run, role, writer, next: 0, events: 0, torn: false, open, in_open: 0, ahead: 0 }
    }

    /// Goes on behind what was read of the row.
    #[must_use]
    pub fn behind(mut self, read: &ChunkReader) -> Self {
        self.next = read.read_so_far();
        self.events = read.events();
        self.torn = read.is_torn();
        self
    }

    /// How many ConfigMaps there are.
    pub const fn written(&self) -> u64 {
        self.next
    }

    /// Writes these events and this report. Nothing is written twice, however often it is tried. After an error those that were to
    /// be written are the first of the next append's.
    pub async fn append(&mut self, events: &[Event], report: Option<&Report>) -> Result<(), WriteError> {
        self.finish().await?;
        let fresh = events.get(self.ahead..).unwrap_or_default();
        if self.events.saturating_add(fresh.len()) > MOST_EVENTS {
            return Err(WriteError::Full);
        }
        if self.ahead == 0 || !fresh.is_empty() || report.is_some() {
            self.begin(fresh, report)?;
            self.finish().await?;
        }
        self.ahead = 0;
        Ok(())
    }

    /// Packs what is to be written next.
    fn begin(&mut self, events: &[Event], report: Option<&Report>) -> Result<(), WriteError> {
        let bytes = if events.is_empty() { Vec::new() } else { encode(events)? };
        let mut parts: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let last = parts.len() - 1;
        let numbered = (self.next..).zip(parts).enumerate();
        self.open = numbered
            .map(|(index, (number, part))| self.map(number, part, report.filter(|_| index == last), index < last))
            .collect();
        if std::mem::take(&mut self.torn)
            && let Some(first) = self.open.front_mut()
        {
            first.data.get_or_insert_default().insert(ANEW.to_owned(), "true".to_owned());
        }
        self.in_open = events.len();
        Ok(())
    }

    /// Writes what was begun.
    async fn finish(&mut self) -> Result<(), WriteError> {
        while let Some(map) = self.open.front() {
            self.create(map).await?;
            self.open.pop_front();
            self.next += 1;
        }
        let written = std::mem::take(&mut self.in_open);
        self.events += written;
        self.ahead += written;
        Ok(())
    }

    fn map(&self, number: u64, events: &[u8], report: Option<&Report>, more: bool) -> ConfigMap {
        let mut data = BTreeMap::from([(WRITER.to_owned(), self.writer.clone())]);
        if let Some(report) = report.and_then(|report| serde_json::to_string(report).ok()) {
            data.insert(REPORT.to_owned(), report);
        }
        if more {
            data.insert(MORE.to_owned(), "true".to_owned());
        }
        let events = (!events.is_empty()).then(|| BTreeMap::from([(EVENTS.to_owned(), ByteString(events.to_vec()))]));
        let labels = BTreeMap::from([
            (labels::RUN.to_owned(), self.run.uid.clone()),
            (labels::EVIDENCE.to_owned(), self.role.as_str().to_owned()),
        ]);
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(self.run.chunk(self.role, number)),
                namespace: Some(self.run.namespace.clone()),
                labels: Some(labels),
                owner_references: Some(vec![self.run.owner()]),
                ..ObjectMeta::default()
            },
            data: Some(data),
            binary_data: events,
            immutable: Some(true),
        }
    }

    async fn create(&self, map: &ConfigMap) -> Result<(), WriteError> {
        let path = self.run.path();
        let name = map.metadata.name.as_deref().unwrap_or_default();
        let mut failed = None;
        for attempt in 0..TRIES {
            match self.write.create::<serde_json::Value>(&path, map).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_conflict() => {
                    let there: ConfigMap = self.read.get(&format!("{path}/{name}")).await?;
                    // An answer of ours that was lost. No other process signs as this one does, and none writes the same twice.
                    let is_ours = there.data == map.data && there.binary_data == map.binary_data;
                    return if is_ours { Ok(()) } else { Err(WriteError::Taken) };
                }
                Err(error) if error.is_not_found() => return Err(WriteError::Gone),
                Err(error) if error.is_namespace_terminating() => return Err(WriteError::Gone),
                Err(error) if error.may_have_happened() || error.code().is_none() => {
                    failed = Some(error);
                    tokio::time::sleep(PAUSE * (attempt + 1)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(failed.map_or(WriteError::Gone, WriteError::Call))
    }
}

//! Reads one row of a run's evidence, each ConfigMap once, as it comes. Whoever may write ConfigMaps in the run's namespace may
//! have written them: what is read is bounded, and what it means is checked by whoever asked.

use chaos_core::api::labels;
use chaos_core::prober::Report;
use chaos_core::record::Event;
use k8s_openapi::api::core::v1::ConfigMap;

use super::{ANEW, CHUNK_BYTES, CodecError, EVENTS, MORE, MOST_EVENTS, REPORT, Role, RunKey, decode};
use crate::kube::{CallError, Caller};

/// ConfigMaps that one batch of events may be spread over.
const MOST_PARTS: usize = 32;

/// Reads one row of a run's evidence.
pub struct ChunkReader {
    read: Caller,
    run: RunKey,
    role: Role,
    next: u64,
    events: usize,
    /// Bytes of a batch that is not complete.
    open: Vec<u8>,
    parts: usize,
}

/// What was told at once.
#[derive(Debug)]
pub struct Chunk {
    /// The events.
    pub events: Vec<Event>,
    /// The prober's report, if it is the prober's row.
    pub report: Option<Report>,
}

/// Evidence could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The server does not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It was not written by a writer of ours, or is damaged.
    #[error("ConfigMap {name} is no evidence of this run: {why}")]
    Damaged {
        /// Which.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

impl ChunkReader {
    /// A reader from the beginning.
    pub const fn new(read: Caller, run: RunKey, role: Role) -> Self {
        Self { read, run, role, next: 0, events: 0, open: Vec::new(), parts: 0 }
    }

    /// How many ConfigMaps were read.
    pub const fn read_so_far(&self) -> u64 {
        self.next
    }

    /// How many events were read.
    pub const fn events(&self) -> usize {
        self.events
    }

    /// Whether what was read ends in the middle of a batch.
    pub const fn is_torn(&self) -> bool {
        self.parts > 0
    }

    /// The next that is there, if there is one.
    pub async fn next(&mut self) -> Result<Option<Chunk>, ReadError> {
        loop {
            let name = self.run.chunk(self.role, self.next);
            let found = self.read.find::<ConfigMap>(&format!("{}/{name}", self.run.path())).await?;
            let Some(map) = found else { return Ok(None) };
            let damaged = |why: String| ReadError::Damaged { name: name.clone(), why };
            self.check(&map).map_err(|why| damaged(why.to_owned()))?;
            let data = map.data.unwrap_or_default();
            if data.contains_key(ANEW) {
                // Whoever wrote the beginning of the batch before is gone, and nobody else can know how it goes on.
                self.open.clear();
                self.parts = 0;
            }
            let bytes = map.binary_data.as_ref().and_then(|data| data.get(EVENTS));
            self.open.extend(bytes.map(|bytes| bytes.0.as_slice()).unwrap_or_default());
            self.parts += 1;
            if self.parts > MOST_PARTS || self.open.len() > MOST_PARTS * CHUNK_BYTES {
                return Err(damaged("it goes on without end".to_owned()));
            }
            self.next += 1;
            if data.contains_key(MORE) {
                continue;
            }
            let events = self.unpack().map_err(|error| damaged(error.to_string()))?;
            let report = data.get(REPORT).map(|text| serde_json::from_str(text)).transpose();
            return Ok(Some(Chunk { events, report: report.map_err(|error| damaged(error.to_string()))? }));
        }
    }

    /// All that is there.
    pub async fn rest(&mut self) -> Result<Vec<Chunk>, ReadError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next().await? {
            all.push(chunk);
        }
        Ok(all)
    }

    fn unpack(&mut self) -> Result<Vec<Event>, CodecError> {
        self.parts = 0;
        let bytes = std::mem::take(&mut self.open);
        let events = if bytes.is_empty() { Vec::new() } else { decode(&bytes)? };
        self.events = self.events.saturating_add(events.len());
        if self.events > MOST_EVENTS { Err(CodecError::TooLarge) } else { Ok(events) }
    }

    /// Whether it says of itself that it belongs to this row.
    fn check(&self, map: &ConfigMap) -> Result<(), &'static str> {
        let label = |key: &str| map.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
        if label(labels::EVIDENCE) != Some(self.role.as_str()) || label(labels::RUN) != Some(&self.run.uid) {
            return Err("it is not labelled as such");
        }
        let owners = map.metadata.owner_references.as_deref().unwrap_or_default();
        if !owners.iter().any(|owner| owner.uid == self.run.uid) {
            return Err("the run does not own it");
        }
        Ok(())
    }
}

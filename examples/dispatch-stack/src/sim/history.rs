//! What clients did and what they were told, in their own words and times. Append-only; never edited afterwards.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::SimError;
use crate::ride::{DriverAction, DriverId, RideId};

/// Calls kept in memory; older ones are forgotten, and the report says how many.
const KEEP: usize = 500_000;

/// One rider's request for a ride, with all its attempts.
#[derive(Clone, Debug, Serialize)]
pub struct RideCall {
    /// Who asked; a name of its own for every request.
    pub rider: String,
    /// The key that all attempts carried.
    pub key: String,
    /// First attempt, milliseconds since the Unix epoch.
    pub invoked_ms: u64,
    /// Final answer or giving up.
    pub returned_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// What the rider knows.
    pub outcome: CallOutcome,
}

/// What a client knows after a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// 201.
    Acknowledged {
        /// The ride that was promised.
        ride: RideId,
        /// The pods that promised it, outermost first.
        served_by: String,
    },
    /// A 4xx: the platform said no.
    Refused {
        /// Status and body.
        reason: String,
    },
    /// No final answer: it may or may not have happened.
    Unknown {
        /// The last error.
        reason: String,
    },
}

/// A driver's action that the platform confirmed.
#[derive(Clone, Debug, Serialize)]
pub struct DriverAck {
    /// Which ride.
    pub ride: RideId,
    /// Who.
    pub driver: DriverId,
    /// Accept or complete: the others promise nothing that is audited.
    pub action: DriverAction,
    /// When the answer came.
    pub at_ms: u64,
    /// The pods that confirmed it.
    pub served_by: String,
}

/// Everything remembered, as it was at one instant.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Oldest first.
    pub calls: Vec<RideCall>,
    /// Oldest first.
    pub acks: Vec<DriverAck>,
    /// Calls that are no longer remembered.
    pub forgotten: u64,
}

#[derive(Debug, Default)]
struct Memory {
    calls: VecDeque<RideCall>,
    acks: VecDeque<DriverAck>,
    forgotten: u64,
}

/// The recorder.
#[derive(Debug)]
pub struct History {
    memory: Mutex<Memory>,
    file: Option<mpsc::UnboundedSender<Vec<u8>>>,
}

impl History {
    /// Records in memory, and in `file` as JSON lines if one is given.
    ///
    /// # Errors
    /// [`SimError::History`] when the file cannot be opened.
    pub async fn open(file: Option<&Path>) -> Result<Self, SimError> {
        let file = match file {
            None => None,
            Some(path) => {
                let opened = tokio::fs::OpenOptions::new().create(true).append(true).open(path).await;
                Some(append_to(opened.map_err(|source| SimError::History { path: path.into(), source })?))
            }
        };
        Ok(Self { memory: Mutex::default(), file })
    }

    /// Adds a rider's call.
    pub fn record_call(&self, call: RideCall) {
        self.append(&call);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.calls.push_back(call);
        if memory.calls.len() > KEEP {
            memory.calls.pop_front();
            memory.forgotten += 1;
        }
    }

    /// Adds a confirmed action of a driver.
    pub fn record_ack(&self, ack: DriverAck) {
        self.append(&ack);
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.acks.push_back(ack);
        if memory.acks.len() > 2 * KEEP {
            memory.acks.pop_front();
        }
    }

    /// A copy of what is remembered.
    pub fn snapshot(&self) -> Snapshot {
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            calls: memory.calls.iter().cloned().collect(),
            acks: memory.acks.iter().cloned().collect(),
            forgotten: memory.forgotten,
        }
    }

    fn append(&self, entry: &impl Serialize) {
        let Some(file) = &self.file else { return };
        if let Ok(mut line) = serde_json::to_vec(entry) {
            line.push(b'\n');
            // The writer has ended with an error that it reported; memory is still complete.
            let _ = file.send(line);
        }
    }
}

fn append_to(mut file: tokio::fs::File) -> mpsc::UnboundedSender<Vec<u8>> {
    let (lines, mut waiting) = mpsc::unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        while let Some(mut lines) = waiting.recv().await {
            while let Ok(more) = waiting.try_recv() {
                lines.extend(more);
            }
            if let Err(error) = async {
                file.write_all(&lines).await?;
                file.flush().await
            }
            .await
            {
                tracing::error!(%error, "the history file ends here");
                return;
            }
        }
    });
    lines
}

//! Tells Events in the background: a slow or failing Events API must never hold up a kill or its record.

use std::time::Duration;

use chaos_engine::kube::{EventSink, Happening};
use tokio::sync::mpsc;

/// How often an Event is tried.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// The background task that tells Events.
pub(crate) struct Teller {
    sink: EventSink,
    queue: mpsc::Receiver<Happening>,
}

impl Teller {
    pub(crate) const fn new(sink: EventSink, queue: mpsc::Receiver<Happening>) -> Self {
        Self { sink, queue }
    }

    /// Tells what comes in, until nobody can send any more.
    pub(crate) async fn run(mut self) {
        while let Some(happening) = self.queue.recv().await {
            self.tell(&happening).await;
        }
    }

    async fn tell(&self, happening: &Happening) {
        for attempt in 1..=TRIES {
            match self.sink.tell(happening).await {
                Ok(()) => return,
                // A refusal (a namespace that is being deleted, a missing permission) does not go away by asking again.
                Err(error) if error.code().is_some_and(|code| code < 500 && code != 429) => {
                    tracing::warn!(%error, event = happening.name, "failed to tell an Event");
                    return;
                }
                Err(error) if attempt == TRIES => {
                    tracing::warn!(%error, event = happening.name, "failed to tell an Event");
                }
                Err(_) => tokio::time::sleep(PAUSE * attempt).await,
            }
        }
    }
}

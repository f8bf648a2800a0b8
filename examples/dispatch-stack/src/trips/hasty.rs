//! `ack-before-commit`: rides are acknowledged from memory and written in the background. What a killed pod held is gone.
//! Exists only to be switched on; nothing waits for it to finish.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::store::{NewRide, Op, RideStore};

/// How long acknowledged rides are gathered before they are written.
pub(super) const GATHER: Duration = Duration::from_millis(300);

/// Writes rides later.
#[derive(Clone, Debug)]
pub struct HastyWriter {
    queue: mpsc::UnboundedSender<NewRide>,
}

impl HastyWriter {
    /// Starts the background writer on the current runtime.
    pub fn start(store: Arc<dyn RideStore>) -> Self {
        let (queue, mut waiting) = mpsc::unbounded_channel::<NewRide>();
        tokio::spawn(async move {
            while let Some(first) = waiting.recv().await {
                tokio::time::sleep(GATHER).await;
                let mut ops = vec![Op::Create(first)];
                while let Ok(next) = waiting.try_recv() {
                    ops.push(Op::Create(next));
                }
                while let Err(error) = store.write(ops.clone()).await {
                    tracing::warn!(%error, rides = ops.len(), "acknowledged rides are not written yet");
                    tokio::time::sleep(GATHER).await;
                }
            }
        });
        Self { queue }
    }

    /// Remembers the ride and returns at once.
    pub fn remember(&self, ride: NewRide) {
        // The receiver lives as long as the runtime: a failed send means that the process is ending anyway.
        let _ = self.queue.send(ride);
    }
}

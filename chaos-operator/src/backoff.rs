//! The pause before work on an object starts over after a failure. It waits; what failed is told by whoever it failed for.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// The first pause, doubled up to the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// Work that went well for this long was no failure.
const WENT_WELL: Duration = Duration::from_secs(60);

/// Pauses that grow while nothing goes well.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self(PAUSE.0)
    }

    /// The next pause is the first again.
    pub(crate) const fn reset(&mut self) {
        self.0 = PAUSE.0;
    }

    /// Waits after work that began then has failed, at the most until `rest`.
    pub(crate) async fn wait(&mut self, began: Instant, rest: &CancellationToken) {
        if began.elapsed() > WENT_WELL {
            self.reset();
        }
        tokio::select! {
            () = tokio::time::sleep(self.0) => {}
            () = rest.cancelled() => {}
        }
        self.0 = (self.0 * 2).min(PAUSE.1);
    }
}

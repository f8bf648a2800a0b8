//! Turns at the API server, for work that all objects begin at the same time: an operator that starts may have to write a thousand
//! of them, each with requests and connections of its own, and a server turns away what comes all at once. Who asks for nothing
//! takes no turn. Nobody is held up for long, and what a kill in hand has to write must not wait here at all.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Turns that there are at once.
pub(crate) const AT_ONCE: usize = 32;
/// Nobody waits longer to write a status: a few that the server does not answer must not hold up all others.
pub(crate) const TO_WRITE: Duration = Duration::from_secs(1);
/// Nobody waits longer to be read and written when it is taken up: on a server of two processors some 700 are in that time.
pub(crate) const TO_TAKE_UP: Duration = Duration::from_secs(10);

/// The turns of a process.
pub(crate) struct Turns(Semaphore);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }

    /// A turn, until it is dropped. `None`: there was none within that time, and it is time to go on without.
    pub(crate) async fn take(&self, within: Duration) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        timeout(within, self.0.acquire()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn few_have_a_turn_at_once_and_nobody_waits_for_one_for_long() {
        let turns = Turns::new();
        let began = tokio::time::Instant::now();
        let taken = join_all((0..2 * AT_ONCE).map(|_| turns.take(TO_WRITE))).await;
        assert_eq!(taken.iter().flatten().count(), AT_ONCE);
        assert!(began.elapsed() >= TO_WRITE && began.elapsed() < 2 * TO_WRITE, "{:?}", began.elapsed());
        drop(taken);
        assert!(turns.take(TO_WRITE).await.is_some());
    }
}

//! Turns at the API server, for work that all objects begin at the same time: an operator that starts takes up a thousand of them,
//! each with requests and connections of its own, and a server turns away what comes all at once. Nobody is held up for long,
//! and what a kill in hand has to write must not wait here at all.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Turns that there are at once.
const AT_ONCE: usize = 32;
/// Nobody waits longer for one: a few that the server does not answer must not hold up all others.
const WITHIN: Duration = Duration::from_secs(1);

/// The turns of a process.
pub(crate) struct Turns(Semaphore);

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }

    /// A turn, until it is dropped. `None`: there was none for too long, and it is time to go on without.
    pub(crate) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        timeout(WITHIN, self.0.acquire()).await.ok()?.ok()
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
        let taken = join_all((0..2 * AT_ONCE).map(|_| turns.take())).await;
        assert_eq!(taken.iter().flatten().count(), AT_ONCE);
        assert!(began.elapsed() >= WITHIN && began.elapsed() < 2 * WITHIN, "{:?}", began.elapsed());
        drop(taken);
        assert!(turns.take().await.is_some());
    }
}

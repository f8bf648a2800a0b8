//! Waits for what a prober was told to do, for as long as that may take while somebody can listen to it.

use std::time::Duration;

use chaos_core::prober::{Reached, Report};
use chaos_core::record::StopCause;
use tokio::time::{Instant, timeout};

use super::Link;

impl Link {
    /// Waits until it has gone so far, at most that long in which somebody could listen.
    pub(in crate::run::operated) async fn wait_for(
        &self,
        stage: &Reached,
        patience: Duration,
    ) -> Result<(), StopCause> {
        self.shared.eager.send_replace(true);
        let arrived = self.arrived(stage, patience).await;
        self.shared.eager.send_replace(false);
        arrived
    }

    async fn arrived(&self, stage: &Reached, patience: Duration) -> Result<(), StopCause> {
        let mut changed = self.changed.clone();
        let (began, deaf) = (Instant::now(), self.shared.state().deaf());
        loop {
            changed.borrow_and_update();
            // Nobody listens any more, which is no silence. What comes next is not saved, and done by whoever drives the run.
            if self.is_fenced() {
                return Ok(());
            }
            if let Some(cause) = self.lost() {
                return Err(cause);
            }
            let reports = |report: &Report| report.reached.is_at_least(stage);
            if self.shared.state().report.as_ref().is_some_and(reports) {
                return Ok(());
            }
            let unheard = self.shared.state().deaf().saturating_sub(deaf);
            let left = patience.saturating_add(unheard).saturating_sub(began.elapsed());
            if left.is_zero() {
                let message = format!("the prober did not do what it was told within {} s", patience.as_secs());
                return Err(StopCause::Probes { message });
            }
            // Silence is no change, and has to be noticed too.
            let _ = timeout(left.min(Duration::from_secs(1)), changed.changed()).await;
        }
    }
}

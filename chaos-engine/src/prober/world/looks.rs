//! The looks of a prober before the fault and after the recovery, which may take minutes: given up once nobody wants them, may have
//! them, or can be told.

use std::future::Future;

use chaos_core::api::{ExperimentRun, ProberStage};
use chaos_core::prober::{REPORT_EVERY, unheard_at_most};
use tokio::time::{Instant, sleep};

use super::ProberWorld;
use crate::probe::set::End;

impl ProberWorld {
    /// Asks the probes that look at this end, for as long as the run wants to hear them and may be measured: load may be on.
    pub(super) async fn ask(&mut self, end: End) {
        let Some(probes) = self.probes.take() else { return };
        let mut object = self.object.clone();
        let past = async {
            // An error means that the run is gone.
            _ = object.wait_for(|run| is_past(run, end)).await;
        };
        let looks = async {
            tokio::select! {
                () = probes.once(end) => {}
                () = past => {}
            }
        };
        self.look_on(looks).await;
        self.probes = Some(probes);
    }

    /// Waits for looks, gives signs of life meanwhile, and ends once the run may not be measured any more, or nobody can be told.
    async fn look_on(&mut self, looks: impl Future<Output = ()> + Send) {
        let mut looks = std::pin::pin!(looks);
        let mut heard_at = Instant::now();
        while self.objected.is_none() {
            tokio::select! {
                () = &mut looks => return,
                () = sleep(REPORT_EVERY) => {
                    if self.give_sign().await {
                        heard_at = Instant::now();
                    }
                    self.objected = match heard_at.elapsed() {
                        unheard if unheard >= unheard_at_most(self.max_blind) => {
                            Some(format!("nobody could be told anything for {} s", unheard.as_secs()))
                        }
                        _ => self.objection().await,
                    };
                }
            }
        }
    }
}

/// Whether a run goes on without the looks at that end, or is going.
fn is_past(run: &ExperimentRun, end: End) -> bool {
    let asks = match end {
        End::Before => ProberStage::Load,
        End::After => ProberStage::AskAfter,
    };
    let order = run.status.as_ref().and_then(|status| status.probing.as_ref()).map(|probing| probing.order);
    run.metadata.deletion_timestamp.is_some() || order > Some(asks)
}

//! Listens to the prober: reads its row of the evidence as it grows, and beats, so that it can tell when it read which beat.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chaos_core::api::ExperimentRun;
use chaos_core::prober::SILENT_AFTER;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Shared, State};
use crate::chunks::{ChunkReader, ReadError};
use crate::kube::{StatusDesk, StoreError};

/// Time between two looks while the clocks are compared, while an answer is waited for, and while none is.
const LOOK: (Duration, Duration, Duration) =
    (Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(500));
/// Time between two beats once the clock is known: clocks drift.
const BEAT: Duration = Duration::from_secs(10);
/// Looks that are longer apart could not be made: a server that answers is asked more often.
const LOOKS_WITHIN: Duration = Duration::from_secs(2);

/// Reads what comes, and beats.
pub(super) async fn listen(
    shared: Arc<Shared>,
    mut reader: ChunkReader,
    desk: StatusDesk<ExperimentRun>,
    stop: CancellationToken,
) {
    let mut eager = shared.eager.subscribe();
    let mut beat: Option<Timestamp> = None;
    let mut beat_at = Instant::now();
    loop {
        look(&shared, &mut reader).await;
        let due = {
            let state = shared.state();
            let heard = state.report.as_ref().and_then(|report| report.heard.map(|heard| heard.beat));
            let known = state.clock_is_known();
            state.has_begun() && if known { beat_at.elapsed() >= BEAT } else { beat.is_none() || heard == beat }
        };
        if due {
            match write_beat(&desk, &shared).await {
                Ok(written) => (beat, beat_at) = (written, Instant::now()),
                Err(StoreError::Gone | StoreError::Fenced) => {
                    shared.state().fenced = true;
                    shared.tell.send_modify(|changes| *changes += 1);
                    return;
                }
                Err(error) => tracing::debug!(%error, "a beat could not be written"),
            }
        }
        let (comparing, queued) = {
            let state = shared.state();
            (state.has_begun() && !state.clock_is_known(), state.is_queued())
        };
        let eager_now = *eager.borrow_and_update() && !queued;
        let pause = if comparing {
            LOOK.0
        } else if eager_now {
            LOOK.1
        } else {
            LOOK.2
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            _ = eager.changed() => {}
        }
    }
}

impl State {
    /// For how long nothing of it can be read, whether the server does not answer or is not asked while it keeps a beat waiting.
    pub(super) fn unread(&self) -> Duration {
        self.read_at.elapsed().saturating_sub(LOOKS_WITHIN)
    }

    /// For how long in all that was so.
    pub(super) fn deaf(&self) -> Duration {
        self.deaf + self.unread()
    }

    /// Whether that is longer than a run may go on without.
    pub(super) fn is_unread(&self) -> bool {
        self.unread() > self.experiment.limits.max_blind.std().max(SILENT_AFTER)
    }

    /// For how long nothing was heard of it while it could have been.
    pub(super) fn silent(&self) -> Duration {
        self.seen_at.elapsed().saturating_sub(self.unread())
    }

    /// A look has shown what it tells.
    pub(super) fn listened(&mut self) {
        let unread = self.unread();
        // Who could not be heard meanwhile was not silent.
        self.seen_at += unread;
        self.deaf += unread;
        self.read_at = Instant::now();
    }
}

async fn look(shared: &Shared, reader: &mut ChunkReader) {
    if shared.state().damaged.is_some() {
        return;
    }
    loop {
        let next = reader.next().await;
        if !matches!(next, Err(ReadError::Call(_))) {
            shared.state().listened();
        }
        let news = match next {
            Ok(None) => {
                let was_read = std::mem::replace(&mut shared.state().is_read, true);
                if !was_read {
                    shared.tell.send_modify(|changes| *changes += 1);
                }
                return;
            }
            Ok(Some(chunk)) => {
                let mut state = shared.state();
                state.chunks = reader.read_so_far();
                let taken = state.take(chunk.events, chunk.report);
                if state.anchor.is_some() {
                    shared.slack.store(state.slack(), Ordering::Relaxed);
                }
                taken
            }
            Err(ReadError::Call(error)) => {
                tracing::debug!(%error, "the prober's report could not be read");
                return;
            }
            Err(error @ ReadError::Damaged { .. }) => Err(error.to_string()),
        };
        if let Err(why) = news {
            shared.state().damaged.get_or_insert(why);
        }
        shared.tell.send_modify(|changes| *changes += 1);
        if shared.state().damaged.is_some() {
            return;
        }
    }
}

/// Writes a beat, if there is an order for a prober.
async fn write_beat(desk: &StatusDesk<ExperimentRun>, shared: &Shared) -> Result<Option<Timestamp>, StoreError> {
    let (_, status) = desk
        .update(|status| {
            if let Some(probing) = &mut status.probing {
                probing.beat = shared.state().beat();
            }
        })
        .await?;
    Ok(status.probing.map(|probing| probing.beat.0))
}

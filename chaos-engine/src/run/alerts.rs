//! Looks at the alerts that guard a run, every two seconds. It only tells; what follows is decided by the run's step function.

use std::time::Duration;

use chaos_core::record::{Event, RunTime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::RunClock;
use crate::probe::AlertLook;
use crate::recorder::Recorder;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// What a guard has to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Alarm {
    /// Since when its source cannot be read, and why.
    pub(super) silent: Option<(RunTime, String)>,
    /// The alerts that were seen to fire, in words. It stays.
    pub(super) firing: Option<String>,
}

/// What the look-out needs.
pub(super) struct Guarding {
    pub(super) look: AlertLook,
    pub(super) clock: RunClock,
    pub(super) recorder: Recorder,
    pub(super) tell: watch::Sender<Alarm>,
}

impl Guarding {
    /// Looks until stopped.
    pub(super) async fn keep(self, stop: CancellationToken) {
        loop {
            let began = self.clock.now();
            let Some(seen) = stop.run_until_cancelled(self.look.firing()).await else { return };
            match seen {
                Ok(firing) => self.tell.send_modify(|alarm| {
                    alarm.silent = None;
                    alarm.firing = alarm.firing.take().or(firing);
                }),
                Err(cause) if self.tell.borrow().silent.is_none() => {
                    let text = format!("a guard cannot read its alerts: {cause}");
                    self.recorder.record(Event::Note { at: began, text });
                    self.tell.send_modify(|alarm| alarm.silent = Some((began, cause.to_string())));
                }
                Err(_) => (),
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return;
            }
        }
    }
}

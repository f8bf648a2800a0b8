//! What an operator's process knows of the prober: its reports, read one by one as they come.

use chaos_core::operated::{ProberView, Unfit, admit};
use chaos_core::prober::{Reached, Report, SILENT_AFTER};
use chaos_core::record::{Event, StopCause};
use jiff::{SignedDuration, Timestamp};

use super::bugs::Bug;
use super::cluster::{Role, State};
use super::scenario::EXPERIMENT;
use crate::desk::Kept as _;
use crate::faults::Fault;

/// What is known of the prober.
pub(crate) struct Link {
    /// ConfigMaps that were read.
    read: usize,
    pub(crate) report: Option<Report>,
    /// When the newest report was seen.
    seen_at: Timestamp,
    /// All that it told.
    pub(crate) events: Vec<Event>,
    damaged: Option<String>,
}

impl Link {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self { read: 0, report: None, seen_at: now, events: Vec::new(), damaged: None }
    }

    /// Reads what there is, if the server answers.
    pub(crate) fn look(&mut self, state: &mut State) {
        if state.fault() != Fault::None {
            return;
        }
        for chunk in state.read(Role::Prober, self.read) {
            self.read += 1;
            let refused = chunk.events.iter().find_map(|event| admit(&EXPERIMENT, event).err());
            let other = self.report.as_ref().zip(chunk.report.as_ref()).is_some_and(|(a, b)| a.prober != b.prober);
            if refused.is_some() || other {
                self.damaged.get_or_insert_with(|| format!("{refused:?}, another prober: {other}"));
                return;
            }
            self.events.extend(chunk.events.iter().cloned());
            self.report.clone_from(&chunk.report);
            self.seen_at = state.now;
        }
    }

    /// How far it has come before the run.
    pub(crate) fn view(&self) -> ProberView {
        if let Some(why) = &self.damaged {
            return ProberView::Unfit(Unfit::out_of_reach(why));
        }
        match self.report.as_ref().map(|report| &report.reached) {
            None => ProberView::Silent,
            Some(Reached::Ended { message } | Reached::Unfit { message, .. }) => {
                ProberView::Unfit(Unfit::out_of_reach(message))
            }
            Some(Reached::Claimed) => ProberView::Preparing,
            Some(_) => ProberView::Ready,
        }
    }

    /// Why nothing that it measures counts any more, if that is so.
    pub(crate) fn lost(&self, state: &State) -> Option<StopCause> {
        let silent = state.now.duration_since(self.seen_at);
        let message = if let Some(why) = &self.damaged {
            why.clone()
        } else if let Some(Report { reached: Reached::Ended { message }, .. }) = &self.report {
            format!("it ended by itself: {message}")
        } else if silent > SignedDuration::try_from(SILENT_AFTER).unwrap() && !state.has(Bug::SilenceIgnored) {
            format!("the prober has been silent for {} s", silent.as_secs())
        } else {
            return None;
        };
        Some(StopCause::Probes { message })
    }

    /// Whether everything that had ended at `until` is known.
    pub(crate) fn covers(&self, until: Timestamp) -> bool {
        self.report.as_ref().is_some_and(|report| report.written_at >= until)
    }

    /// Whether it has gone so far.
    pub(crate) fn has_reached(&self, stage: &Reached) -> bool {
        self.report.as_ref().is_some_and(|report| report.reached.is_at_least(stage))
    }
}

//! The longest outage that one http probe saw. It must not ask why.

use super::load::State;
use crate::record::RunTime;
use crate::result::Outage;

/// Finds the longest run of failed slots. Unknown slots between failed ones neither end it nor count.
#[derive(Default)]
pub(super) struct Outages {
    open: Option<OpenOutage>,
    worst: Option<Outage>,
}

struct OpenOutage {
    start: RunTime,
    requests: u64,
    last_failure: RunTime,
    /// Due time of the slot after the last failed one, once it came.
    end: Option<RunTime>,
}

impl Outages {
    /// Takes in the next slot.
    pub(super) fn add(&mut self, due: RunTime, state: State) {
        if let Some(open) = &mut self.open {
            open.end.get_or_insert(due);
        }
        match state {
            State::Failed => {
                let fresh = OpenOutage { start: due, requests: 0, last_failure: due, end: None };
                let open = self.open.get_or_insert(fresh);
                open.requests += 1;
                open.last_failure = due;
                open.end = None;
            }
            State::Good | State::Slow => self.close(),
            State::Unknown => {}
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        let outage = Outage {
            start_us: open.start.micros(),
            duration_us: open.end.unwrap_or(open.last_failure).micros().saturating_sub(open.start.micros()),
            requests: open.requests,
        };
        if self.worst.is_none_or(|worst| (worst.duration_us, worst.requests) < (outage.duration_us, outage.requests)) {
            self.worst = Some(outage);
        }
    }

    /// The longest one.
    pub(super) fn worst(mut self) -> Option<Outage> {
        self.close();
        self.worst
    }
}

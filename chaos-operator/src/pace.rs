//! A pace for what a spec can ask for as often as it likes: its strikes may come every millisecond, and each that is skipped is
//! written down and told. An API server keeps every version of a status for minutes and every Event for an hour, so one monkey could
//! fill the store of a cluster. Whatever belongs to a kill has no pace: kills are bounded by their limits.

use std::time::Duration;

use tokio::time::Instant;

/// So much at once, and afterwards one each time that a span has passed.
pub(crate) struct Pace {
    span: Duration,
    /// What may be taken ahead of its time.
    ahead: Duration,
    /// When the next one would be due, if nothing could be taken ahead.
    due: Instant,
}

impl Pace {
    pub(crate) fn new(at_once: u32, span: Duration) -> Self {
        Self { span, ahead: span * at_once.saturating_sub(1), due: Instant::now() }
    }

    /// Takes the next one, which counts for so many, and says how long it has to wait.
    pub(crate) fn take(&mut self, counts: u32) -> Duration {
        let now = Instant::now();
        let due = self.due.max(now);
        self.due = due + self.span * counts;
        due.saturating_duration_since(now + self.ahead)
    }

    /// Takes the next one if it has not to wait. Whether it was taken.
    pub(crate) fn admits(&mut self) -> bool {
        let is_free = self.due <= Instant::now() + self.ahead;
        is_free && self.take(1).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SPAN: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn so_much_comes_at_once_and_the_rest_one_by_one() {
        let mut pace = Pace::new(3, SPAN);
        let waits: Vec<_> = (0..5).map(|_| pace.take(1)).collect();
        assert_eq!(waits, [Duration::ZERO, Duration::ZERO, Duration::ZERO, SPAN, SPAN * 2]);
        // However long nothing comes, no more than that is saved up.
        advance(SPAN * 100).await;
        assert_eq!((0..4).map(|_| pace.take(1)).sum::<Duration>(), SPAN);
    }

    #[tokio::test(start_paused = true)]
    async fn what_counts_for_several_has_those_after_it_wait_for_all_of_them() {
        let mut pace = Pace::new(3, SPAN);
        assert_eq!([4, 2, 1].map(|counts| pace.take(counts)), [Duration::ZERO, SPAN * 2, SPAN * 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_admitted_takes_nothing() {
        let mut pace = Pace::new(3, SPAN);
        assert_eq!((0..100).filter(|_| pace.admits()).count(), 3);
        advance(SPAN).await;
        assert_eq!((0..100).filter(|_| pace.admits()).count(), 1);
    }
}

//! The one clock of a run: monotonic instants, told as nanoseconds since the run's start and as UTC. Wall time is read once,
//! at the start; a step of the system's clock in mid-run therefore moves nothing. It must not be used to compare with
//! another machine's clock: that takes a measured offset.

use std::time::{Duration, Instant};

use chaos_core::instant::after;
use chaos_core::record::RunTime;
use jiff::{SignedDuration, Timestamp};

/// Zero of a run, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    started: Instant,
    started_at: Timestamp,
}

impl RunClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { started: Instant::now(), started_at: Timestamp::now() }
    }

    /// A clock whose zero is that UTC instant of this machine: a run that began earlier, or by another machine's clock, is
    /// taken up.
    pub fn since(zero: Timestamp) -> Self {
        let elapsed = Timestamp::now().duration_since(zero);
        let now = Instant::now();
        let started = match Duration::try_from(elapsed) {
            Ok(past) => now.checked_sub(past),
            Err(_) => Duration::try_from(elapsed.abs()).ok().and_then(|ahead| now.checked_add(ahead)),
        };
        // Beyond what the platform's clock can say there is no run to be taken up.
        Self { started: started.unwrap_or(now), started_at: zero }
    }

    /// A clock of that age, on a machine whose wall clock was stepped by so much since its zero.
    #[cfg(test)]
    pub(crate) fn stepped(age: Duration, by: SignedDuration) -> Self {
        let clock = Self::since(Timestamp::now().saturating_sub(age).unwrap_or(Timestamp::MIN));
        Self { started_at: clock.started_at.saturating_sub(by).unwrap_or(Timestamp::MIN), ..clock }
    }

    /// UTC at run time zero.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Time since the start.
    pub fn now(&self) -> RunTime {
        self.at(Instant::now())
    }

    /// The run time of an instant; zero for one before the start.
    pub fn at(&self, instant: Instant) -> RunTime {
        RunTime(nanos(instant.saturating_duration_since(self.started)))
    }

    /// The instant of a run time.
    pub fn instant(&self, at: RunTime) -> Instant {
        let span = Duration::from_nanos(at.0);
        // Beyond what the platform's clock can say (centuries ahead) there is nothing to wait for.
        self.started.checked_add(span).unwrap_or(self.started)
    }

    /// UTC of a run time, as the wall clock would have told it had it not been stepped since the start.
    pub fn timestamp(&self, at: RunTime) -> Timestamp {
        let span = SignedDuration::from_nanos(i64::try_from(at.0).unwrap_or(i64::MAX));
        self.started_at.saturating_add(span).unwrap_or(Timestamp::MAX)
    }

    /// The run time of a UTC instant of this machine; zero for one before the start.
    pub fn from_timestamp(&self, at: Timestamp) -> RunTime {
        let span = at.duration_since(self.started_at);
        RunTime(u64::try_from(span.as_nanos()).unwrap_or(0))
    }
}

/// A clock's time, had it not been set back since it showed `since`, which is so long ago by a clock that cannot be set. What
/// was decided then does not become younger.
pub fn steady(now: Timestamp, since: Timestamp, elapsed: Duration) -> Timestamp {
    now.max(after(since, elapsed))
}

/// Whole nanoseconds of a span, at most 584 years.
pub(crate) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_notations_agree() {
        let clock = RunClock::start();
        let at = RunTime(1_500_000_000);
        assert_eq!(clock.at(clock.instant(at)), at);
        assert_eq!(clock.from_timestamp(clock.timestamp(at)), at);
        assert_eq!(clock.timestamp(at).duration_since(clock.started_at()), SignedDuration::from_millis(1_500));
    }

    #[test]
    fn a_run_that_began_earlier_is_taken_up() {
        let hour = SignedDuration::from_hours(1);
        let clock = RunClock::since(Timestamp::now().checked_sub(hour).unwrap());
        let lived = clock.now().0.abs_diff(3_600_000_000_000);
        assert!(lived < 1_000_000_000, "{lived}");
        assert_eq!(RunClock::since(Timestamp::now().checked_add(hour).unwrap()).now(), RunTime(0));
    }

    #[test]
    fn before_the_start_is_zero_and_the_far_future_does_not_panic() {
        let clock = RunClock::start();
        assert_eq!(clock.from_timestamp(Timestamp::UNIX_EPOCH), RunTime(0));
        assert!(clock.timestamp(RunTime(u64::MAX)) > clock.started_at());
        let _ = clock.instant(RunTime(u64::MAX));
    }
}

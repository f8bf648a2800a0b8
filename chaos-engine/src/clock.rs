//! The one clock of a run: monotonic instants, told as nanoseconds since the run's start and as UTC. Wall time is read once,
//! at the start; a step of the system's clock in mid-run therefore moves nothing. It must not be used to compare with
//! another machine's clock: that takes a measured offset. While the machine sleeps it stands still; that it did is told.

mod asleep;

use std::time::{Duration, Instant};

use chaos_core::instant::after;
use chaos_core::record::RunTime;
use jiff::{SignedDuration, Timestamp};

/// A clock that is further ahead than one that runs on was set ahead.
const SET: SignedDuration = SignedDuration::from_millis(100);

/// A machine that slept for less has missed nothing that a run must end for.
const SLEPT: Duration = Duration::from_secs(1);

/// Zero of a run, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    started: Instant,
    started_at: Timestamp,
    /// How long the machine had been asleep by then, since it was switched on.
    asleep: SignedDuration,
}

impl RunClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { started: Instant::now(), started_at: Timestamp::now(), asleep: asleep() }
    }

    /// The same clock, for whoever goes by it from now on only: what the machine slept before is nothing to them.
    #[must_use]
    pub fn rested(self) -> Self {
        Self { asleep: asleep(), ..self }
    }

    /// How long the machine slept since this clock was started, if that is worth telling. All who wait by this clock waited longer
    /// by so much, what they had seen is older, and what they had asked is lost.
    pub fn slept(&self) -> Option<Duration> {
        Duration::try_from(asleep() - self.asleep).ok().filter(|slept| *slept >= SLEPT)
    }

    /// The same in words.
    pub fn told_sleep(&self) -> Option<String> {
        self.slept().map(|slept| format!("this machine slept for {} s in mid-run", slept.as_secs()))
    }

    /// The same clock, on a machine that slept for so long since it was started.
    #[cfg(test)]
    pub(crate) fn after_sleep(self, slept: Duration) -> Self {
        let slept = SignedDuration::try_from(slept).unwrap_or(SignedDuration::MAX);
        Self { asleep: self.asleep - slept, ..self }
    }

    /// The same clock, with its zero at that UTC instant of its own: a run that began earlier, or by another machine's clock, is
    /// taken up.
    #[must_use]
    pub fn with_zero(&self, zero: Timestamp) -> Self {
        let span = zero.duration_since(self.started_at);
        let started = match Duration::try_from(span) {
            Ok(later) => self.started.checked_add(later),
            Err(_) => self.started.checked_sub(span.unsigned_abs()),
        };
        // Beyond what the platform's clock can say there is no run to be taken up.
        Self { started: started.unwrap_or(self.started), started_at: zero, ..*self }
    }

    /// A clock of that age, on a machine whose wall clock was stepped by so much since its zero.
    #[cfg(test)]
    pub(crate) fn stepped(age: Duration, by: SignedDuration) -> Self {
        let clock = Self::start().with_zero(Timestamp::now().saturating_sub(age).unwrap_or(Timestamp::MIN));
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

    /// How far the machine's clock is from this one, in nanoseconds: it was set since, or runs at another pace.
    pub fn set_by(&self) -> i128 {
        let at_least = self.timestamp(self.now());
        let told = Timestamp::now();
        // Whoever was not let run in between is not mistaken for a clock that was set.
        let at_most = self.timestamp(self.now());
        told.duration_since(told.clamp(at_least, at_most)).as_nanos()
    }

    /// An instant of this clock as the machine's tells it by now: for whoever goes by that.
    pub fn on_the_wall(&self, at: Timestamp) -> Timestamp {
        let by = SignedDuration::from_nanos(i64::try_from(self.set_by()).unwrap_or_default());
        at.saturating_add(by).unwrap_or(at)
    }

    /// The run time of a UTC instant of this machine; zero for one before the start.
    pub fn from_timestamp(&self, at: Timestamp) -> RunTime {
        let span = at.duration_since(self.started_at);
        RunTime(u64::try_from(span.as_nanos()).unwrap_or(0))
    }
}

/// How long this machine was asleep since it was switched on.
fn asleep() -> SignedDuration {
    SignedDuration::try_from(asleep::asleep()).unwrap_or(SignedDuration::ZERO)
}

/// A clock's time, had it not been set back since it showed `since`, which is so long ago by a clock that cannot be set. What
/// was decided then does not become younger.
pub fn steady(now: Timestamp, since: Timestamp, elapsed: Duration) -> Timestamp {
    now.max(after(since, elapsed))
}

/// By how much a clock was set ahead since it showed `since`, which is so long ago by a clock that cannot be set.
pub fn set_ahead(now: Timestamp, since: Timestamp, elapsed: Duration) -> Duration {
    let ahead = now.duration_since(after(since, elapsed));
    if ahead < SET { Duration::ZERO } else { ahead.unsigned_abs() }
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
        let clock = RunClock::start().with_zero(Timestamp::now().checked_sub(hour).unwrap());
        let lived = clock.now().0.abs_diff(3_600_000_000_000);
        assert!(lived < 1_000_000_000, "{lived}");
        assert_eq!(RunClock::start().with_zero(Timestamp::now().checked_add(hour).unwrap()).now(), RunTime(0));
    }

    #[test]
    fn its_zero_may_be_another_instant_of_its_own() {
        let clock = RunClock::start();
        let hour = SignedDuration::from_hours(1);
        for zero in [clock.started_at() - hour, clock.started_at(), clock.started_at() + hour] {
            let other = clock.with_zero(zero);
            assert_eq!(other.started_at(), zero);
            let at = clock.instant(RunTime(7_200_000_000_000));
            assert_eq!(other.timestamp(other.at(at)), clock.timestamp(clock.at(at)));
        }
    }

    #[test]
    fn a_clock_of_the_machine_that_was_set_is_not_this_one() {
        let (age, hour) = (Duration::from_secs(60), SignedDuration::from_hours(1));
        let second = 1_000_000_000;
        for by in [SignedDuration::ZERO, hour, -hour] {
            let set_by = RunClock::stepped(age, by).set_by();
            assert!((set_by - by.as_nanos()).abs() < second, "{set_by} {by:?}");
        }
    }

    #[test]
    fn a_machine_that_slept_is_told_of_until_somebody_begins_anew() {
        let clock = RunClock::start();
        assert_eq!((clock.slept(), clock.told_sleep()), (None, None));
        let slept = clock.after_sleep(Duration::from_secs(3_600));
        assert_eq!(slept.slept().map(|slept| slept.as_secs()), Some(3_600));
        assert_eq!(slept.told_sleep().as_deref(), Some("this machine slept for 3600 s in mid-run"));
        assert!(slept.with_zero(clock.started_at()).slept().is_some(), "another zero makes nobody rested");
        assert_eq!(slept.rested().slept(), None);
        assert_eq!(clock.after_sleep(Duration::from_millis(900)).slept(), None);
    }

    #[test]
    fn an_instant_is_told_by_the_machine_s_clock_as_that_is_now() {
        let hour = SignedDuration::from_hours(1);
        for by in [SignedDuration::ZERO, hour, -hour] {
            let clock = RunClock::stepped(Duration::from_secs(60), by);
            let told = clock.on_the_wall(clock.timestamp(clock.now()));
            assert!(Timestamp::now().duration_since(told).abs() < SignedDuration::from_secs(1), "{told} {by:?}");
        }
    }

    #[test]
    fn a_clock_was_set_ahead_if_it_is_further_than_time_has_passed() {
        let (since, minute) = (Timestamp::UNIX_EPOCH, Duration::from_secs(60));
        let at = |millis: i64| since + SignedDuration::from_millis(millis);
        for (now, ahead) in [(60_000, 0), (60_099, 0), (60_100, 100), (3_660_000, 3_600_000), (-3_540_000, 0)] {
            assert_eq!(set_ahead(at(now), since, minute), Duration::from_millis(ahead), "{now}");
        }
    }

    #[test]
    fn before_the_start_is_zero_and_the_far_future_does_not_panic() {
        let clock = RunClock::start();
        assert_eq!(clock.from_timestamp(Timestamp::UNIX_EPOCH), RunTime(0));
        assert!(clock.timestamp(RunTime(u64::MAX)) > clock.started_at());
        let _ = clock.instant(RunTime(u64::MAX));
    }
}

//! How long this machine was asleep. The clocks that programs wait by stand still meanwhile, so that nothing else tells of it.

use std::time::Duration;

use nix::time::ClockId;

/// A clock that runs on while the machine sleeps, and the one that the standard library's instants are of, which does not.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCKS: Option<(ClockId, ClockId)> = Some((ClockId::CLOCK_BOOTTIME, ClockId::CLOCK_MONOTONIC));

#[cfg(target_vendor = "apple")]
const CLOCKS: Option<(ClockId, ClockId)> =
    Some((ClockId::from_raw(nix::libc::CLOCK_MONOTONIC_RAW), ClockId::from_raw(nix::libc::CLOCK_UPTIME_RAW)));

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
const CLOCKS: Option<(ClockId, ClockId)> = None;

/// Both clocks are read once more where this process was held up for longer in between: what it finds then is off by as much.
const HELD_UP: Duration = Duration::from_millis(10);
/// How often at most.
const READS: u32 = 5;

/// How long this machine was asleep since it was switched on; nothing where that cannot be told.
pub(super) fn asleep() -> Duration {
    let Some((always, awake)) = CLOCKS else { return Duration::ZERO };
    let read = |clock: ClockId| clock.now().map(Duration::from);
    let mut slept = Duration::ZERO;
    for _ in 0..READS {
        let (Ok(before), Ok(now), Ok(after)) = (read(awake), read(always), read(awake)) else { return Duration::ZERO };
        slept = now.saturating_sub(after);
        if after.saturating_sub(before) < HELD_UP {
            break;
        }
    }
    slept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_runs_a_test_does_not_sleep() {
        let before = asleep();
        assert!(asleep().abs_diff(before) < Duration::from_millis(500), "{before:?}");
    }
}

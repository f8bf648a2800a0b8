//! Instants: sums that never overflow, and what the API keeps of one. What is saved must equal what is read back, so whatever
//! goes into a status is cut to what its type can hold first.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};

/// `at + span`, or the end of time.
pub fn after(at: Timestamp, span: impl Into<Duration>) -> Timestamp {
    let span: Duration = span.into();
    at.saturating_add(span).unwrap_or(Timestamp::MAX)
}

/// An instant in whole microseconds.
pub fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// An instant in whole seconds.
pub fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// An instant as the API keeps it where microseconds matter.
pub fn micro_time(at: Timestamp) -> MicroTime {
    MicroTime(whole_micros(at))
}

/// An instant as the API keeps it where seconds are enough.
pub fn time(at: Timestamp) -> Time {
    Time(whole_seconds(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_never_overflow() {
        assert_eq!(after(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(after(Timestamp::UNIX_EPOCH, Duration::MAX), Timestamp::MAX);
        let second = crate::units::Duration::from_secs(1);
        assert_eq!(after(Timestamp::UNIX_EPOCH, second), Timestamp::from_second(1).unwrap());
    }

    #[test]
    fn what_is_kept_is_what_is_read_back() {
        let at: Timestamp = "2026-11-28T09:00:00.123456789Z".parse().unwrap();
        let json = serde_json::to_value((micro_time(at), time(at))).unwrap();
        let read: (MicroTime, Time) = serde_json::from_value(json).unwrap();
        assert_eq!(read, (micro_time(at), time(at)));
        assert_eq!(read.0.0.to_string(), "2026-11-28T09:00:00.123456Z");
        assert_eq!(read.1.0.to_string(), "2026-11-28T09:00:00Z");
    }
}

//! Ages as kubectl words them: the two leading units, and seconds only while they matter.

use jiff::Timestamp;
use serde_json::Value;

/// The age of an object.
pub(super) fn of(object: &Value, now: Timestamp) -> Value {
    since_text(&object["metadata"]["creationTimestamp"], now).into()
}

/// The time since a timestamp, `<unknown>` if it is none.
pub(super) fn since_text(timestamp: &Value, now: Timestamp) -> String {
    match timestamp.as_str().and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(then) => human_duration(now.duration_since(then).as_secs()),
        None => "<unknown>".to_owned(),
    }
}

/// A duration in seconds, as `k8s.io/apimachinery/pkg/util/duration` writes it.
pub(super) fn human_duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |whole: i64, unit: &str, part: i64, part_unit: &str| {
        if part == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{part}{part_unit}") }
    };
    if seconds < -1 {
        "<invalid>".to_owned()
    } else if seconds <= 0 {
        "0s".to_owned()
    } else if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if days < 8 {
        two(days, "d", hours % 24, "h")
    } else if days < 730 {
        format!("{days}d")
    } else if days < 8 * 365 {
        two(days / 365, "y", days % 365, "d")
    } else {
        format!("{}y", days / 365)
    }
}

//! Durations in Go's grammar (`90s`, `1h30m`, `800ms`), because CEL's `duration()` and kubectl users read that one.

use std::fmt;
use std::str::FromStr;

use super::{UnitError, string_unit};

/// A span of time, zero or more, to the nanosecond. Written as Go writes durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// What a manifest may write; the grammar itself is [`FromStr`].
    pub const PATTERN: &'static str = r"^([0-9]+(\.[0-9]+)?(ns|us|µs|μs|ms|s|m|h))+$|^0$";
    const EXPECTED: &'static str = "a duration such as 800ms, 30s or 1h30m";
    /// Nothing in a manifest lasts longer than ten years: a bound so that sums of durations cannot overflow.
    const MAX: std::time::Duration = std::time::Duration::from_secs(10 * 366 * 24 * 3600);

    /// No time at all.
    pub const ZERO: Self = Self(std::time::Duration::ZERO);

    /// The same span as the standard library's type.
    pub const fn std(self) -> std::time::Duration {
        self.0
    }

    /// `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// Seconds, with fractions.
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// Whether this is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<std::time::Duration> for Duration {
    fn from(std: std::time::Duration) -> Self {
        Self(std)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(ours: Duration) -> Self {
        ours.0
    }
}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text == "0" {
            return Ok(Self::default());
        }
        let error = || with_hint(UnitError::new(text, Self::EXPECTED), text);
        let mut rest = text;
        let mut total = 0f64;
        let mut nanos = 0u128;
        while !rest.is_empty() {
            let number_end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(error)?;
            let (number, tail) = rest.split_at(number_end);
            let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let scale: u64 = match unit {
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => return Err(error()),
            };
            if number.is_empty() || number.starts_with('.') || number.ends_with('.') {
                return Err(error());
            }
            if let Ok(whole) = number.parse::<u64>() {
                nanos = nanos.saturating_add(u128::from(whole) * u128::from(scale));
            } else {
                total += number.parse::<f64>().map_err(|_| error())? * scale as f64;
            }
            rest = tail;
        }
        let fraction = std::time::Duration::try_from_secs_f64(total / 1e9).map_err(|_| error())?;
        let whole = u64::try_from(nanos).map(std::time::Duration::from_nanos).map_err(|_| error())?;
        let sum = whole.checked_add(fraction).filter(|sum| *sum <= Self::MAX && !text.is_empty()).ok_or_else(error)?;
        Ok(Self(sum))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        let (hours, rest) = (nanos / 3_600_000_000_000, nanos % 3_600_000_000_000);
        let (minutes, rest) = (rest / 60_000_000_000, rest % 60_000_000_000);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        match rest {
            0 => Ok(()),
            r if r % 1_000_000_000 == 0 => write!(f, "{}s", r / 1_000_000_000),
            r if r % 1_000_000 == 0 && r >= 1_000_000_000 => write!(f, "{}s", r as f64 / 1e9),
            r if r % 1_000_000 == 0 => write!(f, "{}ms", r / 1_000_000),
            r if r % 1_000 == 0 => write!(f, "{}us", r / 1_000),
            r => write!(f, "{r}ns"),
        }
    }
}

string_unit!(
    Duration,
    "go-duration",
    "A duration in Go's grammar, such as 800ms, 30s or 1h30m.",
    "duration(self) <= duration('87840h')",
    "nothing lasts longer than ten years (87840h)"
);

/// Says what an author most likely meant: days and spaced notations are common in other tools.
fn with_hint(error: UnitError, text: &str) -> UnitError {
    if let Some(days) = text.strip_suffix('d').and_then(|n| n.trim().parse::<u64>().ok()) {
        return error.hint(format!("write {}h", days.saturating_mul(24)));
    }
    let tight = text.replace(' ', "");
    if let Some(meant) = abbreviated(&tight) {
        return error.hint(format!("write {meant}"));
    }
    if tight != text && tight.parse::<Duration>().is_ok() {
        return error.hint(format!("write it without spaces: {tight}"));
    }
    if text.parse::<f64>().is_ok() && format!("{text}s").parse::<Duration>().is_ok() {
        return error.hint(format!("say the unit: {text}s or {text}ms"));
    }
    error
}

/// One number with a unit in full, as it is written here: `5min` is `5m`. `None` where that would be no duration either.
fn abbreviated(tight: &str) -> Option<String> {
    let number = tight.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let meant = match tight.strip_prefix(number)?.to_ascii_lowercase().as_str() {
        "day" | "days" => format!("{}h", number.parse::<u64>().ok()?.saturating_mul(24)),
        "hr" | "hrs" | "hour" | "hours" => format!("{number}h"),
        "min" | "mins" | "minute" | "minutes" => format!("{number}m"),
        "sec" | "secs" | "second" | "seconds" => format!("{number}s"),
        "msec" | "msecs" | "millisecond" | "milliseconds" => format!("{number}ms"),
        _ => return None,
    };
    meant.parse::<Duration>().is_ok().then_some(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("800ms", 800_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("2us", 2_000),
            ("7ns", 7),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap().std().as_nanos(), nanos, "{text}");
        }
    }

    #[test]
    fn refuses_with_a_hint() {
        for (text, hint) in [
            ("1d", Some("write 24h")),
            ("5", Some("say the unit: 5s or 5ms")),
            ("1h 30m", Some("write it without spaces: 1h30m")),
            ("30 sec", Some("write 30s")),
            ("5min", Some("write 5m")),
            ("2 Days", Some("write 48h")),
            ("1.5 hours", Some("write 1.5h")),
            ("1h 30", None),
            ("-5sec", None),
            ("min", None),
            ("inf", None),
            ("-5s", None),
            ("", None),
            ("5x", None),
            ("s", None),
            (".5s", None),
            ("99999999999999999999h", None),
        ] {
            let error = text.parse::<Duration>().unwrap_err();
            assert_eq!(error.hint.as_deref(), hint, "{text}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["0s", "800ms", "1h30m", "1.5s", "30s", "2m", "15us", "7ns"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
    }
}

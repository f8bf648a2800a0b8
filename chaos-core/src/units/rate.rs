//! Request rates as manifests write them (`100/s`).

use std::fmt;
use std::str::FromStr;

use super::{UnitError, string_unit};

/// Requests in a second, above zero and at most 100,000.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// What a manifest may write.
    pub const PATTERN: &'static str = r"^[0-9]+(\.[0-9]+)?/(s|m)$";
    const EXPECTED: &'static str = "a rate such as 100/s or 30/m, above zero and at most 100000/s";

    /// Requests in a second.
    pub fn per_second(self) -> f64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || {
            let error = UnitError::new(text, Self::EXPECTED);
            if text.parse::<f64>().is_ok() { error.hint(format!("write {text}/s")) } else { error }
        };
        let (number, unit) = text.split_once('/').ok_or_else(error)?;
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let count = number.parse::<f64>().ok().filter(|_| digits).ok_or_else(error)?;
        let per_second = match unit {
            "s" => count,
            "m" => count / 60.0,
            _ => return Err(error()),
        };
        if per_second > 0.0 && per_second <= 100_000.0 { Ok(Self(per_second)) } else { Err(error()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1.0 { write!(f, "{}/m", self.0 * 60.0) } else { write!(f, "{}/s", self.0) }
    }
}

string_unit!(
    Rate,
    "rate",
    "Requests in a second or a minute, such as 100/s.",
    "double(self.split('/')[0]) > 0.0 && double(self.split('/')[0]) <= (self.endsWith('/s') ? 100000.0 : 6000000.0)",
    "a rate is above zero and at most 100000/s"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for (text, per_second) in [("100/s", 100.0), ("30/m", 0.5), ("2.5/s", 2.5)] {
            let rate = text.parse::<Rate>().unwrap();
            assert!((rate.per_second() - per_second).abs() < 1e-12);
            assert_eq!(rate.to_string(), text);
        }
    }

    #[test]
    fn refuses() {
        for text in ["100", "0/s", "-1/s", "1/h", "/s", "1e9/s", "100001/s", "inf/s", "NaN/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}

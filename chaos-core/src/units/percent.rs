//! Percentages as manifests write them (`99.9%`).

use std::fmt;
use std::str::FromStr;

use super::{UnitError, string_unit};

/// A share between 0 % and 100 %, kept in millionths so that `99.9%` is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u32);

impl Percent {
    /// What a manifest may write.
    pub const PATTERN: &'static str = r"^(100(\.0{1,4})?|[0-9]{1,2}(\.[0-9]{1,4})?)%$";
    const EXPECTED: &'static str = "a percentage from 0% to 100% such as 99.9%";
    const WHOLE: u32 = 1_000_000;

    /// So many millionths, at most all of them.
    pub(crate) const fn of_millionths(millionths: u32) -> Self {
        Self(if millionths > Self::WHOLE { Self::WHOLE } else { millionths })
    }

    /// The share as a ratio, 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }

    /// What is missing to 100 %, as a ratio, without the rounding that `1.0 - ratio()` has.
    pub fn complement(self) -> f64 {
        f64::from(Self::WHOLE - self.0) / f64::from(Self::WHOLE)
    }

    /// How many of `n` this share is, rounded down.
    pub fn of_floor(self, n: usize) -> usize {
        usize::try_from(n as u128 * u128::from(self.0) / u128::from(Self::WHOLE)).unwrap_or(n)
    }
}

impl FromStr for Percent {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || {
            let error = UnitError::new(text, Self::EXPECTED);
            match text.parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => error.hint(format!("write {}%", ratio * 100.0)),
                Ok(percent) if percent <= 100.0 => error.hint(format!("write {percent}%")),
                _ => error,
            }
        };
        let number = text.strip_suffix('%').ok_or_else(error)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let too_long = (whole.len() > 2 && whole != "100") || fraction.len() > 4;
        if !digits(whole) || !digits(fraction) || too_long {
            return Err(error());
        }
        let millionths = format!("{whole}{fraction:0<4}").parse::<u32>().map_err(|_| error())?;
        if millionths > Self::WHOLE { Err(error()) } else { Ok(Self(millionths)) }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 10_000, self.0 % 10_000);
        match fraction {
            0 => write!(f, "{whole}%"),
            fraction => write!(f, "{whole}.{}%", format!("{fraction:04}").trim_end_matches('0')),
        }
    }
}

string_unit!(Percent, "percent", "A share from 0% to 100%, such as 99.9%.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_exact_and_prints_what_it_reads() {
        for text in ["0%", "34%", "99.9%", "99.99%", "100%", "0.0001%"] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), text);
        }
        assert!(("99.9%".parse::<Percent>().unwrap().complement() - 0.001).abs() < 1e-15);
        assert_eq!("34%".parse::<Percent>().unwrap().of_floor(3), 1);
        assert_eq!("33%".parse::<Percent>().unwrap().of_floor(3), 0);
    }

    #[test]
    fn refuses_with_a_hint() {
        for (text, hint) in [
            ("0.999", Some("write 99.9%")),
            ("99", Some("write 99%")),
            ("101%", None),
            ("-1%", None),
            ("%", None),
            ("1.%", None),
            ("099%", None),
        ] {
            assert_eq!(text.parse::<Percent>().unwrap_err().hint.as_deref(), hint, "{text}");
        }
    }
}

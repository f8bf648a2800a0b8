//! Thresholds as they are written: `p99<300ms`, `success>99.9%`. A threshold says what must hold.

use std::fmt;
use std::str::FromStr;

use crate::units::{Duration, Percent, Rate};

/// One condition on what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// What is looked at, with its bound.
    pub metric: Metric,
    /// How it must relate to the bound.
    pub operator: Operator,
}

/// What a threshold looks at, and its bound.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// The time from due to a whole good answer, of all requests; those without one are slower than any bound.
    Latency(Quantile, Duration),
    /// The time from due to sent, of all requests; those that were never sent are later than any bound.
    Lag(Quantile, Duration),
    /// Share of all requests that were answered well.
    Success(Percent),
    /// Share of all requests that failed.
    Failed(Percent),
    /// Good answers in a second.
    Rate(Rate),
    /// Number of requests that failed.
    Failures(u64),
    /// Number of requests that say nothing: sent late, never sent, or with an unknown outcome.
    Unknown(u64),
}

/// Which of the ordered values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantile {
    /// So many thousandths of a percent of the values are at or below it: 99,900 for p99.9.
    MilliPercent(u32),
    /// The largest.
    Max,
}

/// How a value must relate to its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

/// A text that is no threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; hint: {hint}")]
pub struct ThresholdError {
    /// What is wrong.
    pub message: String,
    /// How it is written.
    pub hint: String,
}

const KNOWN: &str = "latency p50 … p99.99, max; lag-p99, lag-max; success, failed, rate, failures, unknown";

impl Operator {
    const ALL: [(&'static str, Self); 4] =
        [("<=", Self::AtMost), (">=", Self::AtLeast), ("<", Self::Below), (">", Self::Above)];

    /// Whether it wants small values.
    pub const fn is_upper(self) -> bool {
        matches!(self, Self::Below | Self::AtMost)
    }

    /// Whether the value relates to the bound as it must.
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Below => value < bound,
            Self::AtMost => value <= bound,
            Self::Above => value > bound,
            Self::AtLeast => value >= bound,
        }
    }
}

impl Metric {
    /// Whether small values are good ones.
    const fn wants_small(self) -> bool {
        !matches!(self, Self::Success(_) | Self::Rate(_))
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let error = |message: String, hint: &str| ThresholdError { message, hint: hint.to_owned() };
        let at = text.find(['<', '>']).ok_or_else(|| {
            error(format!("{text:?} compares nothing"), "write it as p99<300ms, success>99.9% or failures<10")
        })?;
        let (name, rest) = text.split_at(at);
        let (operator, bound) = Operator::ALL
            .iter()
            .find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)))
            .ok_or_else(|| error(format!("{text:?} compares nothing"), "<, <=, > and >= are known"))?;
        let metric = metric(name.trim(), bound.trim())?;
        if metric.wants_small() != operator.is_upper() {
            let meant = if metric.wants_small() { '<' } else { '>' };
            let hint = format!("a threshold says what must hold: {}{meant}{}", name.trim(), bound.trim());
            return Err(error(format!("{text:?} asks for the worse"), &hint));
        }
        let threshold = Self { metric, operator };
        match threshold.always() {
            None => Ok(threshold),
            Some(holds) => {
                let message = if holds { "holds whatever is measured" } else { "can never hold" };
                let hint = if holds { "leave it out" } else { "the bound itself is allowed by <= and >=" };
                Err(error(format!("{text:?} {message}"), hint))
            }
        }
    }
}

impl Threshold {
    /// What becomes of it whatever is measured; `None`: that depends.
    fn always(&self) -> Option<bool> {
        let (none, all) = match self.metric {
            Metric::Latency(_, bound) | Metric::Lag(_, bound) => (bound.is_zero(), false),
            Metric::Success(bound) | Metric::Failed(bound) => (bound.ratio() <= 0.0, bound.ratio() >= 1.0),
            Metric::Failures(bound) | Metric::Unknown(bound) => (bound == 0, false),
            Metric::Rate(_) => (false, false),
        };
        match self.operator {
            Operator::Below if none => Some(false),
            Operator::Above if all => Some(false),
            Operator::AtMost if all => Some(true),
            Operator::AtLeast if none => Some(true),
            _ => None,
        }
    }
}

fn metric(name: &str, bound: &str) -> Result<Metric, ThresholdError> {
    let unit = |error: crate::units::UnitError| ThresholdError {
        message: format!("{:?} is not {}", error.found, error.expected),
        hint: error.hint.unwrap_or_else(|| format!("the bound of {name} has its unit in it")),
    };
    let count = || {
        bound.parse::<u64>().map_err(|_| ThresholdError {
            message: format!("{bound:?} is no number of requests"),
            hint: format!("write a whole number, as in {name}<10"),
        })
    };
    match name {
        "success" => bound.parse().map(Metric::Success).map_err(unit),
        "failed" => bound.parse().map(Metric::Failed).map_err(unit),
        "rate" => bound.parse().map(Metric::Rate).map_err(unit),
        "failures" => count().map(Metric::Failures),
        "unknown" => count().map(Metric::Unknown),
        name => {
            let (of, make): (&str, fn(Quantile, Duration) -> Metric) = match name.strip_prefix("lag-") {
                Some(of) => (of, Metric::Lag),
                None => (name, Metric::Latency),
            };
            let quantile = of.parse::<Quantile>().map_err(|()| ThresholdError {
                message: format!("there is no metric {name:?}"),
                hint: format!("known are {KNOWN}"),
            })?;
            bound.parse().map(|bound| make(quantile, bound)).map_err(unit)
        }
    }
}

impl FromStr for Quantile {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let number = text.strip_prefix('p').ok_or(())?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || whole.len() > 2 || fraction.len() > 3 || !digits(whole) || !digits(fraction) {
            return Err(());
        }
        let milli = format!("{whole}{fraction:0<3}").parse::<u32>().map_err(|_| ())?;
        if milli == 0 { Err(()) } else { Ok(Self::MilliPercent(milli)) }
    }
}

impl Quantile {
    /// How many of `n` values must be at or below it.
    pub fn rank(self, n: u64) -> u64 {
        match self {
            Self::Max => n,
            Self::MilliPercent(milli) => {
                u64::try_from((u128::from(n) * u128::from(milli)).div_ceil(100_000)).unwrap_or(n)
            }
        }
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::MilliPercent(milli) => match (milli / 1_000, milli % 1_000) {
                (whole, 0) => write!(f, "p{whole}"),
                (whole, fraction) => write!(f, "p{whole}.{}", format!("{fraction:03}").trim_end_matches('0')),
            },
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = Self::ALL.iter().find(|(_, operator)| operator == self).map_or("", |(sign, _)| sign);
        f.write_str(sign)
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = self.operator;
        match self.metric {
            Metric::Latency(quantile, bound) => write!(f, "{quantile}{operator}{bound}"),
            Metric::Lag(quantile, bound) => write!(f, "lag-{quantile}{operator}{bound}"),
            Metric::Success(bound) => write!(f, "success{operator}{bound}"),
            Metric::Failed(bound) => write!(f, "failed{operator}{bound}"),
            Metric::Rate(bound) => write!(f, "rate{operator}{bound}"),
            Metric::Failures(bound) => write!(f, "failures{operator}{bound}"),
            Metric::Unknown(bound) => write!(f, "unknown{operator}{bound}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_reads() {
        for text in [
            "p99<300ms",
            "p99.9<=1.5s",
            "p50<1ms",
            "max<2s",
            "lag-p99.99<50ms",
            "lag-max<1s",
            "success>99.9%",
            "success>=100%",
            "failed<0.1%",
            "rate>95.5/s",
            "failures<10",
            "unknown<=0",
        ] {
            assert_eq!(text.parse::<Threshold>().unwrap().to_string(), text);
        }
        assert_eq!(" p99 < 300ms ".parse::<Threshold>().unwrap().to_string(), "p99<300ms");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_hint() {
        for (text, hint) in [
            ("p99=300ms", "p99<300ms"),
            ("p99<300", "say the unit: 300s or 300ms"),
            ("p100<1s", "known are"),
            ("p0<1s", "known are"),
            ("mean<1s", "known are"),
            ("p99>300ms", "p99<300ms"),
            ("success<99%", "success>99%"),
            ("success>0.99", "write 99%"),
            ("failures<1%", "a whole number"),
            ("rate>100", "write 100/s"),
            ("", "p99<300ms"),
            ("<", "known are"),
            ("success>100%", "the bound itself"),
            ("failed<0%", "the bound itself"),
            ("failures<0", "the bound itself"),
            ("p99<0s", "the bound itself"),
            ("success>=0%", "leave it out"),
            ("failed<=100%", "leave it out"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.hint.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn ranks_are_nearest_ranks() {
        let rank = |text: &str, n| text.parse::<Quantile>().unwrap().rank(n);
        assert_eq!((rank("p50", 3), rank("p99", 100), rank("p99", 101), rank("max", 7)), (2, 99, 100, 7));
        assert_eq!((rank("p99.9", 1_000), rank("p99.9", 1_001), rank("p50", 0)), (999, 1_000, 0));
    }
}

//! Numbers as the sentences of verdicts print them. Shares are never rounded up to more than was measured.

/// `14000` as `14,000`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `count` things: `1 kill`, `59 kills`.
pub fn counted(count: u64, singular: &str) -> String {
    format!("{} {singular}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// A share of good things, rounded down: `99.97%`. Only all of them are `100%`.
pub fn share_of_good(bad: u64, all: u64) -> String {
    if all == 0 {
        return "no data".into();
    }
    let bad = bad.min(all);
    let decimals = if bad > 0 && (bad as f64) < 1e-4 * all as f64 { 4 } else { 2 };
    let scale = 10u128.pow(decimals);
    let floored = u128::from(all - bad) * 100 * scale / u128::from(all);
    trimmed(floored as f64 / scale as f64, decimals as usize)
}

/// A share of bad things, rounded to three significant digits: `0.083%`.
pub fn share_of_bad(share: f64) -> String {
    let percent = share * 100.0;
    trimmed(percent, decimals(percent))
}

/// A lower bound of a share, rounded down: what is said to be at least so much is.
pub fn share_at_least(share: f64) -> String {
    let percent = share * 100.0;
    let scale = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5][decimals(percent)];
    trimmed((percent * scale).floor() / scale, decimals(percent))
}

fn decimals(percent: f64) -> usize {
    match percent {
        p if p >= 10.0 => 1,
        p if p >= 1.0 => 2,
        p if p >= 0.1 => 3,
        _ => 5,
    }
}

/// A figure that may be huge or tiny: `3.2`, `1.5e12`.
pub fn figure(value: f64) -> String {
    match value {
        v if !v.is_finite() => "beyond all bounds".into(),
        v if v == 0.0 || (1e-3..1e5).contains(&v.abs()) => trimmed_number(v, 4),
        v => format!("{v:.1e}"),
    }
}

fn trimmed(percent: f64, decimals: usize) -> String {
    format!("{}%", trimmed_number(percent, decimals))
}

fn trimmed_number(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_perfect_run_is_a_hundred_percent() {
        assert_eq!(share_of_good(0, 6_000), "100%");
        assert_eq!(share_of_good(1, 6_000), "99.98%");
        assert_eq!(share_of_good(1, 1_000_000), "99.9999%");
        assert_eq!(share_of_good(1, 100_000_000), "99.9999%");
        assert_eq!(share_of_good(6_000, 6_000), "0%");
        assert_eq!(share_of_good(0, 0), "no data");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(counted(1, "kill"), "1 kill");
        assert_eq!(share_of_bad(0.001), "0.1%");
        assert_eq!(share_of_bad(0.0866), "8.66%");
        assert_eq!(share_of_bad(0.16554), "16.6%");
        assert_eq!(share_at_least(0.16554), "16.5%");
        assert_eq!(share_at_least(0.0), "0%");
        assert_eq!(share_at_least(1.0), "100%");
        assert_eq!(figure(20.0), "20");
        assert_eq!(figure(0.0471), "0.0471");
        assert_eq!(figure(1.5e12), "1.5e12");
        assert_eq!(figure(f64::INFINITY), "beyond all bounds");
    }
}

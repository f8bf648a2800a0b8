//! Whether a text is a schedule as CronJobs have it: five fields, or a word for some of them. When it is due is asked nowhere here.

/// Names, bounds and words of the five fields.
const FIELDS: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of week", 0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];
const WORDS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const EVERY: &str = "@every ";
const DURATION_UNITS: [&str; 7] = ["ns", "us", "µs", "ms", "s", "m", "h"];

/// What is wrong with the schedule, if anything.
pub(super) fn problem(text: &str) -> Option<String> {
    let text = without_zone(text);
    if let Some(duration) = text.strip_prefix(EVERY) {
        return (!is_duration(duration)).then(|| format!("failed to parse duration {text}"));
    }
    if text.starts_with('@') {
        return (!WORDS.contains(&text)).then(|| format!("unrecognized descriptor: {text}"));
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Some(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    fields.iter().zip(FIELDS).find_map(|(field, (name, least, most, words))| {
        let mut ranges = field.split(',').filter(|range| !range.is_empty());
        let is_valid = ranges.all(|range| is_range(range, least, most, words));
        (!is_valid).then(|| format!("{field} is no {name} from {least} to {most}, nor a list or range of these"))
    })
}

/// A zone before the schedule is refused elsewhere, with a better word than that there are six fields.
fn without_zone(text: &str) -> &str {
    let zone = text.starts_with("TZ=") || text.starts_with("CRON_TZ=");
    text.split_once(' ').filter(|_| zone).map_or(text, |(_, schedule)| schedule.trim_start())
}

/// `*`, `?`, a value or two with a dash between, and how many at a time after a slash.
fn is_range(text: &str, least: u32, most: u32, words: &[&str]) -> bool {
    let (range, step) = text.split_once('/').map_or((text, None), |(range, step)| (range, Some(step)));
    if !step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| step > 0)) {
        return false;
    }
    let value = |text: &str| {
        let word = words.iter().position(|word| text.eq_ignore_ascii_case(word)).and_then(|at| u32::try_from(at).ok());
        let value = word.map(|at| at + least).or_else(|| text.parse().ok());
        value.filter(|value| (least..=most).contains(value))
    };
    match range.split_once('-') {
        _ if matches!(range, "*" | "?") => true,
        Some((from, to)) => value(from).zip(value(to)).is_some_and(|(from, to)| from <= to),
        None => value(range).is_some(),
    }
}

/// Numbers with units, as Go writes durations: `1h30m`.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit = rest[number..].find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len() - number);
        if number == 0 || !DURATION_UNITS.contains(&&rest[number..number + unit]) {
            return false;
        }
        rest = &rest[number + unit..];
    }
    !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn schedules_that_a_cron_job_takes() {
        for good in [
            "* * * * *",
            "*/5 0-6 1,15 jan-mar MON",
            "0 0 ? * 0",
            "59 23 31 12 6",
            "1-10/3 * * * *",
            "@daily",
            "@every 1h30m",
            "TZ=UTC 0 5 * * *",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
    }

    #[test]
    fn schedules_that_it_refuses() {
        for bad in [
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "@often",
            "@every day",
            "@every 5",
            "@every ",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}

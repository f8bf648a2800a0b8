//! Numbers, durations and instants as all reports print them.

use chaos_core::record::Violation;
use chaos_core::result::{
    ClassCount, Counts, Distribution, InvariantsResult, KillSummary, LatencyQuantiles, ProbeResult, RunResult,
};
use chaos_core::verdict::words::{counted, share_of_bad, share_of_good, thousands};

/// Causes of failures that are told of each probe.
const CAUSES_SHOWN: usize = 3;
/// Characters of a detail that a server wrote.
const DETAIL_MAX: usize = 80;

/// Microseconds for people: `850 µs`, `12.3 ms`, `1.24 s`, `2 min 5 s`.
pub(super) fn duration(us: u64) -> String {
    match us {
        0..=999 => format!("{us} µs"),
        1_000..=99_949 => format!("{:.1} ms", us as f64 / 1e3),
        99_950..=999_499 => format!("{:.0} ms", us as f64 / 1e3),
        999_500..=59_994_999 => format!("{:.2} s", us as f64 / 1e6),
        _ => {
            let seconds = us.saturating_add(500_000) / 1_000_000;
            format!("{} min {} s", seconds / 60, seconds % 60)
        }
    }
}

/// Run time as seconds with a decimal: `23.4 s`.
pub(super) fn instant(us: u64) -> String {
    format!("{:.1} s", us as f64 / 1e6)
}

/// `p50 2.0 ms, p99 8.0 ms, max 14.0 ms`.
pub(super) fn latency(quantiles: &LatencyQuantiles) -> String {
    if quantiles.count == 0 {
        return "no answers".into();
    }
    format!(
        "p50 {}, p99 {}, max {}",
        duration(quantiles.p50_us),
        duration(quantiles.p99_us),
        duration(quantiles.max_us)
    )
}

/// `p50 300 ms, p95 400 ms, max 1.20 s, n 40`.
pub(super) fn distribution(distribution: &Distribution) -> String {
    if distribution.count == 0 {
        return "not seen".into();
    }
    format!(
        "p50 {}, p95 {}, max {}, n {}",
        duration(distribution.p50_us),
        duration(distribution.p95_us),
        duration(distribution.max_us),
        thousands(distribution.count)
    )
}

/// `99.97% of 14,000 requests`.
pub(super) fn availability(counts: &Counts) -> String {
    format!("{} of {}", share_of_good(counts.failed, counts.slots - counts.unknown), known(counts))
}

/// `14,000 requests`; where some have no known outcome, those that have one: claims count the others as bad.
pub(super) fn known(counts: &Counts) -> String {
    let which = if counts.unknown == 0 { "" } else { " with a known outcome" };
    format!("{}{which}", counted(counts.slots - counts.unknown, "request"))
}

/// What a probe measured, and when: what is judged, or the baseline where the run ended in it.
pub(super) fn measured(probe: &ProbeResult) -> (&Counts, &LatencyQuantiles, &'static str) {
    if probe.judged.slots == 0 && probe.baseline.slots > 0 {
        return (&probe.baseline, &probe.baseline_latency, " before the kills");
    }
    (&probe.judged, &probe.judged_latency, "")
}

/// `799 × Status (first: status 404), 2 × Reset (first: closed by the server)`: the most frequent classes of failures.
pub(super) fn causes(probe: &ProbeResult) -> Option<String> {
    let mut failed: Vec<&ClassCount> = probe.classes.iter().filter(|class| class.class.is_failure()).collect();
    failed.sort_by_key(|class| std::cmp::Reverse(class.count));
    let told: Vec<String> = failed
        .iter()
        .take(CAUSES_SHOWN)
        .map(|of| {
            let (count, class) = (thousands(of.count), of.class.as_str());
            format!("{count} × {class} (first: {})", cut(&plain(&of.example), DETAIL_MAX))
        })
        .collect();
    let more: u64 = failed.iter().skip(CAUSES_SHOWN).map(|class| class.count).sum();
    let more = if more > 0 { format!(", {} × others", thousands(more)) } else { String::new() };
    (!told.is_empty()).then(|| format!("{}{more}", told.join(", ")))
}

/// `4 failed, 1 slow`; what did not happen is left out.
pub(super) fn losses(counts: &Counts) -> String {
    let named = [(counts.failed, "failed"), (counts.slow, "too slow"), (counts.unknown, "unknown")];
    let parts: Vec<String> = named
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{} {name}", thousands(*count)))
        .collect();
    if parts.is_empty() { "none lost".into() } else { parts.join(", ") }
}

/// `; 0.663% of the 30-day error budget used`, to be said behind the losses; nothing where the manifest does not give the
/// requests of the service, or nothing is judged.
pub(super) fn budget(probe: &ProbeResult) -> String {
    let used = probe.budget_30d_ppm.filter(|_| probe.judged.slots > 0);
    let told = |ppm: u64| format!("; {} of the 30-day error budget used", share_of_bad(ppm as f64 / 1e6));
    used.map(told).unwrap_or_default()
}

/// `30.0 ms (3 requests) at 23.4 s`, the longest of these probes, or `none`; where none of them measured a kill that is no news.
pub(super) fn outage(probes: &[ProbeResult]) -> String {
    if !probes.is_empty() && probes.iter().all(|probe| probe.judged.slots == probe.judged.unknown) {
        return "not seen".to_owned();
    }
    let worst = probes.iter().filter_map(|probe| probe.worst_outage.as_ref()).max_by_key(|outage| outage.duration_us);
    worst.map_or_else(
        || "none".to_owned(),
        |outage| {
            format!(
                "{} ({}) at {}",
                duration(outage.duration_us),
                counted(outage.requests, "request"),
                instant(outage.start_us)
            )
        },
    )
}

/// `61 of 61 done, 58 exposed, 1 bad, 2 unknown (count as bad)`.
pub(super) fn kills(result: &RunResult) -> String {
    let kills = &result.kills;
    let trials = if kills.trials == kills.done { String::new() } else { format!("{} trials, ", kills.trials) };
    format!("{} of {} done, {trials}{}", kills.done, kills.planned, cost(kills))
}

/// `58 exposed, 1 bad, 2 unknown (count as bad)`: what the kills cost, in the same words in every report.
pub(super) fn cost(kills: &KillSummary) -> String {
    let unknown = match kills.unknown {
        0 => String::new(),
        1 => ", 1 unknown (counts as bad)".to_owned(),
        unknown => format!(", {unknown} unknown (count as bad)"),
    };
    format!("{} exposed, {} bad{unknown}", kills.exposed, kills.bad)
}

/// What all checkers checked, and what they found broken. Sums saturate: a record from elsewhere may hold any number.
pub(super) fn rules(result: &RunResult) -> (u64, u64) {
    let sum = |of: fn(&InvariantsResult) -> u64| result.invariants.iter().map(of).fold(0, u64::saturating_add);
    (sum(|invariants| invariants.checked), sum(|invariants| invariants.violations))
}

/// `1,234 checked, none broken`.
pub(super) fn invariants(result: &RunResult) -> Option<String> {
    let (checked, broken) = rules(result);
    let broken_words = if broken == 0 { "none broken".to_owned() } else { counted(broken, "violation") };
    (!result.invariants.is_empty()).then(|| format!("{} checked, {broken_words}", thousands(checked)))
}

/// Stories by the rule that they break, both in the order in which they were told.
pub(super) fn by_rule<'a>(violations: impl IntoIterator<Item = &'a Violation>) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut rules: Vec<(&str, Vec<&str>)> = Vec::new();
    for violation in violations {
        match rules.iter_mut().find(|(rule, _)| *rule == violation.invariant.as_str()) {
            Some((_, stories)) => stories.push(violation.story.as_str()),
            None => rules.push((violation.invariant.as_str(), vec![violation.story.as_str()])),
        }
    }
    rules
}

/// Control characters out of texts that others wrote, so that nobody can move a cursor, forge a line or turn the order of a text
/// around.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if moves(c) { ' ' } else { c }).collect()
}

/// The same of a page, whose lines and tabs are its own.
pub(super) fn plain_lines(page: &str) -> String {
    page.chars().map(|c| if moves(c) && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect()
}

/// Whether a character is not to be seen and changes where others are.
fn moves(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first `max` characters, and an ellipsis where that is not all.
pub(super) fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max.saturating_sub(1)).collect();
    short.push('…');
    short
}

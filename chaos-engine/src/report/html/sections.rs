//! The sections of the report that are words and tables.

use chaos_core::result::{Claim, Holds, ProbeResult, RunResult};
use chaos_core::verdict::words::{counted, figure, share_of_good, thousands};
use maud::{Markup, html};

use super::text;

/// Stories of one rule that are in sight; the others are folded away.
const STORIES_SHOWN: usize = 3;

/// One of the large figures at the top.
struct Figure {
    label: String,
    value: String,
    more: String,
    mood: Mood,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Good,
    Bad,
    Neutral,
}

/// Good as long as there is nothing bad among what was seen.
fn mood(bad: u64, seen: u64) -> Mood {
    match (bad, seen) {
        (0, 0) => Mood::Neutral,
        (0, _) => Mood::Good,
        _ => Mood::Bad,
    }
}

/// The large figures.
pub(super) fn figures(result: &RunResult) -> Markup {
    let mut figures: Vec<Figure> = result.probes.iter().flat_map(of_probe).collect();
    figures.push(kills(result));
    figures.push(recovery(result));
    figures.extend(invariants(result));
    html! {
        section.figures aria-label="Figures" {
            @for figure in &figures {
                div class={ "figure" @if figure.mood == Mood::Bad { " is-bad" } @else if figure.mood == Mood::Good { " is-good" } } {
                    div.label { (figure.label) }
                    div.value { (figure.value) }
                    div.more { (figure.more) }
                }
            }
        }
    }
}

fn of_probe(probe: &ProbeResult) -> [Figure; 3] {
    let (counts, _, when) = text::measured(probe);
    let known = counts.slots - counts.unknown;
    [
        Figure {
            label: format!("Availability{}, {}", under_kills(when), probe.probe),
            value: share_of_good(counts.failed, known),
            more: format!("{}, {}{}", text::known(counts), text::losses(counts), text::budget(probe)),
            mood: mood(counts.failed, known),
        },
        latency(probe),
        outage(probe),
    ]
}

/// When something was measured, if that is not said already.
fn under_kills(when: &str) -> &str {
    if when.is_empty() { " under kills" } else { when }
}

fn latency(probe: &ProbeResult) -> Figure {
    let (_, latency, when) = text::measured(probe);
    let mut more = Vec::new();
    if latency.count > 0 {
        more.push(format!("p50 {}, max {}", unbroken(latency.p50_us), unbroken(latency.max_us)));
    }
    if when.is_empty() && probe.baseline_latency.count > 0 {
        more.push(format!("before: p99 {}", unbroken(probe.baseline_latency.p99_us)));
    }
    Figure {
        label: format!("Latency p99{}, {}", under_kills(when), probe.probe),
        value: if latency.count == 0 { "no answers".into() } else { unbroken(latency.p99_us) },
        more: more.join("; "),
        mood: Mood::Neutral,
    }
}

fn outage(probe: &ProbeResult) -> Figure {
    let known = probe.judged.slots - probe.judged.unknown;
    let (value, more) = match &probe.worst_outage {
        Some(outage) => (
            unbroken(outage.duration_us),
            format!("{} in a row at {}", counted(outage.requests, "request"), text::instant(outage.start_us)),
        ),
        None if known == 0 => ("not seen".into(), "no request under kills".into()),
        None => ("none".into(), "not one failed request".into()),
    };
    let mood = mood(u64::from(probe.worst_outage.is_some()), known);
    Figure { label: format!("Worst outage, {}", probe.probe), value, more, mood }
}

fn kills(result: &RunResult) -> Figure {
    let kills = &result.kills;
    Figure {
        label: "Kills".into(),
        value: format!("{} of {}", kills.done, kills.planned),
        more: format!("{} trials, {}", kills.trials, text::cost(kills)),
        mood: if kills.bad > 0 { Mood::Bad } else { Mood::Neutral },
    }
}

fn recovery(result: &RunResult) -> Figure {
    let ready = &result.recovery.ready;
    let missing = result.recovery.not_recovered;
    let (value, more) = match ready.count {
        0 => ("not seen".into(), String::new()),
        n => (unbroken(ready.p95_us), format!("p50 {}, max {}, n {n}", unbroken(ready.p50_us), unbroken(ready.max_us))),
    };
    Figure {
        label: "Replacement Ready, p95".into(),
        value,
        more: if missing > 0 { format!("{} never replaced", counted(missing, "kill")) } else { more },
        mood: if missing > 0 { Mood::Bad } else { Mood::Neutral },
    }
}

/// A duration whose unit stays on its line: figures are narrow.
fn unbroken(us: u64) -> String {
    text::duration(us).replace(' ', "\u{a0}")
}

fn invariants(result: &RunResult) -> Option<Figure> {
    let (checked, broken) = text::rules(result);
    let violations = if broken == 0 { String::new() } else { format!("{}, ", counted(broken, "violation")) };
    (!result.invariants.is_empty()).then(|| Figure {
        label: "Business rules".into(),
        value: match (broken, checked) {
            (0, 0) => "not checked",
            (0, _) => "kept",
            _ => "broken",
        }
        .into(),
        more: format!("{violations}{} checked", thousands(checked)),
        mood: mood(broken, checked),
    })
}

/// Counter-examples, with their stories: by the rule that they break, a few of each in sight.
pub(super) fn broken_rules(result: &RunResult) -> Markup {
    html! {
        @for invariants in result.invariants.iter().filter(|invariants| invariants.violations > 0) {
            section.card {
                h2 { (counted(invariants.violations, "violation")) " of business rules" }
                p.soft { (invariants.probe) " checked " (thousands(invariants.checked)) "; told are " (invariants.stories.len()) "." }
                @for (rule, stories) in text::by_rule(&invariants.stories) {
                    @let (shown, folded) = stories.split_at(stories.len().min(STORIES_SHOWN));
                    h3 { (rule) " " span.soft { "(" (stories.len()) " told)" } }
                    @for (number, told) in shown.iter().enumerate() { (story(told, number == 0)) }
                    @if !folded.is_empty() {
                        details.told {
                            summary { (folded.len()) " more" }
                            @for told in folded { (story(told, false)) }
                        }
                    }
                }
            }
        }
    }
}

/// A story by its first line; what follows that unfolds.
fn story(told: &str, is_open: bool) -> Markup {
    let (first, rest) = told.split_once('\n').unwrap_or((told, ""));
    html! {
        @if rest.is_empty() {
            p.story { (first) }
        } @else {
            details.told open[is_open] {
                summary { (first) }
                p.story.mono { (rest) }
            }
        }
    }
}

/// The table of claims.
pub(super) fn claims(result: &RunResult) -> Markup {
    html! {
        @if !result.claims.is_empty() {
            section.card {
                h2 { "What was claimed" }
                div.table {
                    table {
                        thead { tr {
                            th { "claim" } th { "holds" } th { "method" } th.n { "n" } th.n { "K" } th.n { "exposed" }
                            th.n { "value" } th.n { "bound" } th.n { "α" }
                        } }
                        tbody { @for row in &result.claims { (claim(row)) } }
                    }
                }
                p.soft { "n: all requests; those of exposed windows alone, where they matter, stand with the method. K: trials, that is kill \
                          windows. A value is compared with its bound by the method. Requests whose outcome is unknown count as bad when a \
                          claim is to pass and as good when it is to fail." }
            }
        }
    }
}

fn claim(claim: &Claim) -> Markup {
    let (class, word) = match claim.holds {
        Holds::Yes => ("yes", "yes"),
        Holds::NotRefuted => ("neutral", "not refuted"),
        Holds::No => ("no", "no"),
        Holds::Undecided => ("open", "undecided"),
    };
    html! {
        tr {
            td { (claim.claim) @if let Some(assumption) = &claim.assumption { br; span.soft { "assuming that " (assumption) } } }
            td { span class={ "tag " (class) } { (word) } }
            td { (claim.method) }
            td.n { (thousands(claim.n)) } td.n { (claim.trials) } td.n { (claim.exposed) }
            td.n { (figure(claim.value)) } td.n { (figure(claim.bound)) }
            td.n { (claim.alpha.map(figure).unwrap_or_default()) }
        }
    }
}

/// Probes with answers.
pub(super) fn expectations(result: &RunResult) -> Markup {
    html! {
        @if !result.expectations.is_empty() {
            section.card {
                h2 { "What else was asked" }
                div.table {
                    table {
                        thead { tr { th { "probe" } th { "expected" } th.n { "as expected" } th.n { "not" } th.n { "no answer" } th { "first problem" } th { "last answer" } } }
                        tbody {
                            @for row in &result.expectations {
                                tr {
                                    td { (row.probe) } td { (row.expected) } td.n { (row.met) } td.n { (row.unmet) } td.n { (row.errors) }
                                    td.words { (row.first_problem.as_deref().unwrap_or("none")) }
                                    td.mono.words { @if let Some(last) = &row.last { (last.to_string()) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What the bad requests were.
pub(super) fn failures(result: &RunResult) -> Markup {
    html! {
        @if result.probes.iter().any(|probe| !probe.classes.is_empty()) {
            section.card {
                h2 { "What went wrong with requests" }
                div.table {
                    table {
                        thead { tr { th { "probe" } th { "class" } th.n { "requests" } th { "first detail" } } }
                        tbody {
                            @for probe in &result.probes {
                                @for class in &probe.classes {
                                    tr { td { (probe.probe) } td { (class.class.as_str()) } td.n { (thousands(class.count)) } td.mono.words { (class.example) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What to change.
pub(super) fn advice(result: &RunResult) -> Markup {
    html! {
        @if !result.advice.is_empty() {
            section.card {
                h2 { "Advice" }
                @for advice in &result.advice {
                    div.advice {
                        h3 { (advice.title) }
                        p.soft { (advice.about) ": " (advice.evidence) }
                        @if !advice.manifest.is_empty() { details { summary { "Lines to change" } pre { (advice.manifest) } } }
                    }
                }
            }
        }
    }
}

/// Who might be killed, and who might not.
pub(super) fn plan(result: &RunResult) -> Markup {
    let plan = &result.plan;
    let excluded = plan.excluded.iter().filter(|excluded| excluded.is_pod()).count();
    let namespaces = match (plan.excluded.len() - excluded) as u64 {
        0 => String::new(),
        count => format!(", and no pod of {}", counted(count, "other namespace")),
    };
    html! {
        section.card {
            h2 { "Plan" }
            p { (counted(plan.eligible.len() as u64, "pod")) " might be killed, " (excluded) " might not" (namespaces) "; "
                (result.kills.planned) " strikes were planned, at least " (result.kills.least) " needed." }
            details {
                summary { "Pods and exclusions" }
                div.table {
                    table {
                        thead { tr { th { "pod" } th { "might be killed" } th { "workload or reason" } th { "where" } } }
                        tbody {
                            @for pod in &plan.eligible {
                                tr { td.mono { (pod.pod) } td { "yes" } td { (pod.workload) } td { (place(pod.node.as_deref(), pod.zone.as_deref())) } }
                            }
                            @for pod in &plan.excluded {
                                tr { td.mono { (pod.pod) } td { "no" } td.words { (pod.reason) ": " (pod.message) } td {} }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn place(node: Option<&str>, zone: Option<&str>) -> String {
    match (node, zone) {
        (Some(node), Some(zone)) => format!("{node} in {zone}"),
        (Some(node), None) => node.to_owned(),
        (None, _) => "unknown".into(),
    }
}

/// Surroundings, notes, the load generator's own quality, and the manifest itself.
pub(super) fn environment(result: &RunResult) -> Markup {
    let run = &result.run;
    html! {
        section.card {
            h2 { "Surroundings" }
            dl {
                dt { "Cluster" } dd { (run.cluster) }
                @for fact in &run.environment { dt { (fact.name) } dd { (fact.value) } }
                dt { "Tool" } dd { (run.tool) @if let Some(digest) = &run.tool_digest { " " span.soft.mono { "sha256 " (digest) } } }
                dt { "Manifest" } dd { (run.manifest_source) " " span.soft.mono { "sha256 " (run.manifest_digest) } }
                @for probe in &result.probes {
                    dt { "Load generator, " (probe.probe) }
                    dd { "sent after due time: p50 " (text::duration(probe.lag.p50_us)) ", p99 " (text::duration(probe.lag.p99_us)) ", max " (text::duration(probe.lag.max_us)) }
                }
                @for image in &result.plan.images {
                    dt { "Image of " (image.workload) }
                    dd { (image.image) @if let Some(id) = &image.image_id { " " span.soft.mono { (id) } } }
                }
                @for phase in &result.phases {
                    dt { (phase.phase.as_str()) }
                    dd { "from " (text::instant(phase.start_us)) " to " (text::instant(phase.end_us)) " (" (phase.started_at.strftime("%H:%M:%S UTC")) ")" }
                }
            }
            @for note in &result.notes { p { "Note: " (note) } }
            details { summary { "The manifest as it was run" } pre { (run.manifest) } }
        }
    }
}

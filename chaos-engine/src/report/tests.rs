//! Every renderer on a pass and on a failure with hostile texts: snapshots, sizes, escaping.

use chaos_core::record::BadClass;
use chaos_core::result::{ClassCount, Counts, Distribution, ImageUsed, LatencyQuantiles, RunResult, SkipCount};
use chaos_core::verdict::Outcome;

use super::sample::{HOSTILE, fail, pass};
use super::terminal::Medium;
use super::{github, html, json, junit, markdown, terminal};

#[test]
fn terminal_screens() {
    insta::assert_snapshot!("terminal_pass", terminal::render(&pass(), Medium::Screen));
    insta::assert_snapshot!("terminal_fail", terminal::render(&fail(), Medium::Screen));
}

#[test]
fn a_terminal_screen_is_one_screen_and_moves_no_cursor() {
    for result in [pass(), fail()] {
        let screen = terminal::render(&result, Medium::Screen);
        let bare = screen
            .replace("\u{1b}[0m", "")
            .replace("\u{1b}[1m", "")
            .replace("\u{1b}[31m", "")
            .replace("\u{1b}[32m", "");
        assert!(!bare.chars().any(|c| c.is_control() && c != '\n'), "{bare:?}");
        assert!(bare.lines().count() <= 26, "{}: four lines are for the files", bare.lines().count());
        assert!(bare.lines().all(|line| line.chars().count() <= 100), "{bare}");
    }
}

#[test]
fn nothing_is_cut_that_a_person_must_read() {
    let mut result = fail();
    let (story, left) = ("driver 4 was on ride 9\nand on ride 12 ", "delete Lease dispatch/run-1 ".repeat(40));
    result.verdict.reason_text = story.repeat(100);
    result.leftovers = vec![left.clone(); 3];
    result.verdict.findings[1].message = "m".repeat(250);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");

    let screen = terminal::render(&result, Medium::Screen);
    assert_eq!(words(&screen).matches(words(&left).as_str()).count(), 3, "{screen}");
    let broken: String = screen.lines().map(str::trim).filter(|line| line.chars().all(|c| c == 'm')).collect();
    assert_eq!(broken.len(), 250, "{screen}");
    assert!(screen.contains("driver 4 was on ride 9\n"), "a line of a story stays one: {screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 120), "{screen}");

    let pipe = terminal::render(&result, Medium::Pipe);
    assert_eq!(pipe.matches("and on ride 12").count(), 100, "{pipe}");
    assert!(pipe.contains(&"m".repeat(250)) && pipe.contains(left.trim_end()), "{pipe}");
    assert_eq!(pipe.matches("  Also ").count(), 4, "{pipe}");
}

#[test]
fn what_was_not_seen_while_pods_died_is_neither_zero_nor_good() {
    let mut result = pass();
    let probe = &mut result.probes[0];
    (probe.baseline, probe.judged) = (probe.judged, Counts::default());
    (probe.baseline_latency, probe.judged_latency) = (probe.judged_latency, LatencyQuantiles::default());
    result.recovery.ready = Distribution::default();
    result.invariants[0].checked = 0;
    let page = html::render(&result);
    let figures =
        page.split_once("<section class=\"figures\"").and_then(|(_, rest)| rest.split_once("</section>")).unwrap().0;
    let told =
        ["Availability before the kills", "Latency p99 before the kills", "no request under kills", "not checked"];
    assert!(told.iter().all(|part| figures.contains(part)), "{figures}");
    assert_eq!(figures.matches("not seen").count(), 2, "the outage and the replacements: {figures}");
    assert_eq!(figures.matches("is-good").count(), 1, "the requests before the kills alone: {figures}");
    assert!(!figures.contains('µ'), "{figures}");
    assert!(terminal::render(&result, Medium::Screen).contains("  Worst outage   not seen\n"));
    assert!(markdown::render(&result).contains("| Worst outage of request-ride | not seen |"));
}

#[test]
fn a_run_in_which_nothing_works_says_why() {
    let mut result = fail();
    let probe = &mut result.probes[0];
    (probe.baseline, probe.judged) = (probe.judged, Counts::default());
    probe.classes = [(BadClass::Status, 799, "status 404"), (BadClass::Timeout, 1_000, "no answer in 1s")]
        .map(|(class, count, example)| ClassCount { class, count, example: example.into() })
        .to_vec();
    let told = "1,000 × Timeout (first: no answer in 1s), 799 × Status (first: status 404)";
    let screen = terminal::render(&result, Medium::Screen);
    assert!(screen.contains(&format!("  Failed         {told}\n")), "{screen}");
    assert!(screen.contains("5,100 requests, 199 failed before the kills"), "{screen}");
    assert!(markdown::render(&result).contains(told));
    assert!(junit::render(&result).unwrap().contains(told));
    assert!(!terminal::render(&pass(), Medium::Screen).contains("Failed"));
}

#[test]
fn markdown_pages() {
    insta::assert_snapshot!("markdown_pass", markdown::render(&pass()));
    insta::assert_snapshot!("markdown_fail", markdown::render(&fail()));
}

#[test]
fn markdown_stays_below_a_mebibyte_and_whole() {
    let mut result = fail();
    let advice = result.advice[0].clone();
    result.advice = std::iter::repeat_with(|| advice.clone()).take(20_000).collect();
    for advice in &mut result.advice {
        advice.title = "é".repeat(60);
    }
    let page = markdown::render(&result);
    assert!(page.len() <= 1024 * 1024);
    assert!(page.ends_with("The rest is in the HTML report.\n"));
}

#[test]
fn junit_files() {
    insta::assert_snapshot!("junit_pass", junit::render(&pass()).unwrap());
    insta::assert_snapshot!("junit_fail", junit::render(&fail()).unwrap());
}

#[test]
fn junit_never_skips_and_says_error_for_everything_that_is_neither_held_nor_failed() {
    for exit in chaos_core::verdict::ExitCode::ALL {
        let mut result = pass();
        result.verdict.exit_code = exit;
        let xml = junit::render(&result).unwrap();
        assert!(!xml.contains("<skipped"));
        assert_eq!(xml.contains("<failure"), exit.code() == 1, "{exit:?}");
        assert_eq!(xml.contains("<error"), exit.code() > 1, "{exit:?}");
    }
}

#[test]
fn junit_holds_characters_of_xml_alone() {
    let mut result = fail();
    // But for the one that begins a sequence for a terminal, of which more goes than itself.
    let all: String = (0..=0xffff).filter_map(char::from_u32).filter(|c| *c != '\u{1b}').collect();
    result.verdict.reason_text.clone_from(&all);
    result.hypothesis.clone_from(&all);
    result.verdict.findings[0].message = all;
    let is_xml =
        |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    let xml = junit::render(&result).unwrap();
    assert_eq!(xml.chars().find(|c| !is_xml(*c)), None);
    assert!(xml.contains('\u{fffd}') && xml.contains('\u{e000}'));
}

#[test]
fn junit_calls_a_broken_claim_a_failure_only_where_the_run_failed_or_left_something_behind() {
    for exit in chaos_core::verdict::ExitCode::ALL {
        let mut result = fail();
        result.verdict.exit_code = exit;
        let xml = junit::render(&result).unwrap();
        assert_eq!(xml.contains("<failure"), matches!(exit.code(), 1 | 6), "{exit:?}");
        assert_eq!(xml.contains("<error"), exit.code() != 1, "{exit:?}");
    }
}

#[test]
fn github_annotations_are_one_line_each_whatever_the_text() {
    insta::assert_snapshot!("github_pass", github::render(&pass()));
    let mut result = fail();
    result.verdict.findings[0].message = HOSTILE.into();
    let text = github::render(&result);
    assert_eq!(text.lines().count(), result.verdict.findings.len());
    assert!(text.lines().all(|line| line.starts_with("::error file=")));
    assert!(text.contains("%250A::error::"), "{text}");
    result.run.manifest_source = "ExperimentRun dispatch/riders".into();
    assert!(github::render(&result).lines().all(|line| line.starts_with("::error title=chaos fail%3A")), "{text}");
}

#[test]
fn junit_has_no_seed_and_no_id_of_a_run_that_was_never_started() {
    let mut result = fail();
    for (id, known) in [("r-5f2c", true), ("", false)] {
        result.run.id = id.into();
        let xml = junit::render(&result).unwrap();
        assert_eq!((xml.contains("name=\"runId\""), xml.contains("name=\"seed\"")), (known, known), "{xml}");
        assert!(xml.contains("name=\"startedAt\""), "{xml}");
    }
}

#[test]
fn html_pages() {
    insta::assert_snapshot!("html_pass", html::render(&pass()));
    insta::assert_snapshot!("html_fail", html::render(&fail()));
}

#[test]
fn html_escapes_loads_nothing_and_runs_only_its_own_script() {
    let page = html::render(&fail());
    assert!(!page.contains("<script>alert"));
    assert!(page.contains("&lt;script&gt;alert"));
    assert_eq!(page.matches("<script").count(), 1);
    for foreign in ["http://", "https://", "url(", "@import", " src="] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn html_of_an_hour_at_a_thousand_requests_a_second_is_small() {
    let mut result = fail();
    let seconds = result.series[0].seconds.clone();
    result.series[0].seconds = (0..3_600usize)
        .map(|i| {
            let mut second = seconds[i % seconds.len()];
            second.at_us = i as u64 * 1_000_000;
            second
        })
        .collect();
    for phase in &mut result.phases {
        (phase.start_us, phase.end_us) = (phase.start_us * 60, phase.end_us * 60);
    }
    let row = result.kill_rows[1].clone();
    result.kill_rows = (0..1_000)
        .map(|i| {
            let mut row = row.clone();
            row.at_us = i * 3_600_000;
            row
        })
        .collect();
    let bytes = html::render(&result).len();
    assert!(bytes <= 3 * 1024 * 1024, "{bytes}");
}

#[test]
fn every_report_tells_how_fast_it_was_noticed_and_healed() {
    for result in [pass(), fail()] {
        let recovery = &result.recovery;
        for distribution in [&recovery.detect, &recovery.ready, &recovery.traffic] {
            assert_eq!(distribution.count, 40);
            let told = super::text::distribution(distribution);
            for page in [terminal::render(&result, Medium::Screen), markdown::render(&result), html::render(&result)] {
                assert!(page.contains(&told), "{told}: {page}");
            }
        }
        let page = html::render(&result);
        let strips: Vec<&str> =
            page.split("<svg class=\"strip\"").skip(1).filter_map(|svg| svg.split("</svg>").next()).collect();
        assert_eq!(strips.len(), 3);
        assert!(strips.iter().all(|strip| strip.matches("V16").count() == 40), "{strips:?}");
    }
}

#[test]
fn every_report_tells_what_of_an_error_budget_was_used_where_it_is_known() {
    let mut result = fail();
    let pages = |of: &RunResult| [terminal::render(of, Medium::Pipe), markdown::render(of), html::render(of)];
    for (ppm, used) in [(0, "0%"), (133, "0.0133%"), (6_633, "0.663%"), (2_500_000, "250%")] {
        result.probes[0].budget_30d_ppm = Some(ppm);
        let told = format!("5,100 requests, 199 failed; {used} of the 30-day error budget used");
        assert!(pages(&result).iter().all(|page| page.contains(&told)), "{told}");
    }
    let is_told = |of: &RunResult| pages(of).iter().any(|page| page.contains("30-day error budget"));
    result.probes[0].judged = Counts::default();
    assert!(!is_told(&result), "nothing was judged");
    let mut unknown = fail();
    unknown.probes[0].budget_30d_ppm = None;
    assert!(!is_told(&unknown), "nobody said how much the service is asked");
}

#[test]
fn what_may_be_why_a_run_proved_nothing_is_told_everywhere() {
    let mut result = fail();
    let note = "the operator ended the kills 540 s before their time was over";
    result.notes = ["of the preparations", note, "after that", "at the end"].map(str::to_owned).into();
    assert!(!terminal::render(&result, Medium::Screen).contains(note), "there is enough to say");
    result.verdict.outcome = Outcome::Inconclusive;
    let (screen, pipe) = (terminal::render(&result, Medium::Screen), terminal::render(&result, Medium::Pipe));
    for page in [&screen, &pipe, &json::render(&result).unwrap(), &markdown::render(&result), &html::render(&result)] {
        assert!(page.contains(note), "{page}");
    }
    assert!(pipe.contains("of the preparations") && !screen.contains("of the preparations"), "{screen}");
    assert!(screen.contains("and 1 more, told in the reports"), "{screen}");
}

#[test]
fn json_reads_back_and_everything_is_byte_identical() {
    for make in [pass as fn() -> RunResult, fail] {
        let result = make();
        let text = json::render(&result).unwrap();
        assert_eq!(serde_json::from_str::<RunResult>(&text).unwrap(), result);
        let again = make();
        assert_eq!(text, json::render(&again).unwrap());
        assert_eq!(html::render(&result), html::render(&again));
        assert_eq!(junit::render(&result).unwrap(), junit::render(&again).unwrap());
    }
}

#[test]
fn html_tells_what_the_result_knows() {
    let mut result = fail();
    result.run.tool = "0.1.0".into();
    result.run.tool_digest = Some("70017001".into());
    result.put_off = vec![SkipCount { reason: "NotRecovered".into(), count: 3, example: "strike 17".into() }];
    let image_id = Some("sha256:facade".to_owned());
    result.plan.images = vec![ImageUsed { workload: "Deployment/trips".into(), image: "trips:1".into(), image_id }];
    let page = html::render(&result);
    let replacement = result.kill_rows[0].replacement.clone().unwrap();
    for told in [
        "Written by chaos 0.1.0.",
        "sha256 70017001",
        "Strikes that had to wait",
        "NotRecovered",
        "trips:1",
        "sha256:facade",
        replacement.as_str(),
    ] {
        assert!(page.contains(told), "{told}");
    }
    assert_eq!(page.matches("<td><span class=\"name\">request-ride</span></td></tr>").count(), 40, "who was exposed");
    for (class, of_each) in [("tick scheduled", 40), ("tick started", 40), ("tick", 40), ("tick served", 13)] {
        assert_eq!(page.matches(&format!("<line class=\"{class}\"")).count(), of_each, "{class}");
    }
    let marks = page.split("<svg class=\"kill").skip(1).filter_map(|mark| mark.split('>').next());
    let marks: Vec<&str> = marks.collect();
    assert_eq!(marks.len(), 40);
    assert!(marks.iter().all(|mark| mark.contains("aria-label=\"strike ")), "{marks:?}");
    // Whoever goes through the page by keyboard stops at the drawing once, and not at every kill.
    assert_eq!(page.matches("tabindex=").count(), result.series.len(), "{page}");
}

#[test]
fn texts_of_others_make_no_links_and_do_not_turn_around() {
    let mut result = fail();
    result.verdict.reason_text =
        "see https://evil.example/a and www.evil.example \u{202e}txt.exe\u{2066}\u{2069}".into();
    let (page, screen) = (markdown::render(&result), terminal::render(&result, Medium::Screen));
    assert!(page.contains("see https&#58;//evil.example/a and www&#46;evil.example  txt.exe"), "{page}");
    assert!(!page.contains("://") && !page.contains("www."), "{page}");
    for text in [page, screen] {
        assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{2069}']), "{text:?}");
    }
}

#[test]
fn html_texts_of_others_turn_nothing_around() {
    let mut result = fail();
    result.verdict.reason_text = "a \u{202e}b\u{2066}\u{2069}\u{1b}[2J\0 c".into();
    result.run.manifest = "a line\r\n\tof a manifest".into();
    let page = html::render(&result);
    assert!(page.contains("a  b   [2J  c") && page.contains("a line \n\tof a manifest"), "{page}");
    let is_seen = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    assert!(page.chars().all(is_seen) && !page.contains(['\u{202e}', '\u{2066}', '\u{2069}']), "{page:?}");
}

#[test]
fn html_texts_stand_out_from_what_they_are_on() {
    let page = html::render(&pass());
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let blocks: Vec<&str> = style.split(":root {").skip(1).map(|block| block.split('}').next().unwrap()).collect();
    let schemes: Vec<&&str> = blocks.iter().filter(|block| block.contains("--ink:")).collect();
    assert_eq!(schemes.len(), 2, "light and dark");
    for scheme in schemes {
        for ground in ["page", "card", "code"] {
            for text in ["ink", "soft", "good", "bad", "warn", "p50"] {
                let (of_text, of_ground) = (luminance(scheme, text), luminance(scheme, ground));
                let ratio = (of_text.max(of_ground) + 0.05) / (of_text.min(of_ground) + 0.05);
                assert!(ratio >= 4.5, "{text} on {ground} is {ratio:.2} in {scheme}");
            }
        }
    }
}

#[test]
fn a_long_word_of_others_does_not_push_columns_out_of_sight() {
    let mut result = fail();
    let word = "w".repeat(900);
    result.kill_rows[0].trial = None;
    result.kill_rows[0].message = Some(word.clone());
    result.skips[0].example.clone_from(&word);
    result.expectations[0].first_problem = Some(word.clone());
    result.expectations[0].last = Some(word.clone().into());
    result.probes[0].classes[0].example.clone_from(&word);
    result.plan.excluded[0].message.clone_from(&word);
    let page = html::render(&result);
    assert!(page.contains("td.words { max-width: 44em; overflow-wrap: break-word; }"), "{page}");
    let cells: Vec<&str> = page.split("<td").skip(1).filter(|cell| cell.contains(&word)).collect();
    assert_eq!(cells.len(), 6, "{cells:?}");
    assert!(cells.iter().all(|cell| cell.split('>').next().is_some_and(|tag| tag.contains("words"))), "{cells:?}");
}

#[test]
fn paper_is_light_and_loses_no_column_and_no_story() {
    let mut result = fail();
    let stories = &mut result.invariants[0].stories;
    let told = stories[0].clone();
    stories.extend((0..4).map(|_| told.clone()));
    let page = html::render(&result);
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    assert!(style.contains("@media screen and (prefers-color-scheme: dark)"), "no dark cards on paper");
    let print = style.split("@media print").nth(1).unwrap();
    assert!(print.contains(".table { overflow: visible; }"), "{print}");
    assert!(print.contains("details:not([open]):not(.kills):not(.told) { display: none"), "{print}");
    // Each story of several lines, and those that are folded away together.
    assert_eq!(page.matches("<details class=\"told\"").count(), 6, "{page}");
}

#[test]
fn a_mark_of_a_harmless_kill_stands_out_from_the_phase_it_is_on() {
    let page = html::render(&pass());
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let opacity = style.split("svg .kill path { fill: var(--kill); fill-opacity: ").nth(1).unwrap();
    let opacity: f64 = opacity.split(';').next().unwrap().parse().unwrap();
    let schemes: Vec<&str> = style.split(":root {").skip(1).filter(|block| block.contains("--ink:")).collect();
    assert_eq!(schemes.len(), 2, "light and dark");
    for scheme in schemes {
        let mix = |top: [f64; 3], share: f64, ground: [f64; 3]| -> [f64; 3] {
            std::array::from_fn(|i| top[i] * share + ground[i] * (1.0 - share))
        };
        let (kill, card) = (channels(scheme, "kill"), channels(scheme, "card"));
        let ground = mix(channels(scheme, "fault"), 16.0 / 255.0, card);
        let (of_mark, of_ground) = (luminance_of(mix(kill, opacity, ground)), luminance_of(ground));
        let ratio = (of_mark.max(of_ground) + 0.05) / (of_mark.min(of_ground) + 0.05);
        assert!(ratio >= 3.0, "{ratio:.2} in {scheme}");
    }
}

/// Relative luminance (WCAG 2) of a variable of a scheme, `#rrggbb`.
fn luminance(scheme: &str, variable: &str) -> f64 {
    luminance_of(channels(scheme, variable))
}

/// Red, green and blue of a variable, from 0 to 1; of one that lets the ground through as well.
fn channels(scheme: &str, variable: &str) -> [f64; 3] {
    let value = scheme.split(&format!("--{variable}: #")).nth(1).unwrap_or_else(|| panic!("{variable} in {scheme}"));
    [0, 2, 4].map(|at| f64::from(u8::from_str_radix(&value[at..at + 2], 16).unwrap()) / 255.0)
}

fn luminance_of(channels: [f64; 3]) -> f64 {
    let [red, green, blue] =
        channels.map(|share| if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

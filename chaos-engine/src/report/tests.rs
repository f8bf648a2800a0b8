//! Every renderer on a pass and on a failure with hostile texts: snapshots, sizes, escaping.

use chaos_core::result::RunResult;

use super::sample::{HOSTILE, fail, pass};
use super::{github, html, json, junit, markdown, terminal};

#[test]
fn terminal_screens() {
    insta::assert_snapshot!("terminal_pass", terminal::render(&pass()));
    insta::assert_snapshot!("terminal_fail", terminal::render(&fail()));
}

#[test]
fn a_terminal_screen_is_one_screen_and_moves_no_cursor() {
    for result in [pass(), fail()] {
        let screen = terminal::render(&result);
        let bare = screen
            .replace("\u{1b}[0m", "")
            .replace("\u{1b}[1m", "")
            .replace("\u{1b}[31m", "")
            .replace("\u{1b}[32m", "");
        assert!(!bare.chars().any(|c| c.is_control() && c != '\n'), "{bare:?}");
        assert!(bare.lines().count() <= 22, "{}: three lines are for the files", bare.lines().count());
        assert!(bare.lines().all(|line| line.chars().count() <= 100), "{bare}");
    }
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
fn github_annotations_are_one_line_each_whatever_the_text() {
    insta::assert_snapshot!("github_pass", github::render(&pass()));
    let mut result = fail();
    result.verdict.findings[0].message = HOSTILE.into();
    let text = github::render(&result);
    assert_eq!(text.lines().count(), result.verdict.findings.len());
    assert!(text.lines().all(|line| line.starts_with("::error file=")));
    assert!(text.contains("%250A::error::"), "{text}");
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

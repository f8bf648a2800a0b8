//! One execution of a game day on one page: where each step ended, what its run proved, and where that run's report lies; behind
//! them the runs, as several of one command are told. A game day ends no better than the worst of what is told of it.

use std::fmt::Write as _;

use anstyle::Style;
use chaos_core::api::{ExecutionRecord, ExecutionResult, StepRecord};
use chaos_core::result::RunResult;
use chaos_core::verdict::{Conclusion, ExitCode, Outcome, ReasonCode};

use super::markdown::{escape, limited, mark, write_page};
use super::terminal::colour;
use super::text;

/// Names of steps on a terminal, and what is said of a step.
const NAME_MAX: usize = 40;
const TEXT_MAX: usize = 300;

/// An execution that is over, and its runs as far as they could be fetched.
#[derive(Debug, Clone)]
pub struct DayReport {
    /// Namespace and name of the game day.
    pub day: String,
    /// The execution with its steps.
    pub execution: ExecutionRecord,
    /// What the operator made of it, as long as its history has that.
    pub told: Option<ExecutionResult>,
    /// What there is of the run of each step, in their order.
    pub runs: Vec<StepRun>,
}

/// What there is of the run of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepRun {
    /// The step has none, or one that only planned.
    None,
    /// It was fetched and judged.
    Told {
        /// What it proved.
        result: Box<RunResult>,
        /// The folder of its reports, seen from that of the page.
        folder: String,
    },
    /// It proves nothing here.
    Missing {
        /// What that means for a run.
        reason: ReasonCode,
        /// The facts, for people.
        message: String,
    },
}

/// What is told of a step, whatever the format.
struct Line<'a> {
    step: &'a StepRecord,
    outcome: &'a str,
    reason: String,
    kills: String,
    folder: Option<&'a str>,
    message: String,
}

impl DayReport {
    /// How the command ends that tells it: the worst exit code of its runs, and of what the operator says of all of it.
    pub fn exit_code(&self) -> ExitCode {
        let of_runs = self.runs.iter().filter_map(|run| match run {
            StepRun::None => None,
            StepRun::Told { result, .. } => Some(result.verdict.exit_code),
            StepRun::Missing { reason, .. } => Some(reason.exit_code()),
        });
        ExitCode::worst(of_runs.chain([exit_code_of(Conclusion::read(self.outcome()))]))
    }

    /// What the operator says, in one word. One that says nothing proves nothing.
    fn outcome(&self) -> &str {
        self.execution.outcome.as_deref().unwrap_or("inconclusive")
    }

    /// The same in words, with the exit code.
    fn verdict(&self) -> String {
        let why = self.told.as_ref().map(|told| format!(" ({}): {}", told.reason, told.message)).unwrap_or_default();
        format!("exit code {}; the operator says {}{why}", self.exit_code().code(), self.outcome())
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.execution.steps.iter().zip(&self.runs).map(|(step, run)| Line::of(step, run))
    }
}

impl<'a> Line<'a> {
    fn of(step: &'a StepRecord, run: &'a StepRun) -> Self {
        let words = step.message.clone().unwrap_or_default();
        let told = Self {
            step,
            outcome: step.outcome.as_deref().unwrap_or("-"),
            reason: step.reason.clone().unwrap_or_default(),
            kills: String::new(),
            folder: None,
            message: words.clone(),
        };
        match run {
            StepRun::None => told,
            // Where what was fetched is judged otherwise, the worse of both counts, and this is it.
            StepRun::Told { result, folder } => Self {
                outcome: result.verdict.outcome.as_str(),
                reason: result.verdict.reason_code.to_string(),
                kills: text::kills(result),
                folder: Some(folder),
                message: result.verdict.reason_text.clone(),
                ..told
            },
            StepRun::Missing { message, .. } => Self { message: format!("{words} (no report: {message})"), ..told },
        }
    }
}

/// What a word of the operator means for a command that repeats it.
const fn exit_code_of(conclusion: Conclusion) -> ExitCode {
    match conclusion {
        Conclusion::Planned | Conclusion::Judged(Outcome::Pass) => ExitCode::Held,
        Conclusion::Judged(Outcome::Fail) => ExitCode::Failed,
        Conclusion::Judged(Outcome::Inconclusive) => ExitCode::Inconclusive,
        Conclusion::Judged(Outcome::Aborted) => ExitCode::Stopped,
        Conclusion::Judged(Outcome::Invalid) => ExitCode::InvalidRun,
    }
}

/// Renders the page as Markdown: a table of the steps, then each run that was fetched.
pub fn markdown(report: &DayReport) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write_markdown(&mut page, report);
    limited(page)
}

fn write_markdown(page: &mut String, report: &DayReport) -> std::fmt::Result {
    let (execution, outcome) = (&report.execution, report.exit_code().outcome());
    let (day, id) = (escape(&report.day), escape(&execution.id));
    writeln!(page, "## {} {}: game day {day}, {id}\n", mark(outcome), outcome.to_string().to_uppercase())?;
    writeln!(page, "{}\n", escape(&report.verdict()))?;
    let end = execution.finished_at.as_ref().map(|end| format!(" to {}", end.0)).unwrap_or_default();
    writeln!(page, "{}{end}\n", execution.started_at.0)?;
    writeln!(page, "| step | phase | outcome | reason | kills | report | in words |\n|---|---|---|---|---|---|---|")?;
    for line in report.lines() {
        let report = line.folder.map(|folder| format!("[report]({folder}/report.html)")).unwrap_or_default();
        writeln!(
            page,
            "| {} | {} | {} | {} | {} | {report} | {} |",
            escape(&line.step.name),
            line.step.phase.as_str(),
            escape(line.outcome),
            escape(&line.reason),
            escape(&line.kills),
            escape(&line.message)
        )?;
    }
    writeln!(page)?;
    report.runs.iter().try_for_each(|run| match run {
        StepRun::Told { result, .. } => write_page(page, result),
        StepRun::None | StepRun::Missing { .. } => Ok(()),
    })
}

/// Renders a line for each step, with what is left of it to look at, and one for all. The page lies in that folder.
pub fn terminal(report: &DayReport, folder: &str) -> String {
    let longest = report.lines().map(|line| line.step.name.chars().count()).max().unwrap_or(0).min(NAME_MAX);
    let mut told = String::new();
    for line in report.lines() {
        let style = match Conclusion::read(line.outcome) {
            Conclusion::Judged(outcome) if outcome.as_str() == line.outcome => {
                Style::new().bold().fg_color(Some(colour(outcome).into()))
            }
            _ => Style::new(),
        };
        let name = text::cut(&text::plain(&line.step.name), longest);
        let outcome = text::cut(&text::plain(line.outcome), 13);
        let facts = [line.step.phase.as_str(), line.reason.as_str(), line.kills.as_str()];
        let facts: Vec<&str> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
        let facts = text::plain(&facts.join(", "));
        // Writing to a String cannot fail.
        let _ = writeln!(told, "  {style}{outcome:<13}{style:#} {name:<longest$}  {facts}");
        if !Conclusion::read(line.outcome).has_passed() && !line.message.is_empty() {
            let _ = writeln!(told, "    {}", text::cut(&text::plain(&line.message), TEXT_MAX));
        }
        if let Some(of_run) = line.folder {
            let _ = writeln!(told, "    {folder}/{of_run}/report.html");
        }
    }
    let _ = writeln!(told, "  {}", text::cut(&text::plain(&report.verdict()), TEXT_MAX));
    told
}

#[cfg(test)]
mod tests {
    use chaos_core::api::StepPhase;
    use chaos_core::instant::micro_time;
    use jiff::Timestamp;

    use super::super::sample::{HOSTILE, fail, pass};
    use super::*;

    fn step(name: &str, phase: StepPhase, outcome: &str, reason: &str) -> StepRecord {
        StepRecord {
            name: name.to_owned(),
            phase,
            until: None,
            run: None,
            run_uid: None,
            guard: None,
            outcome: Some(outcome.to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(HOSTILE.to_owned()),
        }
    }

    fn told(result: RunResult) -> StepRun {
        StepRun::Told { result: Box::new(result), folder: "e-u".to_owned() }
    }

    fn missing(reason: ReasonCode) -> StepRun {
        StepRun::Missing { reason, message: "its evidence is gone".to_owned() }
    }

    fn report(outcome: &str, runs: Vec<StepRun>) -> DayReport {
        let steps = runs.iter().enumerate();
        let steps = steps.map(|(at, _)| step(&format!("step-{at}"), StepPhase::Passed, "pass", "Waited")).collect();
        let execution = ExecutionRecord {
            id: "20261128t090000z".to_owned(),
            slot: None,
            started_at: micro_time(Timestamp::UNIX_EPOCH),
            finished_at: None,
            plan: "p".to_owned(),
            ending: None,
            outcome: Some(outcome.to_owned()),
            steps,
        };
        DayReport { day: "dispatch/weekly".to_owned(), execution, told: None, runs }
    }

    #[test]
    fn it_ends_as_the_worst_of_its_runs_and_of_what_the_operator_says() {
        for (outcome, runs, exit_code) in [
            ("pass", vec![told(pass()), StepRun::None], ExitCode::Held),
            ("planned", vec![StepRun::None], ExitCode::Held),
            ("pass", vec![told(pass()), told(fail())], ExitCode::Failed),
            ("pass", vec![told(pass()), missing(ReasonCode::OutOfReach)], ExitCode::OutOfReach),
            ("invalid", vec![missing(ReasonCode::Refused)], ExitCode::Refused),
            ("invalid", vec![StepRun::None], ExitCode::InvalidRun),
            ("aborted", vec![told(fail())], ExitCode::Failed),
            ("aborted", vec![told(pass())], ExitCode::Stopped),
            ("inconclusive", vec![told(pass())], ExitCode::Inconclusive),
            ("a word of a newer version", vec![told(pass())], ExitCode::Inconclusive),
        ] {
            assert_eq!(report(outcome, runs).exit_code(), exit_code, "{outcome}");
        }
        let mut silent = report("", Vec::new());
        silent.execution.outcome = None;
        assert_eq!(silent.exit_code(), ExitCode::Inconclusive, "who says nothing has not passed");
    }

    #[test]
    fn a_page_has_each_step_with_its_report_and_each_run_behind_them() {
        let page = markdown(&report("fail", vec![told(fail()), missing(ReasonCode::OutOfReach), StepRun::None]));
        assert!(page.starts_with("## ❌ FAIL: game day dispatch/weekly, 20261128t090000z\n"), "{page}");
        assert!(page.contains("exit code 1; the operator says fail"), "{page}");
        let row = |name: &str| page.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap().to_owned();
        let (reason, kills) = (fail().verdict.reason_code, escape(&text::kills(&fail())));
        let of_first = format!("| step-0 | Passed | fail | {reason} | {kills} |");
        assert!(row("step-0").starts_with(&of_first), "{}", row("step-0"));
        assert!(row("step-0").contains("[report](e-u/report.html)"), "{page}");
        assert!(row("step-1").contains("no report: its evidence is gone"), "{page}");
        assert!(row("step-2").contains("| Passed | pass | Waited |"), "{page}");
        assert_eq!(page.matches("\n## ").count(), 1, "the page of the one run that was fetched");
        assert!(!page.contains("<script>") && !page.contains("`@team`"), "{page}");
        for name in ["step-0", "step-1", "step-2"] {
            // Those that are escaped end no cell.
            assert_eq!(row(name).replace("\\|", "").matches('|').count(), 8, "{}", row(name));
        }
    }

    #[test]
    fn a_terminal_has_each_step_and_moves_no_cursor() {
        let screen = terminal(&report("fail", vec![told(fail()), StepRun::None]), "chaos-out/weekly-1");
        let codes = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[31m", "\u{1b}[32m"];
        let bare = codes.iter().fold(screen, |text, code| text.replace(code, ""));
        assert!(!bare.chars().any(|c| c.is_control() && c != '\n'), "{bare:?}");
        assert!(bare.contains("chaos-out/weekly-1/e-u/report.html"), "{bare}");
        assert!(bare.lines().any(|line| line.starts_with("  fail          step-0  Passed, ")), "{bare}");
        assert!(bare.lines().any(|line| line == "  pass          step-1  Passed, Waited"), "{bare}");
        assert!(bare.trim_end().ends_with("exit code 1; the operator says fail"), "{bare}");
    }
}

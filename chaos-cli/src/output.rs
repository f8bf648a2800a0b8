//! The one place that prints. Data goes to stdout, everything else to stderr; `--quiet` leaves data and errors. Where an output
//! for machines is asked for on stdout, it is the only data: verdicts are for people then.

use std::ffi::OsStr;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use chaos_core::result::RunResult;
use chaos_engine::report::terminal::{self, Medium};
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::cli::{Color, Format, Global};
use crate::refusal;

static QUIET: AtomicBool = AtomicBool::new(false);
/// Whether stdout is for an output that was asked for there.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// Whether data or a report could not be written.
static LOST: AtomicBool = AtomicBool::new(false);
/// Whether nothing can be written to stdout any more.
static GONE: AtomicBool = AtomicBool::new(false);

const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();

/// What stands in an error's words before what a person can do about it.
const HINT: &str = "; hint: ";
/// The same where a person reads it.
const HINT_LINE: &str = "\n  hint: ";

/// Applies `--quiet` and `--color` to the whole process.
pub(crate) fn init(global: &Global) {
    QUIET.store(global.quiet, Ordering::Relaxed);
    let choice = match global.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Starts logging for a person's command: errors only, unless `CHAOS_LOG` says otherwise. What the client of the API server
/// logs, the command tells itself. Services log as they see fit.
pub(crate) fn init_logs() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CHAOS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error,kube_client=off"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if logs.try_init().is_err() {
        tracing::debug!("logging was set up already");
    }
}

/// A table without lines.
pub(crate) fn columns(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// What is said where there are none of these: in one namespace there may be others elsewhere.
pub(crate) fn none(what: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) => format!("no {what} in namespace {namespace}; -A for all namespaces\n"),
        None => format!("no {what}\n"),
    }
}

/// A value in the format that is asked for: by `text` for people, as one document for machines.
pub(crate) fn rendered(
    value: &impl Serialize,
    format: Format,
    text: impl FnOnce() -> String,
) -> anyhow::Result<String> {
    let value = || serde_json::to_value(value).context("failed to write JSON");
    Ok(match format {
        Format::Table => text(),
        Format::Json => format!("{:#}\n", value()?),
        Format::Yaml => serde_yaml::to_string(&value()?).context("failed to write YAML")?,
    })
}

/// Writes data to stdout. What cannot be written there is told, and the command does not end well.
pub(crate) fn data(text: &str) {
    if let Err(cause) = print(text) {
        lost(&anyhow::Error::new(cause).context("failed to write to standard output"));
    }
}

/// Says that something which the command owes could not be written: it does not end well, whatever else it has shown.
pub(crate) fn lost(cause: &anyhow::Error) {
    LOST.store(true, Ordering::Relaxed);
    error(cause);
}

/// Whether something that the command owes could not be written.
pub(crate) fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Whether whoever read stdout is gone: what goes on for its sake alone has an end then.
pub(crate) fn is_gone() -> bool {
    GONE.load(Ordering::Relaxed)
}

/// Writes to stdout. A reader that went away (a closed pipe) is no error.
fn print(text: &str) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) else { return Ok(()) };
    GONE.store(true, Ordering::Relaxed);
    QUIET.store(true, Ordering::Relaxed);
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// Keeps stdout for the output that was asked for there.
pub(crate) fn take_stdout() {
    TAKEN.store(true, Ordering::Relaxed);
}

/// Prints what came of a command: data, or on stderr for a person where stdout is taken.
pub(crate) fn end(text: &str) {
    if !TAKEN.load(Ordering::Relaxed) {
        // The exit code tells a verdict, too: it must not change because nobody can read the words.
        let _ = print(text);
    } else if !QUIET.load(Ordering::Relaxed) {
        // There is nobody to tell when stderr itself is gone.
        let _ = anstream::stderr().lock().write_all(text.as_bytes());
    }
}

/// Tells a person something on stderr, unless `--quiet`.
pub(crate) fn say(text: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        line(text);
    }
}

/// Tells a headline on stderr, unless `--quiet`.
pub(crate) fn headline(text: &str) {
    say(&format!("{BOLD}{text}{BOLD:#}"));
}

/// Warns on stderr, also with `--quiet`.
pub(crate) fn warn(text: &str) {
    line(&format!("{YELLOW}warning:{YELLOW:#} {text}"));
}

/// Says an error on stderr: what failed with its causes, then what a person can do, each hint on a line of its own.
pub(crate) fn error(error: &anyhow::Error) {
    line(&format!("{RED}error:{RED:#} {}", told(error, HINT_LINE)));
}

/// An error in one line: what failed with its causes, then its hints.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    told(error, HINT)
}

/// What failed with its causes, then the hints of all of them, each behind `mark`. What was said already is not said again.
fn told(error: &anyhow::Error, mark: &str) -> String {
    let (mut what, mut hints) = (String::new(), Vec::<String>::new());
    for cause in error.chain() {
        let words = refusal::words(cause);
        let mut parts = words.split(HINT);
        let text = parts.next().unwrap_or_default();
        if what.is_empty() {
            what = text.to_owned();
        } else if !what.contains(text) {
            what = format!("{what}: {text}");
        }
        for hint in parts.chain(refusal::hint(cause)) {
            if !hints.iter().any(|known| known == hint) {
                hints.push(hint.to_owned());
            }
        }
    }
    std::iter::once(what).chain(hints).collect::<Vec<_>>().join(mark)
}

/// Says errors that were laid out elsewhere (source snippets), on stderr.
pub(crate) fn laid_out_error(text: &str) {
    line(text.trim_end());
}

/// Prints what a run proved, and where the rest of it is to be found.
pub(crate) fn verdict(result: &RunResult, files: &[PathBuf]) {
    let is_screen =
        if TAKEN.load(Ordering::Relaxed) { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
    let medium = if is_screen { Medium::Screen } else { Medium::Pipe };
    end(&terminal::render(result, medium));
    for file in files {
        end(&format!("  {}\n", file.display()));
    }
}

/// Whether stderr takes colours.
pub(crate) fn is_coloured() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// Whether a person watches what is redrawn: stderr is a terminal that can go back, and `--quiet` is not given.
pub(crate) fn is_watched() -> bool {
    let can_go_back = goes_back(std::env::var_os("TERM").as_deref());
    std::io::stderr().is_terminal() && can_go_back && !QUIET.load(Ordering::Relaxed)
}

/// Whether a terminal of this kind can be drawn over. Where it cannot, nothing at all would be shown of a block that is redrawn.
fn goes_back(kind: Option<&OsStr>) -> bool {
    kind.is_some_and(|kind| kind != "dumb")
}

fn line(text: &str) {
    let mut err = anstream::stderr().lock();
    // There is nobody to tell when stderr itself is gone.
    let _ = writeln!(err, "{text}");
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_terminal_that_cannot_be_drawn_over_gets_lines() {
        assert!(goes_back(Some(OsStr::new("xterm-256color"))));
        assert!(!goes_back(Some(OsStr::new("dumb"))) && !goes_back(None));
    }

    #[test]
    fn causes_are_told_once_and_hints_last() {
        let unread = anyhow!("no such file")
            .context("failed to read ~/.kube/config: no such file")
            .context("failed to find a kubeconfig; hint: set KUBECONFIG");
        let what = "failed to find a kubeconfig: failed to read ~/.kube/config: no such file";
        assert_eq!(told(&unread, HINT_LINE), format!("{what}\n  hint: set KUBECONFIG"));
        assert_eq!(one_line(&unread), format!("{what}; hint: set KUBECONFIG"));
    }

    #[test]
    fn every_hint_has_a_line_and_none_is_repeated() {
        let several = anyhow!("x; hint: a").context("y: x; hint: a").context("z; hint: b; hint: c");
        assert_eq!(told(&several, HINT_LINE), "z: y: x\n  hint: b\n  hint: c\n  hint: a");
        let problems = anyhow!("rate: no number; hint: 10/s\npath: no path; hint: it starts with /");
        let expected = "rate: no number\n  hint: 10/s\npath: no path\n  hint: it starts with /";
        assert_eq!(told(&problems, HINT_LINE), expected);
        assert_eq!(told(&anyhow!("plain").context("failed"), HINT_LINE), "failed: plain");
    }

    #[test]
    fn what_the_server_says_is_told_in_its_words_with_what_to_do() {
        let answer = |message: &str, code| {
            let status = kube::core::Status::failure(message, "Failed to parse error data").with_code(code);
            kube::Error::Api(status.boxed())
        };
        let unserved = anyhow::Error::new(answer("404 page not found", 404)).context("failed to list runs");
        let told = "failed to list runs: the server serves no such kind (404); hint: `chaos install`";
        assert_eq!(one_line(&unserved), told);
        let missing = anyhow::Error::new(answer("pods \"a\" not found", 404));
        assert_eq!(one_line(&missing), "pods \"a\" not found (404)");
        let message = "monkeys is forbidden: User \"u\" cannot list resource \"monkeys\"";
        let forbidden = anyhow::Error::new(answer(message, 403)).context("failed to list monkeys");
        let hint = "docs/permissions.md says which permissions are needed";
        assert_eq!(one_line(&forbidden), format!("failed to list monkeys: {message} (403); hint: {hint}"));
        let call = chaos_engine::kube::CallError::Refused {
            what: "read /api".into(),
            status: kube::core::Status::failure(message, "Forbidden").with_code(403).boxed(),
        };
        assert_eq!(one_line(&anyhow::Error::from(call)), format!("failed to read /api: {message} (403); hint: {hint}"));
    }
}

//! The one place that prints. Data goes to stdout, everything else to stderr; `--quiet` leaves data and errors.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use chaos_core::result::RunResult;
use comfy_table::{Table, presets};

use crate::cli::{Color, Global};

static QUIET: AtomicBool = AtomicBool::new(false);

const BOLD: Style = Style::new().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();

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

/// Starts logging for a person's command: errors only, unless `CHAOS_LOG` says otherwise. Services log as they see fit.
pub(crate) fn init_logs() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CHAOS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
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

/// Writes data to stdout. A reader that went away (a closed pipe) is no error.
pub(crate) fn data(text: &str) {
    let mut out = anstream::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        QUIET.store(true, Ordering::Relaxed);
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

/// Says an error on stderr. Hints stand on lines of their own.
pub(crate) fn error(text: &str) {
    let text = text.replace("; hint: ", "\n  hint: ").replace(" hint: ", "\n  hint: ");
    line(&format!("{RED}error:{RED:#} {text}"));
}

/// Says errors that were laid out elsewhere (source snippets), on stderr.
pub(crate) fn laid_out_error(text: &str) {
    line(text.trim_end());
}

/// Prints what a run proved, and where the rest of it is to be found.
pub(crate) fn verdict(result: &RunResult, files: &[PathBuf]) {
    data(&chaos_engine::report::terminal::render(result));
    for file in files {
        data(&format!("  {}\n", file.display()));
    }
}

/// Whether stderr takes colours.
pub(crate) fn is_coloured() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// Whether a person watches: stderr is a terminal and `--quiet` is not given.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal() && !QUIET.load(Ordering::Relaxed)
}

fn line(text: &str) {
    let mut err = anstream::stderr().lock();
    // There is nobody to tell when stderr itself is gone.
    let _ = writeln!(err, "{text}");
}

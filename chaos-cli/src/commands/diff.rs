//! `chaos diff`: has the platform become better or worse at being killed? Reads two results or journals; touches nothing.

use std::path::Path;

use anyhow::Context as _;
use chaos_core::compare::{Comparison, Figure, Side, Standing, Unit, compare};
use chaos_core::result::{RunResult, SCHEMA_VERSION};
use chaos_engine::{given, journal};

use super::recorded::Recorded;
use crate::cli::DiffArgs;
use crate::exit::{Exit, Failure};
use crate::{files, output};

/// Bytes of a result at most: a day of seconds of several probes has a tenth of that.
const LARGEST_RESULT: u64 = 256 << 20;

pub(super) fn diff(args: &DiffArgs) -> Result<Exit, Failure> {
    let comparison = compare(&read(&args.old)?, &read(&args.new)?).map_err(Failure::invalid)?;
    if !comparison.old.run.is_empty() && comparison.old.run == comparison.new.run {
        output::warn(&format!("both are run {}: a run does not differ from itself", comparison.old.run));
    }
    output::data(&output::rendered(&comparison, args.format, || table(&comparison))?);
    Ok(match comparison.standing {
        Standing::Worse => Exit::DIFFERENT,
        Standing::Better | Standing::NoDifference => Exit::OK,
        Standing::TooLittle => Exit::INCONCLUSIVE,
    })
}

/// A result from result.json, a journal, or the folder of a run.
fn read(path: &Path) -> Result<RunResult, Failure> {
    let path = match path.join(files::RESULT) {
        // A run whose process died has no result yet, and its journal tells all the same.
        result if path.is_dir() && !result.is_file() => files::journal(path),
        result if path.is_dir() => result,
        _ => path.to_path_buf(),
    };
    // What is no file is no journal.
    if journal::is_journal(&path).unwrap_or(false) {
        return Ok(Recorded::of_the_past(&path)?.judge());
    }
    let bytes = given::read(&path, LARGEST_RESULT)
        .with_context(|| format!("failed to read {}", path.display()))
        .map_err(Failure::invalid)?;
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is neither a result nor a journal", path.display()))
        .map_err(Failure::invalid)?;
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    let version = value["schemaVersion"].as_str().unwrap_or("none");
    if value["kind"] != "RunResult" || major(version) != major(SCHEMA_VERSION) {
        let kind = value["kind"].as_str().unwrap_or("no kind");
        let what =
            anyhow::anyhow!("{} is {kind} of version {version}, not a RunResult of {SCHEMA_VERSION}", path.display());
        return Err(Failure::invalid(what).hint("of a list of results compare one: its run's folder"));
    }
    serde_json::from_value(value)
        .with_context(|| format!("{} is not a whole result", path.display()))
        .map_err(Failure::invalid)
}

fn table(comparison: &Comparison) -> String {
    let mut facts = output::columns(&["FACT", "OLD", "NEW", ""]);
    for fact in &comparison.facts {
        facts.add_row([&fact.what, &fact.old, &fact.new, word(fact.standing)]);
    }
    let mut figures = output::columns(&["FIGURE", "OLD", "NEW", "KILLS", "P", ""]);
    for figure in &comparison.figures {
        figures.add_row([
            figure.what.clone(),
            value(figure, figure.old),
            value(figure, figure.new),
            format!("{} / {}", figure.kills[0], figure.kills[1]),
            format!("{:.4}", figure.p_corrected),
            figure.would_be_seen.clone().unwrap_or_else(|| word(figure.standing).to_owned()),
        ]);
    }
    let mut parts = vec![format!("old: {}\nnew: {}", side(&comparison.old), side(&comparison.new)), facts.trim_fmt()];
    if !comparison.figures.is_empty() {
        parts.push(format!(
            "{}\n\nP is two-sided, over kills, corrected for all rows (Holm); 0.05 and below is a difference.",
            figures.trim_fmt()
        ));
    }
    parts.extend(comparison.notes.iter().map(|note| format!("note: {note}")));
    parts.push(comparison.reason.clone());
    format!("{}\n", parts.join("\n\n"))
}

fn side(side: &Side) -> String {
    format!(
        "{} {} of {}, {} kill windows, exit code {} ({})",
        side.experiment,
        side.run,
        side.started_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        side.trials,
        side.exit_code.code(),
        side.reason_code
    )
}

fn value(figure: &Figure, value: f64) -> String {
    match figure.unit {
        Unit::Share => format!("{:.3} %", value * 100.0),
        Unit::Micros => format!("{:.1} ms", value / 1e3),
    }
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Worse => "WORSE",
        Standing::Better => "better",
        Standing::NoDifference => "no difference shown",
        Standing::TooLittle => "too little",
    }
}

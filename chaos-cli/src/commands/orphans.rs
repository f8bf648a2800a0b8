//! What runs whose process died have left: journals without an end in the folder of results, and monkeys and reservations on
//! the cluster. Said at the start of the next run; nothing is removed, and the run goes on.

use std::path::{Path, PathBuf};

use chaos_core::model::Experiment;
use chaos_engine::journal;
use chaos_engine::run::orphans;

use super::recorded::Recorded;
use crate::context::Target;
use crate::{files, output};

/// Says what is found.
pub(super) async fn say(target: &Target, out: &Path, experiments: impl Iterator<Item = &Experiment>) {
    for journal in journals(out) {
        tell(&journal);
    }
    let mut namespaces: Vec<String> = experiments.flat_map(orphans::namespaces).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    for left in orphans::left(&target.client, &namespaces).await {
        output::warn(&left);
    }
}

/// Journals that nobody writes and that have no end, of runs that nobody has reported yet.
fn journals(out: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(out).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut found: Vec<PathBuf> = folders
        .filter(|folder| !files::is_reported(folder))
        .map(|folder| folder.join(files::JOURNAL))
        // One that cannot be read is no evidence of anything: `chaos report` says why.
        .filter(|path| path.is_file() && journal::is_orphaned(path).unwrap_or(false))
        .collect();
    found.sort();
    found
}

/// Reports an orphaned run, so that it is told once and its evidence lies where that of others does.
fn tell(path: &Path) {
    let folder = path.parent().unwrap_or(Path::new("."));
    let told = match Recorded::read(path) {
        Ok(recorded) => {
            let result = recorded.judge();
            let when = result.run.started_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
            match files::write_reports(folder, &result) {
                Ok(_) => format!("run {} of {when} has no end: whoever drove it died; its report is in", result.run.id),
                Err(error) => {
                    format!("run {} of {when} has no end, and cannot be reported ({error:#}); it is in", result.run.id)
                }
            }
        }
        Err(failure) => format!("a run has no end ({}); it is in", failure.message()),
    };
    output::warn(&format!("{told} {}", folder.display()));
}

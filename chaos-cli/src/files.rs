//! The folder of a run, its journal and what is rendered from it; and the copies of outputs that a command was asked for.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chaos_core::result::RunResult;
use chaos_engine::report;

use crate::cli::OutputKind;
use crate::exit::Failure;
use crate::output;

/// Name of the journal in a run's folder.
pub(crate) const JOURNAL: &str = "run.journal";

/// Name of the result in a run's folder.
pub(crate) const RESULT: &str = "result.json";

/// Name of what is told in short, in the folder of a run or of a game day.
pub(crate) const SUMMARY: &str = "summary.md";

/// Every file that a run leaves.
const REPORTS: [(OutputKind, &str); 4] = [
    (OutputKind::Html, "report.html"),
    (OutputKind::Json, RESULT),
    (OutputKind::Junit, "junit.xml"),
    (OutputKind::Markdown, SUMMARY),
];

/// What a copy is called that goes to standard output.
const STDOUT: [&str; 2] = ["-", "/dev/stdout"];

/// Makes the folder of a run: `OUT/EXPERIMENT-RUNID`.
pub(crate) fn run_folder(out: &Path, experiment: &str, run_id: &str) -> Result<PathBuf, Failure> {
    let name = format!("{experiment}-{run_id}");
    if name.contains(['/', '\0']) {
        // Of what is on a cluster others have written it: nothing is put beside the folder that was named.
        return Err(Failure::invalid(anyhow::anyhow!("{name:?} is no name of a folder")));
    }
    let folder = out.join(name);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("failed to make the folder {}", folder.display()))
        .map_err(Failure::could_not_run)?;
    Ok(folder)
}

/// Finds out whether folders of runs can be made there, for one whose own is made once it is over. Nothing is left but `out`.
pub(crate) fn check_out(out: &Path) -> Result<(), Failure> {
    let tried = out.join(format!(".chaos-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir_all(&tried)
        .and_then(|()| std::fs::remove_dir(&tried))
        .with_context(|| format!("failed to make a folder in {}", out.display()))
        .map_err(|error| Failure::could_not_run(error).hint("--out names another one"))
}

/// The journal that a path means: its own file, or that in a run's folder.
pub(crate) fn journal(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(JOURNAL) } else { path.to_path_buf() }
}

/// Whether a folder holds the result of its run.
pub(crate) fn is_reported(folder: &Path) -> bool {
    folder.join(RESULT).is_file()
}

/// Renders everything into a folder; gives the files in the order in which people look at them.
pub(crate) fn write_reports(folder: &Path, result: &RunResult) -> anyhow::Result<Vec<PathBuf>> {
    let (written, mut unwritten) = render_into(folder, result);
    if unwritten.is_empty() { Ok(written) } else { Err(unwritten.swap_remove(0)) }
}

/// The same of the run that a command is about: what cannot be written is told, and the command does not end well. The verdict
/// stands all the same, and what is missing can be made again from the journal.
pub(crate) fn reports(folder: &Path, journal: &Path, result: &RunResult) -> Vec<PathBuf> {
    let (written, unwritten) = render_into(folder, result);
    for error in unwritten {
        let message = output::one_line(&error);
        output::lost(&anyhow::anyhow!("{message}; hint: `chaos report {}` makes it again", journal.display()));
    }
    written
}

/// Writes what can be written: one file that cannot is no reason to leave out the others.
fn render_into(folder: &Path, result: &RunResult) -> (Vec<PathBuf>, Vec<anyhow::Error>) {
    let (mut written, mut unwritten) = (Vec::new(), Vec::new());
    for (kind, name) in REPORTS {
        let path = folder.join(name);
        match render(kind, std::slice::from_ref(result)).and_then(|text| write(&path, &text)) {
            Ok(()) => written.push(path),
            Err(error) => unwritten.push(error),
        }
    }
    (written, unwritten)
}

fn is_stdout(path: &Path) -> bool {
    STDOUT.iter().any(|name| path.as_os_str() == *name)
}

/// Keeps stdout for the copies that go there.
pub(crate) fn claim_stdout(copies: &[(OutputKind, PathBuf)]) {
    if copies.iter().any(|(_, path)| is_stdout(path)) {
        output::take_stdout();
    }
}

/// Refuses copies that could not be written once the runs are over.
pub(crate) fn check_copies(copies: &[(OutputKind, PathBuf)], experiments: usize) -> Result<(), Failure> {
    for (kind, path) in copies {
        if *kind == OutputKind::Html && experiments > 1 {
            let several = anyhow::anyhow!("{experiments} runs have {experiments} pages, and one file is asked for");
            return Err(Failure::invalid(several).hint("each run's folder holds its report.html"));
        }
        if path.is_dir() {
            return Err(Failure::invalid(anyhow::anyhow!("{} cannot be written: it is a folder", path.display())));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let missing =
                anyhow::anyhow!("{} cannot be written: there is no folder {}", path.display(), folder.display());
            return Err(Failure::invalid(missing));
        }
    }
    Ok(())
}

/// Writes the copies that were asked for, each of all results together. What cannot be written is told, and the command does not
/// end well.
pub(crate) fn write_copies(copies: &[(OutputKind, PathBuf)], results: &[RunResult]) {
    for (kind, path) in copies {
        let written = render(*kind, results).and_then(|text| {
            if is_stdout(path) {
                output::data(&text);
                return Ok(());
            }
            write(path, &text)
        });
        if let Err(error) = written {
            output::lost(&error);
        }
    }
}

fn render(kind: OutputKind, results: &[RunResult]) -> anyhow::Result<String> {
    Ok(match kind {
        // Several runs have several pages: `chaos run` refuses to put them into one file.
        OutputKind::Html => results.iter().map(report::html::render).collect(),
        OutputKind::Json => report::json::render_all(results)?,
        OutputKind::Junit => report::junit::render_all(results)?,
        OutputKind::Markdown => report::markdown::render_all(results),
        OutputKind::Github => results.iter().map(report::github::render).collect(),
    })
}

/// Written beside and renamed, so that nobody ever reads half a report. A pipe, a device or what this process has open (`/dev/null`,
/// `>(…)` of a shell, `/dev/stderr`) is written as it is, behind what stands there: renamed over it, a file would take its place. The
/// same is true of a link: what it leads to is replaced.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    write_by(path, |out| out.write_all(text.as_bytes()))
}

/// The same of what is written piece by piece; gives what `fill` does.
pub(crate) fn write_by<T>(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> anyhow::Result<T> {
    if is_stream(path) {
        let opened = std::fs::OpenOptions::new().append(true).open(path);
        let written = opened.and_then(|stream| filled(stream, fill));
        return written.with_context(|| format!("failed to write {}", path.display()));
    }
    // What is not there yet leads nowhere.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let partial = target.with_extension("partial");
    let beside = std::fs::File::create(&partial).and_then(|file| filled(file, fill));
    let written = beside.and_then(|written| std::fs::rename(&partial, &target).map(|()| written));
    if written.is_err() {
        // Half of it may stand there; what cannot be removed is told with the rest.
        let _ = std::fs::remove_file(&partial);
    }
    written.with_context(|| format!("failed to write {}", path.display()))
}

fn filled<T>(file: std::fs::File, fill: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
    let mut out = io::BufWriter::new(file);
    let written = fill(&mut out)?;
    out.flush()?;
    Ok(written)
}

/// Whether a path means something that is written to, and not a file of its own.
fn is_stream(path: &Path) -> bool {
    let is_open_here = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"].iter().any(|own| path.starts_with(own));
    is_open_here || std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

#[cfg(test)]
mod tests {
    use chaos_core::verdict::{JudgeSpec, judge};

    use super::*;

    #[test]
    fn a_folder_means_the_journal_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join(JOURNAL);
        assert_eq!(journal(folder.path()), inside);
        assert_eq!(journal(&inside), inside);
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        let out = tempfile::tempdir().unwrap();
        let inside = out.path().join("inside");
        for id in ["/../../outside", "x/y", "a\0b"] {
            assert!(run_folder(&inside, "day", id).is_err(), "{id:?}");
        }
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0, "nothing was made");
        assert_eq!(run_folder(&inside, "day", "20261128t090000z").unwrap(), inside.join("day-20261128t090000z"));
    }

    #[test]
    fn a_folder_for_reports_is_tried_before_there_is_a_run_to_tell_of() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("a/b");
        check_out(&out).unwrap();
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0, "nothing is left in it");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for unfit in [file.as_path(), Path::new("/proc")] {
            let told = check_out(unfit).unwrap_err().message();
            assert!(told.contains(unfit.to_str().unwrap()) && told.contains("hint: "), "{told}");
        }
    }

    #[test]
    fn a_pipe_is_written_and_stays_a_pipe() {
        use std::io::Read as _;
        use std::os::unix::fs::FileTypeExt as _;
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.xml");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // Open at both ends, so that nobody waits for anybody.
        let mut held = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        write(&pipe, "told").unwrap();
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
        let mut told = [0; 4];
        held.read_exact(&mut told).unwrap();
        assert_eq!(&told, b"told");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left there");
    }

    #[test]
    fn a_link_stays_a_link_and_what_is_open_is_written_to() {
        use std::os::fd::AsRawFd as _;
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file.xml"), folder.path().join("link.xml"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, "new").unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        // As `-o github=/dev/stderr 2>file`.
        let open = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
        write(Path::new(&format!("/proc/self/fd/{}", open.as_raw_fd())), ", more").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new, more");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left there");
    }

    #[test]
    fn what_cannot_be_written_whole_is_not_there_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("images.tar");
        std::fs::write(&file, "old").unwrap();
        let torn = write_by(&file, |out| {
            out.write_all(b"half")?;
            Err::<(), _>(io::Error::other("full"))
        });
        assert!(torn.is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left there");
        assert!(
            write_by(Path::new("/dev/full"), |out| out.write_all(b"x")).is_err(),
            "what is buffered is written, too"
        );
    }

    #[test]
    fn one_file_that_cannot_be_written_leaves_out_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (name, namespace, hypothesis, probes) = ("e".into(), "n".into(), String::new(), Vec::new());
        let spec = JudgeSpec { name, namespace, hypothesis, strikes_target: 1, strikes_min: 1, probes };
        let result = judge(&spec, &[]);
        std::fs::create_dir(folder.path().join(REPORTS[0].1)).unwrap();
        let (written, unwritten) = render_into(folder.path(), &result);
        assert_eq!(written, REPORTS[1..].iter().map(|(_, name)| folder.path().join(name)).collect::<Vec<_>>());
        assert!(unwritten.len() == 1 && unwritten[0].to_string().contains("report.html"), "{unwritten:?}");
        assert!(write_reports(folder.path(), &result).is_err());
    }

    #[test]
    fn a_folder_cannot_be_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let refused = check_copies(&[(OutputKind::Json, folder.path().to_path_buf())], 1).unwrap_err();
        assert!(refused.message().ends_with("it is a folder"), "{}", refused.message());
        check_copies(&[(OutputKind::Json, folder.path().join("result.json"))], 1).unwrap();
    }
}

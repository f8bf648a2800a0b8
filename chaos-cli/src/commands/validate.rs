//! `chaos validate`: every error of every file at once, of a folder those of all its manifests. Needs no cluster.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chaos_core::model::Experiment;
use chaos_engine::given;

use crate::cli::ValidateArgs;
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) fn validate(args: &ValidateArgs) -> Result<Exit, Failure> {
    let mut worst = Exit::OK;
    for file in meant(&args.files)? {
        let (source, text) = match read(&file) {
            Ok(read) => read,
            Err(failure) => {
                failure.report();
                worst = Exit::INVALID_INPUT;
                continue;
            }
        };
        match chaos_core::validate::file(&source, &text) {
            Ok(manifests) => {
                let kinds: Vec<&str> = manifests.iter().map(chaos_core::validate::Manifest::kind).collect();
                output::say(&format!("{source}: valid ({})", kinds.join(", ")));
            }
            Err(diagnostics) => {
                output::laid_out_error(&diagnostics.render(output::is_coloured()));
                worst = Exit::INVALID_INPUT;
            }
        }
    }
    Ok(worst)
}

/// The files that are meant: of a folder, as kubectl does, those in it that are YAML by their names.
fn meant(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(of_folder(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn of_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_yaml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let read = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries =
        read.with_context(|| format!("failed to read the folder {}", folder.display())).map_err(Failure::invalid)?;
    let mut files: Vec<PathBuf> =
        entries.iter().map(std::fs::DirEntry::path).filter(|path| is_yaml(path) && path.is_file()).collect();
    if files.is_empty() {
        let none = anyhow::anyhow!("the folder {} holds no *.yaml and no *.yml", folder.display());
        return Err(Failure::invalid(none));
    }
    files.sort();
    Ok(files)
}

/// The experiments of a manifest, or everything that is wrong with it.
pub(crate) fn experiments(source: &str, text: &str) -> Result<Vec<Experiment>, Failure> {
    chaos_core::validate::experiment_file(source, text).map_err(|diagnostics| {
        output::laid_out_error(&diagnostics.render(output::is_coloured()));
        Failure::invalid(anyhow::anyhow!("{source} is not valid: nothing was started"))
    })
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<(String, String), Failure> {
    let (source, text) = if ["-", "/dev/stdin"].iter().any(|stdin| path.as_os_str() == *stdin) {
        ("stdin".to_owned(), given::text_of(std::io::stdin().lock()))
    } else {
        (path.display().to_string(), given::text(path))
    };
    let text = text.with_context(|| format!("failed to read {source}")).map_err(Failure::invalid)?;
    Ok((source, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_means_the_manifests_in_it_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (given, empty) = (PathBuf::from("-"), path("empty.yaml"));
        std::fs::create_dir(&empty).unwrap();
        for name in ["b.yml", "a.yaml", "notes.md"] {
            std::fs::write(path(name), "").unwrap();
        }
        let meant_by = |paths: &[PathBuf]| meant(paths).map_err(|failure| failure.message());
        let found = meant_by(&[given.clone(), folder.path().to_path_buf()]);
        assert_eq!(found, Ok(vec![given, path("a.yaml"), path("b.yml")]));
        assert!(meant_by(&[empty]).unwrap_err().contains("holds no *.yaml"));
    }
}

//! `chaos validate`: every error of every file at once. Needs no cluster.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use chaos_core::model::Experiment;

use crate::cli::ValidateArgs;
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) fn validate(args: &ValidateArgs) -> Result<Exit, Failure> {
    let mut worst = Exit::OK;
    for file in &args.files {
        let (source, text) = read(file)?;
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

/// The experiments of a manifest, or everything that is wrong with it.
pub(crate) fn experiments(source: &str, text: &str) -> Result<Vec<Experiment>, Failure> {
    chaos_core::validate::experiment_file(source, text).map_err(|diagnostics| {
        output::laid_out_error(&diagnostics.render(output::is_coloured()));
        Failure::invalid(anyhow::anyhow!("{source} is not valid: nothing was started"))
    })
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<(String, String), Failure> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("failed to read standard input")
            .map_err(Failure::invalid)?;
        return Ok(("stdin".to_owned(), text));
    }
    let source = path.display().to_string();
    let text =
        std::fs::read_to_string(path).with_context(|| format!("failed to read {source}")).map_err(Failure::invalid)?;
    Ok((source, text))
}

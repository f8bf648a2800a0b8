//! `chaos report`: rebuilds every output of a run from its journal alone.

use anyhow::Context as _;

use super::recorded::Recorded;
use crate::cli::ReportArgs;
use crate::exit::{Exit, Failure};
use crate::{files, output};

pub(super) fn report(args: &ReportArgs) -> Result<Exit, Failure> {
    let result = Recorded::read(&args.journal)?.judge();
    let folder = match &args.out {
        Some(folder) => folder.clone(),
        None => files::journal(&args.journal).parent().map(std::path::Path::to_path_buf).unwrap_or_default(),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to make the folder {}", folder.display()))?;
    let written = files::write_reports(&folder, &result)?;
    output::verdict(&result, &written);
    Ok(result.verdict.exit_code.into())
}

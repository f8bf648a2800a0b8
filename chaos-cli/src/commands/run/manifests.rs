//! The manifests that were given: read and checked before anything is started, and the result of an experiment that never was.

use std::path::Path;

use chaos_core::digest::sha256_hex;
use chaos_core::model::Experiment;
use chaos_core::record::Started;
use chaos_core::result::RunResult;
use chaos_core::verdict::{self, JudgeSpec, NotStarted};
use chaos_engine::journal::Redactor;
use chaos_engine::program;
use jiff::Timestamp;

use super::super::validate;
use crate::cli::RunArgs;
use crate::exit::Failure;

/// A file whose manifests are valid.
pub(crate) struct ManifestFile {
    /// Where it was read from, for people.
    pub(crate) source: String,
    pub(crate) text: String,
    pub(crate) experiments: Vec<Experiment>,
}

/// Reads and checks every file before anything is started; gives a result for each that is not valid.
pub(super) fn read_all(args: &RunArgs) -> (Vec<ManifestFile>, Vec<RunResult>) {
    let (mut files, mut invalid) = (Vec::new(), Vec::new());
    for path in &args.files {
        let mut file =
            ManifestFile { source: path.display().to_string(), text: String::new(), experiments: Vec::new() };
        let read = validate::read(path).and_then(|(source, text)| {
            (file.source, file.text) = (source, text);
            validate::experiments(&file.source, &file.text)
        });
        match read {
            Ok(experiments) => files.push(ManifestFile { experiments, ..file }),
            Err(failure) => {
                failure.report();
                invalid.push(not_started(&file, None, args, &failure));
            }
        }
    }
    (files, invalid)
}

/// A result for a run that was never started: whoever gates on results must not miss it.
pub(super) fn not_started(
    file: &ManifestFile,
    experiment: Option<&Experiment>,
    args: &RunArgs,
    failure: &Failure,
) -> RunResult {
    let name =
        Path::new(&file.source).file_name().map_or_else(|| file.source.clone(), |name| name.display().to_string());
    let unnamed = || JudgeSpec {
        name,
        namespace: String::new(),
        hypothesis: String::new(),
        strikes_target: 0,
        strikes_min: 0,
        probes: Vec::new(),
    };
    let spec = experiment.map_or_else(unnamed, JudgeSpec::from);
    // As in a journal: no credential of a manifest gets into a file that is kept. One that is not valid is a text like any other.
    let redactor = Redactor::of(experiment.map_or(&[], |experiment| &experiment.probes));
    let as_text = || redactor.text(&file.text).into_owned();
    let manifest = experiment.map_or_else(as_text, |_| redactor.manifest(&file.text));
    let started = Started {
        run_id: String::new(),
        started_at: Timestamp::now(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        tool_digest: program::digest(),
        manifest,
        experiment: spec.name.clone(),
        manifest_source: file.source.clone(),
        manifest_digest: sha256_hex(file.text.as_bytes()),
        seed: args.seed.or_else(|| experiment?.seed).unwrap_or_default(),
        attempt: args.attempt,
        cluster: String::new(),
        environment: Vec::new(),
    };
    let message = redactor.text(&failure.message()).into_owned();
    verdict::not_started(NotStarted { spec, started, reason_code: failure.reason(), message })
}

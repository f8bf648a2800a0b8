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
                invalid.push(not_started(&file, None, (args.seed, args.attempt), &failure));
            }
        }
    }
    (files, invalid)
}

/// A result for a run that was never started: whoever gates on results must not miss it. Asked for were a seed and an attempt.
pub(crate) fn not_started(
    file: &ManifestFile,
    experiment: Option<&Experiment>,
    asked_for: (Option<i64>, u32),
    failure: &Failure,
) -> RunResult {
    let (seed, attempt) = asked_for;
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
    let redactor = Redactor::of(experiment.map_or(&[], |experiment| &experiment.probes));
    let manifest = kept(&redactor, &file.text, experiment.is_some());
    let started = Started {
        run_id: String::new(),
        started_at: Timestamp::now(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        tool_digest: program::digest(),
        manifest,
        experiment: spec.name.clone(),
        manifest_source: file.source.clone(),
        manifest_digest: sha256_hex(file.text.as_bytes()),
        seed: seed.or_else(|| experiment?.seed).unwrap_or_default(),
        attempt,
        cluster: String::new(),
        environment: Vec::new(),
    };
    let message = redactor.text(&failure.message()).into_owned();
    verdict::not_started(NotStarted { spec, started, reason_code: failure.reason(), message })
}

/// As in a journal: no credential of a manifest gets into a file that is kept. In one that is not valid they may stand anywhere:
/// it is a text like any other as well.
fn kept(redactor: &Redactor, text: &str, is_valid: bool) -> String {
    let manifest = redactor.manifest(text);
    if is_valid { manifest } else { redactor.text(&manifest).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_is_not_valid_is_kept_without_credentials() {
        let redactor = Redactor::default();
        // By its place as in a valid one, and as in any text where no credential belongs.
        let text = "spec: {probes: [{http: {headers: {Token: very-secret}}, x-auth-key: very-secret}]}\n";
        let clean = "spec: {probes: [{http: {headers: {Token: (redacted)}}, x-auth-key: (redacted)}]}\n";
        assert_eq!(kept(&redactor, text, false), clean);
        assert_eq!(kept(&redactor, "a: [\n  X-Api-Key: b\nc: d", false), "a: [\n  X-Api-Key: (redacted)\nc: d");
    }
}

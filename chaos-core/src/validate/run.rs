//! An ExperimentRun: the experiment that it names or holds, with its overrides, and what may not be asked inside a cluster.

use super::path::Path;
use super::problem::Problems;
use super::{Meta, experiment, in_cluster, names};
use crate::api::{self, ApprovalPolicy, ExperimentRef, ExperimentSpec, RunOverrides, labels};
use crate::model::Run;
use crate::operated::experiment_digest;
use crate::units::Duration;

/// The shortest and the longest time that an approval may take.
const APPROVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(168 * 3_600));

/// The run, if it is valid. `named` is the Experiment that it refers to, where that was looked up; `label` what it says itself
/// about whose run it is ([`labels::EXPERIMENT`]).
pub(super) fn run(
    raw: &api::ExperimentRunSpec,
    named: Option<&ExperimentSpec>,
    meta: &Meta,
    label: Option<&str>,
    problems: &mut Problems,
) -> Option<Run> {
    let at = Path::root().field("spec");
    meta.check(problems);
    check_label(label, raw.experiment_ref.as_ref(), problems);
    approval(raw.approval, &at.field("approval"), problems);
    let spec = match (&raw.experiment, &raw.experiment_ref) {
        (Some(spec), None) => Some(spec),
        (None, Some(reference)) => {
            let at = at.fields("experimentRef.name");
            super::target::name(&reference.name, names::dns_label, &at, problems);
            named
        }
        (given, _) => {
            let problem = problems.add_at_key(&at, "give exactly one of experimentRef, experiment");
            problem.hint(if given.is_some() { "leave one out" } else { "name an Experiment of this namespace" });
            return None;
        }
    };
    let mut spec = spec?.clone();
    with_overrides(&mut spec, raw.overrides.as_ref());
    let inner = Meta { name: experiment_name(raw, label, &meta.name).to_owned(), ..meta.clone() };
    let mut found = Problems::default();
    let experiment = experiment::experiment(&spec, &inner, &mut found);
    if let Some(experiment) = &experiment {
        in_cluster::check(experiment, &at, &mut found);
    }
    let is_valid = found.is_empty();
    problems.take_in(found, &at, &at.field(if raw.experiment.is_some() { "experiment" } else { "experimentRef" }));
    let experiment = experiment.filter(|_| is_valid)?;
    Some(Run {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        digest: experiment_digest(&meta.namespace, &spec),
        manifest: manifest(&inner, spec),
        experiment,
        mode: raw.mode,
        approval: raw.approval.map(|policy| policy.within),
    })
}

/// What an object says about whose run it is.
pub(super) fn label_of(object: &api::ExperimentRun) -> Option<&str> {
    object.metadata.labels.as_ref()?.get(labels::EXPERIMENT).map(String::as_str)
}

/// The name of the experiment that is run: that of the one that the run refers to, that of its label, or else its own.
pub(super) fn experiment_name<'a>(raw: &'a api::ExperimentRunSpec, label: Option<&'a str>, own: &'a str) -> &'a str {
    match (&raw.experiment_ref, label) {
        (Some(reference), _) => &reference.name,
        (None, Some(label)) if names::dns_label(label).is_ok() => label,
        (None, _) => own,
    }
}

/// The run that a record tells of: what it was when it began, whatever has become of the objects that it was made from.
pub(super) fn recorded(manifest: &str, spec: &api::ExperimentRunSpec, meta: &Meta, digest: &str) -> Option<Run> {
    let experiment = super::recorded_experiments("the record", manifest).ok()?.into_iter().next()?;
    Some(Run {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        experiment,
        manifest: manifest.to_owned(),
        digest: digest.to_owned(),
        mode: spec.mode,
        approval: spec.approval.map(|policy| policy.within),
    })
}

/// Reports and folders are called by it, so it is a name like that of any Experiment, and no other than that of the one referred to.
fn check_label(label: Option<&str>, reference: Option<&ExperimentRef>, problems: &mut Problems) {
    let Some(label) = label else { return };
    let at = Path::root().fields("metadata.labels").field(labels::EXPERIMENT);
    match reference {
        Some(ExperimentRef { name }) if name != label => problems
            .add(&at, format!("{label:?} is not the experiment that is run, which is {name:?}"))
            .hint("leave the label out"),
        _ => super::target::name(label, names::dns_label, &at, problems),
    }
}

fn approval(raw: Option<ApprovalPolicy>, at: &Path, problems: &mut Problems) {
    let Some(ApprovalPolicy { within }) = raw else { return };
    if within < APPROVAL.0 || within > APPROVAL.1 {
        problems.add(&at.field("within"), format!("{within} is not between {} and {}", APPROVAL.0, APPROVAL.1));
    }
}

/// An experiment as a run of it has it.
fn with_overrides(spec: &mut ExperimentSpec, overrides: Option<&RunOverrides>) {
    let Some(RunOverrides { seed, strikes }) = overrides else { return };
    spec.seed = seed.or(spec.seed);
    if let Some(strikes) = strikes {
        spec.fault.pod_kill.iter_mut().for_each(|kill| kill.strikes = *strikes);
        spec.fault.monkey.iter_mut().for_each(|monkey| monkey.strikes = *strikes);
    }
}

fn manifest(meta: &Meta, spec: ExperimentSpec) -> String {
    let mut experiment = api::Experiment::new(&meta.name, spec);
    experiment.metadata.namespace = Some(meta.namespace.clone());
    // JSON is YAML: what the one writer could not say, the other can.
    serde_yaml::to_string(&experiment).unwrap_or_else(|_| serde_json::json!(experiment).to_string())
}

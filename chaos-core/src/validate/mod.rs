//! From manifests as written to manifests as meant, with every error at once. Files are compared with the CRD's own schema
//! first (unknown fields, types, units), each deviation with its line; then what the values mean together is checked by the
//! same rules that the operator applies to objects of the API server. The rules that CEL can say are in the CRDs too.

mod credentials;
mod diagnostics;
mod document;
mod experiment;
mod fault;
mod feasibility;
mod gameday;
mod gameday_guard;
mod gameday_plan;
mod http;
mod in_cluster;
mod load;
mod looks;
mod meta;
mod monkey;
mod monkey_guard;
mod names;
mod path;
mod patience;
mod probe;
mod problem;
mod queries;
mod run;
mod shape;
mod slo;
mod step;
mod suggest;
mod target;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use credentials::{Place, without_credentials};
pub use diagnostics::{Diagnostic, Diagnostics};
pub use in_cluster::{allows, probed_namespaces, targeted_namespaces};
pub use meta::Meta;
pub use path::Path;
pub use problem::Problem;
pub(crate) use suggest::closest;

use crate::api;
use crate::model::{Experiment, GameDay, LoadTest, Monkey, Run};
use crate::schema;
use document::{Data, Node};
use problem::Problems;

/// A valid document of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Manifest {
    /// `kind: Experiment`.
    Experiment(Box<Experiment>),
    /// `kind: ChaosMonkey`.
    Monkey(Box<Monkey>),
    /// `kind: LoadTest`.
    Load(Box<LoadTest>),
    /// `kind: ExperimentRun`; without its content where it names an Experiment, which a file cannot look up.
    Run(Option<Box<Run>>),
    /// `kind: GameDay`; the Experiments that it names are not looked up.
    GameDay(Box<GameDay>),
}

impl Manifest {
    /// The kind, as manifests name it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Experiment(_) => Kind::Experiment.name(),
            Self::Monkey(_) => Kind::Monkey.name(),
            Self::Load(_) => Kind::Load.name(),
            Self::Run(_) => Kind::Run.name(),
            Self::GameDay(_) => Kind::GameDay.name(),
        }
    }
}

/// Reads a file of one or more documents of any of our kinds.
pub fn file(source_name: &str, text: &str) -> Result<Vec<Manifest>, Diagnostics> {
    read(source_name, text, &[Kind::Experiment, Kind::Monkey, Kind::Run, Kind::GameDay, Kind::Load], Purpose::Begin)
}

/// Reads a file of one or more Experiments.
pub fn experiment_file(source_name: &str, text: &str) -> Result<Vec<Experiment>, Diagnostics> {
    experiments(source_name, text, Purpose::Begin)
}

/// Reads the Experiments of a record: what an older version let begin is what it was, whatever is refused by now.
pub fn recorded_experiments(source_name: &str, text: &str) -> Result<Vec<Experiment>, Diagnostics> {
    experiments(source_name, text, Purpose::Record)
}

fn experiments(source_name: &str, text: &str, purpose: Purpose) -> Result<Vec<Experiment>, Diagnostics> {
    let manifests = read(source_name, text, &[Kind::Experiment], purpose)?;
    let experiments = manifests.into_iter().filter_map(|manifest| match manifest {
        Manifest::Experiment(experiment) => Some(*experiment),
        Manifest::Monkey(_) | Manifest::Run(_) | Manifest::GameDay(_) | Manifest::Load(_) => None,
    });
    Ok(experiments.collect())
}

/// Reads a file of one or more LoadTests.
pub fn load_file(source_name: &str, text: &str) -> Result<Vec<LoadTest>, Diagnostics> {
    let manifests = read(source_name, text, &[Kind::Load], Purpose::Begin)?;
    let tests = manifests.into_iter().filter_map(|manifest| match manifest {
        Manifest::Load(test) => Some(*test),
        Manifest::Experiment(_) | Manifest::Monkey(_) | Manifest::Run(_) | Manifest::GameDay(_) => None,
    });
    Ok(tests.collect())
}

/// Validates a LoadTest that comes from no file.
pub fn load(spec: &api::LoadTestSpec, meta: &Meta) -> Result<LoadTest, Vec<Problem>> {
    checked(|problems| load::load(spec, meta, problems))
}

/// Validates an Experiment of the API server.
pub fn experiment(spec: &api::ExperimentSpec, meta: &Meta) -> Result<Experiment, Vec<Problem>> {
    checked(|problems| experiment::experiment(spec, meta, problems))
}

/// Validates a ChaosMonkey of the API server.
pub fn monkey(spec: &api::ChaosMonkeySpec, meta: &Meta) -> Result<Monkey, Vec<Problem>> {
    checked(|problems| monkey::monkey(spec, meta, problems))
}

/// Validates an ExperimentRun of the API server. `named` is the Experiment that it refers to, where it does.
pub fn run(object: &api::ExperimentRun, named: Option<&api::ExperimentSpec>) -> Result<Run, Vec<Problem>> {
    let (meta, label) = (Meta::from(&object.metadata), run::label_of(object));
    checked(|problems| run::run(&object.spec, named, &meta, label, problems))
}

/// The name of the experiment that an ExperimentRun is of, as its record and its reports have it.
pub fn experiment_name(object: &api::ExperimentRun) -> &str {
    let own = object.metadata.name.as_deref().unwrap_or_default();
    run::experiment_name(&object.spec, run::label_of(object), own)
}

/// Validates a GameDay of the API server. The Experiments that it names are not looked up.
pub fn gameday(spec: &api::GameDaySpec, meta: &Meta) -> Result<GameDay, Vec<Problem>> {
    checked(|problems| gameday::gameday(spec, meta, problems))
}

/// What is meant, if nothing is wrong with it.
fn checked<T>(read: impl FnOnce(&mut Problems) -> Option<T>) -> Result<T, Vec<Problem>> {
    let mut problems = Problems::default();
    match read(&mut problems) {
        Some(meant) if problems.is_empty() => Ok(meant),
        _ => Err(problems.into_vec()),
    }
}

/// The run that a record tells of, if its manifest can be read: what it was when it began, whatever has become of the objects
/// that it was made from.
pub fn recorded_run(manifest: &str, spec: &api::ExperimentRunSpec, meta: &Meta, digest: &str) -> Option<Run> {
    run::recorded(manifest, spec, meta, digest)
}

/// The seed of an object that names none: the same however often it is asked for.
pub fn seed_of(uid: &str) -> i64 {
    monkey::seed_of(uid)
}

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To begin what it says.
    Begin,
    /// To know what was begun.
    Record,
}

/// The kinds that a file may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Experiment,
    Monkey,
    Load,
    Run,
    GameDay,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Experiment => "Experiment",
            Self::Monkey => "ChaosMonkey",
            Self::Load => "LoadTest",
            Self::Run => "ExperimentRun",
            Self::GameDay => "GameDay",
        }
    }

    fn spec_schema(self) -> &'static Value {
        static EXPERIMENT: LazyLock<Value> = LazyLock::new(schema::spec_of::<api::Experiment>);
        static MONKEY: LazyLock<Value> = LazyLock::new(schema::spec_of::<api::ChaosMonkey>);
        static RUN: LazyLock<Value> = LazyLock::new(schema::spec_of::<api::ExperimentRun>);
        static DAY: LazyLock<Value> = LazyLock::new(schema::spec_of::<api::GameDay>);
        static LOAD: LazyLock<Value> = LazyLock::new(schema::spec_of::<api::LoadTest>);
        match self {
            Self::Experiment => &EXPERIMENT,
            Self::Monkey => &MONKEY,
            Self::Run => &RUN,
            Self::GameDay => &DAY,
            Self::Load => &LOAD,
        }
    }
}

fn read(source_name: &str, text: &str, kinds: &[Kind], purpose: Purpose) -> Result<Vec<Manifest>, Diagnostics> {
    let mut diagnostics = Diagnostics::new(source_name, text);
    let documents = match document::read(text) {
        Ok(documents) => documents,
        Err(unreadable) => {
            for error in unreadable {
                diagnostics.add(error.span, String::new(), error.message, error.hint);
            }
            return Err(diagnostics.sorted());
        }
    };
    let mut manifests = Vec::new();
    for document in &documents {
        let mut problems = Problems::default();
        let manifest = manifest(document, kinds, purpose, &mut problems);
        if purpose == Purpose::Record {
            problems.of_record();
        }
        if problems.is_empty() {
            manifests.extend(manifest);
        }
        for problem in problems.into_vec() {
            let span = document.locate(&problem.path, problem.at_key);
            diagnostics.add(span, problem.path.to_string(), problem.message, problem.hint);
        }
    }
    if documents.is_empty() {
        let hint = format!("it needs a document of kind {}", kinds[0].name());
        diagnostics.add(0..0, String::new(), "this file holds no manifest".into(), Some(hint));
    }
    if diagnostics.is_empty() { Ok(manifests) } else { Err(diagnostics.sorted()) }
}

/// One document. `None` together with problems, or where the shape forbids to look further.
fn manifest(document: &Node, kinds: &[Kind], purpose: Purpose, problems: &mut Problems) -> Option<Manifest> {
    let kind = header(document, kinds, problems)?;
    let meta = Meta::read(document, problems);
    let at = Path::root().field("spec");
    let Some(spec) = document.get("spec") else {
        problems.add_at_key(&Path::root(), "the field spec is missing");
        return None;
    };
    shape::check(kind.spec_schema(), spec, &at, problems);
    if purpose == Purpose::Record {
        problems.of_record();
    }
    if !problems.is_empty() {
        return None;
    }
    let manifest = meant(kind, (document, spec), &meta, problems);
    // What a pattern alone refuses says what is meant, and is not asked of a record.
    if purpose == Purpose::Begin && problems.is_empty() {
        shape::patterns(kind.spec_schema(), spec, &at, problems);
    }
    manifest
}

/// What the spec of a document means.
fn meant(kind: Kind, (document, spec): (&Node, &Node), meta: &Meta, problems: &mut Problems) -> Option<Manifest> {
    let at = Path::root().field("spec");
    match kind {
        Kind::Experiment => {
            let spec = parse::<api::ExperimentSpec>(spec, &at, problems)?;
            let experiment = experiment::experiment(&spec, meta, problems)?;
            Some(Manifest::Experiment(Box::new(experiment)))
        }
        Kind::Monkey => {
            let spec = parse::<api::ChaosMonkeySpec>(spec, &at, problems)?;
            monkey::monkey(&spec, meta, problems).map(|found| Manifest::Monkey(Box::new(found)))
        }
        Kind::Run => {
            let spec = parse::<api::ExperimentRunSpec>(spec, &at, problems)?;
            let label = meta::label(document, api::labels::EXPERIMENT);
            Some(Manifest::Run(run::run(&spec, None, meta, label, problems).map(Box::new)))
        }
        Kind::GameDay => {
            let spec = parse::<api::GameDaySpec>(spec, &at, problems)?;
            gameday::gameday(&spec, meta, problems).map(|found| Manifest::GameDay(Box::new(found)))
        }
        Kind::Load => {
            let spec = parse::<api::LoadTestSpec>(spec, &at, problems)?;
            load::load(&spec, meta, problems).map(|found| Manifest::Load(Box::new(found)))
        }
    }
}

/// `apiVersion` and `kind`, and that there is nothing else at the top but metadata and spec.
fn header(document: &Node, kinds: &[Kind], problems: &mut Problems) -> Option<Kind> {
    let root = Path::root();
    let Data::Map(fields) = &document.data else {
        problems.add(&root, "a manifest is a mapping").hint("it starts with apiVersion: and kind:");
        return None;
    };
    if let Some((version, kind)) = of_others(document) {
        let hint =
            format!("ours have apiVersion: {}; give the others files and a folder of their own", api::API_VERSION);
        problems.add(&root.field("apiVersion"), format!("{version} {kind} is no manifest of ours")).hint(hint);
        return None;
    }
    let known = ["apiVersion", "kind", "metadata", "spec"];
    for (key, _) in fields.iter().filter(|(key, _)| !known.contains(&key.name.as_str())) {
        let problem = problems.add_at_key(&root.field(&key.name), format!("there is no field {:?} here", key.name));
        if let Some(meant) = suggest::closest(&key.name, known.into_iter()) {
            problem.hint(format!("did you mean {meant}?"));
        }
    }
    match text(document, "apiVersion") {
        Some(api::API_VERSION) => {}
        Some(other) => {
            let message = format!("{other:?} is not served by this version");
            problems.add(&root.field("apiVersion"), message).hint(format!("write {}", api::API_VERSION));
        }
        None => {
            problems.add_at_key(&root, "the field apiVersion is missing").hint(format!("write {}", api::API_VERSION));
        }
    }
    let names = || kinds.iter().map(|kind| kind.name());
    let wanted = names().collect::<Vec<_>>().join(" or ");
    let Some(name) = text(document, "kind") else {
        problems.add_at_key(&root, "the field kind is missing").hint(format!("write kind: {wanted}"));
        return None;
    };
    let kind = kinds.iter().copied().find(|kind| kind.name() == name);
    if kind.is_none() {
        let problem = problems.add(&root.field("kind"), format!("expected {wanted}, found {name}"));
        match suggest::closest(name, names()) {
            Some(meant) => problem.hint(format!("did you mean {meant}?")),
            None if name == Kind::Load.name() => problem.hint("chaos load FILE"),
            None if name == Kind::Experiment.name() => problem.hint("chaos run FILE"),
            None if [Kind::Monkey.name(), Kind::Run.name(), Kind::GameDay.name()].contains(&name) => {
                problem.hint("the operator runs those: kubectl apply -f FILE");
            }
            None => {}
        }
    }
    kind
}

/// `apiVersion` and `kind` of an object that is none of ours by either: what it holds is no mistake of its author.
fn of_others(document: &Node) -> Option<(&str, &str)> {
    let (version, kind) = (text(document, "apiVersion")?, text(document, "kind")?);
    let ours = [Kind::Experiment, Kind::Monkey, Kind::Load, Kind::Run, Kind::GameDay].map(Kind::name);
    let is_close = ours.contains(&kind) || suggest::closest(kind, ours.into_iter()).is_some();
    let is_of_our_group = version.split('/').next() == Some(api::GROUP);
    (!is_close && !is_of_our_group).then_some((version, kind))
}

fn text<'n>(document: &'n Node, field: &str) -> Option<&'n str> {
    match document.get(field).map(|node| &node.data) {
        Some(Data::Text(text)) => Some(text),
        _ => None,
    }
}

/// The schema has been checked, so what is left to go wrong here is what the schema cannot say.
fn parse<T: DeserializeOwned>(spec: &Node, at: &Path, problems: &mut Problems) -> Option<T> {
    let parsed = serde_path_to_error::deserialize(spec.to_json()).map_err(|error| {
        let mut path = at.clone();
        for segment in error.path() {
            path = match segment {
                serde_path_to_error::Segment::Seq { index } => path.index(*index),
                serde_path_to_error::Segment::Map { key } => path.field(key),
                serde_path_to_error::Segment::Enum { .. } | serde_path_to_error::Segment::Unknown => path,
            };
        }
        problems.add(&path, error.inner().to_string());
    });
    parsed.ok()
}

//! The table: each row an evil input, the exit code and the reason that must come of it, and how it is played. What the
//! rows are is said in a file for each kind of evil.

mod answers;
mod app;
mod broken_cluster;
mod files;
mod guards;
mod machine;
mod metrics;
mod outages;
mod signals;
mod traffic;
mod victims;

use std::fmt::Write as _;

use super::draft::Draft;
use super::field::Field;
use super::script::Play;
use super::stand_in::Scene;

/// An evil input and what must come of it.
pub(crate) struct Row {
    /// What is evil about it.
    pub(crate) name: &'static str,
    /// The exit code; `None`: a signal ended the program.
    pub(crate) code: Option<i32>,
    /// The `reasonCode` of the result; `None`: no single run was judged.
    pub(crate) reason: Option<&'static str>,
    /// What the output must say.
    pub(crate) says: &'static str,
    /// The cluster it is played on.
    pub(crate) ground: Ground,
    /// What the stand-in answers at first.
    pub(crate) scene: fn(&mut Scene),
    /// What is done to the cluster before the program starts.
    pub(crate) before: fn(&Field, &str),
    /// The manifests.
    pub(crate) files: fn(Draft) -> Vec<String>,
    /// Further arguments; `HOME` is the row's own folder.
    pub(crate) flags: &'static [&'static str],
    /// A shell that starts the program, as `"$0" "$@"`.
    pub(crate) shell: Option<&'static str>,
    /// What happens while it runs.
    pub(crate) meanwhile: fn(&mut Play<'_>),
    /// What must hold afterwards.
    pub(crate) after: Option<fn(&Play<'_>)>,
}

/// The cluster that a row is played on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ground {
    /// That of all rows.
    Shared,
    /// One of its own, with these arguments of `chaos cluster up`: it is broken, or its switches are thrown.
    Own(&'static [&'static str]),
}

impl Row {
    /// A row of the experiment that passes, if nothing else is said.
    const fn new(name: &'static str, code: i32, reason: &'static str) -> Self {
        Self {
            name,
            code: Some(code),
            reason: Some(reason),
            says: "",
            ground: Ground::Shared,
            scene: |_| (),
            before: |_, _| (),
            files: |draft| vec![draft.yaml()],
            flags: &[],
            shell: None,
            meanwhile: |_| (),
            after: None,
        }
    }

    /// One that is refused before a run begins.
    const fn refused(name: &'static str, code: i32, says: &'static str) -> Self {
        Self { reason: None, ..Self::new(name, code, "").says(says) }
    }

    const fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    const fn scene(self, scene: fn(&mut Scene)) -> Self {
        Self { scene, ..self }
    }

    const fn before(self, before: fn(&Field, &str)) -> Self {
        Self { before, ..self }
    }

    const fn on(self, ground: Ground) -> Self {
        Self { ground, ..self }
    }

    const fn files(self, files: fn(Draft) -> Vec<String>) -> Self {
        Self { files, ..self }
    }

    const fn meanwhile(self, meanwhile: fn(&mut Play<'_>)) -> Self {
        Self { meanwhile, ..self }
    }

    const fn after(self, after: fn(&Play<'_>)) -> Self {
        Self { after: Some(after), ..self }
    }

    /// A run that is not even started, for a reason that a plan can know: not one of the flags of a run.
    pub(crate) const fn is_foreseen(&self) -> bool {
        self.reason.is_none() && self.flags.is_empty() && matches!(self.code, Some(2 | 3 | 4 | 8))
    }

    /// A namespace of its own.
    pub(crate) fn namespace(&self) -> String {
        namespace_of(self.name)
    }
}

/// The namespace of what is called so.
pub(crate) fn namespace_of(name: &str) -> String {
    let letters: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    letters.split('-').filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-").chars().take(60).collect()
}

/// The table as Markdown.
pub(crate) fn table() -> String {
    let mut table = "| input | exit | reason |\n|---|---:|---|\n".to_owned();
    for row in rows() {
        let code = row.code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
        let reason = match (row.reason, row.code) {
            (Some(reason), _) => format!("`{reason}`"),
            (None, None | Some(130 | 143)) => "`Orphaned`, as `chaos report` tells".to_owned(),
            (None, Some(1)) => "the worst of the three".to_owned(),
            (None, Some(_)) => "nothing was started".to_owned(),
        };
        let _ = writeln!(table, "| {} | {code} | {reason} |", row.name);
    }
    table
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    [
        metrics::rows(),
        traffic::rows(),
        outages::rows(),
        app::rows(),
        guards::rows(),
        answers::rows(),
        victims::rows(),
        broken_cluster::rows(),
        machine::rows(),
        signals::rows(),
        files::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// So many kills that the run is still at them when something happens to it.
fn many(draft: Draft) -> Vec<String> {
    vec![draft.kills(60, 2).yaml()]
}

/// The operator kills.
const MONKEY: &str = "monkey: {meanTimeBetweenKills: 800ms, minTimeBetweenKills: 400ms, strikes: {target: 6, min: 2}, \
                      killMode: Evict, group: Namespace}";

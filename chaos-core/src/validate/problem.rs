//! What is wrong with a manifest: one problem, and the list that validation fills. Places are paths here; files turn them
//! into lines (`diagnostics`), objects of an API server have none.
//!
//! What an older version let begin may be refused by now, and is recorded all the same. A rule that comes later than the first version
//! therefore judges ([`Problems::judge`]) where what is meant can be read in spite of it: it binds what is to begin, and no record.

use std::fmt;

use super::path::Path;

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where. A field that is missing is told by its parent.
    pub path: Path,
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether the name of the field is meant rather than its value.
    pub(super) at_key: bool,
    /// Whether what is meant is clear, and only no good.
    judges: bool,
}

/// Problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// The value at `path` is wrong.
    pub(super) fn add(&mut self, path: &Path, message: impl Into<String>) -> &mut Problem {
        self.push(Problem::new(path, message))
    }

    /// The value at `path` says what is meant, which must not begin any more.
    pub(super) fn judge(&mut self, path: &Path, message: impl Into<String>) -> &mut Problem {
        self.push(Problem { judges: true, ..Problem::new(path, message) })
    }

    /// The field at `path` should not be there, or something is missing in it.
    pub(super) fn add_at_key(&mut self, path: &Path, message: impl Into<String>) -> &mut Problem {
        self.push(Problem { at_key: true, ..Problem::new(path, message) })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes in the problems of a part that was checked by itself: what is said of `from` there is said of `to` here.
    pub(super) fn take_in(&mut self, part: Self, from: &Path, to: &Path) {
        let moved = part.0.into_iter().map(|problem| Problem { path: problem.path.moved(from, to), ..problem });
        self.0.extend(moved);
    }

    /// Leaves out what is no problem of what has begun already.
    pub(super) fn of_record(&mut self) {
        self.0.retain(|problem| !problem.judges);
    }

    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    fn push(&mut self, problem: Problem) -> &mut Problem {
        let at = self.0.len();
        self.0.push(problem);
        &mut self.0[at]
    }
}

impl Problem {
    fn new(path: &Path, message: impl Into<String>) -> Self {
        Self { path: path.clone(), message: message.into(), hint: None, at_key: false, judges: false }
    }

    /// Says what to do about it.
    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path != Path::root() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

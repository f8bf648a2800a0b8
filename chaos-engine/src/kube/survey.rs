//! Surveys: looks at the cluster that are made for no strike. Killers of one process that ask for the same one at the same time
//! are answered by one read, which began after each of them had asked: nobody gets facts older than its question. Nothing is
//! kept once it was handed out, and what a kill is decided on must never come from here: that is read for it alone.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chaos_core::killer::Scope;
use chaos_core::model::{NamespaceScope, Policy, Target};
use chaos_core::population::Population;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::population::Environment;

/// Surveys that are read at once: each may be all pods of a target, and a process may have a thousand killers.
pub(crate) const SURVEYS: usize = 4;
/// A killer that sees the cluster waits so long for the survey to begin that it asked for: less than it looks ahead of a strike.
const TURN_WITHIN: Duration = Duration::from_secs(1);

/// What a survey found, or why it found nothing.
pub(crate) type Surveyed = Result<Arc<Population>, String>;

/// What a survey is of. Two killers with the same one see the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SurveyOf {
    namespaces: NamespaceScope,
    environment: Environment,
    /// By these rights, which decide where all is read.
    policy: Policy,
    scope: Scope,
}

impl SurveyOf {
    /// All of a target.
    pub(crate) fn target(target: &Target, environment: &Environment, policy: &Policy) -> Self {
        let (namespaces, environment) = (target.namespaces.clone(), environment.clone());
        Self { namespaces, environment, policy: policy.clone(), scope: Scope::Target }
    }

    /// So much of it.
    pub(crate) fn within(&self, scope: &Scope) -> Self {
        Self { scope: scope.clone(), ..self.clone() }
    }
}

/// The surveys of a process.
#[derive(Clone)]
pub(crate) struct Surveys {
    /// Whose turn it is to read.
    pub(crate) turns: Arc<Semaphore>,
    /// The kinds that somebody waits for or reads, and no others.
    lines: Arc<Mutex<Vec<Line>>>,
}

/// The surveys of one kind.
struct Line {
    of: SurveyOf,
    /// Of one kind one survey is read at a time, so that whoever asks meanwhile shares the next.
    reading: Arc<Semaphore>,
    /// The one that has not begun.
    next: Option<Survey>,
    /// How many wait or are being read.
    open: usize,
}

/// One survey, for those who asked for it.
#[derive(Clone)]
struct Survey {
    found: watch::Sender<Option<Surveyed>>,
    /// Somebody cannot wait for its turn any longer.
    hurry: Arc<Notify>,
}

impl Surveys {
    pub(crate) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(SURVEYS)), lines: Arc::default() }
    }

    /// What such a survey finds that begins after this call. `read` makes it, unless one by somebody else is about to
    /// begin. One who `sees` the cluster has surveyed it before at a time of its own: it goes on soon, whoever is slow. An error
    /// is told to all who asked together.
    pub(crate) async fn survey<R>(
        &self,
        of: &SurveyOf,
        sees: bool,
        read: impl FnOnce() -> R + Send + 'static,
    ) -> Surveyed
    where
        R: Future<Output = Surveyed> + Send + 'static,
    {
        let (mut found, hurry) = self.join(of, read);
        if sees && timeout(TURN_WITHIN, found.changed()).await.is_err() {
            hurry.notify_one();
        }
        let answer = found.wait_for(Option::is_some).await.ok().and_then(|found| (*found).clone());
        // It panicked, or the runtime is going down.
        answer.unwrap_or_else(|| Err("the survey of the cluster ended without an answer".to_owned()))
    }

    /// A turn to survey the cluster alone, for one whose survey is of no use to others.
    pub(crate) async fn turn(&self, sees: bool) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        let turn = self.turns.clone().acquire_owned();
        if sees { timeout(TURN_WITHIN, turn).await.ok()?.ok() } else { turn.await.ok() }
    }

    /// Joins the survey that has not begun; if there is none, makes one. It is a task of its own: whoever asked for it first may
    /// go away, and the others get it all the same.
    fn join<R>(
        &self,
        of: &SurveyOf,
        read: impl FnOnce() -> R + Send + 'static,
    ) -> (watch::Receiver<Option<Surveyed>>, Arc<Notify>)
    where
        R: Future<Output = Surveyed> + Send + 'static,
    {
        let mut lines = self.lines();
        let line = line_of(&mut lines, of);
        if let Some(next) = &line.next {
            return (next.found.subscribe(), next.hurry.clone());
        }
        let (found, asker) = watch::channel(None);
        let survey = Survey { found, hurry: Arc::default() };
        line.next = Some(survey.clone());
        line.open += 1;
        let (reading, hurry) = (line.reading.clone(), survey.hurry.clone());
        // A runtime that is going down drops a task where it is spawned, and that takes the lock.
        drop(lines);
        let open = Open { surveys: self.clone(), of: of.clone(), has_begun: false };
        tokio::spawn(make(open, survey, reading, read));
        (asker, hurry)
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the turn of a survey, and makes it for as long as anybody waits for it.
async fn make<R>(mut open: Open, survey: Survey, reading: Arc<Semaphore>, read: impl FnOnce() -> R + Send)
where
    R: Future<Output = Surveyed> + Send,
{
    let Survey { found, hurry } = survey;
    let turn = async {
        // In this order: what waits for its own kind takes no turn from others.
        let alone = reading.acquire_owned().await;
        (alone, open.surveys.turn(false).await)
    };
    let turn = tokio::select! {
        turn = turn => Some(turn),
        () = hurry.notified() => None,
    };
    open.begin();
    tokio::select! {
        biased;
        () = found.closed() => {}
        answer = read() => {
            found.send_replace(Some(answer));
        }
    }
    drop(turn);
}

/// A survey that waits or is being read, until this is dropped.
struct Open {
    surveys: Surveys,
    of: SurveyOf,
    has_begun: bool,
}

impl Open {
    /// It begins: whoever asks from now on shares the one after it.
    fn begin(&mut self) {
        self.has_begun = true;
        line_of(&mut self.surveys.lines(), &self.of).next = None;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut lines = self.surveys.lines();
        let line = line_of(&mut lines, &self.of);
        line.open = line.open.saturating_sub(1);
        if !self.has_begun {
            // Nobody may join what nobody makes.
            line.next = None;
        }
        lines.retain(|line| line.open > 0);
    }
}

/// The line of that kind; if there is none, a new one.
fn line_of<'a>(lines: &'a mut Vec<Line>, of: &SurveyOf) -> &'a mut Line {
    let known = lines.iter().position(|line| line.of == *of);
    let at = known.unwrap_or(lines.len());
    if known.is_none() {
        lines.push(Line { of: of.clone(), reading: Arc::new(Semaphore::new(1)), next: None, open: 0 });
    }
    &mut lines[at]
}

#[cfg(test)]
mod tests;

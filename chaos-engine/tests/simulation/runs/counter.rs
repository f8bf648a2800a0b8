//! The status of the run as the tasks of one operator's process write it, one at a time and each its own part; and the newest
//! version of the run that this process knows of.

use std::sync::{Arc, Mutex};

use chaos_core::api::ExperimentRunStatus;
use jiff::Timestamp;

use super::bugs::Bug;
use super::cluster::World;
use crate::desk::{Desk, Left};
use crate::seats::{Chair, Stage as _, millis, turn};
use crate::watch::{Change, Watch};

/// A watch that is behind for long has caught up after so many milliseconds, at most.
const BEHIND_FOR: i64 = 10_000;

/// A counter with one desk behind it.
#[derive(Clone)]
pub(crate) struct Counter {
    pub(crate) world: World,
    /// Which process this is.
    pub(crate) instance: u64,
    /// Absent while somebody writes.
    desk: Arc<Mutex<Option<Written>>>,
    pub(crate) known: Arc<Mutex<Known>>,
}

/// What was written, and by whom.
struct Written {
    desk: Desk,
    status: ExperimentRunStatus,
    /// Nobody heard what became of the last write.
    is_unclear: bool,
}

/// What a process knows of the run.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself")]
pub(crate) struct Known {
    generation: u64,
    pub(crate) abort: bool,
    pub(crate) approved: bool,
    pub(crate) is_gone: bool,
    /// Somebody else drives it.
    pub(crate) is_fenced: bool,
    /// How it hears of news.
    pub(crate) watch: Watch,
}

impl Counter {
    /// Writes a process's name into the status. `None`: the run is gone.
    pub(crate) fn claim(world: &World) -> Option<(Self, ExperimentRunStatus)> {
        let mut state = world.lock();
        let desk = Desk::claim(&mut *state)?;
        let status = state.found()?;
        let longest = if state.scenario.is_behind { BEHIND_FOR } else { 1_000 };
        let (instance, watch) = (state.dice().draw(), Watch::new(state.dice(), longest));
        let known = Known {
            generation: desk.generation,
            abort: state.wanted.abort,
            approved: state.wanted.approved,
            is_gone: false,
            is_fenced: false,
            watch,
        };
        drop(state);
        let written = Written { desk, status: status.clone(), is_unclear: false };
        let counter = Self {
            world: world.clone(),
            instance,
            desk: Arc::new(Mutex::new(Some(written))),
            known: Arc::new(Mutex::new(known)),
        };
        Some((counter, status))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.world.lock().now
    }

    pub(crate) fn known(&self) -> Known {
        *self.known.lock().unwrap()
    }

    /// Takes notice of what the watch has brought by now.
    pub(crate) fn look(&self) {
        let state = self.world.lock();
        let mut known = self.known.lock().unwrap();
        let Some(object) = &state.object else {
            // Nothing follows the end of an object.
            let is_known = |at| known.watch.brings(Change { number: 0, at }, 0, state.now);
            known.is_gone |= state.record.ended_at.is_some_and(is_known);
            return;
        };
        if let Some(generation) = object.brought(&known.watch, known.generation, state.now) {
            let wanted = state.wanted_in(generation);
            known.generation = generation;
            (known.abort, known.approved) = (wanted.abort, wanted.approved);
        }
    }

    /// The status as it was last seen.
    pub(crate) async fn seen(&self, chair: &Chair) -> ExperimentRunStatus {
        self.take(chair).await.written().status.clone()
    }

    /// The status as it is stored.
    pub(crate) async fn status(&self, chair: &Chair) -> Result<ExperimentRunStatus, Left> {
        let mut taken = self.take(chair).await;
        let looked = taken.written().clear_up(&self.world).await;
        let status = taken.written().status.clone();
        drop(taken);
        self.learn(looked)?;
        Ok(status)
    }

    /// Changes the status.
    pub(crate) async fn update(
        &self,
        chair: &Chair,
        change: impl FnOnce(&mut ExperimentRunStatus) + Send,
    ) -> Result<(), Left> {
        let mut taken = self.take(chair).await;
        let changed = self.change(taken.written(), chair, change).await;
        drop(taken);
        self.learn(changed)
    }

    async fn change(
        &self,
        written: &mut Written,
        chair: &Chair,
        change: impl FnOnce(&mut ExperimentRunStatus) + Send,
    ) -> Result<(), Left> {
        written.clear_up(&self.world).await?;
        let mut status = written.status.clone();
        change(&mut status);
        if status == written.status {
            return Ok(());
        }
        written.desk.generation = self.known().generation;
        let put = written.desk.put(&self.world, chair, &status).await;
        match put {
            Ok(()) => written.status = status,
            Err(_) => written.is_unclear = !self.world.lock().has(Bug::UnheardWriteForgotten),
        }
        put
    }

    /// Takes notice of what a write came upon.
    fn learn(&self, put: Result<(), Left>) -> Result<(), Left> {
        let state = self.world.lock();
        let mut known = self.known.lock().unwrap();
        match put {
            Err(Left::Changed) => {
                known.generation = state.object.as_ref().map_or(known.generation, |object| object.generation);
                (known.abort, known.approved) = (state.wanted.abort, state.wanted.approved);
            }
            Err(Left::Fenced) => known.is_fenced = true,
            Err(Left::Gone) => known.is_gone = true,
            Ok(()) | Err(Left::Unreached) => {}
        }
        put
    }

    async fn take(&self, chair: &Chair) -> Taken<'_> {
        loop {
            let written = self.desk.lock().unwrap().take();
            if written.is_some() {
                return Taken { written, desk: &self.desk };
            }
            chair.sleep(self.now() + millis(10));
            turn().await;
        }
    }
}

impl Written {
    /// Asks which status is stored, if nobody heard.
    async fn clear_up(&mut self, world: &World) -> Result<(), Left> {
        if self.is_unclear {
            self.status = self.desk.look(world).await?;
            self.is_unclear = false;
        }
        Ok(())
    }
}

/// The desk while somebody writes, who may be dropped over it.
struct Taken<'a> {
    written: Option<Written>,
    desk: &'a Mutex<Option<Written>>,
}

impl Taken<'_> {
    fn written(&mut self) -> &mut Written {
        self.written.as_mut().expect("it is given back last")
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.desk.lock().unwrap() = self.written.take();
    }
}

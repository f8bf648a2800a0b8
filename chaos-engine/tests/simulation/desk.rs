//! The status of one object on a simulated cluster, and who writes it: as the real `StatusDesk` does, every write names the
//! version that it follows, what was not answered is looked at before it is tried again, and whoever finds that somebody else
//! has written, or that the object is another by now, gives up.

use jiff::Timestamp;

use crate::faults::Fault;
use crate::seats::{Chair, Shared, Stage, millis, turn};
use crate::watch::{Change, Watch};

/// How often a write is tried.
const TRIES: i32 = 5;

/// An object of ours.
#[derive(Debug)]
pub(crate) struct Object<T> {
    pub(crate) status: T,
    /// Which process wrote its name into the status.
    driver: u64,
    /// Counts all writes.
    version: u64,
    /// Counts changes of what people want of it.
    pub(crate) generation: u64,
    /// Those changes, the first of which made it of generation 2.
    changes: Vec<Change>,
}

impl<T> Object<T> {
    pub(crate) const fn new(status: T) -> Self {
        Self { status, driver: 0, version: 1, generation: 1, changes: Vec::new() }
    }

    /// People want something else of it.
    pub(crate) fn changed(&mut self, now: Timestamp) {
        (self.version, self.generation) = (self.version + 1, self.generation + 1);
        self.changes.push(Change { number: self.version, at: now });
    }

    /// The newest generation that a watch has brought by now to whoever knows that one. Those between are not seen.
    pub(crate) fn brought(&self, watch: &Watch, known: u64, now: Timestamp) -> Option<u64> {
        let newer =
            (known + 1..).zip(self.changes.iter().skip(usize::try_from(known).unwrap_or_default().saturating_sub(1)));
        newer.filter(|(_, change)| watch.brings(**change, self.version, now)).map(|(generation, _)| generation).last()
    }
}

/// Why a status could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Somebody else drives the object.
    Fenced,
    /// People want something else of it since this was decided.
    Changed,
    /// It is gone.
    Gone,
    /// The server does not answer.
    Unreached,
}

/// Mistakes in writing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Careless {
    /// No version is named.
    pub(crate) about_version: bool,
    /// A conflict counts as written.
    pub(crate) about_conflict: bool,
    /// Another spec is not noticed.
    pub(crate) about_change: bool,
}

/// A world that holds an object.
pub(crate) trait Kept: Stage {
    type Status: Clone + PartialEq + Send + Sync;

    /// The object, if it is there.
    fn object(&mut self) -> Option<&mut Object<Self::Status>>;

    fn careless(&self) -> Careless;

    /// What becomes of the next call.
    fn fault(&mut self) -> Fault;

    /// Checks what must hold when a status becomes another.
    fn check(&mut self, status: &Self::Status);
}

/// Who writes a status.
#[derive(Debug)]
pub(crate) struct Desk {
    instance: u64,
    version: u64,
    /// Of the spec that its decisions are made on.
    pub(crate) generation: u64,
    /// Of the spec in the version that the next write follows.
    found: u64,
}

impl Desk {
    /// Writes its name into the status. `None`: the object is gone.
    pub(crate) fn claim<S: Kept>(state: &mut S) -> Option<Self> {
        let instance = state.dice().draw();
        let object = state.object()?;
        object.driver = instance;
        object.version += 1;
        let (version, generation) = (object.version, object.generation);
        Some(Self { instance, version, generation, found: generation })
    }

    /// The status as it is stored, whichever of those that were written here that is.
    pub(crate) async fn look<S: Kept>(&mut self, stage: &Shared<S>) -> Result<S::Status, Left> {
        turn().await;
        let status = self.found(&mut *stage.lock())?;
        turn().await;
        Ok(status)
    }

    /// Replaces the status, if nobody else has since, and if people still want what was decided on.
    pub(crate) async fn put<S: Kept>(
        &mut self,
        stage: &Shared<S>,
        chair: &Chair,
        status: &S::Status,
    ) -> Result<(), Left> {
        let careless = stage.lock().careless();
        if self.found > self.generation && !careless.about_change {
            return Err(Left::Changed);
        }
        for attempt in 0..TRIES {
            if attempt > 0 {
                let again = stage.lock().now() + millis(100) * attempt;
                chair.sleep(again);
                turn().await;
                if self.settled(&mut *stage.lock(), status)? {
                    return Ok(());
                }
            }
            turn().await;
            if self.written(&mut *stage.lock(), status)? {
                turn().await;
                return Ok(());
            }
        }
        Err(Left::Unreached)
    }

    /// One try. Whether it was answered with success.
    fn written<S: Kept>(&mut self, state: &mut S, status: &S::Status) -> Result<bool, Left> {
        let (fault, careless) = (state.fault(), state.careless());
        if let Fault::Never(answer) = fault {
            // What is refused for good is not tried again.
            let error = answer.error();
            return if error.is_conflict() || error.is_passing() { Ok(false) } else { Err(Left::Unreached) };
        }
        let Some(object) = state.object() else { return Err(Left::Gone) };
        if object.version != self.version && !careless.about_version {
            return Ok(false);
        }
        state.check(status);
        let Some(object) = state.object() else { return Err(Left::Gone) };
        object.status = status.clone();
        object.version += 1;
        if fault == Fault::None {
            self.version = object.version;
        }
        Ok(fault == Fault::None)
    }

    /// After a write whose fate is not clear, or that came too late: whether the status is stored.
    fn settled<S: Kept>(&mut self, state: &mut S, status: &S::Status) -> Result<bool, Left> {
        let careless = state.careless();
        let found = match self.found(state) {
            Err(Left::Fenced) if careless.about_conflict => return Ok(true),
            found => found?,
        };
        if self.found > self.generation && !careless.about_change {
            return Err(Left::Changed);
        }
        Ok(found == *status)
    }

    /// The status, if it was written from here.
    fn found<S: Kept>(&mut self, state: &mut S) -> Result<S::Status, Left> {
        let (fault, careless) = (state.fault(), state.careless());
        if fault != Fault::None {
            return Err(Left::Unreached);
        }
        let object = state.object().ok_or(Left::Gone)?;
        if object.driver != self.instance && !careless.about_version {
            return Err(Left::Fenced);
        }
        (self.version, self.found) = (object.version, object.generation);
        Ok(object.status.clone())
    }
}

//! Who uses the named cluster now: one test alone, or several that leave what is installed as it is. It knows nothing of what
//! they do there. An embedded cluster belongs to one test, so there all are beside each other.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Held for as long as a test uses the cluster.
pub(crate) enum Turn {
    Alone { _turn: RwLockWriteGuard<'static, ()> },
    Shared { _turn: RwLockReadGuard<'static, ()> },
}

static TURN: RwLock<()> = RwLock::new(());
static SHARING: Mutex<u32> = Mutex::new(0);

impl Turn {
    /// Waits until nobody else has a turn.
    pub(crate) fn alone() -> Self {
        Self::Alone { _turn: TURN.write().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Waits until nobody is alone.
    pub(crate) fn shared() -> Self {
        Self::Shared { _turn: TURN.read().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// How many tests use the installation that they share. Whoever comes first, or goes last, holds it until it is there, or gone.
pub(crate) fn sharing() -> MutexGuard<'static, u32> {
    SHARING.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What happened in a schedule. Nobody keeps it while schedules hold: one that fails is played again, and told.

use std::cell::RefCell;

use jiff::Timestamp;

/// So much of a history is told: what comes last is what broke.
const LONGEST: usize = 300;

thread_local! {
    /// What was noted so far on this thread, if anybody wants to know.
    static NOTES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Notes that something happened.
pub(crate) fn note(at: Timestamp, what: impl FnOnce() -> String) {
    NOTES.with_borrow_mut(|notes| {
        if let Some(notes) = notes {
            notes.push(format!("{at} {}", what()));
        }
    });
}

/// All that happens while this is played, which may panic by itself.
pub(crate) fn all(play: impl FnOnce()) -> Vec<String> {
    NOTES.set(Some(Vec::new()));
    play();
    NOTES.take().unwrap_or_default()
}

/// What happens last while this is played, which may panic by itself.
pub(crate) fn of(play: impl FnOnce()) -> String {
    let notes = all(play);
    notes[notes.len().saturating_sub(LONGEST)..].join("\n")
}

//! What a killer's ledger says, as events of the run, each told once. Where the ledger comes from (this process, or a monkey's
//! status) is not known here.

use std::collections::HashSet;

use chaos_core::api::{IntentRecord, KillRecord, PlannedStrike, SkipRecord};
use chaos_core::killer::sent_within;
use chaos_core::record::{Event, Kill, RunTime};

/// How the note begins that an operator ended the kills too early by its clock.
pub(super) const ENDED_EARLY: &str = "the operator ended the kills";

/// What is left for a person to do about kills whose outcome nobody knows: they need no undoing, but a look.
pub(super) fn unknown(intents: &[IntentRecord]) -> Vec<String> {
    let look = |intent: &IntentRecord| {
        let (namespace, pod) = (&intent.victim.namespace, &intent.victim.pod);
        format!("see whether pod {namespace}/{pod} was killed: its kill has no known outcome")
    };
    intents.iter().map(look).collect()
}

/// How long after the instant that it is told for a kill may have been sent, in nanoseconds.
pub(super) fn late_by(kill: &KillRecord) -> u64 {
    u64::try_from(sent_within(kill).as_nanos()).unwrap_or(u64::MAX)
}

/// The records that were told already.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By nonce.
    intents: HashSet<String>,
    /// By nonce.
    kills: HashSet<String>,
    /// By number of the strike.
    skips: HashSet<u64>,
    /// By number of the strike and reason.
    put_off: HashSet<(u64, String)>,
    /// That the operator ended the kills too early.
    early_end: bool,
}

impl Told {
    /// Knowing what a record tells already.
    pub(super) fn knowing(events: &[Event]) -> Self {
        let mut told = Self::default();
        for event in events {
            match event {
                Event::Intent { nonce, .. } => _ = told.intents.insert(nonce.clone()),
                Event::Kill(kill) => _ = told.kills.insert(kill.nonce.clone()),
                Event::Skipped { skip, .. } => _ = told.skips.insert(skip.strike),
                Event::PutOff { strike, reason, .. } => _ = told.put_off.insert((*strike, reason.clone())),
                Event::Note { text, .. } => told.early_end |= text.starts_with(ENDED_EARLY),
                _ => (),
            }
        }
        told
    }

    /// Intents that are new.
    pub(super) fn intents(&mut self, intents: &[IntentRecord], at: RunTime) -> Vec<Event> {
        let new = intents.iter().filter(|intent| self.intents.insert(intent.nonce.clone()));
        let event = |intent: &IntentRecord| {
            let (strike, nonce, victim) = (intent.strike, intent.nonce.clone(), intent.victim.clone());
            Event::Intent { at, strike, nonce, victim }
        };
        new.map(event).collect()
    }

    /// Kill calls whose outcome is new. `instant` gives a kill's instant on the run's clock, and how well it is known in
    /// nanoseconds.
    pub(super) fn kills(
        &mut self,
        history: &[KillRecord],
        instant: impl Fn(&KillRecord) -> (RunTime, u64),
    ) -> Vec<Event> {
        let new = history.iter().filter(|kill| self.kills.insert(kill.nonce.clone()));
        let event = |kill: &KillRecord| {
            let (at, uncertainty) = instant(kill);
            Event::Kill(Kill {
                at,
                uncertainty: uncertainty.saturating_add(late_by(kill)),
                strike: kill.strike,
                nonce: kill.nonce.clone(),
                victim: kill.victim.clone(),
                outcome: kill.outcome,
                message: kill.message.clone(),
            })
        };
        new.map(event).collect()
    }

    /// Reasons that are new for which strikes wait although they are due.
    pub(super) fn put_off(&mut self, upcoming: &[PlannedStrike], at: RunTime) -> Vec<Event> {
        let waiting = upcoming.iter().filter_map(|strike| Some((strike.strike, strike.waiting_for.clone()?)));
        let new = waiting.filter(|waiting| self.put_off.insert(waiting.clone()));
        new.map(|(strike, reason)| Event::PutOff { at, strike, reason }).collect()
    }

    /// Whether it is new that the operator ended the kills too early.
    pub(super) fn early_end(&mut self) -> bool {
        !std::mem::replace(&mut self.early_end, true)
    }

    /// Skips that are new.
    pub(super) fn skips(&mut self, skipped: &[SkipRecord], at: RunTime) -> Vec<Event> {
        let new = skipped.iter().filter(|skip| self.skips.insert(skip.strike));
        new.map(|skip| Event::Skipped { at, skip: skip.clone() }).collect()
    }
}

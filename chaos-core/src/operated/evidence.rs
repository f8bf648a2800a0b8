//! The two halves of the evidence of an operated run: which of the prober's events count, and how both become one record.

use std::collections::BTreeSet;

use crate::evidence::instant;
use crate::model::Experiment;
use crate::record::Event;

/// An event that a prober may not tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the prober told {what}, which is not its to tell")]
pub struct Inadmissible {
    what: String,
}

/// Whether an event is a prober's to tell: what was measured by probes of this experiment, and notes. Who kills and judges
/// must not be talked into anything else by whoever can write a ConfigMap.
pub fn admit(experiment: &Experiment, event: &Event) -> Result<(), Inadmissible> {
    let probe = match event {
        Event::Schedule(schedule) => &schedule.probe,
        Event::Bin(bin) => &bin.probe,
        Event::Bad(slot) => &slot.probe,
        Event::Served { probe, .. } | Event::Invariants { probe, .. } => probe,
        Event::Sample(sample) => &sample.probe,
        Event::Note { .. } => return Ok(()),
        Event::Started(_)
        | Event::Planned { .. }
        | Event::Phase { .. }
        | Event::Intent { .. }
        | Event::Kill(_)
        | Event::Skipped { .. }
        | Event::PutOff { .. }
        | Event::Pod(_)
        | Event::Clock { .. }
        | Event::Blind { .. }
        | Event::Sight { .. }
        | Event::Stop { .. }
        | Event::WoundDown { .. }
        | Event::Told { .. }
        | Event::Finished { .. } => return Err(Inadmissible { what: format!("an event {:?}", event.name()) }),
    };
    let known: BTreeSet<&str> = experiment.probes.iter().map(|probe| probe.name.as_str()).collect();
    if known.contains(probe.as_str()) {
        Ok(())
    } else {
        Err(Inadmissible { what: format!("something of a probe {probe:?}") })
    }
}

/// One record of what the operator and the prober told. Each keeps its order; the beginning and the end are the operator's.
pub fn merge(operator: &[Event], prober: &[Event]) -> Vec<Event> {
    let mut merged = Vec::with_capacity(operator.len() + prober.len());
    let mut theirs = prober.iter().peekable();
    for (index, ours) in operator.iter().enumerate() {
        let is_end = matches!(ours, Event::Finished { .. });
        while index > 0
            && let Some(event) = theirs.next_if(|event| is_end || instant(event) < instant(ours))
        {
            merged.push(event.clone());
        }
        merged.push(ours.clone());
    }
    let end = merged.iter().position(|event| matches!(event, Event::Finished { .. })).unwrap_or(merged.len());
    let rest: Vec<Event> = theirs.cloned().collect();
    merged.splice(end..end, rest);
    merged
}

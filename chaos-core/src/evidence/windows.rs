//! Kill windows: the trials of the rule. From the kill call to the next one, the first from the start of the fault phase, the
//! last to the end of recovery; kills whose recoveries overlap are one trial.

use super::fold::{Recorded, Span};
use super::timeline::Timeline;
use crate::record::RunTime;

/// One kill window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// The window.
    pub span: Span,
    /// Indices of its kills in `Recorded::kills`; never empty.
    pub kills: Vec<usize>,
}

/// The trials of a run, in order, without gaps from the start of the fault phase to the end of recovery.
pub fn trials(recorded: &Recorded<'_>, timelines: &[Timeline<'_>]) -> Vec<Trial> {
    let Some(judged) = recorded.phases.judged() else {
        return Vec::new();
    };
    let mut groups: Vec<Group> = Vec::new();
    for (index, (kill, timeline)) in recorded.kills.iter().zip(timelines).enumerate() {
        if !timeline.done {
            continue;
        }
        match groups.last_mut() {
            Some(open) if open.recovered.is_none_or(|ready| kill.at < ready) => {
                open.kills.push(index);
                open.recovered = open.recovered.zip(timeline.ready()).map(|(a, b)| a.max(b));
            }
            _ => groups.push(Group { first: kill.at, kills: vec![index], recovered: timeline.ready() }),
        }
    }
    let starts: Vec<RunTime> = groups
        .iter()
        .enumerate()
        .map(|(i, group)| if i == 0 { judged.start } else { group.first.clamp(judged.start, judged.end) })
        .collect();
    groups
        .into_iter()
        .enumerate()
        .map(|(i, group)| {
            let end = starts.get(i + 1).copied().unwrap_or(judged.end);
            Trial { span: Span { start: starts[i], end }, kills: group.kills }
        })
        .collect()
}

/// Kills whose recoveries overlap.
struct Group {
    first: RunTime,
    kills: Vec<usize>,
    /// When the last of the replacements was Ready; `None`: one never was, so every later kill overlaps.
    recovered: Option<RunTime>,
}

//! Game days as people read them: a line each, or one with its steps and what was not started.

use chaos_core::api::GameDay;
use comfy_table::{Table, presets};
use kube::ResourceExt as _;

use super::status;
use crate::output;

/// Game days as a table: those of one namespace by their names, else by their namespaces too.
pub(super) fn listed(days: &[GameDay], namespace: Option<&str>) -> String {
    if days.is_empty() {
        return output::none("game days", namespace);
    }
    let mut table = output::columns(&["NAME", "SCHEDULE", "MODE", "SUSPENDED", "ACTIVE", "NEXT", "LAST", "REASON"]);
    for day in days {
        let mut row = row(day);
        if namespace.is_none() {
            row[0] = format!("{}/{}", day.namespace().unwrap_or_default(), row[0]);
        }
        table.add_row(row);
    }
    format!("{}\n", table.trim_fmt())
}

/// A line of the list.
fn row(day: &GameDay) -> [String; 8] {
    let status = status(day);
    let active: Vec<&str> = status.active.iter().map(|execution| execution.id.as_str()).collect();
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    [
        day.name_any(),
        day.spec.schedule.clone(),
        day.spec.mode.as_str().to_owned(),
        day.spec.suspend.to_string(),
        or_none(active.join(",")),
        status.next_at.as_ref().map_or_else(|| "-".to_owned(), |next| next.0.to_string()),
        status.last.as_ref().and_then(|last| last.outcome.clone()).unwrap_or_else(|| "-".to_owned()),
        ready.map_or_else(|| "-".to_owned(), |ready| ready.reason.clone()),
    ]
}

/// One game day with its steps.
pub(super) fn shown(day: &GameDay) -> String {
    use std::fmt::Write as _;
    let status = status(day);
    let mut head = Table::new();
    head.load_style(presets::NOTHING);
    for (what, value) in
        ["name", "schedule", "mode", "suspended", "active", "next", "last", "ready"].into_iter().zip(row(day))
    {
        head.add_row([what.to_owned(), value]);
    }
    let mut text = format!("{}\n", head.trim_fmt());
    for execution in status.active.iter().chain(&status.last) {
        let outcome = execution.outcome.as_deref().unwrap_or("under way");
        let mut table = output::columns(&["STEP", "PHASE", "OUTCOME", "RUN", "UNTIL", "MESSAGE"]);
        for step in &execution.steps {
            let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let until = step.until.as_ref().map_or_else(|| "-".to_owned(), |until| format!("{:.0}", until.0));
            let phase = step.phase.as_str().to_owned();
            let (outcome, run, message) = (or_none(&step.outcome), or_none(&step.run), or_none(&step.message));
            table.add_row([step.name.clone(), phase, outcome, run, until, message]);
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "\nexecution {}: {outcome}\n{}\n", execution.id, table.trim_fmt());
    }
    for skip in &status.skipped {
        let _ = writeln!(text, "\nnot started: {} ({}): {}: {}", skip.slot.0, skip.count, skip.reason, skip.message);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_are_no_game_days_that_is_said() {
        assert_eq!(listed(&[], Some("default")), "no game days in namespace default; -A for all namespaces\n");
        assert_eq!(listed(&[], None), "no game days\n");
    }
}

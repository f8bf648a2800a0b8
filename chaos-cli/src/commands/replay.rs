//! `chaos replay`: plans a recorded run again from its seed and its population, and shows every difference. Touches nothing.

use chaos_core::replay::{Replay, Replayed, replay as plan_again};
use comfy_table::{Table, presets};

use super::recorded::Recorded;
use crate::cli::ReplayArgs;
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) fn replay(args: &ReplayArgs) -> Result<Exit, Failure> {
    let recorded = Recorded::read(&args.journal)?;
    let replay = plan_again(&recorded.experiment, &recorded.journal.events).map_err(Failure::invalid)?;
    output::data(&output::rendered(&replay, args.format, || table(&replay))?);
    Ok(if replay.differences.is_empty() { Exit::OK } else { Exit::DIFFERENT })
}

fn table(replay: &Replay) -> String {
    let mut strikes = Table::new();
    strikes.load_style(presets::NOTHING);
    strikes.set_header(["STRIKE", "DUE", "AT", "VICTIM", "GROUP", "CANDIDATES", "BY THE PLAN"]);
    for strike in &replay.strikes {
        strikes.add_row([
            strike.strike.to_string(),
            format!("{:.3} s", strike.due_seconds),
            format!("{:.3} s", strike.at_seconds),
            strike.victim.clone(),
            strike.group.clone(),
            candidates(strike),
            by_the_plan(strike).to_owned(),
        ]);
    }
    let differences: Vec<String> = replay
        .differences
        .iter()
        .map(|difference| format!("different: {} ({:?})", difference.message, difference.kind))
        .collect();
    let unknown = replay.strikes.iter().filter(|strike| strike.same.is_none()).count();
    let end = match differences.as_slice() {
        [] if replay.strikes.is_empty() => "no difference: the same exclusions, and no strike to compare".to_owned(),
        [] if unknown > 0 => format!(
            "no difference: the same exclusions, order and instants, and the same victims but for {unknown} of which nothing is known"
        ),
        [] => "no difference: the same exclusions, victims, order and instants".to_owned(),
        some => some.join("\n"),
    };
    format!(
        "run {}, seed {}: {} pods might be killed at the start, {} might not\n\n{}\n\n{end}\n",
        replay.run,
        replay.seed,
        replay.eligible,
        replay.excluded,
        strikes.trim_fmt()
    )
}

fn candidates(strike: &Replayed) -> String {
    match strike.uncertain {
        0 => strike.candidates.to_string(),
        uncertain => format!("{} and perhaps {uncertain}", strike.candidates),
    }
}

fn by_the_plan(strike: &Replayed) -> &'static str {
    match strike.same {
        Some(true) => "the same",
        Some(false) => "ANOTHER",
        None => "not known: its owner is newer than the record",
    }
}

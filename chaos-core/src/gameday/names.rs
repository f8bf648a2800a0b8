//! Names that follow from what they name, so that the same thing always has the same one.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::digest::sha256_hex;

/// Characters of the game day's and of the step's name that a run's name shows; the digest behind them is what tells it apart.
const SHOWN: (usize, usize) = (28, 20);
const DIGEST: usize = 12;

/// The name of the run of one step of one execution of one very game day: a DNS label.
pub fn run_name(day: &str, day_uid: &str, execution: &str, step: &str) -> String {
    let digest = sha256_hex(format!("{day_uid}/{execution}/{step}").as_bytes());
    let short = |text: &str, most: usize| text.chars().take(most).collect::<String>().trim_end_matches('-').to_owned();
    format!("{}-{}-{}", short(day, SHOWN.0), short(step, SHOWN.1), &digest[..DIGEST])
}

/// The id of the execution of a slot.
pub(super) fn of_slot(slot: Timestamp) -> String {
    slot.to_zoned(TimeZone::UTC).strftime("%Y%m%dt%H%M%Sz").to_string()
}

/// The id of an execution that somebody started. An order's name may come again, an instant does not.
pub(super) fn of_order(order: &str, now: Timestamp) -> String {
    format!("{order}-{}", now.as_second())
}

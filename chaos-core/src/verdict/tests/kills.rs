//! Kills in figures: how fast they were noticed and healed.

use super::runs::{harmless, spec};
use crate::api::Outcome;
use crate::evidence::fixture::Story;
use crate::record::{BadClass, PodChange};
use crate::result::{Distribution, Recovery};
use crate::verdict::{Level, judge};

#[test]
fn what_was_seen_after_kills_gives_the_times_to_detect_and_to_recover() {
    let mut story = Story::new(20_000, 30_000);
    story.probe("ride", 100.0);
    // Its endpoint is out after 20 ms, its replacement Ready after 300 ms; five requests fail, the last 140 ms after it.
    story.kill(11_000, 300);
    story.lose(11_100, 5, BadClass::Refused);
    let slow = story.bare_kill(13_000, Outcome::Killed);
    story.sight(13_700, PodChange::EndpointOut, &slow.pod, &slow.uid);
    story.replace(13_010, 1_990);
    // Nothing was seen after this one, and none of these was a kill.
    story.bare_kill(17_000, Outcome::Killed);
    story.call(18_000, Outcome::Blocked);
    let of =
        |count: u64, [min_us, p50_us, p95_us, max_us]: [u64; 4]| Distribution { count, min_us, p50_us, p95_us, max_us };
    assert_eq!(
        judge(&spec(harmless()), &story.events()).recovery,
        Recovery {
            detect: of(2, [20_000, 20_000, 700_000, 700_000]),
            ready: of(2, [300_000, 300_000, 2_000_000, 2_000_000]),
            traffic: of(3, [0, 0, 150_000, 150_000]),
            not_recovered: 1,
        }
    );
}

#[test]
fn a_kill_after_which_nothing_was_asked_is_exposed_in_no_output() {
    // A request every five seconds: the second of three kills has none in its window.
    let mut story = Story::new(20_000, 30_000);
    story.probe("ride", 0.2);
    [11_000, 12_000, 13_000].into_iter().for_each(|at| story.kill(at, 300));
    let result = judge(&spec(harmless()), &story.events());
    let asked: Vec<u64> = result.kill_rows.iter().map(|row| row.losses[0].requests).collect();
    assert_eq!(asked, [1, 0, 3]);
    let claimed = result.claims.iter().find(|claim| claim.level == Level::HarmlessKills).map(|claim| claim.exposed);
    assert_eq!((result.kills.trials, result.kills.exposed, claimed), (3, 2, Some(2)));
}

//! An application that fails, for a moment or for good, and a kill that costs too much.

use super::super::draft::Draft;
use super::super::script::Play;
use super::super::stand_in::App;
use super::{Row, many};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("an outage of 100 ms that heals", 7, "BudgetExceeded")
            .says("not beyond chance")
            .files(|draft| {
                // Five are above the budget of any run that is over within 100 s.
                vec![draft.with(|draft| (draft.rate, draft.promise) = ("50/s", "availability: 99.9%")).yaml()]
            })
            // Until the gate opens nothing more is killed: all of the outage is in the first kill window.
            .scene(|scene| scene.gate_open = false)
            .meanwhile(|play| {
                play.until("kill 1/");
                play.scene(|scene| scene.app = App::Losing(5));
                // So many requests in that window that five bad ones of them are not beyond chance.
                play.until_asked(100);
                play.scene(|scene| scene.gate_open = true);
            }),
        Row::new("an outage of 1 s that heals", 1, "RecoveryRefuted")
            .files(|draft| vec![recovers("{baseline: 1s, fault: 60s, recovery: 5s}", draft).yaml()])
            .meanwhile(|play| {
                play.until("phase recovery");
                play.scene(|scene| scene.app = App::Losing(50));
            })
            .after(|play| healed(play, 1.0)),
        Row::new("an outage of 30 s that heals", 1, "RecoveryRefuted")
            .files(|draft| vec![recovers("{baseline: 1s, fault: 60s, recovery: 36s}", draft).yaml()])
            .meanwhile(|play| {
                play.until("phase recovery");
                play.scene(|scene| scene.app = App::Losing(1_500));
            })
            .after(|play| healed(play, 30.0)),
        Row::new("an outage that does not heal", 1, "SloRefuted")
            .files(many)
            .meanwhile(|play| {
                play.until("kill 1/");
                play.scene(|scene| scene.app = App::Gone);
            })
            .after(cut_short),
        Row::new("a kill that costs more than is declared", 1, "WorstLossExceeded")
            .files(|draft| {
                let declares = |draft: &mut Draft| {
                    draft.evidence = "availability: {worstLossPerKill: 4, source: \"a guess\"}";
                    draft.promise = "availability: 80%";
                };
                vec![draft.kills(9, 2).with(declares).yaml()]
            })
            .meanwhile(|play| {
                play.until("kill 1/");
                play.scene(|scene| scene.app = App::Losing(20));
            }),
    ]
}

/// An outage in the recovery is in one kill window, the last one, after which no kill asks whether the promise is
/// refuted. A window that is all bad makes at most 17 of the 25 that the betting test takes (99 %), and the recovery
/// alone is refuted by a tenth of its requests.
fn recovers(phases: &'static str, draft: Draft) -> Draft {
    draft.with(|draft| (draft.rate, draft.promise, draft.phases) = ("50/s", "availability: 99%", phases))
}

/// The promise was refuted while pods were still to be killed, and no more of them were.
fn cut_short(play: &Play<'_>) {
    let result = play.result();
    let (kills, findings) = (&result["kills"], &result["verdict"]["findings"]);
    let (done, planned) = (kills["done"].as_u64().expect("kills"), kills["planned"].as_u64().expect("a plan"));
    assert!(done < planned, "{kills}");
    assert!(findings.to_string().contains("refuted while pods were still being killed"), "{findings}");
}

fn healed(play: &Play<'_>, seconds: f64) {
    let result = play.result();
    let outage = result["probes"][0]["worstOutage"]["durationUs"].as_f64().expect("an outage") / 1e6;
    assert!((0.5 * seconds..1.5 * seconds).contains(&outage), "{outage} s instead of {seconds} s");
    let last = result["series"][0]["seconds"].as_array().and_then(|seconds| seconds.last()).expect("a second");
    assert!(last["good"].as_u64() > Some(0) && last["failed"] == 0, "it did not heal: {last}");
}

//! Guards that stop a run, and alerts that cannot be read.

use super::super::draft::Draft;
use super::super::stand_in::{Alert, App};
use super::Row;

pub(super) fn rows() -> Vec<Row> {
    fn guarded(draft: Draft) -> Vec<String> {
        vec![draft.kills(60, 2).guarded_by("RidesLost").yaml()]
    }
    fn short_sighted(draft: Draft) -> Vec<String> {
        vec![draft.kills(60, 2).guarded_by("RidesLost").short_sighted().yaml()]
    }
    vec![
        Row::new("a burn-rate guard that trips", 5, "GuardTripped")
            .files(|draft| {
                let guarded = |draft: &mut Draft| {
                    draft.abort = "[{burnRate: {probe: ride, factor: 1, long: 1s, short: 500ms}}]".to_owned();
                    // So little of a promise that nothing refutes it.
                    draft.promise = "availability: 60%";
                };
                vec![draft.kills(40, 2).with(guarded).yaml()]
            })
            .scene(|scene| scene.app = App::Well)
            .meanwhile(|play| {
                play.until("kill 2/");
                play.scene(|scene| scene.app = App::LosesEvery(2));
            }),
        Row::new("an alert that fires in mid-run", 5, "GuardTripped").says("alert fires").files(guarded).meanwhile(
            |play| {
                play.until("kill 1/");
                play.scene(|scene| scene.alert = Alert::Fires);
            },
        ),
        Row::refused("an alert that fires already", 4, "a guard would stop the run at once")
            .files(guarded)
            .scene(|scene| scene.alert = Alert::Fires),
        Row::refused("an alert that no rule can give", 2, "such a guard would never stop anything")
            .files(|draft| vec![draft.guarded_by("RidesLots").yaml()]),
        Row::refused("alerts that cannot be read at the start", 3, "gives no answer")
            .files(guarded)
            .scene(|scene| scene.alert = Alert::Dead),
        Row::new("alerts that cannot be read any more in mid-run", 5, "GuardTripped")
            .says("no alert could be read")
            .files(short_sighted)
            .meanwhile(|play| {
                play.until("kill 1/");
                play.scene(|scene| scene.alert = Alert::Dead);
            }),
    ]
}

//! A cluster that goes away, is stopped, or has another idea of the time.

use jiff::SignedDuration;

use super::super::draft::Draft;
use super::super::field::Field;
use super::super::operator;
use super::super::script::Play;
use super::{Ground, MONKEY, Row};

pub(super) fn rows() -> Vec<Row> {
    const LIMITS: &str = "{maxUnavailable: 1, minReady: 1, maxKills: 60, minInterval: 200ms, recoverWithin: 60s, \
                          maxBlind: 3s, allowForce: false}";
    fn short_sighted(draft: Draft) -> Draft {
        draft.kills(60, 2).with(|draft| draft.limits = LIMITS)
    }
    fn the_cluster_dies(play: &mut Play<'_>) {
        play.until("kill 1/");
        play.field.kill_cluster();
    }
    vec![
        Row::refused("the stop switch says stop", 4, "stop switch").on(Ground::Own(&[])).before(|field, _| {
            field.switch("Stopped");
        }),
        Row::new("the stop switch is thrown in mid-run", 5, "Switched")
            .on(Ground::Own(&[]))
            .files(|draft| vec![draft.kills(60, 2).yaml()])
            .meanwhile(|play| {
                play.until("kill 1/");
                play.field.switch("Stopped");
            }),
        Row::new("the cluster dies in mid-run; this process killed", 5, "BlindTooLong")
            .on(Ground::Own(&[]))
            .files(|draft| vec![short_sighted(draft).yaml()])
            .meanwhile(the_cluster_dies),
        Row::new("the cluster dies in mid-run; the operator killed", 6, "WindDownIncomplete")
            .says("delete ChaosMonkey")
            .on(Ground::Own(&["--operator"]))
            .files(|draft| vec![short_sighted(draft).with(|draft| draft.fault = MONKEY.to_owned()).yaml()])
            .meanwhile(the_cluster_dies),
        Row::new("the operator's clock jumps in mid-run", 7, "ClockUncertain")
            .on(Ground::Own(&[]))
            .files(|draft| vec![killed_by_an_operator(draft)])
            .before(|field, row| operated_by(field, row, operator::JUMP)),
        Row::new("the operator's clock is set back in mid-run", 7, "ClockUncertain")
            .on(Ground::Own(&[]))
            .files(|draft| vec![killed_by_an_operator(draft)])
            .before(|field, row| operated_by(field, row, -operator::JUMP)),
    ]
}

/// The run is older by the first kill than a replacement may take: one of unknown instant is not taken for one that old.
fn killed_by_an_operator(draft: Draft) -> String {
    const LIMITS: &str = "{maxUnavailable: 1, minReady: 1, maxKills: 60, minInterval: 200ms, recoverWithin: 10s, \
                          maxBlind: 30s, allowForce: false}";
    let draft = draft.with(|draft| draft.fault = MONKEY.to_owned()).with(|draft| draft.limits = LIMITS);
    draft.with(|draft| draft.phases = "{baseline: 12s, fault: 60s, recovery: 1s}").yaml()
}

/// An operator whose clock is set after three kills.
fn operated_by(field: &Field, row: &str, set: SignedDuration) {
    field.install_kinds();
    field.runtime.spawn(operator::drive(field.client.clone(), row.to_owned(), 3, set));
}

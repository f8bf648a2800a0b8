//! An application that answers, though not what was asked for, too late, or from elsewhere.

use super::super::draft::Draft;
use super::super::stand_in::App;
use super::{Row, many};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("200 with a body that is not what was asked for", 1, "SloRefuted").files(many).meanwhile(|play| {
            play.until("kill 1/");
            play.scene(|scene| scene.app = App::WrongBody);
        }),
        Row::new("a redirect to a place that answers well", 1, "SloRefuted").files(many).meanwhile(|play| {
            play.until("kill 1/");
            play.scene(|scene| scene.app = App::Redirects);
        }),
        Row::new("informational answers (103) without an end", 1, "SloRefuted")
            .says("more than 32 informational responses")
            .files(many)
            .meanwhile(|play| {
                play.until("kill 1/");
                play.scene(|scene| scene.app = App::Informs);
            }),
        Row::new("good answers that are too slow for the promise", 1, "SloRefuted")
            .files(|draft| {
                let fast = |draft: &mut Draft| draft.promise = "latency: {under: 300ms, share: 95%}";
                vec![draft.kills(60, 2).with(fast).yaml()]
            })
            .meanwhile(|play| {
                play.until("kill 1/");
                play.scene(|scene| scene.app = App::Slow(900));
            }),
        Row::new("victims without traffic", 7, "TooLittleExposure")
            .scene(|scene| scene.served_by = Some("somebody-else"))
            .files(|draft| {
                let asks = |draft: &mut Draft| draft.evidence = "harmlessKills: {share: 20%, maxLoss: 0}";
                vec![draft.with(asks).yaml()]
            }),
    ]
}

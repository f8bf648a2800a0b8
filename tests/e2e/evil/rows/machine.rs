//! A machine that starves the program, or fills up under it.

use std::time::Duration;

use super::super::draft::Draft;
use super::super::stand_in::App;
use super::Row;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("a load generator that is starved of CPU", 7, "TooMuchLag")
            .files(|draft| {
                let prompt = |draft: &mut Draft| (draft.max_lag, draft.promise) = ("250ms", "availability: 99%");
                vec![draft.kills(8, 2).with(prompt).yaml()]
            })
            .meanwhile(|play| {
                play.until("kill 1/");
                play.starve(Duration::from_secs(2));
            }),
        Row {
            shell: Some("trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""),
            ..Row::new("the disk is full under the journal", 5, "JournalFailed")
        }
        .files(|draft| vec![draft.kills(60, 2).with(|draft| draft.rate = "500/s").yaml()])
        .scene(|scene| scene.app = App::Well)
        .meanwhile(|play| {
            play.until("kill 1/");
            play.scene(|scene| scene.app = App::LosesEvery(20));
        }),
        Row {
            flags: &["-o", "json=/dev/full", "-o", "junit=HOME/junit.xml"],
            ..Row::new("the disk is full under a copy of the result", 5, "HypothesisHeld")
                .says("failed to write /dev/full")
        }
        .after(|play| assert!(play.chaos.path("junit.xml").is_file(), "the other copy is not there")),
        Row::new("a report that cannot be written where it belongs", 5, "HypothesisHeld")
            .says("report.html")
            .meanwhile(|play| {
                play.until("kill 1/");
                let journals = play.journals();
                let folder = journals[0].parent().expect("the folder of the run");
                std::fs::create_dir(folder.join("report.html")).expect("a folder in the way");
            }),
    ]
}

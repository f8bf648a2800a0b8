//! Signals that end the program, and what is left of its run.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::super::draft::Draft;
use super::super::script::Play;
use super::{Row, many};

/// What the program says when nothing is left to be done but to ask and to clean up.
const WIND_DOWN: &str = "phase winding down";

pub(super) fn rows() -> Vec<Row> {
    fn signalled(play: &mut Play<'_>, phase: &str, signal: Signal) {
        play.until(phase);
        play.signal(signal);
    }
    fn slow_recovery(draft: Draft) -> Vec<String> {
        vec![draft.with(|draft| draft.phases = "{baseline: 1s, fault: 60s, recovery: 30s}").yaml()]
    }
    /// Its wind-down takes some seconds: that is how long the last question takes.
    fn slow_end(draft: Draft) -> Vec<String> {
        let program = "command: {argv: [sleep, \"5\"], timeout: 60s}, when: After, expect: {exitCode: 0}";
        vec![draft.probe(&format!("{{name: slow-check, {program}}}")).yaml()]
    }
    /// The journal ends before its run did, and still tells of it.
    fn torn(play: &Play<'_>) {
        let journals = play.journals();
        assert_eq!(journals.len(), 1, "one journal");
        tells(play, &journals[0]);
    }
    fn tells(play: &Play<'_>, journal: &Path) {
        let end = play.chaos.run(["report", journal.to_str().expect("a path")]);
        assert_eq!(end.code, Some(5), "{}", end.stderr);
        assert!(end.stdout.contains("Orphaned"), "{}", end.stdout);
    }
    fn orphaned(play: &Play<'_>) {
        let journals = play.journals();
        assert_eq!(journals.len(), 1, "one journal");
        // The next start says so, once, and reports what the run had seen.
        let said = || play.again("{baseline: 1s, fault: 20s, recovery: 1s}").stderr;
        let first = said();
        assert!(first.contains("has no end: whoever drove it died"), "{first}");
        assert!(journals[0].with_file_name("result.json").is_file());
        assert!(!said().contains("has no end"), "it is told once");
        tells(play, &journals[0]);
    }
    let killed = |name, meanwhile: fn(&mut Play<'_>)| {
        Row { code: None, reason: None, ..Row::new(name, 0, "") }.files(many).meanwhile(meanwhile).after(orphaned)
    };
    let stopped =
        |name, meanwhile: fn(&mut Play<'_>)| Row::new(name, 5, "Interrupted").files(many).meanwhile(meanwhile);
    vec![
        stopped("SIGINT in the baseline", |play| signalled(play, "phase baseline", Signal::SIGINT)),
        stopped("SIGINT while pods die", |play| signalled(play, "kill 2/", Signal::SIGINT)),
        stopped("SIGTERM in the baseline", |play| signalled(play, "phase baseline", Signal::SIGTERM)),
        stopped("SIGTERM while pods die", |play| signalled(play, "kill 2/", Signal::SIGTERM)),
        stopped("SIGINT in the recovery", |play| signalled(play, "phase recovery", Signal::SIGINT))
            .files(slow_recovery),
        stopped("SIGTERM in the recovery", |play| signalled(play, "phase recovery", Signal::SIGTERM))
            .files(slow_recovery),
        // Everything was measured: the run is judged by that.
        Row::new("SIGINT in the wind-down", 0, "HypothesisHeld")
            .says("once more to leave at once")
            .files(slow_end)
            .meanwhile(|play| signalled(play, WIND_DOWN, Signal::SIGINT)),
        Row::new("SIGTERM in the wind-down", 0, "HypothesisHeld")
            .says("once more to leave at once")
            .files(slow_end)
            .meanwhile(|play| signalled(play, WIND_DOWN, Signal::SIGTERM)),
        Row::refused("SIGINT twice", 130, "SIGINT again: leaving at once")
            .files(slow_end)
            .meanwhile(|play| {
                signalled(play, WIND_DOWN, Signal::SIGINT);
                insisted(play, "SIGINT: winding down", Signal::SIGINT);
            })
            .after(torn),
        Row::refused("SIGTERM twice", 143, "SIGTERM again: leaving at once")
            .files(slow_end)
            .meanwhile(|play| {
                signalled(play, WIND_DOWN, Signal::SIGTERM);
                insisted(play, "SIGTERM: winding down", Signal::SIGTERM);
            })
            .after(torn),
        killed("SIGKILL in the baseline", |play| signalled(play, "phase baseline", Signal::SIGKILL)),
        killed("SIGKILL while pods die", |play| signalled(play, "kill 2/", Signal::SIGKILL)),
        killed("SIGKILL in the recovery", |play| signalled(play, "phase recovery", Signal::SIGKILL))
            .files(slow_recovery),
        killed("SIGKILL in the wind-down", |play| signalled(play, WIND_DOWN, Signal::SIGKILL))
            .files(slow_end)
            .after(torn),
        killed("SIGKILL at a random moment", killed_at_a_random_moment).after(reported_the_same_twice),
    ]
}

/// Sends it until the program ends: one that comes right after the first is of the same wish.
fn insisted(play: &mut Play<'_>, told: &str, signal: Signal) {
    play.until(told);
    let left = chaos_tests::wait(Duration::from_secs(5), || {
        play.running.end().is_some() || {
            play.signal(signal);
            false
        }
    });
    assert!(left, "{}", play.running.output());
}

/// What a moment is made of. `EVIL_SEED` gives it again.
fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let given = || std::env::var("EVIL_SEED").ok().and_then(|seed| seed.parse().ok());
    *SEED.get_or_init(|| given().unwrap_or_else(|| jiff::Timestamp::now().as_microsecond().unsigned_abs()))
}

/// Within five seconds of its start: before it reads anything, or in any phase but the last.
fn killed_at_a_random_moment(play: &mut Play<'_>) {
    let moment = Duration::from_millis(seed() % 5_000);
    let ended = chaos_tests::wait(moment, || play.running.end().is_some());
    assert!(!ended, "EVIL_SEED={}: it ended by itself\n{}", seed(), play.running.output());
    play.signal(Signal::SIGKILL);
}

/// Whatever is left of a journal is told, and twice the same; only what does not even tell of a start is refused.
fn reported_the_same_twice(play: &Play<'_>) {
    let Some(journal) = play.journals().pop() else { return };
    let journal = journal.to_string_lossy().into_owned();
    let report = |folder: &str| {
        let out = play.chaos.path(folder);
        let end = play.chaos.run(["report", journal.as_str(), "--out", out.to_str().expect("a path")]);
        let read = |name: &str| std::fs::read(out.join(name)).ok();
        (end, ["report.html", "result.json", "junit.xml", "summary.md"].map(read))
    };
    let ((first, told), (second, again)) = (report("first"), report("second"));
    let said = format!("EVIL_SEED={}: {}{}\n{}", seed(), first.stdout, first.stderr, play.output());
    assert_eq!(first.code, second.code, "{said}");
    assert!(told == again, "the second report differs: {said}");
    // A kill is on the disk before it is made.
    let was_started = play.output().contains("kill 1/");
    assert!(first.code == Some(5) || first.code == Some(2) && !was_started, "ended with {:?}: {said}", first.code);
    assert!(told.iter().all(|file| file.is_some() == (first.code == Some(5))), "a report is missing: {said}");
}

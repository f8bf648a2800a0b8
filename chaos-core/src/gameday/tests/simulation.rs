//! Crashes before and after every write and every action, lost answers and jumps of the clock: nothing is started twice, nothing
//! runs beside what it must not, nothing is left waiting.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::world::{Answer, Crash, World, machine};

const START: &str = "2026-06-01T08:59:00Z";

fn rich(spec: &mut Value) {
    spec["steps"] = json!([
        {"name": "a", "experiment": {"name": "a"}},
        {"name": "b", "experiment": {"name": "b"}},
        {"name": "pause", "dependsOn": ["a", "b"], "wait": "1m"},
        {"name": "ask", "dependsOn": ["pause"], "approval": {"prompt": "?", "within": "5m"}},
        {"name": "c", "dependsOn": ["ask"], "experiment": {"name": "c"}},
    ]);
    spec["control"] = json!({"approve": [{"gameDayUid": "u", "execution": "20260601t090000z", "step": "ask"}]});
    spec["history"] = json!({"passed": 1, "failed": 1});
}

#[test]
fn a_crash_anywhere_changes_nothing_about_the_end() {
    let end = "2026-06-01T11:30:00Z";
    let mut calm = World::new(START);
    calm.play(&machine(rich), end);
    assert_eq!(calm.created.len(), 3 + 2 + 2, "the approval counts for the first execution alone");
    for at in 0..calm.points {
        let crashes = vec![Crash { at, jump: SignedDuration::from_secs(30) }];
        let mut world = World { crashes, ..World::new(START) };
        world.play(&machine(rich), end);
        assert_eq!(world.created, calm.created, "crash {at}");
        assert_eq!(world.outcomes(), calm.outcomes(), "crash {at}");
    }
}

/// A small generator: the same seed is the same story.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[test]
fn whatever_happens_each_run_is_created_once_and_all_comes_to_an_end() {
    let mut states = std::collections::BTreeSet::new();
    for seed in 0..16 {
        let mut dice = Dice(seed);
        let policy = ["Allow", "Forbid", "Replace"][usize::try_from(dice.below(3)).unwrap()];
        let on_failure = ["Stop", "Continue"][usize::try_from(dice.below(2)).unwrap()];
        let mut crashes = Vec::new();
        let mut at = 0;
        for _ in 0..12 {
            at += 1 + usize::try_from(dice.below(25)).unwrap();
            let jump = SignedDuration::from_secs(i64::try_from(dice.below(900)).unwrap() - 300);
            crashes.push(Crash { at, jump });
        }
        let answers: [fn(usize) -> Answer; 4] = [
            |_| Answer::Well,
            |write| if write % 3 == 0 { Answer::Lost } else { Answer::Well },
            |write| if write % 2 == 0 { Answer::Away } else { Answer::Well },
            |write| if write % 7 == 3 { Answer::No } else { Answer::Well },
        ];
        let outcomes: [fn(&str) -> &'static str; 2] = [|_| "pass", |name| if name == "b" { "fail" } else { "pass" }];
        let mut world = World {
            crashes,
            lasts: 30 + i64::try_from(dice.below(4_000)).unwrap(),
            answer: answers[usize::try_from(dice.below(4)).unwrap()],
            outcome: outcomes[usize::try_from(dice.below(2)).unwrap()],
            exclusive: policy != "Allow",
            ..World::new(START)
        };
        let busy = machine(|spec| {
            rich(spec);
            spec["concurrencyPolicy"] = json!(policy);
            spec["onFailure"] = json!(on_failure);
            spec["schedule"] = json!("*/30 * * * *");
        });
        world.play(&busy, "2026-06-01T13:00:00Z");
        let mut unique = world.created.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), world.created.len(), "seed {seed}: a run was created twice");
        assert_eq!(
            world.saved.started + world.saved.skips,
            8,
            "seed {seed}: every slot until 13:00 is accounted for: {:?}",
            world.saved.skipped
        );
        states.append(&mut world.states);
        // No more slots, and a cluster that answers: everything comes to its end.
        world.answer = |_| Answer::Well;
        let quiet = machine(|spec| {
            rich(spec);
            spec["suspend"] = json!(true);
            spec["concurrencyPolicy"] = json!(policy);
            spec["onFailure"] = json!(on_failure);
            spec["schedule"] = json!("*/30 * * * *");
        });
        world.play(&quiet, "2026-06-03T00:00:00Z");
        assert_eq!(world.saved.active, [], "seed {seed}");
        let left = world.runs.values().filter(|run| run.ends > world.now).count();
        assert_eq!(left, 0, "seed {seed}: a run was left behind");
        assert!(world.saved.history.len() <= 2, "seed {seed}");
    }
    // All phases were there, with runs and without.
    assert!(states.len() >= 10, "{states:?}");
}

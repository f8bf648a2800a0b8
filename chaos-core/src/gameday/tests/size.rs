//! The status of a game day is bounded, whatever its steps are called and whatever is said of them.

use serde_json::json;

use super::super::*;
use super::world::at;
use crate::api::{GameDaySpec, GameDayStatus, StepPhase};
use crate::validate::{Meta, gameday};
use crate::verdict::Outcome;

/// A sixth of what an API server takes.
const MOST_BYTES: usize = 256 * 1024;

#[test]
fn the_largest_status_is_far_from_what_an_api_server_refuses() {
    let steps: Vec<_> =
        (0..20).map(|i| json!({"name": format!("{i:02}{}", "n".repeat(61)), "experiment": {"name": "e"}})).collect();
    let spec: GameDaySpec = serde_json::from_value(json!({
        "schedule": "Manual", "blackout": [], "startingDeadline": "1m", "mode": "Live", "steps": steps,
        "history": {"passed": 0, "failed": 20},
    }))
    .unwrap();
    let meta = Meta { name: "d".repeat(63), namespace: "n".into(), uid: "u".repeat(36) };
    let day = gameday(&spec, &meta).unwrap();
    let now = at("2026-06-01T09:00:00.123456Z");
    let mut ledger = Ledger::default();
    for hostile in ["\"".repeat(900), "\u{1F980}".repeat(900), "\u{1}".repeat(900)] {
        ledger.active.clear();
        for number in 0..60 {
            let id = format!("{}-{number:010}", "i".repeat(32));
            let mut whole = execution::new(&day, id.clone(), Some(now), now);
            for step in &mut whole.steps {
                let name = run_name(&day.name, &day.uid, &id, &step.name);
                (step.run, step.run_uid) = (Some(name), Some("u".repeat(36)));
                execution::over(step, StepPhase::Failed, Outcome::Inconclusive, "RecoverWithinExceeded", &hostile);
            }
            execution::end(&mut whole, reason::StepReason::SpecChanged, hostile.clone());
            ledger.active.push(whole);
        }
        outcome::conclude(&mut ledger, now);
        // The most that can be under way beside them.
        let last = ledger.last.clone().unwrap();
        ledger.active = vec![last; 5];
        let mut status = GameDayStatus::default();
        write_ledger(&ledger, &mut status);
        let bytes = serde_json::to_vec(&status).unwrap().len();
        assert!(bytes > MOST_BYTES / 3, "not the largest: {bytes}");
        assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    }
}

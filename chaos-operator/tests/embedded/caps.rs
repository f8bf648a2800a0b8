//! Caps on monkeys: that of the day of all together, which neither another operator nor another monkey resets, and that of the pods
//! that one monkey may have killed at once.

use super::*;

fn skips(monkey: &ChaosMonkey) -> u64 {
    monkey.status.as_ref().map_or(0, |status| status.skips)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_of_the_day_holds_all_monkeys_and_nothing_resets_it() {
    let args = ["test", "--listen", "127.0.0.1:0", "--pod-name", "a", "--max-kills-per-day", "3"];
    let fixture = Fixture::start().await;
    let operator = fixture.operator_of(&args);
    fixture.monkey(|_| ()).await;
    let is_capped = |monkey: &ChaosMonkey| condition(monkey, "Active") == ("False", "Capped");
    fixture.until("three kills and no more", |monkey| kills(monkey) == 3 && is_capped(monkey)).await;
    operator.end().await;
    let left = fixture.monkeys().get("m").await.unwrap();

    let operator = fixture.operator_of(&args);
    let says_why = |monkey: &ChaosMonkey| {
        let mut skipped = monkey.status.iter().flat_map(|status| &status.skipped);
        skipped.any(|skip| skip.message.contains("3 pods a day"))
    };
    let more = |monkey: &ChaosMonkey| skips(monkey) >= skips(&left) + 3;
    let later = fixture.until("skips by another operator", |monkey| more(monkey) && says_why(monkey)).await;
    assert_eq!(kills(&later), 3);

    fixture.monkeys().delete("m", &DeleteParams::default()).await.unwrap();
    fixture.monkey(|_| ()).await;
    let again = fixture.until("skips by a new monkey", |monkey| skips(monkey) >= 3).await;
    assert_eq!((kills(&again), condition(&again, "Active")), (0, ("False", "Capped")));
    operator.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_monkey_has_no_more_pods_killed_at_once_than_it_may() {
    let fixture = Fixture::start().await;
    // Nothing comes back, and the limits of the workload would allow two kills.
    fixture.controller.abort();
    let operator = fixture.operator("a");
    fixture
        .monkey(|spec| {
            spec["maxAtOnce"] = json!(1);
            spec["limits"]["maxUnavailable"] = json!(2);
        })
        .await;
    let told = |monkey: &ChaosMonkey| {
        let skipped = monkey.status.iter().flat_map(|status| &status.skipped);
        skipped.filter(|skip| skip.reason == "Held" && skip.message.contains("maxAtOnce is 1")).count()
    };
    fixture
        .until("one kill, and strikes after it that say why not", |monkey| kills(monkey) == 1 && told(monkey) >= 3)
        .await;
    operator.end().await;
}

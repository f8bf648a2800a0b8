//! A Prometheus that lies, or is not there.

use super::super::draft::Draft;
use super::super::script::Play;
use super::super::stand_in::{Metric, Scene};
use super::Row;

pub(super) fn rows() -> Vec<Row> {
    fn asks(draft: Draft) -> Vec<String> {
        vec![draft.asks_prometheus().yaml()]
    }
    let lies = |name, metric: fn(&mut Scene), cause| {
        Row::new(name, 7, "ProbeUnanswered").says(cause).files(asks).scene(metric)
    };
    let turns = |name, code, reason, turn: fn(&mut Play<'_>)| Row::new(name, code, reason).files(asks).meanwhile(turn);
    vec![
        Row::new("nothing evil: everything answers as it should", 0, "HypothesisHeld")
            .files(|draft| vec![draft.kills(6, 2).asks_prometheus().asks_rules().yaml()])
            .after(compares_with_itself),
        lies("no data: a metric that is misspelt, an empty vector", |scene| scene.metric = Metric::Empty, "noData"),
        lies("NaN", |scene| scene.metric = Metric::Value("NaN"), "nan"),
        lies("+Inf", |scene| scene.metric = Metric::Value("+Inf"), "infinite"),
        lies("two series where one is meant", |scene| scene.metric = Metric::Two, "severalSeries"),
        lies("a stale series", |scene| scene.metric = Metric::Stale, "stale"),
        Row::refused("a proxy's login page instead of Prometheus", 3, "gives no answer")
            .files(asks)
            .scene(|scene| scene.metric = Metric::Login),
        turns("a metric that is renamed in mid-run", 7, "ProbeUnanswered", |play| {
            play.until("kill 1/");
            play.scene(|scene| scene.metric = Metric::Empty);
        }),
        turns("Prometheus dies in mid-run", 7, "ProbeUnanswered", |play| {
            play.until("kill 1/");
            play.scene(|scene| scene.metric = Metric::Dead);
        }),
        turns("Prometheus hangs in mid-run", 7, "ProbeUnanswered", |play| {
            play.until("kill 1/");
            play.scene(|scene| scene.metric = Metric::Hangs);
        }),
        turns("a metric that falls below what is expected in mid-run", 1, "ExpectationBroken", |play| {
            play.until("kill 1/");
            play.scene(|scene| scene.metric = Metric::Value("0.5"));
        }),
        Row::new("a metric that is too low from the beginning", 8, "NotSteady")
            .files(asks)
            .scene(|scene| scene.metric = Metric::Value("0.5")),
        Row::refused("Prometheus is out of reach at the start", 3, "out of reach")
            .files(|draft| vec![draft.asks_prometheus_at("http://127.0.0.1:1").yaml()]),
    ]
}

/// A run does not differ from itself, whichever of its files is read; what is no run is said so.
fn compares_with_itself(play: &Play<'_>) {
    let journal = play.journals().remove(0);
    let result = journal.with_file_name("result.json");
    let [journal, result] = [journal, result].map(|path| path.to_string_lossy().into_owned());
    let same = play.chaos.run(["diff", &journal, &result, "-o", "json"]);
    assert_eq!(same.code, Some(0), "{}{}", same.stdout, same.stderr);
    let comparison: serde_json::Value = serde_json::from_str(&same.stdout).expect("JSON");
    assert_eq!(comparison["standing"], "noDifference");
    assert!(comparison["figures"].as_array().is_some_and(|figures| figures.len() >= 3), "{comparison:#}");
    let manifest = play.chaos.path("experiment-0.yaml").to_string_lossy().into_owned();
    assert_eq!(play.chaos.run(["diff", &journal, &manifest]).code, Some(2));
}

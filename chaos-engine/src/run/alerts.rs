//! Looks at the alerts that guard a run, every two seconds. It only tells; what follows is decided by the run's step function.

use std::time::Duration;

use chaos_core::record::{Event, RunTime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::RunClock;
use crate::probe::AlertLook;
use crate::recorder::Recorder;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// What a guard has to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Alarm {
    /// Since when its source cannot be read, and why.
    pub(super) silent: Option<(RunTime, String)>,
    /// The alerts that were seen to fire, in words. It stays.
    pub(super) firing: Option<String>,
}

/// What the look-out needs.
pub(super) struct Guarding {
    pub(super) look: AlertLook,
    pub(super) clock: RunClock,
    pub(super) recorder: Recorder,
    pub(super) tell: watch::Sender<Alarm>,
}

impl Guarding {
    /// Looks until stopped.
    pub(super) async fn keep(self, stop: CancellationToken) {
        loop {
            let began = self.clock.now();
            // A rule that is gone by now, or that fails on what the kills left, gives no alert whatever happens.
            let Some(seen) = stop.run_until_cancelled(self.look.firing_or_able()).await else { return };
            match seen {
                Ok(firing) => self.tell.send_modify(|alarm| {
                    alarm.silent = None;
                    alarm.firing = alarm.firing.take().or(firing);
                }),
                Err(cause) if self.tell.borrow().silent.is_none() => {
                    let text = format!("a guard cannot read its alerts: {cause}");
                    self.recorder.record(Event::Note { at: began, text });
                    self.tell.send_modify(|alarm| alarm.silent = Some((began, cause.to_string())));
                }
                Err(_) => (),
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;
    use crate::journal::Redactor;
    use crate::probe::Access;

    /// What a guard tells first of a Prometheus where nothing fires, and whose one rule is in that health; absent: it has none.
    async fn told(health: Option<&str>) -> Option<String> {
        let vector = json!({"status": "success", "data": {"resultType": "vector", "result": []}});
        let rule = |health: &str| json!({"type": "alerting", "name": "RidesLost", "labels": {}, "health": health});
        let rules: Vec<Value> = health.map(rule).into_iter().collect();
        let rules = json!({"status": "success", "data": {"groups": [{"rules": rules}]}});
        let rules_asked = std::sync::Arc::new(tokio::sync::Notify::new());
        let asked = rules_asked.clone();
        let app = Router::new().route("/api/v1/query", get(async move || Json(vector))).route(
            "/api/v1/rules",
            get(async move || {
                asked.notify_one();
                Json(rules)
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let matchers = [r#"alertname="RidesLost""#.to_owned()];
        let look = AlertLook::new(&Access::from(url.as_str()), &matchers, Duration::from_secs(5)).unwrap();
        let (tell, alarm) = watch::channel(Alarm::default());
        let recorder = Recorder::in_memory(Redactor::default());
        let stop = CancellationToken::new();
        let mut news = alarm.clone();
        let guarding = Guarding { look, clock: RunClock::start(), recorder, tell };
        let keeping = tokio::spawn(guarding.keep(stop.clone()));
        let first = async {
            rules_asked.notified().await;
            news.changed().await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(20), first).await.expect("it asks for rules as well");
        stop.cancel();
        keeping.await.unwrap();
        let Alarm { silent, firing } = alarm.borrow().clone();
        assert_eq!(firing, None);
        silent.map(|(_, why)| why)
    }

    #[tokio::test]
    async fn that_nothing_fires_is_known_only_while_a_rule_could_make_something_fire() {
        assert_eq!(told(Some("ok")).await, None);
        for (health, part) in [(Some("err"), "health"), (None, "no alerting rule")] {
            let silent = told(health).await.expect("it is blind");
            assert!(silent.contains(part), "{silent}");
        }
    }
}

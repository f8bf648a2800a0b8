//! The application's own checker of its business rules, asked over http: `{checked, violations: [{invariant, story}]}`.
//! Its answer is evidence as it stands; an answer that is none is an error.

use std::time::Duration;

use chaos_core::model::{Moment, Patience};
use chaos_core::record::{Event, RunTime, Violation};
use serde::Deserialize;

use super::client;
use super::http::Origin;
use super::look::{NoAnswer, cut, patiently};

/// Largest answer, in bytes.
const LARGEST: usize = 16 << 20;
/// Violations that are kept with their story; of more, only the number is.
const MOST: usize = 1_000;
/// Longest story, and longest name of an invariant, in characters.
const LONGEST_STORY: usize = 4_096;

/// A checker to ask.
#[derive(Debug, Clone)]
pub struct InvariantsPlan {
    /// Unique in the run.
    pub name: String,
    /// When it is asked; never continuously.
    pub when: Moment,
    /// Who answers.
    pub origin: Origin,
    /// Path and query.
    pub path: String,
    /// A checker that takes longer did not answer.
    pub timeout: Duration,
    /// How patiently it is asked.
    pub patience: Patience,
}

#[derive(Debug, Deserialize)]
struct Checked {
    checked: u64,
    violations: Vec<Violation>,
}

impl InvariantsPlan {
    /// Asks once; the record of it says so at `at`.
    pub(super) async fn ask(&self, at: RunTime) -> Event {
        match patiently(self.patience, || self.checked()).await {
            Ok(Checked { checked, violations }) => {
                let (violations, total) = bounded(violations);
                Event::Invariants { probe: self.name.clone(), at, checked, violations, total }
            }
            Err(cause) => cause.event(&self.name, at),
        }
    }

    async fn checked(&self) -> Result<Checked, NoAnswer> {
        let url = format!("{}{}", self.origin, self.path);
        let answer = client::client(self.timeout)?.get(url).send().await;
        let mut answer = answer.map_err(|error| client::no_answer(&error))?;
        if !answer.status().is_success() {
            return Err(NoAnswer::new("status", format!("the checker answered {}", answer.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| client::no_answer(&error))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(NoAnswer::new("tooLarge", format!("the checker's answer is larger than {LARGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|error| NoAnswer::new("unparsable", error))
    }
}

/// What is kept of them, and how many there are, where that is not all.
fn bounded(mut violations: Vec<Violation>) -> (Vec<Violation>, Option<u64>) {
    let total = (violations.len() > MOST).then_some(violations.len() as u64);
    violations.truncate(MOST);
    for violation in &mut violations {
        cut(&mut violation.invariant, LONGEST_STORY);
        cut(&mut violation.story, LONGEST_STORY);
    }
    (violations, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use chaos_core::record::Answer;

    async fn plan(path: &str) -> InvariantsPlan {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let story = r#"{"checked": 7, "violations": [{"invariant": "noLostRide", "story": "ride 3"}], "more": 1}"#;
        let many = serde_json::json!({"checked": 1, "violations": vec![serde_json::json!({"invariant": "a", "story": "b"}); 1_500]});
        let app = Router::new()
            .route("/broken", get(async move || story))
            .route("/many", get(async move || many.to_string()))
            .route("/nothing", get(async || r#"{"violations": []}"#))
            .route("/error", get(async || axum::http::StatusCode::SERVICE_UNAVAILABLE))
            .route("/moved", get(async || axum::response::Redirect::to("/broken")));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let timeout = Duration::from_secs(30);
        InvariantsPlan {
            name: "ledger".into(),
            when: Moment::After,
            origin,
            path: path.into(),
            timeout,
            patience: Patience::default(),
        }
    }

    #[tokio::test]
    async fn violations_are_told_with_their_story() {
        let told = plan("/broken").await.ask(RunTime(5)).await;
        let violations = vec![Violation { invariant: "noLostRide".into(), story: "ride 3".into() }];
        let probe = "ledger".to_owned();
        assert_eq!(told, Event::Invariants { probe, at: RunTime(5), checked: 7, violations, total: None });
        let Event::Invariants { violations, total, .. } = plan("/many").await.ask(RunTime(5)).await else {
            panic!("no answer")
        };
        assert_eq!((violations.len(), total), (1_000, Some(1_500)));
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "é".repeat(LONGEST_STORY + 1);
        let (cut, _) = bounded(vec![Violation { invariant: long.clone(), story: long }]);
        let wanted = format!("{}…", "é".repeat(LONGEST_STORY));
        assert_eq!(cut, [Violation { invariant: wanted.clone(), story: wanted }]);
    }

    #[tokio::test]
    async fn no_count_no_answer() {
        for (path, expected) in [("/nothing", "unparsable"), ("/error", "status"), ("/moved", "status")] {
            let Event::Sample(sample) = plan(path).await.ask(RunTime(0)).await else { panic!("{path} answered") };
            assert_eq!(sample.met, None);
            assert!(matches!(sample.answer, Answer::Error { reason, .. } if reason == expected), "{path}");
        }
    }
}

//! Tries again when a pod died in the middle: within the caller's deadline and within a budget, so that retries never
//! multiply the load of a platform that is down. Only for calls that are safe to repeat.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use rand::RngExt;
use tokio::time::Instant;

use super::client::{Call, CallError, Peer, Reply};
use super::{DEADLINE_MS, Failure};

/// Shortest pause before a second attempt; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(4);
/// Longest pause between attempts.
const BACKOFF_MAX: Duration = Duration::from_millis(100);
/// Share of the whole deadline that one attempt may take: a pod that hangs must leave time to ask another one.
const ATTEMPT_SHARE: f64 = 0.5;

/// How many retries are allowed: a share of the requests, plus a few a second so that a quiet service may retry as well.
#[derive(Debug)]
pub struct RetryBudget {
    /// Retries earned by each request.
    per_request: f64,
    /// Retries earned by each second.
    per_second: f64,
    /// Retries that can be saved up.
    most: f64,
    state: Mutex<(f64, Instant)>,
}

impl RetryBudget {
    /// `per_request` retries for a request and `per_second` besides; ten seconds' worth can be saved.
    pub fn new(per_request: f64, per_second: f64) -> Self {
        let most = per_second * 10.0;
        Self { per_request, per_second, most, state: Mutex::new((most, Instant::now())) }
    }

    fn earn(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = (state.0 + self.per_request).min(self.most);
    }

    fn spend(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = now.duration_since(state.1).as_secs_f64() * self.per_second;
        *state = ((state.0 + earned).min(self.most), now);
        if state.0 < 1.0 {
            return false;
        }
        state.0 -= 1.0;
        true
    }
}

/// Asks `peer` until it answers, the deadline passes or the budget is spent. `call_for` makes the call of an attempt (0, 1 …).
///
/// # Errors
/// The last attempt's error as a [`Failure`] that the caller may pass on: 503 or 504.
pub async fn ask(
    peer: &Peer,
    budget: &RetryBudget,
    deadline: Duration,
    call_for: impl Fn(u32) -> Call,
) -> Result<Reply, Failure> {
    let end = Instant::now() + deadline;
    let mut pause = BACKOFF_MIN;
    budget.earn();
    for attempt in 0_u32.. {
        let left = end.saturating_duration_since(Instant::now());
        let call = call_for(attempt).header(DEADLINE_MS, &left.as_millis().to_string());
        let failure = match peer.call(&call, left.min(deadline.mul_f64(ATTEMPT_SHARE))).await {
            Ok(reply) if !is_transient(reply.status) => return Ok(reply),
            Ok(reply) => Failure { status: reply.status, error: String::from_utf8_lossy(&reply.body).into_owned() },
            Err(error) => failure_of(&error),
        };
        let wait = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        if Instant::now() + wait >= end || !budget.spend(Instant::now()) {
            return Err(failure);
        }
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(BACKOFF_MAX);
    }
    Err(Failure::unavailable("out of attempts"))
}

/// Whether another pod may do better.
fn is_transient(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

fn failure_of(error: &CallError) -> Failure {
    let status = match error {
        CallError::TimedOut(..) => StatusCode::GATEWAY_TIMEOUT,
        CallError::Refused(..) | CallError::Broken(..) => StatusCode::SERVICE_UNAVAILABLE,
        CallError::Garbled(..) => StatusCode::BAD_GATEWAY,
    };
    Failure { status, error: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_share_of_the_requests() {
        let budget = RetryBudget::new(0.1, 1.0);
        let now = Instant::now() + Duration::from_secs(60);
        let saved = (0..1000).filter(|_| budget.spend(now)).count();
        assert_eq!(saved, 10, "ten seconds' worth are saved up");
        for _ in 0..50 {
            budget.earn();
        }
        let earned = (0..1000).filter(|_| budget.spend(now)).count();
        assert!((4..=5).contains(&earned), "50 requests at 10% earn 5 retries, not {earned}");
        let later = (0..1000).filter(|_| budget.spend(now + Duration::from_secs(3))).count();
        assert!((2..=3).contains(&later), "3 seconds at 1/s earn 3 retries, not {later}");
    }

    #[tokio::test]
    async fn asks_again_until_somebody_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for _ in 0..2 {
                drop(listener.accept().await);
            }
            let app = axum::Router::new().route("/", axum::routing::get(|| async { "\"here\"" }));
            axum::serve(listener, app).await.unwrap();
        });
        let peer = Peer::new("trips", &url).unwrap();
        let budget = RetryBudget::new(0.1, 1.0);
        let reply = ask(&peer, &budget, Duration::from_secs(5), |_| Call::get("/")).await.unwrap();
        assert_eq!(reply.json::<String>().unwrap(), "here");
    }
}

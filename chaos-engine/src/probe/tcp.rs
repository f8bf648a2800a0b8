//! A TCP connection that must succeed. That it did not is an answer, with its cause; only our own lack of means is none.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::address;
use super::look::NoAnswer;

/// A connection to try.
#[derive(Debug, Clone)]
pub struct TcpLook {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// A connection that takes longer failed.
    pub timeout: Duration,
}

impl TcpLook {
    /// `{connected: true, millis}` or `{connected: false, error}`.
    pub(super) async fn value(&self) -> Result<Value, NoAnswer> {
        let started = Instant::now();
        let connected = address::connect(&self.host, self.port);
        match tokio::time::timeout(self.timeout, connected).await {
            Ok(Ok(_stream)) => Ok(json!({"connected": true, "millis": started.elapsed().as_secs_f64() * 1e3})),
            Ok(Err(error)) if super::http::is_own_lack(&error) => Err(NoAnswer::new("ownLack", error)),
            Ok(Err(error)) => Ok(json!({"connected": false, "error": error.to_string()})),
            Err(_) => {
                Ok(json!({"connected": false, "error": format!("no connection in {} ms", self.timeout.as_millis())}))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn open_and_closed_ports_are_both_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let look = TcpLook { host: "127.0.0.1".into(), port, timeout: Duration::from_secs(20) };
        assert_eq!(look.value().await.unwrap()["connected"], true);
        drop(listener);
        let refused = look.value().await.unwrap();
        assert_eq!(refused["connected"], false);
        assert!(refused["error"].as_str().unwrap().contains("refused"));
    }
}

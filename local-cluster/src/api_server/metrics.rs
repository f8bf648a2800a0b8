//! What the server counts about itself, in the Prometheus text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

/// Requests by verb, resource and response code.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(String, String, u16), u64>>,
}

impl Metrics {
    pub(crate) fn count(&self, verb: &str, resource: &str, code: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((verb.to_owned(), resource.to_owned(), code)).or_default() += 1;
    }

    /// Everything as text.
    pub(crate) fn render(&self) -> String {
        let mut text = String::from(
            "# HELP apiserver_request_total Requests by verb, resource and response code.\n# TYPE apiserver_request_total counter\n",
        );
        for ((verb, resource, code), count) in self.requests.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "apiserver_request_total{{verb={verb:?},resource={resource:?},code=\"{code}\"}} {count}"
            );
        }
        text
    }
}

//! Which alerts fire, for guards. Asked as a query of the series `ALERTS`, which every Prometheus keeps for its rules; that
//! nothing fires is an answer only where there is a rule that could.

use std::collections::HashMap;
use std::time::Duration;

use chaos_core::promql::{firing, may_select};
use prometheus_http_query::response::Data;
use serde::Deserialize;

use super::server::Server;
use super::{Access, labels, within};
use crate::probe::look::NoAnswer;

/// Alerts that a message names.
const NAMED: usize = 3;

/// Alerts to look for.
#[derive(Debug, Clone)]
pub struct AlertLook {
    server: Server,
    matchers: Vec<String>,
    query: String,
}

impl AlertLook {
    /// The alerts that matchers of a validated guard select, at that Prometheus.
    pub fn new(access: &Access, matchers: &[String], timeout: Duration) -> Result<Self, NoAnswer> {
        let invalid = || NoAnswer::new("badQuery", "these are no matchers of alerts");
        let (query, _) = firing(matchers).ok_or_else(invalid)?;
        Ok(Self { server: Server::new(access, timeout)?, matchers: matchers.to_owned(), query })
    }

    /// The alerts that fire, in words; `None`: none does.
    pub async fn firing(&self) -> Result<Option<String>, NoAnswer> {
        let answer = within(self.server.timeout(), self.server.instant(&self.query)).await?;
        let Data::Vector(alerts) = answer else {
            return Err(NoAnswer::new("unparsable", "the answer is no list of alerts"));
        };
        let named: Vec<String> = alerts.iter().take(NAMED).map(|alert| labels(alert.metric())).collect();
        let more = alerts.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Ok((!named.is_empty()).then(|| format!("alert fires: {}{more}", named.join(", "))))
    }

    /// Whether some rule of the server may give alerts that are selected.
    pub async fn has_rule(&self) -> Result<bool, NoAnswer> {
        Ok(!self.rules().await?.is_empty())
    }

    /// The alerts that fire, in words; `None`: none does, though a rule may give one, and each that may is evaluated well. Else
    /// nothing is known.
    pub async fn firing_or_able(&self) -> Result<Option<String>, NoAnswer> {
        let (firing, rules) = tokio::join!(self.firing(), self.rules());
        if let Some(firing) = firing? {
            return Ok(Some(firing));
        }
        let rules = rules?;
        if rules.is_empty() {
            let message = "no alerting rule of this server gives such an alert, so none could fire";
            return Err(NoAnswer::new("noRule", message));
        }
        match rules.iter().find(|rule| !matches!(rule.health.as_str(), "" | "ok")) {
            Some(Rule { name, health, .. }) => {
                let message = format!("the health of alerting rule {name} is {health}, so its alert could not fire");
                Err(NoAnswer::new("ruleFailed", message))
            }
            None => Ok(None),
        }
    }

    /// The alerting rules of the server that may give alerts that are selected.
    async fn rules(&self) -> Result<Vec<Rule>, NoAnswer> {
        let (_, matchers) = firing(&self.matchers).unwrap_or_default();
        let rules: Rules = within(self.server.timeout(), self.server.api("/api/v1/rules?type=alert")).await?;
        let mut all: Vec<Rule> = rules.groups.into_iter().flat_map(|group| group.rules).collect();
        all.retain(|rule| {
            rule.kind == "alerting"
                && may_select(&matchers, |label| match label {
                    "alertname" => Some(rule.name.clone()),
                    // A template is filled from the series only.
                    label => rule.labels.get(label).filter(|value| !value.contains("{{")).cloned(),
                })
        });
        Ok(all)
    }

    /// How long one look may take.
    pub fn timeout(&self) -> Duration {
        self.server.timeout()
    }
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    labels: HashMap<String, String>,
    /// Whether its last evaluation went well; empty where the server does not say.
    #[serde(default)]
    health: String,
}

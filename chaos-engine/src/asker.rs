//! What named metrics sources say to the specs of one namespace: values for game days, alerts and values for the guards of
//! monkeys. Whoever asks names a source of the configuration; an address of a manifest is never asked. Decides nothing.

use std::sync::Arc;

use chaos_core::killer::GuardReading;
use chaos_core::model::{AlertQuestion, MetricQuestion, MonkeyGuard};
use futures::future::join_all;

use crate::probe::{Access, AlertLook, NoAnswer, PrometheusLook};
use crate::sources::Sources;

/// Asks sources for the specs of one namespace.
#[derive(Debug, Clone)]
pub struct Asker {
    sources: Arc<Sources>,
    namespace: String,
}

impl Asker {
    /// Whoever asks for specs of that namespace.
    pub fn new(sources: Arc<Sources>, namespace: &str) -> Self {
        Self { sources, namespace: namespace.to_owned() }
    }

    /// What is heard of each guard, in their order, or why nothing is. All are asked at once, each within its own timeout.
    pub async fn hear(&self, guards: &[MonkeyGuard]) -> Vec<Result<GuardReading, String>> {
        join_all(guards.iter().map(|guard| self.reading(guard))).await
    }

    async fn reading(&self, guard: &MonkeyGuard) -> Result<GuardReading, String> {
        match guard {
            MonkeyGuard::Alert(alerts) => self.alerts(alerts).await.map(GuardReading::Alerts),
            MonkeyGuard::ErrorBudget(budget) => self.value(&budget.question).await.map(GuardReading::Value),
            MonkeyGuard::Probe(check) => self.value(&check.question).await.map(GuardReading::Value),
        }
    }

    /// The one value of a query.
    pub(crate) async fn value(&self, question: &MetricQuestion) -> Result<f64, String> {
        let look = PrometheusLook::of_question(&self.access(&question.source)?, question).map_err(told)?;
        let value = look.value().await.map_err(told)?;
        value.as_f64().ok_or_else(|| format!("{value} is no number"))
    }

    async fn alerts(&self, alerts: &AlertQuestion) -> Result<Option<String>, String> {
        let access = self.access(&alerts.source)?;
        let look = AlertLook::new(&access, &alerts.matchers, alerts.timeout.std()).map_err(told)?;
        look.firing_or_able().await.map_err(told)
    }

    fn access(&self, source: &str) -> Result<Access, String> {
        let access = self.sources.prometheus(source, &self.namespace);
        access.ok_or_else(|| {
            "it is not given to this namespace; hint: the operator's configuration names sources".to_owned()
        })
    }
}

fn told(cause: NoAnswer) -> String {
    cause.to_string()
}

#[cfg(test)]
mod tests;

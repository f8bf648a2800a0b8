//! Waits until everything in some namespaces is ready, and says what was missing when it does not get there.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::exit::Failure;

/// Looks again after this long. Short, as the embedded cluster is fast.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until every Deployment and StatefulSet of the namespaces has all its pods ready; gives their number.
pub(crate) async fn wait(client: &Client, namespaces: &[&str], within: Duration) -> Result<u32, Failure> {
    let deadline = deadline(Instant::now(), within);
    loop {
        let (mut ready, mut missing) = (0, Vec::new());
        for namespace in namespaces {
            for (name, has, wants) in workloads(client, namespace).await? {
                ready += u32::try_from(has).unwrap_or_default();
                if has < wants {
                    missing.push(format!("{namespace}/{name} {has}/{wants}"));
                }
            }
        }
        if missing.is_empty() && ready > 0 {
            return Ok(ready);
        }
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            let within = humantime::format_duration(within);
            return Err(Failure::could_not_run(anyhow::anyhow!("not ready within {within}: {}", missing.join(", "))));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The instant that is so much later; `None`: later than any that a clock can tell, so never.
fn deadline(now: Instant, within: Duration) -> Option<Instant> {
    now.checked_add(within)
}

/// Name, ready pods and wanted pods of each workload. One whose status is not of its newest generation has none ready.
async fn workloads(client: &Client, namespace: &str) -> anyhow::Result<Vec<(String, i32, i32)>> {
    let all = ListParams::default();
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace).list(&all).await?;
    let sets = Api::<StatefulSet>::namespaced(client.clone(), namespace).list(&all).await?;
    let mut found = Vec::new();
    for deployment in deployments {
        let wants = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = deployment.status.clone().unwrap_or_default();
        let current = status.observed_generation >= deployment.metadata.generation;
        found.push((deployment.name_any(), if current { status.ready_replicas.unwrap_or(0) } else { 0 }, wants));
    }
    for set in sets {
        let wants = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = set.status.clone().unwrap_or_default();
        let current = status.observed_generation >= set.metadata.generation;
        found.push((set.name_any(), if current { status.ready_replicas.unwrap_or(0) } else { 0 }, wants));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_for_ages_has_no_deadline() {
        let now = Instant::now();
        let ages = humantime::parse_duration("500000000000years").unwrap();
        assert_eq!(deadline(now, ages), None);
        assert_eq!(deadline(now, Duration::from_secs(5)), Some(now + Duration::from_secs(5)));
    }
}

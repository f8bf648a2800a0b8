//! `chaos status`: in one page whether chaos may happen on a cluster, who does it, and what became of it. Reads only.

use std::time::Duration;

use anyhow::Context as _;
use chaos_core::api::switch;
use chaos_core::population::SwitchState;
use chaos_engine::kube::{Caller, read_switch};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde::Serialize;

use super::monkey::{self, MonkeyLine};
use super::runs::{self, RunLine};
use crate::cli::{Format, Global, StatusArgs};
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::output;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What the page says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    switch: SwitchState,
    operator: Option<Workload>,
    leader: Option<String>,
    prober: Option<Workload>,
    /// Namespaces that are stopped by themselves.
    stopped_namespaces: Vec<String>,
    /// Whose monkeys and runs these are; `None`: those of all namespaces.
    namespace: Option<String>,
    monkeys: Vec<MonkeyLine>,
    runs: Vec<RunLine>,
}

/// Pods of a Deployment that are ready, and how many there shall be.
#[derive(Serialize)]
struct Workload {
    ready: i32,
    wanted: i32,
}

pub(super) async fn status(global: &Global, args: &StatusArgs) -> Result<Exit, Failure> {
    let target = Target::connect(global, CONNECT).await?;
    let mut shown = String::new();
    loop {
        let facts = read(global, &target, args.all_namespaces).await.map_err(Failure::could_not_run)?;
        let text = output::rendered(&facts, args.format, || page(&facts))?;
        if text != shown {
            if !shown.is_empty() {
                output::data(&between(args.format));
            }
            output::data(&text);
            shown = text;
        }
        if !args.watch || output::is_gone() {
            return Ok(Exit::OK);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What stands between two looks: when the second one was, for people.
fn between(format: Format) -> String {
    match format {
        Format::Table => format!("\n{}\n", jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default()),
        Format::Json => String::new(),
        Format::Yaml => "---\n".to_owned(),
    }
}

async fn read(global: &Global, target: &Target, all: bool) -> anyhow::Result<Facts> {
    let client = &target.client;
    let caller = Caller::new(target.clients.read.clone());
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), switch::NAMESPACE);
    let leases: Api<Lease> = Api::namespaced(client.clone(), switch::NAMESPACE);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let workload = async |name: &str| {
        let found = deployments.get_opt(name).await.with_context(|| format!("failed to read Deployment {name}"))?;
        anyhow::Ok(found.map(|found| Workload {
            ready: found.status.and_then(|status| status.ready_replicas).unwrap_or_default(),
            wanted: found.spec.and_then(|spec| spec.replicas).unwrap_or(1),
        }))
    };
    let stopped = namespaces.list(&ListParams::default()).await.context("failed to list namespaces")?;
    let stopped = stopped.into_iter().filter(|one| switch::stopped_by(one.annotations()).is_some());
    let lease = leases.get_opt(chaos_operator::LEASE).await.context("failed to read the operators' Lease")?;
    Ok(Facts {
        switch: read_switch(&caller).await.unwrap_or(SwitchState::Unreadable),
        operator: workload("chaos-operator").await?,
        leader: lease.and_then(|lease| lease.spec?.holder_identity).filter(|holder| !holder.is_empty()),
        prober: workload("chaos-prober").await?,
        stopped_namespaces: stopped.map(|namespace| namespace.name_any()).collect(),
        namespace: (!all).then(|| target.namespace(global)),
        monkeys: monkey::list(global, target, all).await?.iter().map(MonkeyLine::of).collect(),
        runs: runs::list(global, target, all).await?,
    })
}

fn page(facts: &Facts) -> String {
    let switch = match facts.switch {
        SwitchState::Running => "chaos may happen",
        SwitchState::Stopped => "STOPPED: nothing is killed; `chaos resume --all` lets it go on",
        SwitchState::Missing => "missing: counts as stopped; `chaos resume --all` writes it",
        SwitchState::Unreadable => "cannot be read: counts as stopped",
    };
    let mut head = vec![format!("Switch    {switch}")];
    if !facts.stopped_namespaces.is_empty() {
        head.push(format!("Stopped   in {}", facts.stopped_namespaces.join(", ")));
    }
    let leads = facts.leader.as_ref().map_or_else(|| "nobody leads".to_owned(), |leader| format!("{leader} leads"));
    head.push(format!("Operator  {}; {leads}", ready(facts.operator.as_ref())));
    head.push(format!("Prober    {}", ready(facts.prober.as_ref())));
    let namespace = facts.namespace.as_deref();
    let (monkeys, runs) = (monkey::table(&facts.monkeys, namespace), runs::table(&facts.runs, namespace));
    format!("{}\n\n{monkeys}\n{runs}", head.join("\n"))
}

fn ready(workload: Option<&Workload>) -> String {
    workload
        .map_or_else(|| "not installed".to_owned(), |Workload { ready, wanted }| format!("{ready} of {wanted} ready"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_monkeys_and_runs_says_where_there_are_none() {
        let mut facts = Facts {
            switch: SwitchState::Running,
            operator: None,
            leader: None,
            prober: None,
            stopped_namespaces: Vec::new(),
            namespace: Some("default".into()),
            monkeys: Vec::new(),
            runs: Vec::new(),
        };
        let here = page(&facts);
        for what in ["monkeys", "runs"] {
            assert!(here.contains(&format!("no {what} in namespace default; -A for all namespaces\n")), "{here}");
        }
        facts.namespace = None;
        let everywhere = page(&facts);
        assert!(everywhere.ends_with("no monkeys\n\nno runs\n"), "{everywhere}");
    }

    #[test]
    fn machines_read_the_facts_by_stable_keys() {
        let facts = Facts {
            switch: SwitchState::Stopped,
            operator: Some(Workload { ready: 1, wanted: 2 }),
            leader: Some("chaos-operator-0".into()),
            prober: None,
            stopped_namespaces: vec!["shop".into()],
            namespace: None,
            monkeys: Vec::new(),
            runs: Vec::new(),
        };
        let read: serde_json::Value =
            serde_json::from_str(&output::rendered(&facts, Format::Json, || page(&facts)).unwrap()).unwrap();
        let wanted = serde_json::json!({
            "switch": "Stopped", "operator": {"ready": 1, "wanted": 2}, "leader": "chaos-operator-0", "prober": null,
            "stoppedNamespaces": ["shop"], "namespace": null, "monkeys": [], "runs": [],
        });
        assert_eq!(read, wanted);
    }
}

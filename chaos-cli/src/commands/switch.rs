//! `stop` and `resume`: the stop switch of a cluster (a ConfigMap) and of a namespace (an annotation).

use chaos_core::api::{labels, switch};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{Patch, PatchParams};

use crate::apply::FIELD_MANAGER;
use crate::cli::{Global, StopArgs};
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::output;

/// What the switch shall say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Running,
    Stopped,
}

pub(super) async fn set(global: &Global, args: &StopArgs, wanted: Wanted) -> Result<Exit, Failure> {
    let meant = meant(global, args)?;
    let target = Target::connect(global, CONNECT).await?;
    // Stopping is always safe and must never wait for a person; letting chaos go on is not.
    if wanted == Wanted::Running {
        target.confirm(global, "let chaos happen again")?;
    }
    match meant {
        Some(namespace) => annotate(&target, namespace, wanted).await?,
        None => write_switch(&target, wanted).await?,
    }
    Ok(Exit::OK)
}

/// The namespace that is meant; `None`: the whole cluster. Both at once is neither.
fn meant<'a>(global: &'a Global, args: &StopArgs) -> Result<Option<&'a str>, Failure> {
    match (global.namespace.as_deref(), args.all) {
        (None, true) => Ok(None),
        (Some(namespace), false) => Ok(Some(namespace)),
        (None, false) => {
            Err(Failure::invalid(anyhow::anyhow!("nothing is meant")).hint("say --all, or --namespace NAME"))
        }
        (Some(namespace), true) => {
            let both = anyhow::anyhow!("--all means the whole cluster, and --namespace {namespace} a part of it");
            Err(Failure::invalid(both).hint("leave one of them out"))
        }
    }
}

async fn write_switch(target: &Target, wanted: Wanted) -> Result<(), Failure> {
    let state = if wanted == Wanted::Running { switch::RUNNING } else { switch::STOPPED };
    let api: Api<ConfigMap> = Api::namespaced(target.client.clone(), switch::NAMESPACE);
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": switch::NAME}, "data": {switch::KEY: state},
    });
    api.patch(switch::NAME, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object)).await.map_err(
        |error| {
            let has_no_place = is_not_found(&error);
            let what = format!("failed to write ConfigMap {}/{}", switch::NAMESPACE, switch::NAME);
            let failure = Failure::of_api(error, what);
            if has_no_place { failure.hint("`chaos install`") } else { failure }
        },
    )?;
    output::say(&format!("the stop switch of the cluster says {state}"));
    Ok(())
}

async fn annotate(target: &Target, namespace: &str, wanted: Wanted) -> Result<(), Failure> {
    let value = (wanted == Wanted::Stopped).then_some("true");
    let patch = serde_json::json!({"metadata": {"annotations": {labels::STOP: value}}});
    let api: Api<Namespace> = Api::all(target.client.clone());
    api.patch(namespace, &PatchParams::default(), &Patch::Merge(patch)).await.map_err(|error| {
        if is_not_found(&error) {
            return Failure::invalid(anyhow::anyhow!("there is no namespace {namespace}"));
        }
        Failure::of_api(error, format!("failed to annotate namespace {namespace}"))
    })?;
    let state = if wanted == Wanted::Running { "may happen again" } else { "is stopped" };
    output::say(&format!("chaos {state} in namespace {namespace}"));
    Ok(())
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

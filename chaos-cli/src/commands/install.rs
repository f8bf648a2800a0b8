//! `install` and `uninstall`: the CRDs, the permissions and the operator of a cluster.

use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject};

use crate::apply;
use crate::cli::{Global, InstallArgs};
use crate::context::Target;
use crate::exit::{Exit, Failure};
use crate::output;

const CONNECT: Duration = Duration::from_secs(10);

pub(super) async fn install(global: &Global, args: &InstallArgs) -> Result<Exit, Failure> {
    let manifests = manifests();
    if args.print {
        output::data(&manifests);
        return Ok(Exit::OK);
    }
    let target = Target::connect(global, CONNECT).await?;
    target.confirm(global, "install CRDs, permissions and the operator")?;
    let objects = apply::documents("the bundled manifests", &manifests)?;
    apply::apply(&target.client, &objects).await?;
    output::say("installed; next: label a namespace and pod templates chaos.dispatch.dev/enabled=true");
    Ok(Exit::OK)
}

pub(super) async fn uninstall(global: &Global, args: &InstallArgs) -> Result<Exit, Failure> {
    let manifests = manifests();
    if args.print {
        output::data(&manifests);
        return Ok(Exit::OK);
    }
    let target = Target::connect(global, CONNECT).await?;
    target.confirm(global, "remove the operator, its permissions, the CRDs and every object of theirs")?;
    let objects: Vec<DynamicObject> = apply::documents("the bundled manifests", &manifests)?;
    apply::delete(&target.client, &objects, &DeleteParams::background()).await?;
    output::say("removed");
    Ok(Exit::OK)
}

fn manifests() -> String {
    joined(chaos_operator::manifests::all())
}

/// The same for an embedded cluster: its environment is called demo.
#[cfg(feature = "bundled")]
pub(crate) fn demo_manifests() -> String {
    joined(chaos_operator::manifests::for_environment("demo"))
}

/// CRDs first, as the operator's manifests may hold objects of them.
fn joined(files: Vec<(String, String)>) -> String {
    std::iter::once(chaos_core::schema::crds_yaml())
        .chain(files.into_iter().map(|(_, yaml)| yaml))
        .collect::<Vec<_>>()
        .join("---\n")
}

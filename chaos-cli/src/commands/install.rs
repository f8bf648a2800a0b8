//! `install` and `uninstall`: the CRDs, the permissions, the second lock and the operator of a cluster.

mod granted;

use anyhow::Context as _;
use chaos_core::api::{GROUP, VERSION, labels, switch};
use chaos_core::verdict::words::counted;
use chaos_operator::manifests::{self, Installation};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{DeleteParams, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, Client};

use crate::cli::{Global, InstallArgs, UninstallArgs};
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::{apply, output, ready};

/// The kinds of which people make objects.
const KINDS: [&str; 4] = ["Experiment", "GameDay", "ChaosMonkey", "ExperimentRun"];

pub(super) async fn install(global: &Global, args: &InstallArgs) -> Result<Exit, Failure> {
    if args.watch_namespace.as_deref() == Some(switch::NAMESPACE) {
        return Err(Failure::invalid(anyhow::anyhow!(
            "{} is never a target: name another namespace",
            switch::NAMESPACE
        )));
    }
    if args.print {
        output::data(&manifests(args, args.environment.as_deref()));
        return Ok(Exit::OK);
    }
    let target = Target::connect(global, CONNECT).await?;
    target.confirm(global, "install CRDs, permissions and the operator")?;
    if !target.ours && args.image == manifests::IMAGE {
        output::say(&format!(
            "image {} is in no registry, so every node must have it already\n  hint: `chaos image`, then `kind load \
             image-archive chaos-images.tar`; or `chaos image --name REGISTRY/chaos:TAG`, push it, and `chaos install \
             --image REGISTRY/chaos:TAG`",
            args.image
        ));
    }
    let before = Before::read(&target.client).await?;
    let environment = args.environment.clone().or_else(|| before.environment.clone());
    let objects = apply::documents("the bundled manifests", &manifests(args, environment.as_deref()))?;
    for object in &objects {
        let what = apply::name_of(object);
        match kind(object) {
            // The switch is made by the first installation alone: no later one may turn a stopped one back on.
            "ConfigMap" if before.installed && object.metadata.name.as_deref() == Some(switch::NAME) => {}
            "NetworkPolicy" if !apply::is_served(&target.client, object).await? => {
                output::say(&format!("left out, as this cluster serves no such kind: {what}"));
            }
            _ => apply::apply(&target.client, std::slice::from_ref(object)).await?,
        }
    }
    if args.watch_namespace.is_some() {
        let of_cluster = documents(manifests::roles(None).into_iter().map(|(_, yaml)| yaml));
        let roles = apply::documents("the bundled manifests", &of_cluster)?;
        apply::delete(&target.client, &roles, &DeleteParams::default()).await?;
    }
    take_back(&target.client, args.watch_namespace.as_deref()).await?;
    if !args.wait.is_zero() {
        let pods = ready::wait(&target.client, &[switch::NAMESPACE], args.wait).await?;
        output::say(&format!("the operator is ready ({pods} pods)"));
    }
    if before.is_stopped() {
        output::say("the stop switch of the cluster says stop, and is left as it is; hint: `chaos resume --all`");
    }
    output::say("installed; next: label a namespace and pod templates chaos.dispatch.dev/enabled=true");
    Ok(Exit::OK)
}

/// Takes back what an earlier installation granted in another namespace, and says so.
async fn take_back(client: &Client, namespace: Option<&str>) -> anyhow::Result<()> {
    let found = granted::found(client).await.unwrap_or_else(|error| {
        output::warn(&format!("{error:#}; what an earlier installation granted in another namespace is left there"));
        Vec::new()
    });
    let outdated = granted::outdated(found, namespace);
    if !outdated.is_empty() {
        apply::delete(client, &outdated, &DeleteParams::default()).await?;
        output::say(&format!(
            "removed the roles of an earlier installation in namespace {}",
            granted::places(&outdated)
        ));
    }
    Ok(())
}

/// What an earlier installation left to be kept.
struct Before {
    /// The operator's namespace exists.
    installed: bool,
    environment: Option<String>,
    switch: Option<ConfigMap>,
}

impl Before {
    async fn read(client: &Client) -> anyhow::Result<Self> {
        let namespace = Api::<Namespace>::all(client.clone()).get_opt(switch::NAMESPACE).await;
        let namespace = namespace.with_context(|| format!("failed to read namespace {}", switch::NAMESPACE))?;
        let map = Api::<ConfigMap>::namespaced(client.clone(), switch::NAMESPACE).get_opt(switch::NAME).await;
        let map = map.with_context(|| format!("failed to read ConfigMap {}/{}", switch::NAMESPACE, switch::NAME))?;
        let labels = namespace.as_ref().and_then(|namespace| namespace.metadata.labels.as_ref());
        let environment = labels.and_then(|labels| labels.get(labels::ENVIRONMENT)).cloned();
        Ok(Self { installed: namespace.is_some(), environment, switch: map })
    }

    /// Missing counts as stopped, as for the operator.
    fn is_stopped(&self) -> bool {
        let data = self.switch.as_ref().and_then(|map| map.data.as_ref());
        self.installed && !data.is_some_and(switch::is_running)
    }
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| &types.kind)
}

fn manifests(args: &InstallArgs, environment: Option<&str>) -> String {
    let namespace = args.watch_namespace.as_deref();
    let installation = Installation { environment, image: &args.image, replicas: args.replicas, namespace };
    let mut files = manifests::for_cluster(&installation);
    if args.delete_mode {
        files.extend(manifests::delete_mode(namespace));
    }
    joined(files)
}

/// All that an installation may have put on a cluster, whatever it was asked for; and what one for a namespace has put there, as far
/// as it is named. Of others the cluster has to be asked.
fn all_manifests(with_crds: bool, namespace: Option<&str>) -> String {
    let mut files = manifests::for_cluster(&Installation::default());
    files.extend(manifests::delete_mode(None));
    files.extend(namespace.into_iter().flat_map(|namespace| manifests::roles(Some(namespace))));
    if with_crds { joined(files) } else { documents(files.into_iter().map(|(_, yaml)| yaml)) }
}

pub(super) async fn uninstall(global: &Global, args: &UninstallArgs) -> Result<Exit, Failure> {
    let manifests = all_manifests(!args.keep_crds, args.watch_namespace.as_deref());
    if args.print {
        output::data(&manifests);
        return Ok(Exit::OK);
    }
    let target = Target::connect(global, CONNECT).await?;
    let made = made_by_people(&target.client).await;
    // Whoever must get rid of an installation can, whatever the server answers about it.
    let granted = granted::found(&target.client).await.unwrap_or_else(|error| {
        output::warn(&format!(
            "{error:#}; hint: --watch-namespace names the namespace that it is for, if it is for one"
        ));
        Vec::new()
    });
    let places = match granted::places(&granted) {
        none if none.is_empty() => none,
        places => format!(" (those in {places} too)"),
    };
    let what = if args.keep_crds {
        format!(
            "remove the operator and its permissions{places}, and keep the CRDs with every object of theirs ({made})"
        )
    } else {
        format!("remove the operator, its permissions{places}, the CRDs and every object of theirs ({made})")
    };
    target.confirm(global, &what)?;
    let mut objects: Vec<DynamicObject> = apply::documents("the bundled manifests", &manifests)?;
    objects.extend(granted);
    apply::delete(&target.client, &objects, &DeleteParams::background()).await?;
    if args.keep_crds {
        output::say(&format!("removed; the CRDs are kept, with every object of theirs ({made})"));
        output::say("monkeys and game days that are kept go on as soon as an operator is installed again");
    } else {
        output::say(&format!("removed, and with the CRDs every object of theirs ({made})"));
    }
    Ok(Exit::OK)
}

/// What people have made of our kinds, counted: whoever removes the kinds removes it as well.
async fn made_by_people(client: &Client) -> String {
    let mut made = Vec::new();
    for kind in KINDS {
        match apply::count(client, &GroupVersionKind::gvk(GROUP, VERSION, kind)).await {
            Ok(0) => {}
            Ok(count) => made.push(counted(count, kind)),
            // Whoever must get rid of an installation can, whatever the server answers about it.
            Err(error) => {
                output::warn(&format!("{error:#}"));
                made.push(format!("an unknown number of {kind}s"));
            }
        }
    }
    if made.is_empty() { "there is none".to_owned() } else { made.join(", ") }
}

/// What an embedded cluster gets: one operator, and its environment is called demo.
#[cfg(feature = "bundled")]
pub(crate) fn demo_manifests() -> String {
    joined(manifests::for_environment("demo"))
}

/// CRDs first, as the operator's manifests may hold objects of them.
fn joined(files: Vec<(String, String)>) -> String {
    documents(std::iter::once(chaos_core::schema::crds_yaml()).chain(files.into_iter().map(|(_, yaml)| yaml)))
}

fn documents(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join("---\n")
}

//! Which cluster is meant, whether it answers, and whether a person agrees to break it.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use chaos_engine::kube::{Clients, answering};
use kube::api::{DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::NamespaceResourceScope;
use kube::discovery::ApiResource;
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

use crate::cli::Global;
use crate::exit::Failure;

/// A cluster that answered.
#[derive(Clone)]
pub(crate) struct Target {
    /// A client for reading, and for what people change, which waits for no answer for ever.
    pub(crate) client: Client,
    /// Clients for decisions and runs: what changes the cluster is sent exactly once.
    pub(crate) clients: Clients,
    /// Name of the context.
    pub(crate) context: String,
    /// The namespace of the context.
    default_namespace: String,
    /// `context (server, version)`, for people.
    pub(crate) label: String,
    /// The embedded cluster of this machine: nothing there needs a confirmation.
    pub(crate) ours: bool,
}

/// A cluster that does not answer for this long is out of reach, where nothing else is said.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// No call is waited for for less: a server gives a write 34 seconds, and most of that to the admission webhooks of others. One of these
/// that is down takes its ten seconds, and must not keep anybody from `chaos stop`.
pub(crate) const ANSWER: Duration = Duration::from_secs(35);
/// The embedded cluster is on this machine: it answers at once, or not at all.
#[cfg(feature = "bundled")]
const EMBEDDED: Duration = Duration::from_secs(5);

/// Which cluster is meant, before it was asked anything.
struct Meant {
    config: Config,
    /// Name of the context.
    context: String,
    /// The embedded cluster of this machine.
    ours: bool,
}

impl Target {
    /// Finds the cluster that the flags mean and asks it for its version, all within `timeout`.
    pub(crate) async fn connect(global: &Global, timeout: Duration) -> Result<Self, Failure> {
        let mut meant = Meant::by(global).await.map_err(Failure::could_not_run)?;
        meant.config.connect_timeout = Some(timeout);
        meant.config.default_retry = false;
        let target = Self::reach(meant, timeout).await.map_err(Failure::could_not_run)?;
        crate::output::say(&format!("cluster: {}", target.label));
        Ok(target)
    }

    /// The embedded cluster of this machine, which was started a moment ago.
    #[cfg(feature = "bundled")]
    pub(crate) async fn embedded(config: Config) -> anyhow::Result<Self> {
        Self::reach(Meant::embedded(config), EMBEDDED).await
    }

    async fn reach(meant: Meant, timeout: Duration) -> anyhow::Result<Self> {
        let Meant { config, context, ours } = meant;
        let server = config.cluster_url.to_string();
        let client = answering(config.clone(), timeout.max(ANSWER))
            .with_context(|| format!("failed to make a client for {server}"))?;
        let version = tokio::time::timeout(timeout, client.apiserver_version())
            .await
            .map_err(|_| anyhow::anyhow!("no answer within {}", humantime::format_duration(timeout)))
            .and_then(|answer| answer.map_err(no_version))
            .with_context(|| format!("failed to reach the cluster of context {context:?} at {server}"))?;
        let label = format!("{context} ({}, {})", server.trim_end_matches('/'), version.git_version);
        let default_namespace = config.default_namespace.clone();
        let clients = Clients::new(config, "chaos")?;
        Ok(Self { client, clients, context, default_namespace, label, ours })
    }

    /// The namespace that is meant: the flag's, else the context's.
    pub(crate) fn namespace(&self, global: &Global) -> String {
        global.namespace.clone().unwrap_or_else(|| self.default_namespace.clone())
    }

    /// Objects of the namespace that is meant, or of all; `what` they are, for people. One that cannot be read is told, and keeps no
    /// other from being shown.
    pub(crate) async fn list<K>(&self, global: &Global, all: bool, what: &str) -> anyhow::Result<Vec<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned,
    {
        let (resource, client) = (ApiResource::erase::<K>(&()), self.client.clone());
        let api: Api<DynamicObject> = if all {
            Api::all_with(client, &resource)
        } else {
            Api::namespaced_with(client, &self.namespace(global), &resource)
        };
        let list = api.list(&ListParams::default()).await.with_context(|| format!("failed to list {what}"))?;
        let (found, unreadable) = understood(list.items);
        unreadable.iter().for_each(|why| crate::output::warn(why));
        Ok(found)
    }

    /// Asks a person before something is broken on a cluster that is not ours. `--yes` counts only together with an
    /// explicit `--context`, so that no alias can break whatever cluster happens to be current.
    pub(crate) fn confirm(&self, global: &Global, what: &str) -> Result<(), Failure> {
        if self.ours || (global.yes && global.context.is_some()) {
            return Ok(());
        }
        let hint = "name the cluster and agree: --context NAME --yes";
        if global.yes {
            return Err(Failure::refused(anyhow::anyhow!("--yes counts only together with --context; hint: {hint}")));
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::refused(anyhow::anyhow!(
                "{what} on {} needs a confirmation; hint: {hint}",
                self.label
            )));
        }
        crate::output::headline(&format!("{what} on {}? [y/N] ", self.label));
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).context("failed to read the answer")?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Failure::refused(anyhow::anyhow!("not confirmed: nothing was touched")))
    }
}

/// Why a server does not say its version. One that knows no such path is none of Kubernetes, and nothing can be installed there.
fn no_version(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if status.code == 404 => anyhow::anyhow!("no API server answers there (404)"),
        other => other.into(),
    }
}

impl Meant {
    /// By the flags.
    async fn by(global: &Global) -> anyhow::Result<Self> {
        if global.local {
            return local().await;
        }
        let kubeconfig = match &global.kubeconfig {
            Some(path) => Kubeconfig::read_from(path).map_err(|error| unread(error, Some(path)))?,
            None => match Kubeconfig::read() {
                Ok(kubeconfig) => kubeconfig,
                Err(error) if global.context.is_none() && is_absent(&error) => {
                    let config = Config::incluster().map_err(|_| unread(error, None)).context(
                        "failed to find a kubeconfig, and this is no pod; hint: set KUBECONFIG, or use --local with `chaos cluster up`",
                    )?;
                    return Ok(Self { config, context: "in-cluster".to_owned(), ours: false });
                }
                Err(error) => return Err(unread(error, None)),
            },
        };
        let context = chosen(&kubeconfig, global.context.as_deref())?;
        let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .with_context(|| format!("failed to use context {context:?} of the kubeconfig"))?;
        Ok(Self { config, context, ours: false })
    }

    #[cfg(feature = "bundled")]
    fn embedded(config: Config) -> Self {
        Self { config, context: "embedded".to_owned(), ours: true }
    }
}

/// Whether there is no kubeconfig. One that cannot be read or understood is no reason to take another cluster.
fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::ReadConfig(cause, _) => cause.kind() == std::io::ErrorKind::NotFound,
        KubeconfigError::FindPath => true,
        _ => false,
    }
}

/// Why a kubeconfig could not be read; its file is named once.
fn unread(error: KubeconfigError, named: Option<&Path>) -> anyhow::Error {
    let (error, path) = match error {
        KubeconfigError::ReadConfig(cause, path) => (anyhow::Error::new(cause), Some(path)),
        error => (anyhow::Error::new(error), named.map(Path::to_path_buf)),
    };
    let file = path.map(|path| format!(" {}", path.display())).unwrap_or_default();
    error.context(format!("failed to read the kubeconfig{file}"))
}

/// The context that is meant: the flag's, else the current one.
fn chosen(kubeconfig: &Kubeconfig, asked: Option<&str>) -> anyhow::Result<String> {
    let known: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let current = kubeconfig.current_context.as_deref().filter(|name| !name.is_empty());
    let Some(name) = asked.or(current) else {
        anyhow::bail!("the kubeconfig has no current context; hint: name one: --context NAME; it has {has}");
    };
    if !known.contains(&name) {
        anyhow::bail!("there is no context {name:?} in the kubeconfig; hint: it has {has}");
    }
    Ok(name.to_owned())
}

#[cfg(feature = "bundled")]
async fn local() -> anyhow::Result<Meant> {
    Ok(Meant::embedded(crate::held::config().await?))
}

#[cfg(not(feature = "bundled"))]
async fn local() -> anyhow::Result<Meant> {
    anyhow::bail!("this build has no embedded cluster; hint: build with the feature `bundled`")
}

/// The objects that can be read, and why others cannot: an API server accepts more than we understand.
fn understood<K: Resource + DeserializeOwned>(objects: Vec<DynamicObject>) -> (Vec<K>, Vec<String>) {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for object in objects {
        let what = crate::apply::name_of(&object);
        match object.try_parse() {
            Ok(object) => found.push(object),
            Err(error) => unreadable.push(format!("{what} cannot be read: {error}")),
        }
    }
    (found, unreadable)
}

#[cfg(test)]
mod tests {
    use chaos_core::api::ExperimentRun;
    use kube::ResourceExt as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_context_that_is_not_there_is_told_with_those_that_are() {
        let of = |text: &str| Kubeconfig::from_yaml(text).unwrap();
        let two =
            of("current-context: a\ncontexts: [{name: a, context: {cluster: c}}, {name: b, context: {cluster: c}}]");
        assert_eq!(chosen(&two, None).unwrap(), "a");
        assert_eq!(chosen(&two, Some("b")).unwrap(), "b");
        let refused = |kubeconfig: &Kubeconfig, asked| crate::output::one_line(&chosen(kubeconfig, asked).unwrap_err());
        assert_eq!(refused(&two, Some("c")), "there is no context \"c\" in the kubeconfig; hint: it has a, b");
        for none in ["current-context: ''", "contexts: []"] {
            let told = refused(&of(none), None);
            assert_eq!(told, "the kubeconfig has no current context; hint: name one: --context NAME; it has none");
        }
    }

    /// In a pod the account of the pod stands in for a kubeconfig that is not there, and for no other.
    #[test]
    fn only_a_kubeconfig_that_is_not_there_may_be_done_without() {
        let folder = tempfile::tempdir().unwrap();
        let broken = folder.path().join("broken");
        std::fs::write(&broken, "contexts: [").unwrap();
        let told = |path: &Path| {
            let error = Kubeconfig::read_from(path).unwrap_err();
            (is_absent(&error), crate::output::one_line(&unread(error, Some(path))))
        };
        let missing = folder.path().join("missing");
        let (absent, words) = told(&missing);
        let expected = format!("failed to read the kubeconfig {}: No such file", missing.display());
        assert!(absent && words.starts_with(&expected), "{words}");
        let (absent, words) = told(&broken);
        let expected = format!("failed to read the kubeconfig {}: failed to parse", broken.display());
        assert!(!absent && words.starts_with(&expected), "{words}");
        let (absent, words) = told(folder.path());
        let expected = format!("failed to read the kubeconfig {}: Is a directory", folder.path().display());
        assert!(!absent && words.starts_with(&expected), "{words}");
    }

    #[test]
    fn an_object_that_cannot_be_read_keeps_no_other_from_being_shown() {
        let run = |name: &str, mode: &str| {
            let run = json!({
                "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun",
                "metadata": {"name": name, "namespace": "shop"},
                "spec": {"mode": mode, "experimentRef": {"name": "none"}},
            });
            serde_json::from_value(run).unwrap()
        };
        let (found, unreadable) = understood::<ExperimentRun>(vec![run("bad", "Neither"), run("good", "Live")]);
        assert_eq!((found.len(), found[0].name_any()), (1, "good".to_owned()));
        assert_eq!(unreadable.len(), 1);
        assert!(unreadable[0].starts_with("ExperimentRun shop/bad cannot be read: "), "{unreadable:?}");
    }
}

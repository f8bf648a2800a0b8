//! The configuration of the person who runs the tool: which environment a context is, and where the Prometheus servers are
//! that manifests name. `$CHAOS_CONFIG`, else `chaos/config.yaml` below `$XDG_CONFIG_HOME` or `~/.config`. It holds no secret, only the names of files that do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chaos_engine::given;
use chaos_engine::probe::Access;
use chaos_engine::run::Surroundings;
use serde::Deserialize;

use crate::context::Target;
use crate::exit::Failure;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// By the names of kubeconfig contexts.
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
    /// By the names that manifests use (`source`).
    #[serde(default)]
    prometheus: BTreeMap<String, Access>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Context {
    /// What `target.environment` of a manifest must equal.
    environment: String,
}

/// What the configuration says of this cluster. No file: nothing.
pub(crate) fn surroundings(target: &Target) -> Result<Surroundings, Failure> {
    let path = path();
    let config = match &path {
        Some(path) => read(path).map_err(Failure::invalid)?,
        None => Config::default(),
    };
    let folder = path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let environment = config.contexts.get(&target.context).map(|context| context.environment.clone());
    let prometheus = config.prometheus.into_iter().map(|(name, server)| (name, server.below(folder))).collect();
    Ok(Surroundings { environment, prometheus })
}

fn path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = || set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    set("CHAOS_CONFIG").or_else(|| base().map(|base| base.join("chaos/config.yaml")).filter(|path| path.exists()))
}

fn read(path: &Path) -> anyhow::Result<Config> {
    let text = given::text(path).with_context(|| format!("failed to read {}", path.display()))?;
    parse(&text).with_context(|| format!("{} is no configuration", path.display()))
}

fn parse(text: &str) -> anyhow::Result<Config> {
    let config: Config = serde_yaml::from_str(text)?;
    for (name, server) in &config.prometheus {
        let http = ["http://", "https://"].iter().any(|scheme| server.url.starts_with(scheme));
        anyhow::ensure!(
            http,
            "prometheus.{name}.url: {:?} is no URL; hint: it starts with http:// or https://",
            server.url
        );
        let secret = server.url.contains('@');
        let objection = server.objection();
        anyhow::ensure!(objection.is_none(), "prometheus.{name}: {}", objection.unwrap_or_default());
        anyhow::ensure!(!secret, "prometheus.{name}.url holds credentials; hint: they would end up in journals");
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_meant_or_refused() {
        let text = "contexts: {staging: {environment: staging}}\nprometheus: {platform: {url: \"http://p:9090\"}}\n";
        let config = parse(text).unwrap();
        assert_eq!(config.contexts["staging"].environment, "staging");
        assert_eq!(config.prometheus["platform"].url, "http://p:9090");
        for (from, to, part) in [
            ("prometheus:", "promtheus:", "promtheus"),
            ("http://p", "p", "starts with http"),
            ("http://p", "http://me:pw@p", "credentials"),
            ("\"}}", "\", caFile: ca.pem}}", "caFile"),
            ("\"}}", "\", bearerToken: secret}}", "bearerToken"),
            ("environment: staging", "enviroment: staging", "enviroment"),
        ] {
            let error = format!("{:#}", parse(&text.replace(from, to)).unwrap_err());
            assert!(error.contains(part), "{to}: {error}");
        }
    }
}

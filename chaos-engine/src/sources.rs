//! Metrics sources that an operator or a prober may ask, from its own configuration file: by name, and each for the namespaces
//! that it was given to. A manifest can only name one; it cannot bring an address.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::probe::Access;

/// What the configuration file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sources {
    /// Prometheus servers, by name.
    #[serde(default)]
    pub prometheus: BTreeMap<String, Source>,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// Its base URL.
    pub url: String,
    /// Namespaces whose specs may ask it; `"*"` is all of them.
    pub namespaces: Vec<String>,
    /// A file with the token that it is shown.
    #[serde(default)]
    pub bearer_token_file: Option<PathBuf>,
    /// A PEM file of the certificates that are trusted, instead of the machine's own.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// The file cannot be read.
    #[error("failed to read the configuration {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error(
        "the configuration {path} is not valid: {message}; hint: prometheus: {{NAME: {{url: http://…, namespaces: [NS]}}}}"
    )]
    Invalid {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl Sources {
    /// Reads a configuration file. One that is not there names no source: a cluster's owner makes it when there is one to name.
    pub fn read(path: &Path) -> Result<Self, SourcesError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::info!(path = %path.display(), "there is no such file: no metrics source is named");
                return Ok(Self::default());
            }
            Err(source) => return Err(SourcesError::Read { path: path.to_owned(), source }),
        };
        let invalid = |message: String| SourcesError::Invalid { path: path.to_owned(), message };
        let mut sources: Self = serde_yaml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let folder = path.parent().unwrap_or(path);
        for (name, source) in &mut sources.prometheus {
            let access = source.access().below(folder);
            if let Some(why) = access.objection() {
                return Err(invalid(format!("source {name}: {why}: {:?}", access.url)));
            }
            (source.bearer_token_file, source.ca_file) = (access.bearer_token_file, access.ca_file);
        }
        Ok(sources)
    }

    /// A source, if specs of that namespace may ask it. Whether there is one that they may not is not told.
    pub fn prometheus(&self, name: &str, namespace: &str) -> Option<Access> {
        let source = self.prometheus.get(name)?;
        source.namespaces.iter().any(|given| given == "*" || given == namespace).then(|| source.access())
    }

    /// All sources that specs of that namespace may ask, by name.
    pub fn of_namespace(&self, namespace: &str) -> BTreeMap<String, Access> {
        self.prometheus.keys().filter_map(|name| Some((name.clone(), self.prometheus(name, namespace)?))).collect()
    }
}

impl Source {
    fn access(&self) -> Access {
        let (bearer_token_file, ca_file) = (self.bearer_token_file.clone(), self.ca_file.clone());
        Access { url: self.url.clone(), bearer_token_file, ca_file }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_given_to_namespaces() {
        let text = "prometheus:\n  platform: {url: http://prometheus.monitoring:9090, namespaces: [dispatch]}\n  \
                    public: {url: https://p.example, namespaces: ['*'], bearerTokenFile: token, caFile: /ca.pem}\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, text).unwrap();
        let sources = Sources::read(&path).unwrap();
        let platform = sources.prometheus("platform", "dispatch");
        assert_eq!(platform, Some(Access::from("http://prometheus.monitoring:9090")));
        let public = sources.prometheus("public", "dispatch").unwrap();
        assert_eq!(public.bearer_token_file, Some(folder.path().join("token")), "it stands beside the configuration");
        assert_eq!(public.ca_file, Some("/ca.pem".into()));
        assert_eq!(sources.prometheus("platform", "billing"), None);
        assert_eq!(sources.of_namespace("billing").keys().collect::<Vec<_>>(), ["public"]);
        for (text, said) in [
            ("prometheus: {p: {url: http://x}}", "namespaces"),
            ("prometheus: {p: {url: 'file:///etc', namespaces: []}}", "no http URL"),
            ("prometheus: {p: {url: 'http://p', namespaces: [], caFile: ca.pem}}", "caFile"),
            ("promethius: {}", "promethius"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Sources::read(&path).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("hint: "), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_names_no_source_and_one_that_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Sources::read(&folder.path().join("config.yaml")).unwrap(), Sources::default());
        assert!(matches!(Sources::read(folder.path()), Err(SourcesError::Read { .. })));
    }
}

//! Kubeconfig files for admins and for pods. A pod of this cluster cannot have the in-cluster paths under `/var/run`, so it gets
//! `KUBECONFIG` instead, which every client library reads.

use std::path::PathBuf;

/// Where the API server is, and whom to trust to be it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Its base URL.
    pub(crate) url: String,
    /// File with the certificate of its authority.
    pub(crate) authority: PathBuf,
}

/// A kubeconfig with one cluster, one user, one context.
pub(crate) fn text(server: &Server, token: &str, user: &str, namespace: &str) -> String {
    let (url, authority) = (&server.url, server.authority.display());
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: local\n  cluster: {{server: \"{url}\", certificate-authority: \"{authority}\"}}\nusers:\n- name: \"{user}\"\n  user: {{token: \"{token}\"}}\ncontexts:\n- name: local\n  context: {{cluster: local, user: \"{user}\", namespace: \"{namespace}\"}}\ncurrent-context: local\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_kubeconfig_that_kube_reads() {
        let server = Server { url: "https://127.0.0.1:1".into(), authority: "/run/ca.crt".into() };
        let config = kube::config::Kubeconfig::from_yaml(&text(&server, "t0ken", "me", "ns")).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("local"));
        let cluster = config.clusters[0].cluster.clone().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:1"));
        assert_eq!(cluster.certificate_authority.as_deref(), Some("/run/ca.crt"));
        assert!(config.auth_infos[0].auth_info.as_ref().unwrap().token.is_some());
        assert_eq!(config.contexts[0].context.as_ref().unwrap().namespace.as_deref(), Some("ns"));
    }
}

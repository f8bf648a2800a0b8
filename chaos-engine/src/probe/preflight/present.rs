//! Whether what a probe asks is there at all, before a run begins: somebody who listens, a program that can be started.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::service::connect;

/// Whether somebody accepts connections at a base URL; otherwise what came of it.
pub(super) async fn listens(url: &str) -> Result<(), String> {
    let parsed = reqwest::Url::parse(url).map_err(|error| error.to_string())?;
    let host = parsed.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = parsed.port_or_known_default().unwrap_or_default();
    connect(host, port).await
}

/// Whether a program of that name (on PATH) or path can be started.
pub(super) fn can_start(program: &str) -> bool {
    let is_program = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return is_program(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_is_told_from_a_closed_port() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(listens(&format!("http://{address}/prefix")).await, Ok(()));
        drop(listener);
        assert!(listens(&format!("http://{address}")).await.unwrap_err().contains("refused"));
        assert!(listens("http://").await.is_err());
    }

    #[test]
    fn programs_are_found_by_name_or_path_if_they_can_be_started() {
        assert!(can_start("sh") && can_start("/bin/sh"));
        assert!(!can_start("no-such-program") && !can_start("./no-such-program"));
        assert!(!can_start("/etc/passwd"), "a file that is no program");
        assert!(!can_start("/"), "a folder");
    }
}

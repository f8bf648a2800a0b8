//! Where the server is and how it is spoken to: `DATABASE_URL`, read without repeating what stands in it, as that is a secret.
//! Whether the connection is encrypted is said, or it is: nothing falls back to plain text by itself.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslMode, TargetSessionAttrs};

use super::tls::Encryption;
use crate::store::StoreError;

/// How long one address of a host may take to be connected to, unless the URL says otherwise.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// When a server that says nothing is asked whether it is there, and how often.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(5), Duration::from_secs(2), 3);
/// How long what was sent may stay unacknowledged before the connection counts as broken.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);

/// A server, ready to be connected to.
pub(super) struct Address {
    /// For the driver.
    pub(super) config: Config,
    /// Used where `config` says so.
    pub(super) encryption: Encryption,
    /// Hosts and database, for people.
    pub(super) name: String,
}

impl Address {
    /// Reads `DATABASE_URL`.
    ///
    /// # Errors
    /// [`StoreError::Config`], with nothing of the URL in it but what is surely no secret.
    pub(super) fn read(url: &str, ca_file: Option<&Path>) -> Result<Self, StoreError> {
        let mut config = parse(url).map_err(|reason| {
            StoreError::Config(format!(
                "failed to read DATABASE_URL: {reason}\nhint: postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=require; what is special in the password is percent-encoded"
            ))
        })?;
        let (idle, interval, retries) = KEEP_ALIVE;
        config.keepalives_idle(idle).keepalives_interval(interval).keepalives_retries(retries);
        config.tcp_user_timeout(UNACKNOWLEDGED_MAX);
        // Of several hosts the one that takes writes; after a failover that is another one.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        if config.get_application_name().is_none() {
            config.application_name("dispatch-store");
        }
        let encrypted = config.get_ssl_mode() == SslMode::Require;
        let encryption = Encryption::trusting(ca_file.filter(|_| encrypted), encrypted)?;
        let name = name_of(&config);
        Ok(Self { config, encryption, name })
    }
}

fn parse(url: &str) -> Result<Config, String> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err("it does not begin with postgres://".into());
    }
    let (url, mode) = without_mode(url);
    if url.split('?').next().unwrap_or_default().matches('@').count() > 1 {
        return Err("it has more than one @".into());
    }
    let mut config: Config = url.parse().map_err(|error| told(&error))?;
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    if hosts.is_empty() && addresses.is_empty() {
        return Err("it names no host".into());
    }
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c));
    if hosts.iter().any(|host| matches!(host, Host::Tcp(name) if name.is_empty() || !plain(name))) {
        return Err("it names a host that none can have".into());
    }
    if config.get_dbname().is_some_and(|name| name.contains(['@', '/'])) {
        return Err("it names a database that none can be called".into());
    }
    if config.get_channel_binding() == ChannelBinding::Require {
        return Err("channel_binding=require is not supported, leave it out: the certificate is verified".into());
    }
    let sockets = hosts.iter().filter(|host| matches!(host, Host::Unix(_))).count();
    let mode = match mode {
        Some("disable") => SslMode::Disable,
        None if sockets > 0 && sockets == hosts.len() => SslMode::Disable,
        None | Some("require" | "verify-ca" | "verify-full") if sockets == 0 => SslMode::Require,
        None | Some("require" | "verify-ca" | "verify-full") => return Err("a Unix socket carries no TLS".into()),
        Some("allow" | "prefer") => {
            return Err("this sslmode may be plain text without a word; say require or disable".into());
        }
        Some(_) => return Err("its sslmode is none of require, verify-full and disable".into()),
    };
    config.ssl_mode(mode);
    Ok(config)
}

/// The URL without `sslmode`, of which the driver knows fewer values than PostgreSQL's own tools, and what it was. As for the driver,
/// credentials end at the first `@`, and parameters begin at the first `?` after them.
fn without_mode(url: &str) -> (String, Option<&str>) {
    let credentials = url.find('@').map_or(0, |at| at + 1);
    let Some(mark) = url[credentials..].find('?').map(|mark| credentials + mark) else { return (url.to_owned(), None) };
    let (base, parameters) = (&url[..mark], &url[mark + 1..]);
    let mode = parameters.split('&').find_map(|pair| pair.strip_prefix("sslmode="));
    let kept: Vec<_> = parameters.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("sslmode=")).collect();
    (if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) }, mode)
}

/// Of the driver's reasons only the one that names a parameter of its own: others may repeat a piece of a password.
fn told(error: &tokio_postgres::Error) -> String {
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    let known = source.starts_with("invalid value for option");
    if known { source } else { "it cannot be understood, or has a parameter that nobody knows".into() }
}

fn name_of(config: &Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .chain(config.get_hostaddrs().iter().filter(|_| config.get_hosts().is_empty()).map(ToString::to_string))
        .collect();
    let ports = config.get_ports();
    let with_port = |(index, host): (usize, &String)| {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        format!("{host}:{port}")
    };
    let hosts: Vec<_> = hosts.iter().enumerate().map(with_port).collect();
    format!("{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        let error = Address::read(url, None).err().unwrap().to_string();
        assert!(error.starts_with("failed to read DATABASE_URL: ") && error.contains("hint:"), "{error}");
        error
    }

    #[test]
    fn plain_text_is_never_what_nobody_asked_for() {
        let mode = |url: &str| Address::read(url, None).unwrap().config.get_ssl_mode();
        for url in ["", "?sslmode=require", "?sslmode=verify-full", "?connect_timeout=3&sslmode=verify-ca"] {
            assert_eq!(mode(&format!("postgres://u:p@db:5433/rides{url}")), SslMode::Require, "{url}");
        }
        assert_eq!(mode("postgres://u:p@db/rides?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgresql://u@%2Frun%2Fpostgresql/rides"), SslMode::Disable);
        for (parameters, part) in [
            ("sslmode=prefer", "without a word"),
            ("sslmode=allow", "without a word"),
            ("sslmode=on", "none of require"),
            ("channel_binding=require", "channel_binding"),
        ] {
            assert!(error(&format!("postgres://u:p@db/rides?{parameters}")).contains(part), "{parameters}");
        }
        assert!(error("postgres://u@%2Frun%2Fpostgresql/rides?sslmode=require").contains("no TLS"));
        assert!(error("postgres://u:p@db,%2Frun/rides").contains("no TLS"));
    }

    #[test]
    fn no_error_repeats_a_piece_of_the_password() {
        for url in [
            "postgres://u:hid@den@db/rides",
            "postgres://u:?hid@den/hid@db/rides",
            "postgres://u:hid/den@db:x/rides?sslmode=require",
            "postgres://u:hid?den@db/rides?hidden=1",
            "postgres://u:hidden@/rides",
            "postgres://u:hidden@db/rides?hidden",
            "postgres://u:hidden@db/rides?port=hidden",
            "postgres://u:%zz@db/rides?sslmode=hidden",
            "postgres://u:hidden@d b/rides",
            "mysql://u:hidden@db/rides",
            "hidden",
        ] {
            let error = error(url);
            assert!(!error.contains("hid") && !error.contains("den"), "{url}: {error}");
        }
    }

    #[test]
    fn a_server_is_named_without_who_and_how() {
        let name = |url: &str| Address::read(url, None).unwrap().name;
        assert_eq!(name("postgres://u:p%40ss@db-1,db-2:6432/rides?sslmode=disable"), "db-1:5432,db-2:6432/rides");
        assert_eq!(name("postgres://u:p?ss@[::1]:7/rides?sslmode=disable"), "::1:7/rides");
    }
}

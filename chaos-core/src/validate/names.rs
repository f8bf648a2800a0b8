//! What Kubernetes and HTTP accept as a name. Each function says in words what is wrong.

/// A DNS label (RFC 1123): namespaces, Services, and our own objects, whose names become parts of others.
pub(super) fn dns_label(name: &str) -> Result<(), &'static str> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let outer = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
    let bytes = name.as_bytes();
    let valid = bytes.len() <= 63 && bytes.iter().all(|b| inner(*b)) && outer(bytes.first()) && outer(bytes.last());
    if valid { Ok(()) } else { Err("lower-case letters, digits and dashes, at most 63, no dash at an end") }
}

/// A DNS subdomain (RFC 1123): names of most objects.
pub(super) fn dns_subdomain(name: &str) -> Result<(), &'static str> {
    if name.len() <= 253 && name.split('.').all(|part| dns_label(part).is_ok()) {
        return Ok(());
    }
    Err("lower-case letters, digits, dashes and dots, at most 253")
}

/// A label key: an optional DNS subdomain and a slash, then a name.
pub(super) fn label_key(key: &str) -> Result<(), &'static str> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if !name.is_empty() && label_value(name).is_ok() && prefix.is_none_or(|prefix| dns_subdomain(prefix).is_ok()) {
        return Ok(());
    }
    Err("a name of at most 63 letters, digits, dashes, dots and underscores, perhaps after a domain and a slash")
}

/// A label value; may be empty.
pub(super) fn label_value(value: &str) -> Result<(), &'static str> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let outer = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    let valid = bytes.len() <= 63 && bytes.iter().all(|b| inner(*b)) && outer(bytes.first()) && outer(bytes.last());
    if valid {
        Ok(())
    } else {
        Err("at most 63 letters, digits, dashes, dots and underscores, a letter or digit at each end")
    }
}

/// A kind, such as `Deployment`.
pub(super) fn kind(kind: &str) -> Result<(), &'static str> {
    let valid = kind.len() <= 63
        && kind.starts_with(|c: char| c.is_ascii_uppercase())
        && kind.bytes().all(|b| b.is_ascii_alphanumeric());
    if valid { Ok(()) } else { Err("a kind in the singular with a capital letter, such as Deployment") }
}

/// A header's name (RFC 9110, token).
pub(super) fn header(name: &str) -> Result<(), &'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.is_empty() && name.len() <= 100 && name.bytes().all(token) {
        return Ok(());
    }
    Err("letters, digits and dashes")
}

/// An absolute http or https URL without user, query or fragment: the base that a path is added to.
pub(super) fn base_url(url: &str) -> Result<(), &'static str> {
    authority(url).and_then(host_and_port)
}

/// What stands for host and port in such a URL.
pub(super) fn authority(url: &str) -> Result<&str, &'static str> {
    let rest =
        url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).ok_or("start with http:// or https://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("leave credentials out: they would end up in the journal");
    }
    if authority.is_empty() {
        return Err("name a host");
    }
    if rest.contains(['?', '#']) || !rest.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("no query, fragment or blank; those belong into path");
    }
    Ok(authority)
}

/// `gateway`, `gateway:8080` or `[::1]:8080`. A port that is none would else be left out, and the default one be meant.
fn host_and_port(authority: &str) -> Result<(), &'static str> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(address) => address.split_once(']').ok_or("an IPv6 address ends with ]")?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    if host.is_empty() {
        return Err("name a host");
    }
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port) {
        return Ok(());
    }
    Err("a port is a number from 1 to 65535")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        for (check, good, bad) in [
            (
                dns_label as fn(&str) -> Result<(), &'static str>,
                vec!["a", "trips-1", "0"],
                vec!["", "-a", "a-", "A", "a.b", "a_b"],
            ),
            (dns_subdomain, vec!["a.b", "trips"], vec!["a..b", ".a", ""]),
            (label_key, vec!["app", "app.kubernetes.io/name", "a_b.c"], vec!["", "/a", "a/", "a b", "A!/b"]),
            (label_value, vec!["", "a", "v1.2_3"], vec!["-a", "a b", "ä"]),
            (kind, vec!["Deployment"], vec!["deployment", "", "Deploy ment"]),
            (header, vec!["Idempotency-Key"], vec!["", "a b", "a:b"]),
            (
                base_url,
                vec!["http://127.0.0.1:80", "https://a.b/c", "http://[::1]", "http://[::1]:65535/c"],
                vec![
                    "127.0.0.1",
                    "http://",
                    "http://:80",
                    "http://u:p@h/",
                    "http://h?q",
                    "ftp://h",
                    "http://h:0",
                    "http://h:65536",
                    "http://h:+80",
                    "http://h:/c",
                    "http://[::1",
                    "http://[]:80",
                    "http://[::1]80",
                ],
            ),
        ] {
            for name in good {
                assert_eq!(check(name), Ok(()), "{name}");
            }
            for name in bad {
                assert!(check(name).is_err(), "{name}");
            }
        }
    }
}

//! Which names are those of credentials. By the name alone: it must not look at what is named so.

use std::sync::LazyLock;

use regex::Regex;

/// Names that stand for credentials even in the midst of a text: `Authorization`, `Cookie`, `X-Api-Key`, `Private-Token`,
/// `X-Amz-Security-Token`, `client_secret`, `accessToken`.
pub(super) const IN_TEXTS: &str = r"(?:[a-z0-9]+[-_])*(?:authorization|cookie|passw(?:or)?d|credentials?)|(?:[a-z0-9]+[-_])*(?:api|access|auth|private|secret|subscription)[-_]?key|(?:[a-z0-9]+[-_])+(?:token|secret|signature|session|session[-_]id|auth)|(?:access|auth|bearer|client|id|refresh|session)(?:token|secret)";

/// Further names, where it is known that something is named at all: `Token`, `Session`, `X-Hub-Signature-256`, `csrftoken`. In a text
/// these are ordinary words.
const OF_VALUES: &str = r"[a-z0-9._-]*(?:authori[sz]ation|cookie|credential|jwt|passphrase|passw(?:or)?d|secret|signature|token)s?(?:[-_]?[0-9]+)?|(?:[a-z0-9]+[-_.])*(?:o?auth|bearer|session|session[-_]?id|sid)";

static NAMES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("(?i)^(?:{IN_TEXTS}|{OF_VALUES})$")).ok());

/// Whether a header, a field or an option of that name holds a credential. Errs towards yes.
pub(crate) fn is_of_credential(name: &str) -> bool {
    NAMES.as_ref().is_none_or(|names| names.is_match(name))
}

/// Whether what a JSONPath selects is a credential, by the last name in it.
pub(crate) fn selects_credential(path: &str) -> bool {
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let mut rest = path;
    while !rest.is_empty() {
        let name = rest.rsplit(|c: char| !is_of_name(c)).next().unwrap_or_default();
        // What is no name is the number of an element, or punctuation.
        if name.chars().any(char::is_alphabetic) {
            return is_of_credential(name);
        }
        let mut before = rest[..rest.len() - name.len()].chars();
        before.next_back();
        rest = before.as_str();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_like_a_credential_is_known() {
        assert!(NAMES.is_some());
        for name in [
            "Authorization",
            "proxy-authorization",
            "Set-Cookie",
            "X-Vault-Token",
            "Ocp-Apim-Subscription-Key",
            "x-api-key",
            "Token",
            "Secret",
            "Session",
            "SESSION-ID",
            "Auth",
            "Signature",
            "X-Hub-Signature-256",
            "csrftoken",
            "accessToken",
            "PGPASSWORD",
        ] {
            assert!(is_of_credential(name), "{name}");
        }
        for name in
            ["accept", "idempotency-key", "x-request-id", "author", "content-type", "x-served-by", "key", "state"]
        {
            assert!(!is_of_credential(name), "{name}");
        }
    }

    #[test]
    fn a_path_is_judged_by_its_last_name() {
        for path in
            ["$.token", "$['access_token']", "$.user[\"password\"]", "$.tokens[0]", "$..secret", "$.a.session[*]"]
        {
            assert!(selects_credential(path), "{path}");
        }
        for path in ["$", "$.id", "$.token.expires", "$.items[-1]", "$[?@.token == 'x'].id", ""] {
            assert!(!selects_credential(path), "{path}");
        }
    }
}

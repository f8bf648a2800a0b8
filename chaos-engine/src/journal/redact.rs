//! Takes secrets out of events before anyone stores or shows them: values that the configuration named, headers that
//! commonly carry credentials, tokens in URLs. It errs towards hiding; it must not change identities or numbers.

use std::borrow::Cow;
use std::sync::LazyLock;

use chaos_core::model::{HttpLoad, Probe};
use chaos_core::record::Event;
use regex::Regex;
use serde_json::Value;

use crate::probe::Access;

/// A plain scalar of YAML wherever it stands: a manifest whose secrets are hidden is still a manifest, from which a run can be
/// judged again.
const MASK: &str = "(redacted)";
/// Shorter secrets would mask ordinary words and digits.
const SHORTEST: usize = 6;

/// Names of headers and of fields of bodies whose values are credentials: `Authorization`, `Cookie`, `X-Api-Key`, `Private-Token`,
/// `X-Amz-Security-Token`, `client_secret`, `accessToken`.
const HEADERS: &str = r"(?:[a-z0-9]+[-_])*(?:authorization|cookie|passw(?:or)?d|credentials?)|(?:[a-z0-9]+[-_])*(?:api|access|auth|private|secret|subscription)[-_]?key|(?:[a-z0-9]+[-_])+(?:token|secret|signature|session|session[-_]id|auth)|(?:access|auth|bearer|client|id|refresh|session)(?:token|secret)";

/// The secrets of a run.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Also hides these values wherever they stand. Those below six characters are ignored.
    pub fn hide(&mut self, secrets: impl IntoIterator<Item = String>) {
        let lines = secrets.into_iter().flat_map(|secret| secret.lines().map(str::to_owned).collect::<Vec<_>>());
        self.secrets.extend(lines.map(|line| line.trim().to_owned()).filter(|line| line.len() >= SHORTEST));
        // The longest first: a secret may contain another.
        self.secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.secrets.dedup();
    }

    /// Hides the value of a request header, if headers of that name carry credentials.
    pub fn hide_header(&mut self, name: &str, value: &str) {
        if SENSITIVE.as_ref().is_none_or(|sensitive| sensitive.is_match(name)) {
            let credential = value.split_once(' ').map(|(_scheme, credential)| credential.to_owned());
            self.hide([value.to_owned()].into_iter().chain(credential));
        }
    }

    /// Hides the credentials in the headers of these probes.
    pub fn of(probes: &[Probe]) -> Self {
        let mut redactor = Self::default();
        probes.iter().filter_map(Probe::http).for_each(|http| redactor.hide_load(&http.load));
        redactor
    }

    /// Hides those of [`Self::of`], and what is shown to these metrics sources as it is now: their answers may repeat it.
    pub fn of_run<'a>(probes: &[Probe], sources: impl IntoIterator<Item = &'a Access>) -> Self {
        let mut redactor = Self::of(probes);
        redactor.hide(sources.into_iter().filter_map(Access::secret));
        redactor
    }

    /// Hides the credentials in the headers of this load.
    pub fn hide_load(&mut self, load: &HttpLoad) {
        for (name, value) in load.steps.iter().flat_map(|step| &step.headers) {
            value.texts().for_each(|text| self.hide_header(name, text));
        }
    }

    /// The text without secrets.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut clean = Cow::Borrowed(text);
        for secret in &self.secrets {
            if clean.contains(secret.as_str()) {
                clean = Cow::Owned(clean.replace(secret.as_str(), MASK));
            }
        }
        if SUSPECT.as_ref().is_some_and(|suspect| !suspect.is_match(&clean)) {
            return clean;
        }
        for (pattern, replacement) in PATTERNS.iter() {
            if let Cow::Owned(changed) = pattern.replace_all(&clean, *replacement) {
                clean = Cow::Owned(changed);
            }
        }
        clean
    }

    /// The event without secrets in any of its texts.
    pub fn event(&self, event: Event) -> Result<Event, serde_json::Error> {
        match event {
            Event::Bad(mut bad) => {
                if let Cow::Owned(clean) = self.text(&bad.detail) {
                    bad.detail = clean;
                }
                Ok(Event::Bad(bad))
            }
            // These hold names and numbers only.
            Event::Bin(_)
            | Event::Served { .. }
            | Event::Schedule(_)
            | Event::Phase { .. }
            | Event::Pod(_)
            | Event::Clock { .. }
            | Event::Sight { .. }
            | Event::Finished { .. } => Ok(event),
            texts => {
                let mut value = serde_json::to_value(&texts)?;
                if self.value(&mut value) { serde_json::from_value(value) } else { Ok(texts) }
            }
        }
    }

    /// Cleans every string of a JSON value; tells whether any changed.
    fn value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => {
                let Cow::Owned(clean) = self.text(text) else { return false };
                *text = clean;
                true
            }
            Value::Array(items) => items.iter_mut().fold(false, |changed, item| self.value(item) | changed),
            Value::Object(fields) => fields.values_mut().fold(false, |changed, field| self.value(field) | changed),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

/// A name that is one of [`HEADERS`].
static SENSITIVE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("(?i)^(?:{HEADERS})$")).ok());

/// What every one of [`PATTERNS`] needs: most texts hold none of it, and load that fails tells thousands of texts a second.
static SUSPECT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)auth|cookie|passw|credential|key|token|secret|[-_]signature|[-_]session|bearer|@|[?&][a-z_]+=")
        .ok()
});

/// What looks like a credential, and what is left of it.
static PATTERNS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let block = format!(r#"(?im)^(\s*(?:-\s+)?["']?(?:{HEADERS})["']?\s*:[ \t]*)[^\s|>].*$"#);
    // JSON in a quoted text of YAML has a backslash before each of its quotes.
    let inline =
        format!(r#"(?i)\b((?:{HEADERS})\\?["']?\s*[:=]\s*)(\\"[^"\n]*"|"[^"\n]*"|'[^'\n]*'|[^\s"',}}][^,}}\n]*)"#);
    let query = r#"(?i)([?&](?:access_?token|id_?token|token|api_?key|key|password|passwd|secret|sig|signature|auth)=)[^&\s"'#]+"#;
    [
        (block.as_str(), "${1}(redacted)"),
        (inline.as_str(), "${1}(redacted)"),
        (query, "${1}(redacted)"),
        (r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{6,}", "${1}(redacted)"),
        (r"(?i)(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", "${1}(redacted)@"),
    ]
    .into_iter()
    .filter_map(|(pattern, replacement)| Some((Regex::new(pattern).ok()?, replacement)))
    .collect()
});

#[cfg(test)]
mod tests {
    use super::*;
    use chaos_core::record::{BadClass, BadSlot, RunTime};

    #[test]
    fn every_pattern_compiles() {
        assert!(PATTERNS.len() == 5 && SUSPECT.is_some() && SENSITIVE.is_some());
    }

    #[test]
    fn credentials_are_hidden_wherever_they_stand() {
        let mut redactor = Redactor::default();
        redactor.hide(["hunter2hunter2".to_owned(), "abc".to_owned()]);
        redactor.hide_header("AUTHORIZATION", "Bearer very-secret");
        redactor.hide_header("accept", "text/plain");
        for (text, clean) in [
            ("nothing to hide, abc, text/plain", "nothing to hide, abc, text/plain"),
            ("said hunter2hunter2!", "said (redacted)!"),
            ("x very-secret y", "x (redacted) y"),
            ("GET /rides?token=t0p&page=2", "GET /rides?token=(redacted)&page=2"),
            ("http://me:pw@host/x", "http://(redacted)@host/x"),
            ("    Authorization: Digest a=\"b\", c=\"d\"", "    Authorization: (redacted)"),
            ("headers: {X-Api-Key: k1, accept: all}", "headers: {X-Api-Key: (redacted), accept: all}"),
            (r#"{"cookie": "id=1; s=2", "a": 1}"#, r#"{"cookie": (redacted), "a": 1}"#),
            ("got bearer abcdefgh", "got bearer (redacted)"),
            ("  - X-Vault-Token: hvs.1", "  - X-Vault-Token: (redacted)"),
            (
                "{private-token: a, apikey: b, x-amz-security-token: c}",
                "{private-token: (redacted), apikey: (redacted), x-amz-security-token: (redacted)}",
            ),
            ("an unexpected token: comma; idempotency-key: 7", "an unexpected token: comma; idempotency-key: 7"),
            ("a: 1\nCookie: c=d\nb: 2", "a: 1\nCookie: (redacted)\nb: 2"),
            (
                r#"body: '{"client_secret": "s3", "grant": "x"}'"#,
                r#"body: '{"client_secret": (redacted), "grant": "x"}'"#,
            ),
            (
                r#"body: "{\"password\": \"p, w\", \"user\": \"me\"}""#,
                r#"body: "{\"password\": (redacted), \"user\": \"me\"}""#,
            ),
            (
                r#"{"refreshToken": "a", "access_token": "b"}"#,
                r#"{"refreshToken": (redacted), "access_token": (redacted)}"#,
            ),
            ("bearerTokenFile: /etc/token, next: 1", "bearerTokenFile: /etc/token, next: 1"),
        ] {
            assert_eq!(redactor.text(text), clean);
            assert_eq!(redactor.text(clean), clean, "hiding twice changes nothing");
        }
    }

    #[test]
    fn headers_with_credentials_are_known_by_their_names() {
        for (name, hidden) in [
            ("Authorization", true),
            ("proxy-authorization", true),
            ("X-Vault-Token", true),
            ("Ocp-Apim-Subscription-Key", true),
            ("x-api-key", true),
            ("accept", false),
            ("idempotency-key", false),
            ("x-request-id", false),
        ] {
            let mut redactor = Redactor::default();
            redactor.hide_header(name, "Bearer very-secret");
            assert_eq!(redactor.text("so very-secret") != "so very-secret", hidden, "{name}");
        }
    }

    #[test]
    fn texts_deep_in_an_event_are_reached() {
        let redactor = Redactor::default();
        let at = RunTime(1);
        let note = redactor.event(Event::Note { at, text: "see http://h/?api_key=1234".into() }).unwrap();
        assert_eq!(note, Event::Note { at, text: "see http://h/?api_key=(redacted)".into() });
        let bad = BadSlot {
            probe: "p".into(),
            slot: 1,
            due: at,
            lag: None,
            latency: None,
            failed_after: None,
            class: BadClass::Other,
            detail: "Cookie: a=b".into(),
        };
        let Event::Bad(clean) = redactor.event(Event::Bad(bad)).unwrap() else { panic!("another event") };
        assert_eq!(clean.detail, "Cookie: (redacted)");
    }
}

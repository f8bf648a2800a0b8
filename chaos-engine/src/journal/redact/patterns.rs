//! What looks like a credential in a text, whoever wrote it. A line at a time, and erring towards hiding. Addresses, images and
//! objects are no credentials, whatever their names end in: `user-auth:8080`, `ghcr.io/acme/user-auth:1.2.3`,
//! `Deployment/user-auth: 2 of 3`.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::MASK;
use super::names::{IN_TEXTS, is_of_credential};

/// What stands behind a name: what was hidden before, a quoted text (also one in a quoted text, where a backslash stands before
/// each quote, and one that was cut off).
const VALUE: &str = r#"\(redacted\)|\\"[^"\n]*(?:"|$)|"(?:[^"\\\n]|\\.)*(?:"|\\?$)|'[^'\n]*(?:'|$)"#;

/// What belongs to such a value behind it: of `session=new`, what was hidden may have been `session=` alone.
const TAIL: &str = r#"[^\s"',}\])&]*"#;

/// Bytes behind a name by which it is told whether a credential is meant: a version or a port is shorter. With all of the rest,
/// a text full of such names would take the square of its length.
const LOOK_AHEAD: usize = 64;

/// The value of a parameter. A placeholder, in which blanks stand, is one piece of it.
const PARAMETER: &str = r#"(?:\{\{[^}\n]*\}\}|[^&\s"'#])+"#;

/// Hides what looks like a credential.
pub(super) fn hide(text: Cow<'_, str>) -> Cow<'_, str> {
    if SUSPECT.as_ref().is_some_and(|suspect| !suspect.is_match(&text)) {
        return text;
    }
    let mut clean = text;
    for pattern in NAMED.iter() {
        if let Some(changed) = hide_named(pattern, &clean, |before, found| !is_of_a_thing(before, found)) {
            clean = Cow::Owned(changed);
        }
    }
    for (pattern, replacement) in PATTERNS.iter() {
        if let Cow::Owned(changed) = pattern.replace_all(&clean, *replacement) {
            clean = Cow::Owned(changed);
        }
    }
    clean
}

/// Hides credentials in a text that is known to have fields: those of JSON in a body, and those of a form or a query.
pub(super) fn hide_fields(text: Cow<'_, str>) -> Cow<'_, str> {
    let mut clean = text;
    for pattern in FIELDS.iter() {
        if let Some(changed) = hide_named(pattern, &clean, |_, found| is_of_credential(found.name)) {
            clean = Cow::Owned(changed);
        }
    }
    clean
}

/// How a name with its separator is found, and what a value right behind them looks like.
struct Pattern {
    name: Regex,
    value: Regex,
}

impl Pattern {
    fn new(name: &str, value: &str) -> Option<Self> {
        Some(Self { name: Regex::new(name).ok()?, value: Regex::new(&format!(r"(?m)\A(?:{value})")).ok()? })
    }
}

/// A name with what stands behind it.
struct Found<'t> {
    name: &'t str,
    /// What stands between the two.
    separator: &'t str,
    /// The first bytes behind them.
    behind: &'t str,
}

/// Hides the values that a pattern finds and that are meant, by what stands before the name and by what was found; `None`: there
/// are none.
fn hide_named(pattern: &Pattern, text: &str, is_meant: impl Fn(&str, &Found<'_>) -> bool) -> Option<String> {
    let mut clean = String::new();
    let (mut from, mut copied) = (0, 0);
    while let Some(captures) = pattern.name.captures_at(text, from) {
        let part = |name| captures.name(name);
        let (Some(name), Some(separator)) = (part("name"), part("separator")) else { break };
        // What follows may hold another one.
        from = separator.end();
        let rest = &text[from..];
        let found = Found { name: name.as_str(), separator: separator.as_str(), behind: first_bytes(rest) };
        if !is_meant(&text[..name.start()], &found) {
            continue;
        }
        let Some(value) = pattern.value.find(rest) else { continue };
        clean.push_str(&text[copied..from]);
        clean.push_str(MASK);
        from += value.end();
        copied = from;
    }
    if copied == 0 {
        return None;
    }
    clean.push_str(&text[copied..]);
    Some(clean)
}

/// The first [`LOOK_AHEAD`] bytes, or a few less: no character is cut.
fn first_bytes(text: &str) -> &str {
    let most = text.len().min(LOOK_AHEAD);
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    &text[..end]
}

/// Whether this is the name of a host, an image or an object rather than that of a credential.
fn is_of_a_thing(before: &str, found: &Found<'_>) -> bool {
    let name = found.name.to_ascii_lowercase();
    let is_never = ["authorization", "cookie", "password", "passwd", "credential", "credentials"];
    if !found.separator.starts_with(':') || is_never.iter().any(|word| name.ends_with(word)) {
        return false;
    }
    let is_in_a_path = before.ends_with('/');
    if found.separator == ":" {
        return is_in_a_path || ADDRESS.as_ref().is_some_and(|address| address.is_match(found.behind));
    }
    // `Deployment/user-auth: …`, `shop/user-auth: …`; but `example.com/api-token: …` is an annotation.
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    is_in_a_path && !word.contains('.')
}

/// What every one of [`NAMED`] and [`PATTERNS`] needs: most texts hold none of it, and load that fails tells thousands of texts a
/// second.
static SUSPECT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)auth|cookie|passw|credential|key|token|secret|[-_]signature|[-_]session|bearer|@|[?&][a-z_]+=")
        .ok()
});

/// A port or the tag of an image, right behind a name and a colon.
static ADDRESS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(?:\d{1,5}|v?\d+(?:\.\d+)+(?:[-+][\w.+-]*)?|v\d+|latest)\.?(?:[^\w.+-]|$)").ok());

/// Names of credentials with their values: as the first thing on a line, which all belongs to it, and anywhere else.
static NAMED: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let line = format!(r#"(?im)^[ \t]*(?:-[ \t]+)?["']?(?P<name>{IN_TEXTS})(?P<separator>["']?[ \t]*:[ \t]*)"#);
    let inline = format!(r#"(?im)\b(?P<name>{IN_TEXTS})(?P<separator>\\?["']?[ \t]*[:=][ \t]*)"#);
    // Up to a comma, a brace or the end of the line, where it is not quoted.
    let value = format!(r#"(?:{VALUE}){TAIL}|[^\s"',}}][^,}}\n]*"#);
    [Pattern::new(&line, r"[^\s|>].*"), Pattern::new(&inline, &value)].into_iter().flatten().collect()
});

/// Fields of JSON and of a form or a query, whatever they are named.
static FIELDS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let json = r#"(?i)["'](?P<name>[a-z0-9._-]+)(?P<separator>\\?["']\s*:\s*)"#;
    // A list is hidden up to its end, or all of it where it was cut off.
    let value = format!(r"(?:{VALUE}|\[[^\]]*\]?|-?[0-9][0-9.]*){TAIL}");
    let form = r"(?i)(?:^|[?&])(?P<name>[a-z0-9._-]+)(?P<separator>=)";
    [Pattern::new(json, &value), Pattern::new(form, PARAMETER)].into_iter().flatten().collect()
});

/// What else looks like a credential, and what is left of it.
static PATTERNS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let query = format!(
        r"(?i)([?&](?:access_?token|id_?token|token|api_?key|key|password|passwd|secret|sig|signature|auth)=){PARAMETER}"
    );
    [
        (query.as_str(), "${1}(redacted)"),
        (r"(?i)\b(bearer[ \t]+)[A-Za-z0-9._~+/=-]{6,}", "${1}(redacted)"),
        (r"(?i)(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", "${1}(redacted)@"),
    ]
    .into_iter()
    .filter_map(|(pattern, replacement)| Some((Regex::new(pattern).ok()?, replacement)))
    .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> String {
        hide(Cow::Borrowed(text)).into_owned()
    }

    #[test]
    fn every_pattern_compiles() {
        assert_eq!((NAMED.len(), FIELDS.len(), PATTERNS.len()), (2, 2, 3));
        assert!(SUSPECT.is_some() && ADDRESS.is_some());
    }

    #[test]
    fn addresses_images_and_objects_are_no_credentials() {
        for text in [
            "user-auth:8080",
            "user-auth:8080 refused the connection",
            "connect to user-auth:8080.",
            "tcp: {address: \"user-auth:8080\", timeout: 1s}",
            "url: http://user-auth:8080, next",
            "https://api.user-auth:443/x",
            "image: ghcr.io/acme/user-auth:1.2.3",
            "ghcr.io/acme/vault-token:main, ghcr.io/acme/vault-token@sha256:0f0f",
            "user-auth:v2, user-auth:1.2.3-rc.1, user-auth:latest",
            "Deployment/user-auth: 2 of 3 are ready",
            "pod shop/user-auth: 6f1c7e0a-5d1c-4c3e-9d53-0b1c2d3e4f50",
            "key 6f1c7e0a-5d1c-4c3e-9d53-0b1c2d3e4f50 of user-auth",
            "access_token:\n  jsonPath: $.x",
            "Cookie\n: a",
        ] {
            assert_eq!(hidden(text), text);
        }
    }

    #[test]
    fn what_follows_such_a_name_is_looked_at_as_well() {
        for (text, clean) in [
            ("user-auth:8080 was sent Authorization: Basic abc", "user-auth:8080 was sent Authorization: (redacted)"),
            ("http://user-auth:8080/x?token=abc", "http://user-auth:8080/x?token=(redacted)"),
            ("/x?token={{choice abc def}}-{{seq}}&page={{seq}}", "/x?token=(redacted)&page={{seq}}"),
            ("http://user-auth:pw@host/", "http://(redacted)@host/"),
            ("example.com/api-token: abc", "example.com/api-token: (redacted)"),
            ("password:12345", "password:(redacted)"),
            ("sent X-Api-Key:abcdef, a: b", "sent X-Api-Key:(redacted), a: b"),
            ("x-auth: abc\nuser-auth:80\nx-auth: abc", "x-auth: (redacted)\nuser-auth:80\nx-auth: (redacted)"),
        ] {
            assert_eq!(hidden(text), clean);
            assert_eq!(hidden(clean), clean, "hiding twice changes nothing");
        }
    }

    #[test]
    fn what_was_hidden_in_part_is_hidden_whole() {
        assert_eq!(hidden("sent set-cookie: (redacted)new, a: b"), "sent set-cookie: (redacted), a: b");
        assert_eq!(hidden("x session-token=(redacted)new&page=2"), "x session-token=(redacted)&page=2");
    }

    #[test]
    fn many_names_on_one_line_take_no_square_of_time() {
        let things = "a-auth:1 ".repeat((1 << 20) / 9);
        assert_eq!(hidden(&things), things);
    }

    #[test]
    fn quoted_values_are_hidden_whole_and_only_once() {
        for (text, clean) in [
            (r#"{"password": "a\"b", "c": 1}"#, r#"{"password": (redacted), "c": 1}"#),
            (r#"{"password": "a" tail, "c": 1}"#, r#"{"password": (redacted) tail, "c": 1}"#),
            (r#"got {"api_key": "cut o"#, r#"got {"api_key": (redacted)"#),
            (r#"got {"api_key": "cut \"#, r#"got {"api_key": (redacted)"#),
            ("'api_key': 'cut", "'api_key': (redacted)"),
        ] {
            assert_eq!(hidden(text), clean);
            assert_eq!(hidden(clean), clean, "hiding twice changes nothing");
        }
    }

    #[test]
    fn fields_are_hidden_by_names_that_are_words_elsewhere() {
        for (text, clean) in [
            (r#"{"token": "a", "id": "b", "pin": 7}"#, r#"{"token": (redacted), "id": "b", "pin": 7}"#),
            (r#"{\"secret\": \"a\", \"n\": 1}"#, r#"{\"secret\": (redacted), \"n\": 1}"#),
            (r#"{"tokens": ["a", "b"], "n": [1]}"#, r#"{"tokens": (redacted), "n": [1]}"#),
            ("{\"token\":\n  \"a\"\n}", "{\"token\":\n  (redacted)\n}"),
            (r#"{"secret":42,"n":1}"#, r#"{"secret":(redacted),"n":1}"#),
            ("token=a&page=2&session=b", "token=(redacted)&page=2&session=(redacted)"),
            ("token={{choice a b}}&page=2", "token=(redacted)&page=2"),
            ("/x?auth=a&page=2", "/x?auth=(redacted)&page=2"),
        ] {
            assert_eq!(hide_fields(Cow::Borrowed(text)), clean);
            assert_eq!(hide_fields(Cow::Borrowed(clean)), clean, "hiding twice changes nothing");
        }
    }
}

//! One request of http load: what it says, what a good answer is, and what later requests take from it.

use std::collections::BTreeMap;

use super::names;
use super::path::Path;
use super::problem::Problems;
use super::queries::json_path;
use crate::api;
use crate::model::{BodyCheck, Extract, HeaderCheck, HttpStep, Source, Success};
use crate::placeholder::{Template, is_free_name};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Headers that follow from the request itself: one written by hand would contradict it.
const OWN_HEADERS: [&str; 5] = ["connection", "content-length", "host", "te", "transfer-encoding"];
/// Values that one answer may be asked for.
const MOST_EXTRACTS: usize = 20;

/// A request as it is written, wherever it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a BTreeMap<String, String>,
    pub(super) body: Option<&'a String>,
    pub(super) success: &'a api::HttpSuccess,
    pub(super) extract: &'a BTreeMap<String, api::Extract>,
}

/// The requests of a flow, in order, if all are valid; each may use what those before it extract.
pub(super) fn steps(raw: &api::HttpProbe, at: &Path, problems: &mut Problems) -> Option<Vec<HttpStep>> {
    let first = Raw {
        method: &raw.method,
        path: &raw.path,
        headers: &raw.headers,
        body: raw.body.as_ref(),
        success: &raw.success,
        extract: &raw.extract,
    };
    let mut known: Vec<&str> = Vec::new();
    let mut steps = vec![step(first, &known, at, problems)];
    known.extend(raw.extract.keys().map(String::as_str));
    if raw.then.is_empty() && !raw.extract.is_empty() {
        problems
            .add_at_key(&at.field("extract"), "nothing comes after this request that could use it")
            .hint("add then: [{path: …}], or leave extract out");
    }
    for (i, later) in raw.then.iter().enumerate() {
        let at = at.field("then").index(i);
        let raw = Raw {
            method: &later.method,
            path: &later.path,
            headers: &later.headers,
            body: later.body.as_ref(),
            success: &later.success,
            extract: &later.extract,
        };
        if later.success.within.is_some() {
            problems
                .add_at_key(&at.fields("success.within"), "a flow is one sample, with one bound")
                .hint("say within in the success of its first request");
        }
        for name in later.extract.keys().filter(|name| known.contains(&name.as_str())) {
            problems.add_at_key(&at.field("extract").field(name), format!("{name} was extracted before"));
        }
        steps.push(step(raw, &known, &at, problems));
        known.extend(later.extract.keys().map(String::as_str));
    }
    steps.into_iter().collect()
}

fn step(raw: Raw<'_>, known: &[&str], at: &Path, problems: &mut Problems) -> Option<HttpStep> {
    if !METHODS.contains(&raw.method) {
        problems
            .add(&at.field("method"), format!("{:?} is no method", raw.method))
            .hint(format!("it is one of {}", METHODS.join(", ")));
    }
    let path = path(raw.path, known, &at.field("path"), problems);
    let headers = headers(raw.headers, known, &at.field("headers"), problems);
    let body = match raw.body {
        Some(body) => template(body, known, &at.field("body"), problems).map(Some),
        None => Some(None),
    };
    if raw.body.is_some() && matches!(raw.method, "GET" | "HEAD") {
        problems.add_at_key(&at.field("body"), format!("{} sends no body", raw.method)).hint("method: POST?");
    }
    let success = success(raw.success, &at.field("success"), problems);
    let extract = extracts(raw, &at.field("extract"), problems);
    Some(HttpStep {
        method: raw.method.to_owned(),
        path: path?,
        headers: headers?,
        body: body?,
        success: success?,
        extract: extract?,
    })
}

/// A path with its placeholders.
pub(super) fn path(raw: &str, known: &[&str], at: &Path, problems: &mut Problems) -> Option<Template> {
    let outside = raw.split("{{").enumerate().map(|(i, part)| match part.split_once("}}") {
        Some((_, after)) if i > 0 => after,
        _ => part,
    });
    if !raw.starts_with('/') && (known.is_empty() || !raw.starts_with("{{")) {
        problems.add(at, format!("{raw:?} is no path")).hint("start it with a slash");
    } else if outside.into_iter().any(|part| !part.bytes().all(|b| b.is_ascii_graphic() && b != b'#')) {
        problems.add(at, "a path holds visible ASCII alone").hint("write other characters as %XX");
    }
    template(raw, known, at, problems)
}

fn headers(
    raw: &BTreeMap<String, String>,
    known: &[&str],
    at: &Path,
    problems: &mut Problems,
) -> Option<BTreeMap<String, Template>> {
    let mut headers = BTreeMap::new();
    let mut complete = true;
    for (header, value) in raw {
        let at = at.field(header);
        let lower = header.to_ascii_lowercase();
        if let Err(rule) = names::header(header) {
            problems.add_at_key(&at, format!("{header:?} is no header")).hint(rule);
        } else if OWN_HEADERS.contains(&lower.as_str()) {
            problems.add_at_key(&at, format!("{header} follows from the request")).hint("leave it out");
        }
        if value.chars().any(char::is_control) {
            problems.add(&at, "a header's value cannot hold control characters or line breaks");
        }
        let Some(template) = template(value, known, &at, problems) else {
            complete = false;
            continue;
        };
        if headers.insert(lower, template).is_some() {
            problems.add_at_key(&at, format!("{header} is given twice, in different case"));
        }
    }
    complete.then_some(headers)
}

fn template(text: &str, known: &[&str], at: &Path, problems: &mut Problems) -> Option<Template> {
    let parsed = Template::with_extracted(text, known).map_err(|error| {
        let text = error.to_string();
        let (message, hint) = text.split_once("; hint: ").unwrap_or((&text, ""));
        let problem = problems.add(at, message);
        if !hint.is_empty() {
            problem.hint(hint);
        }
    });
    parsed.ok()
}

fn success(raw: &api::HttpSuccess, at: &Path, problems: &mut Problems) -> Option<Success> {
    for (i, status) in raw.status.iter().enumerate().filter(|(_, status)| !(200..=599).contains(*status)) {
        problems.add(&at.field("status").index(i), format!("{status} is no final status (200 to 599)"));
    }
    let headers: Vec<_> = raw
        .headers
        .iter()
        .map(|(name, check)| {
            let at = at.field("headers").field(name);
            if let Err(rule) = names::header(name) {
                problems.add_at_key(&at, format!("{name:?} is no header")).hint(rule);
            }
            header_check(check, &at, problems).map(|check| (name.to_ascii_lowercase(), check))
        })
        .collect();
    let one = raw.body.as_ref().map(|check| (check, at.field("body")));
    let more = raw.bodies.iter().enumerate().map(|(i, check)| (check, at.field("bodies").index(i)));
    let bodies: Vec<_> = one.into_iter().chain(more).map(|(check, at)| body_check(check, &at, problems)).collect();
    Some(Success {
        status: raw.status.clone(),
        headers: headers.into_iter().collect::<Option<_>>()?,
        bodies: bodies.into_iter().collect::<Option<_>>()?,
    })
}

fn header_check(raw: &api::HeaderCheck, at: &Path, problems: &mut Problems) -> Option<HeaderCheck> {
    match (raw.exists, &raw.equals, &raw.contains) {
        (Some(true), None, None) => Some(HeaderCheck::Exists),
        (Some(false), None, None) => Some(HeaderCheck::Absent),
        (None, Some(value), None) => Some(HeaderCheck::Equals(value.clone())),
        (None, None, Some(part)) => Some(HeaderCheck::Contains(part.clone())),
        (None, None, None) => {
            problems.add_at_key(at, "nothing is asked of this header").hint("give exists, equals or contains");
            None
        }
        _ => {
            problems.add_at_key(at, "more than one thing is asked of this header").hint("keep one");
            None
        }
    }
}

fn body_check(raw: &api::BodyCheck, at: &Path, problems: &mut Problems) -> Option<BodyCheck> {
    let Some(path) = &raw.json_path else {
        if raw.exists.is_some() || raw.equals.is_some() {
            problems.add_at_key(at, "exists and equals are about what a path selects").hint("add jsonPath");
            return None;
        }
        let Some(text) = raw.contains.as_ref().filter(|text| !text.is_empty()) else {
            problems.add_at_key(at, "nothing is asked of the body").hint("give jsonPath, or contains");
            return None;
        };
        return Some(BodyCheck::Contains(text.clone()));
    };
    if raw.contains.is_some() {
        problems
            .add_at_key(&at.field("contains"), "contains is about the text, jsonPath about the JSON")
            .hint("make two checks of it, in bodies");
    }
    let path = json_path(path, &at.field("jsonPath"), problems);
    match (raw.exists, &raw.equals) {
        (Some(true), None) => path.map(BodyCheck::Exists),
        (Some(false), None) => path.map(BodyCheck::Absent),
        (None, Some(value)) => path.map(|path| BodyCheck::Equals(path, value.clone())),
        (None, None) => {
            problems.add_at_key(at, "nothing is asked of the body").hint("give exists or equals");
            None
        }
        (Some(_), Some(_)) => {
            problems.add_at_key(&at.field("equals"), "exists and equals are both given").hint("equals implies exists");
            None
        }
    }
}

fn extracts(raw: Raw<'_>, at: &Path, problems: &mut Problems) -> Option<Vec<Extract>> {
    if raw.extract.len() > MOST_EXTRACTS {
        problems.add_at_key(at, format!("{} values of one answer, more than {MOST_EXTRACTS}", raw.extract.len()));
    }
    let extracts = raw.extract.iter().map(|(name, extract)| {
        let at = at.field(name);
        if !is_free_name(name) {
            problems
                .add_at_key(&at, format!("{name:?} cannot be a name here"))
                .hint("a letter, then letters, digits, dashes and underscores; not uuid, seq, choice or int");
        }
        source(extract, &at, problems).map(|from| Extract { name: name.clone(), from })
    });
    extracts.collect::<Vec<_>>().into_iter().collect()
}

fn source(raw: &api::Extract, at: &Path, problems: &mut Problems) -> Option<Source> {
    match (&raw.json_path, &raw.header) {
        (Some(path), None) => json_path(path, &at.field("jsonPath"), problems).map(Source::Body),
        (None, Some(header)) => {
            super::target::name(header, names::header, &at.field("header"), problems);
            Some(Source::Header(header.to_ascii_lowercase()))
        }
        (None, None) => {
            problems.add_at_key(at, "it is not said where the value stands").hint("give jsonPath or header");
            None
        }
        (Some(_), Some(_)) => {
            problems.add_at_key(&at.field("header"), "jsonPath and header are both given").hint("keep one of them");
            None
        }
    }
}

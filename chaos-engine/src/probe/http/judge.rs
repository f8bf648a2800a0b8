//! Whether an answer is a success: its headers, its body, and what later requests of the flow need of it. Typed: a number in
//! quotes is no number. It must not see the network, and tells no credential of an answer: details are kept.

use chaos_core::model::{BodyCheck, Extract, HeaderCheck, Source, Success};
use chaos_core::placeholder::Extracted;
use chaos_core::record::BadClass;
use http::HeaderMap;
use serde_json::Value;

use super::exchange::Failure;
use super::plan::StepPlan;
use crate::journal::{is_of_credential, selects_credential};
use crate::probe::look::cut;

/// Longest value that is extracted, in bytes.
const LONGEST_VALUE: usize = 4_096;
/// Longest value of an answer that a detail tells, in characters.
const LONGEST_TOLD: usize = 60;

/// The headers that a success must (or must not) have.
pub(super) fn headers(success: &Success, headers: &HeaderMap) -> Result<(), Failure> {
    success.headers.iter().try_for_each(|(name, check)| {
        let mut values = headers.get_all(name.as_str()).into_iter().filter_map(|value| value.to_str().ok()).peekable();
        let first = values.peek().copied();
        let holds = match check {
            HeaderCheck::Exists => headers.contains_key(name.as_str()),
            HeaderCheck::Absent => !headers.contains_key(name.as_str()),
            HeaderCheck::Equals(wanted) => values.any(|value| value == wanted),
            HeaderCheck::Contains(part) => values.any(|value| value.contains(part.as_str())),
        };
        if holds {
            return Ok(());
        }
        let is_secret = is_of_credential(name);
        let found = match first {
            None => "not there".to_owned(),
            Some(_) if is_secret => "there".to_owned(),
            Some(value) => told(&Value::from(value)),
        };
        Err(Failure::new(BadClass::Header, format!("{name} is {found}, {}", wanted(check, is_secret))))
    })
}

fn wanted(check: &HeaderCheck, is_secret: bool) -> String {
    match check {
        HeaderCheck::Exists => "and must be there".into(),
        HeaderCheck::Absent => "and must not be there".into(),
        HeaderCheck::Equals(_) | HeaderCheck::Contains(_) if is_secret => "and not as it must be".into(),
        HeaderCheck::Equals(value) => format!("not {value:?}"),
        HeaderCheck::Contains(part) => format!("without {part:?}"),
    }
}

/// A value of an answer, as much of it as a detail tells: what is not one value may hold anything.
fn told(value: &Value) -> String {
    let mut text = match value {
        Value::Array(_) => return "a list".to_owned(),
        Value::Object(_) => return "an object".to_owned(),
        value => value.to_string(),
    };
    cut(&mut text, LONGEST_TOLD);
    text
}

/// What the body must hold, and what is taken from the answer.
pub(super) fn body(
    step: &StepPlan,
    headers: &HeaderMap,
    body: &[u8],
    extracted: &mut Extracted,
) -> Result<(), Failure> {
    let mut json = Json { body, parsed: None };
    step.success.bodies.iter().try_for_each(|check| check_body(check, &mut json))?;
    for extract in &step.extract {
        let value = value(extract, headers, &mut json)?;
        extracted.insert(extract.name.clone(), value);
    }
    Ok(())
}

/// A body that is parsed once, if anybody asks.
struct Json<'b> {
    body: &'b [u8],
    parsed: Option<Value>,
}

impl Json<'_> {
    fn value(&mut self) -> Result<&Value, Failure> {
        let parsed = match self.parsed.take() {
            Some(parsed) => parsed,
            None => serde_json::from_slice(self.body).map_err(|error| wrong(format!("not JSON: {error}")))?,
        };
        Ok(self.parsed.insert(parsed))
    }
}

fn wrong(detail: impl AsRef<str>) -> Failure {
    Failure::new(BadClass::Body, detail)
}

fn check_body(check: &BodyCheck, json: &mut Json<'_>) -> Result<(), Failure> {
    match check {
        BodyCheck::Contains(part) => {
            let found = json.body.windows(part.len().max(1)).any(|window| window == part.as_bytes());
            if found { Ok(()) } else { Err(wrong(format!("without {part:?}"))) }
        }
        BodyCheck::Exists(path) if path.query(json.value()?).is_empty() => {
            Err(wrong(format!("{path} selects nothing")))
        }
        BodyCheck::Absent(path) if !path.query(json.value()?).is_empty() => {
            Err(wrong(format!("{path} selects something")))
        }
        BodyCheck::Equals(path, expected) => match path.query(json.value()?).first() {
            Some(found) if found == expected => Ok(()),
            Some(_) if selects_credential(&path.to_string()) => Err(wrong(format!("{path} is not what it must be"))),
            Some(found) => Err(wrong(format!("{path} is {}, not {}", told(found), told(expected)))),
            None => Err(wrong(format!("{path} selects nothing"))),
        },
        BodyCheck::Exists(_) | BodyCheck::Absent(_) => Ok(()),
    }
}

fn value(extract: &Extract, headers: &HeaderMap, json: &mut Json<'_>) -> Result<String, Failure> {
    let name = &extract.name;
    let text = match &extract.from {
        Source::Header(header) => {
            let value = headers.get(header.as_str()).and_then(|value| value.to_str().ok());
            let value = value.ok_or_else(|| {
                Failure::new(BadClass::Header, format!("{header} is not there, and {name} is to be taken from it"))
            })?;
            value.to_owned()
        }
        Source::Body(path) => match path.query(json.value()?).all().as_slice() {
            [Value::String(text)] => text.clone(),
            [value @ (Value::Number(_) | Value::Bool(_))] => value.to_string(),
            [] => return Err(wrong(format!("{path} selects nothing, and {name} is to be taken from it"))),
            [_] => return Err(wrong(format!("{path} is no text, number or boolean that {name} could be"))),
            several => return Err(wrong(format!("{path} selects {} values for {name}", several.len()))),
        },
    };
    if text.len() > LONGEST_VALUE || text.is_empty() {
        return Err(wrong(format!("{name} would have {} bytes", text.len())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn step(bodies: Vec<BodyCheck>, extract: Vec<Extract>) -> StepPlan {
        let success = Success { bodies, ..Success::default() };
        StepPlan { success, extract, ..StepPlan::get("/".parse().unwrap()) }
    }

    fn path(text: &str) -> serde_json_path::JsonPath {
        text.parse().unwrap()
    }

    #[test]
    fn headers_are_compared_value_by_value() {
        let mut found = HeaderMap::new();
        found.append("x-cache", "MISS".parse().unwrap());
        found.append("x-cache", "HIT, stale".parse().unwrap());
        for (name, check, holds) in [
            ("x-cache", HeaderCheck::Exists, true),
            ("x-cache", HeaderCheck::Absent, false),
            ("x-cache", HeaderCheck::Equals("MISS".into()), true),
            ("x-cache", HeaderCheck::Equals("HIT".into()), false),
            ("x-cache", HeaderCheck::Contains("HIT".into()), true),
            ("etag", HeaderCheck::Exists, false),
            ("etag", HeaderCheck::Absent, true),
            ("etag", HeaderCheck::Contains(String::new()), false),
        ] {
            let success = Success { headers: vec![(name.into(), check.clone())], ..Success::default() };
            let judged = headers(&success, &found);
            assert_eq!(judged.is_ok(), holds, "{name} {check:?}: {judged:?}");
            assert!(judged.err().is_none_or(|failure| failure.class == BadClass::Header));
        }
    }

    #[test]
    fn every_check_of_a_body_must_hold() {
        let exists = BodyCheck::Exists(path("$.id"));
        let equals = |value| BodyCheck::Equals(path("$.state"), value);
        let text = BodyCheck::Contains("\"assigned\"".into());
        let absent = BodyCheck::Absent(path("$.error"));
        let answer = br#"{"id": 7, "state": "assigned"}"#;
        for (checks, answer, holds) in [
            (vec![exists.clone(), equals(json!("assigned")), text.clone(), absent.clone()], &answer[..], true),
            (vec![exists.clone(), equals(json!("open"))], answer, false),
            (vec![BodyCheck::Equals(path("$.id"), json!("7"))], answer, false),
            (vec![absent], br#"{"error": null}"#, false),
            (vec![text.clone()], b"", false),
            (vec![text], b"plain, but \"assigned\" all the same", true),
            (vec![exists], b"<html>", false),
            (vec![], b"<html>", true),
        ] {
            let judged = body(&step(checks.clone(), Vec::new()), &HeaderMap::new(), answer, &mut Extracted::new());
            assert_eq!(judged.is_ok(), holds, "{checks:?}: {judged:?}");
            assert!(judged.err().is_none_or(|failure| failure.class == BadClass::Body));
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_credentials_and_in_short() {
        let mut found = HeaderMap::new();
        found.append("set-cookie", "sid=very-secret".parse().unwrap());
        found.append("x-cache", format!("MISS {}", "x".repeat(100)).parse().unwrap());
        let equals = |value: &str| HeaderCheck::Equals(value.into());
        for (name, check, detail) in [
            ("set-cookie", equals("sid=secret"), "set-cookie is there, and not as it must be".to_owned()),
            (
                "set-cookie",
                HeaderCheck::Contains("other".into()),
                "set-cookie is there, and not as it must be".to_owned(),
            ),
            ("set-cookie", HeaderCheck::Absent, "set-cookie is there, and must not be there".to_owned()),
            ("x-auth", equals("secret"), "x-auth is not there, and not as it must be".to_owned()),
            ("x-cache", equals("HIT"), format!("x-cache is \"MISS {}…, not \"HIT\"", "x".repeat(54))),
        ] {
            let success = Success { headers: vec![(name.into(), check)], ..Success::default() };
            assert_eq!(headers(&success, &found).unwrap_err().detail, detail);
        }
        let answer = br#"{"token": "very-secret", "user": {"token": "very-secret"}, "all": [1], "state": "lost"}"#;
        for (text, detail) in [
            ("$.token", "$.token is not what it must be"),
            ("$.user.token", "$.user.token is not what it must be"),
            ("$.user", "$.user is an object, not \"secret\""),
            ("$.all", "$.all is a list, not \"secret\""),
            ("$.state", "$.state is \"lost\", not \"secret\""),
        ] {
            let check = BodyCheck::Equals(path(text), json!("secret"));
            let judged = body(&step(vec![check], Vec::new()), &HeaderMap::new(), answer, &mut Extracted::new());
            assert_eq!(judged.unwrap_err().detail, detail);
        }
    }

    #[test]
    fn exactly_one_plain_value_is_extracted() {
        let mut headers = HeaderMap::new();
        headers.insert("location", "/v1/rides/7".parse().unwrap());
        let from = |source: Source| {
            let extract = Extract { name: "ride".into(), from: source };
            let mut extracted = Extracted::new();
            let answer = br#"{"id": "r-7", "n": 3, "open": true, "all": [1, 2], "none": "", "nil": null}"#;
            body(&step(Vec::new(), vec![extract]), &headers, answer, &mut extracted)
                .map(|()| extracted.remove("ride").unwrap())
                .map_err(|failure| failure.class)
        };
        for (text, expected) in [
            ("$.id", Ok("r-7")),
            ("$.n", Ok("3")),
            ("$.open", Ok("true")),
            ("$.all", Err(BadClass::Body)),
            ("$.all[*]", Err(BadClass::Body)),
            ("$.none", Err(BadClass::Body)),
            ("$.nil", Err(BadClass::Body)),
            ("$.missing", Err(BadClass::Body)),
        ] {
            assert_eq!(from(Source::Body(path(text))).as_deref().map_err(|class| *class), expected, "{text}");
        }
        assert_eq!(from(Source::Header("location".into())).unwrap(), "/v1/rides/7");
        assert_eq!(from(Source::Header("etag".into())), Err(BadClass::Header));
    }
}

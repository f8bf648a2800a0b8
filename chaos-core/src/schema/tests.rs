//! What is installed is what API servers take and what the Rust types mean.

use super::*;

fn walk(schema: &Value, visit: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match schema {
        Value::Object(fields) => {
            visit(fields);
            fields.values().for_each(|value| walk(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|value| walk(value, visit)),
        _ => {}
    }
}

#[test]
fn crds_are_in_the_words_of_api_servers() {
    for crd in crds() {
        let mut rules = 0;
        walk(&structural(&crd), &mut |schema| {
            assert!(schema.get("nullable").is_none_or(Value::is_object), "{schema:?}");
            if let Some(Value::String(format)) = schema.get("format") {
                assert!(["date", "date-time", "double", "int32", "int64"].contains(&format.as_str()), "{format}");
            }
            rules += schema.get("x-kubernetes-validations").and_then(Value::as_array).map_or(0, Vec::len);
        });
        assert!(rules >= 10, "{}: {rules} CEL rules", crd.spec.names.kind);
        assert_eq!(crd.spec.names.categories.as_deref(), Some(&["chaos".to_owned()][..]));
    }
}

/// A rule that reads a field which may be absent is an error for every object without it.
#[test]
fn rules_read_no_field_that_may_be_absent() {
    // What a bracket follows is a function of a value that is no object.
    let field = regex::Regex::new(r"(?:^|[^\w.])self\.(\w+)(\(?)").unwrap();
    let mut read = 0;
    for crd in crds() {
        walk(&structural(&crd), &mut |schema| {
            let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
            for rule in rules.into_iter().flatten().filter_map(|rule| rule["rule"].as_str()) {
                let found = field.captures_iter(rule).filter(|found| found[2].is_empty());
                for name in found.map(|found| found[1].to_owned()) {
                    let required = schema.get("required").and_then(Value::as_array);
                    let is_required = required.is_some_and(|all| all.contains(&json!(name)));
                    let fields = schema.get("properties");
                    let has_default = fields.is_some_and(|fields| fields[&name].get("default").is_some());
                    let is_guarded = rule.contains(&format!("has(self.{name})"));
                    assert!(is_required || has_default || is_guarded, "{}: {name} in {rule}", crd.spec.names.kind);
                    read += 1;
                }
            }
        });
    }
    assert!(read > 100, "{read} fields");
}

/// `validate` and API servers ask them: a pattern that one of them could not read would let all through, or nothing.
#[test]
fn patterns_mean_the_same_to_rust_and_to_go() {
    let mut patterns = std::collections::BTreeSet::new();
    for crd in crds() {
        walk(&structural(&crd), &mut |schema| {
            patterns.extend(schema.get("pattern").and_then(Value::as_str).map(str::to_owned));
        });
    }
    assert!(patterns.len() > 15, "{patterns:#?}");
    for pattern in patterns {
        assert!(regex::Regex::new(&pattern).is_ok(), "{pattern}");
        assert!(pattern.starts_with('^') && pattern.ends_with('$'), "{pattern} may begin or end anywhere");
        // Classes of letters are Unicode's to one of them and ASCII's to the other; neither looks around.
        for unsure in [r"\d", r"\w", r"\s", r"\b", r"\p", "(?", "[[:"] {
            assert!(!pattern.contains(unsure), "{pattern} has {unsure}");
        }
    }
}

/// What an API server cannot bound it refuses: every text, list and map that a rule looks at has a greatest length.
#[test]
fn what_rules_look_at_has_a_bound() {
    fn is_bounded(schema: &Value, at: &str, unbounded: &mut Vec<String>) {
        let lacks = |bound: &str| schema.get(bound).is_none();
        match schema["type"].as_str() {
            Some("array") if lacks("maxItems") => unbounded.push(format!("{at}: maxItems")),
            Some("object") if schema["additionalProperties"].is_object() && lacks("maxProperties") => {
                unbounded.push(format!("{at}: maxProperties"));
            }
            _ => {}
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            is_bounded(field, &format!("{at}.{name}"), unbounded);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                is_bounded(&schema[inner], &format!("{at}[]"), unbounded);
            }
        }
    }
    for crd in crds() {
        let mut unbounded = Vec::new();
        is_bounded(&structural(&crd)["properties"]["spec"], &crd.spec.names.kind, &mut unbounded);
        assert!(unbounded.is_empty(), "{unbounded:#?}");
    }
}

#[test]
fn no_rule_keeps_a_status_from_being_written() {
    for crd in crds() {
        walk(&structural(&crd)["properties"]["status"], &mut |schema| {
            let rules = schema.get("x-kubernetes-validations");
            assert!(rules.is_none(), "{}: {rules:?}", crd.spec.names.kind);
        });
    }
}

#[test]
fn what_keeps_pods_alive_is_required() {
    let schema = structural(&crds()[0]);
    let required = |pointer: &str| -> Vec<String> {
        serde_json::from_value(schema.pointer(pointer).cloned().unwrap_or_default()).unwrap_or_default()
    };
    let spec = required("/properties/spec/required");
    for field in ["mode", "schedule", "guards", "limits", "target"] {
        assert!(spec.iter().any(|name| name == field), "{field} is not required");
    }
    assert_eq!(required("/properties/spec/properties/limits/required").len(), 7);
}

#[test]
fn editors_are_told_what_a_file_may_hold() {
    let schema = editor_schema::<Experiment>();
    assert_eq!(schema["properties"]["kind"]["const"], "Experiment");
    assert_eq!(schema["properties"]["spec"]["additionalProperties"], false);
    walk(&schema, &mut |schema| assert!(!schema.keys().any(|key| key.starts_with("x-kubernetes-"))));
}

#[test]
fn every_kind_has_its_files_under_its_name() {
    let crd_names: Vec<String> = crd_files().into_iter().map(|(name, _)| name).collect();
    let wanted: Vec<String> = crds().iter().map(|crd| format!("crds/{}.yaml", crd.spec.names.plural)).collect();
    assert_eq!(crd_names, wanted);
    let schemas: Vec<String> = schema_files().into_iter().map(|(name, _)| name).collect();
    for kind in ["experiment.json", "chaosmonkey.json", "experimentrun.json", "gameday.json", "loadtest.json"] {
        assert!(schemas.iter().any(|name| name == kind), "{kind} is missing of {schemas:?}");
    }
}

/// Checks a value against a schema as far as our types use schemas: references, types, fields that must or may be there.
fn conforms(value: &Value, schema: &Value, root: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} at {at}"));
        return conforms(value, target, root, at);
    }
    for any in ["anyOf", "oneOf"] {
        if let Some(schemas) = schema[any].as_array() {
            let fits = |schema: &&Value| {
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| conforms(value, schema, root, at))).is_ok()
            };
            assert!(schemas.iter().any(|schema| fits(&schema)), "{at}: {value} fits none of {any}");
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value}");
    }
    let of_type = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    };
    match &schema["type"] {
        Value::String(name) => assert!(of_type(name), "{at}: {value} is no {name}"),
        Value::Array(names) => {
            assert!(names.iter().any(|name| of_type(name.as_str().unwrap())), "{at}: {value} is none of {names:?}");
        }
        _ => {}
    }
    if let (Some(fields), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(fields.contains_key(required.as_str().unwrap()), "{at} lacks {required}");
        }
        for (name, field) in fields {
            let of_field = properties.get(name).unwrap_or_else(|| panic!("{at}.{name} is in no schema"));
            conforms(field, of_field, root, &format!("{at}.{name}"));
        }
    }
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        conforms(item, &schema["items"], root, &format!("{at}[{i}]"));
    }
}

#[test]
fn a_result_is_what_its_published_schema_says() {
    use crate::evidence::fixture::Story;
    use crate::record::BadClass;
    use crate::result::RunResultList;
    let mut story = Story::with_kills(40);
    story.lose(12_010, 3, BadClass::Reset);
    story.lose(15_010, 2, BadClass::Slow);
    story.sample(20_000, Some(false));
    story.check(7, &["ride 3 is gone"]);
    story.wound_down = Some(vec!["delete it".into()]);
    let probe = |name: &str, judged_by| crate::verdict::ProbeSpec { name: name.into(), judged_by };
    let expectation = crate::verdict::JudgedBy::Expectation(crate::verdict::Expected {
        words: "at least 1".into(),
        tolerate: "0s".parse().unwrap(),
        after_fault: true,
        gap: None,
    });
    let spec = crate::verdict::JudgeSpec {
        name: "riders".into(),
        namespace: "dispatch".into(),
        hypothesis: "It holds.".into(),
        strikes_target: 40,
        strikes_min: 29,
        probes: vec![
            probe("ready", expectation),
            probe("ledger", crate::verdict::JudgedBy::Invariants { after_fault: true }),
        ],
    };
    let result = crate::verdict::judge(&spec, &story.events());
    assert!(!result.kill_rows.is_empty() && !result.series.is_empty() && !result.invariants.is_empty());
    let root: Value = serde_json::from_str(&result_json_schema()).unwrap();
    conforms(&serde_json::to_value(&result).unwrap(), &root, &root, "result");
    let list = RunResultList::of(vec![result.clone(), result]);
    conforms(&serde_json::to_value(&list).unwrap(), &root, &root, "list");
    let wrong = std::panic::catch_unwind(|| conforms(&json!({"kind": "RunResult"}), &root, &root, "nothing"));
    assert!(wrong.is_err(), "the check finds what is missing");
}

#[test]
fn every_reason_stands_in_the_table_once() {
    let table = reason_table();
    for reason in crate::verdict::ReasonCode::ALL {
        assert_eq!(table.matches(&format!("| `{reason}` |")).count(), 1, "{reason}");
        assert!(reason.meaning().ends_with('.'), "{reason}");
    }
}

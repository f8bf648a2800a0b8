//! What is generated is what stands in the repository, and what is shipped is valid.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::tree::{files, read, root};

#[test]
fn deploy_and_schemas_are_what_the_code_generates() {
    let deploy = chaos_operator::manifests::files().into_iter().chain(chaos_operator::manifests::chart());
    let schemas = chaos_core::schema::schema_files();
    let wanted = deploy
        .map(|(file, text)| (format!("deploy/{file}"), text))
        .chain(schemas.into_iter().map(|(file, text)| (format!("schemas/{file}"), text)));
    let write = std::env::var_os("CHAOS_WRITE").is_some();
    for (path, text) in wanted {
        let file = root().join(&path);
        if write {
            std::fs::create_dir_all(file.parent().expect("a file stands in a folder")).expect("a folder");
            std::fs::write(&file, &text).expect("a file of the checkout");
        }
        assert!(
            std::fs::read_to_string(&file).unwrap_or_default() == text,
            "{path} is not what the code generates; hint: CHAOS_WRITE=1 cargo test --workspace --test tidy"
        );
    }
}

#[test]
fn the_page_of_results_names_every_reason() {
    holds_table("docs/results.md", &chaos_core::schema::reason_table());
}

#[test]
fn the_page_of_results_names_every_field() {
    let page = read("docs/results.md".to_owned()).text;
    let schema = serde_json::from_str(&read("schemas/result.json".to_owned()).text).expect("a schema");
    let mut fields = BTreeSet::new();
    properties(&schema, &mut fields);
    assert!(fields.len() > 100, "{fields:?}");
    let unnamed: Vec<_> = fields.iter().filter(|field| !page.contains(&format!("`{field}`"))).collect();
    assert!(unnamed.is_empty(), "docs/results.md does not name {unnamed:?}");
}

/// Names of all properties of a schema and of those within it.
fn properties(schema: &Value, into: &mut BTreeSet<String>) {
    if let Some(own) = schema["properties"].as_object() {
        into.extend(own.keys().cloned());
    }
    let within: Vec<&Value> = match schema {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    within.into_iter().for_each(|value| properties(value, into));
}

#[test]
fn the_permissions_page_is_what_the_code_grants() {
    holds_table("docs/permissions.md", &chaos_operator::grants::markdown());
}

/// A generated table stands in a page between its head and the next empty line.
fn holds_table(path: &str, wanted: &str) {
    let page = read(path.to_owned()).text;
    let start = page.find(wanted.lines().next().expect("a head")).expect("the generated table");
    let end = start + page[start..].find("\n\n").expect("an end of the table") + 1;
    if std::env::var_os("CHAOS_WRITE").is_some() {
        let text = format!("{}{wanted}{}", &page[..start], &page[end..]);
        std::fs::write(root().join(path), text).expect("a file of the checkout");
    } else {
        let hint = "hint: CHAOS_WRITE=1 cargo test --workspace --test tidy";
        assert!(&page[start..end] == wanted, "{path} is not what the code says; {hint}");
    }
}

#[test]
fn every_shipped_experiment_is_valid() {
    let manifests: Vec<_> =
        files().into_iter().filter(|path| path.starts_with("experiments/") && path.ends_with(".yaml")).collect();
    assert!(manifests.len() >= 3, "{manifests:?}");
    for manifest in manifests.into_iter().map(read) {
        if let Err(diagnostics) = chaos_core::validate::file(&manifest.path, &manifest.text) {
            panic!("{}", diagnostics.render(false));
        }
        assert!(
            manifest.text.starts_with('#'),
            "{} opens with a comment: question, blast radius, expected verdict",
            manifest.path
        );
    }
}

#[test]
fn every_metric_that_a_dashboard_names_is_exported() {
    let sources: String = crate::tree::rust_sources().into_iter().map(|source| source.text).collect();
    let named: BTreeSet<(String, String)> = files()
        .into_iter()
        .filter(|path| path.starts_with("dashboards/"))
        .map(read)
        .flat_map(|board| metrics_of(&board.text).into_iter().map(move |metric| (board.path.clone(), metric)))
        .collect();
    assert!(!named.is_empty(), "the dashboards name metrics");
    for (board, metric) in named {
        let stem = ["_bucket", "_count", "_sum", "_total"]
            .iter()
            .fold(metric.as_str(), |name, end| name.strip_suffix(end).unwrap_or(name));
        let short = stem.trim_start_matches("chaos_").trim_start_matches("dispatch_");
        let exported = [metric.as_str(), stem, short].iter().any(|name| sources.contains(&format!("\"{name}\"")));
        assert!(exported, "{board} names {metric}, which nothing exports");
    }
}

/// Words of ours that look like metric names.
fn metrics_of(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words
        .filter(|word| !word.contains(':') && (word.starts_with("chaos_") || word.starts_with("dispatch_")))
        .map(str::to_owned)
        .collect()
}

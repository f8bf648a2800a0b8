//! The published schema of results (`schemas/result.json`) and the table of reasons (`docs/results.md`), both made from the
//! types that results are written with.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use crate::result::{RunResult, RunResultList, SCHEMA_VERSION};
use crate::verdict::ReasonCode;

/// The JSON Schema (draft 2020-12) of one result, or of a list of them.
pub fn result_json_schema() -> String {
    let mut generator = SchemaGenerator::default();
    let (one, several) =
        (generator.subschema_for::<RunResult>().to_value(), generator.subschema_for::<RunResultList>().to_value());
    let mut definitions = generator.take_definitions(true);
    for (name, kind) in [("RunResult", "RunResult"), ("RunResultList", "RunResultList")] {
        if let Some(property) = definitions.get_mut(name).and_then(|schema| schema.pointer_mut("/properties/kind")) {
            property["const"] = Value::from(kind);
        }
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Result of chaos run",
        "description": format!(
            "Version {SCHEMA_VERSION} of `schemaVersion`. The minor number changes when something is added, the major one when a reader could misread it."
        ),
        "oneOf": [one, several],
        "$defs": definitions,
    });
    format!("{schema:#}\n")
}

/// The table of reasons as Markdown, in the order in which they decide.
pub fn reason_table() -> String {
    let mut reasons = ReasonCode::ALL;
    reasons.sort_by_key(|reason| reason.precedence());
    let row = |reason: &ReasonCode| {
        let exit = reason.exit_code();
        format!("| `{reason}` | {} | {} | {} |\n", exit.code(), exit.outcome(), reason.meaning())
    };
    let rows: String = reasons.iter().map(row).collect();
    format!("| reasonCode | exit code | outcome | means |\n|---|---:|---|---|\n{rows}")
}

//! `meta.k8s.io/v1` Tables: the columns that `kubectl get` prints.

mod age;
mod columns;
mod idle;
mod path;
mod pods;
#[cfg(test)]
mod tests;
mod volumes;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::crd::Column;
use super::registry::{Origin, ResourceType};

/// What a row carries besides its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    None,
    Metadata,
    Object,
}

impl Rows {
    /// Reads `includeObject`.
    pub(crate) fn from_query(value: Option<&str>) -> Self {
        match value {
            Some("None") => Self::None,
            Some("Object") => Self::Object,
            _ => Self::Metadata,
        }
    }
}

/// One column: how it is headed, and how wide a view shows it (0 always, 1 only `-o wide`).
#[derive(Debug, Clone)]
struct Heading {
    name: String,
    kind: String,
    format: &'static str,
    description: String,
    priority: i64,
}

impl Heading {
    fn new(name: &str, kind: &str, priority: i64) -> Self {
        let format = if name == "Name" { "name" } else { "" };
        Self { name: name.to_owned(), kind: kind.to_owned(), format, description: String::new(), priority }
    }
}

/// Makes the cells of a row from an object.
type Cells = Box<dyn Fn(&Value) -> Vec<Value>>;

/// Objects as a table.
pub(crate) fn render(ty: &ResourceType, objects: &[&Value], metadata: Value, rows: Rows) -> Value {
    let now = Timestamp::now();
    let (headings, cells): (Vec<Heading>, Cells) = match &ty.origin {
        Origin::Custom(custom) => {
            let columns = custom.columns(&ty.version).to_vec();
            (custom_headings(&columns), Box::new(move |object| custom_cells(&columns, object, now)))
        }
        Origin::Builtin(_) => {
            let view = columns::of(ty);
            let headings =
                view.headings.iter().map(|(name, kind, priority)| Heading::new(name, kind, *priority)).collect();
            (headings, Box::new(move |object| (view.cells)(object, now)))
        }
    };
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": cells(object)});
            match rows {
                Rows::None => row["object"] = Value::Null,
                Rows::Object => row["object"] = (*object).clone(),
                Rows::Metadata => {
                    row["object"] = json!({
                        "kind": "PartialObjectMetadata",
                        "apiVersion": "meta.k8s.io/v1",
                        "metadata": object["metadata"],
                    });
                }
            }
            row
        })
        .collect();
    let definitions: Vec<Value> = headings
        .iter()
        .map(|heading| {
            json!({
                "name": heading.name,
                "type": heading.kind,
                "format": heading.format,
                "description": heading.description,
                "priority": heading.priority,
            })
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn custom_headings(columns: &[Column]) -> Vec<Heading> {
    let mut headings = vec![Heading::new("Name", "string", 0)];
    headings.extend(columns.iter().map(|column| Heading {
        description: column.description.clone(),
        ..Heading::new(&column.name, &column.kind, column.priority)
    }));
    if columns.is_empty() {
        headings.push(Heading::new("Age", "date", 0));
    }
    headings
}

fn custom_cells(columns: &[Column], object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![object["metadata"]["name"].clone()];
    for column in columns {
        let value = path::json_path(object, &column.json_path);
        cells.push(match (column.kind.as_str(), value) {
            ("date", Some(value)) => age::since_text(&value, now).into(),
            ("string", Some(value)) if !value.is_string() => value.to_string().into(),
            (_, Some(value)) => value,
            (_, None) => Value::Null,
        });
    }
    if columns.is_empty() {
        cells.push(age::of(object, now));
    }
    cells
}

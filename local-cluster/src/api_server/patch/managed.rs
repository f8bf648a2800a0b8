//! `metadata.managedFields`: who owns which field. Every write is booked; only server-side apply refuses by it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::registry::ResourceType;
use super::super::write::{WriteOptions, timestamp};
use super::fields::FieldSet;
use super::shape::Shape;

/// Fields that nobody owns.
const UNOWNED: [&[&str]; 12] = [
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "uid"],
    &["metadata", "resourceVersion"],
    &["metadata", "generation"],
    &["metadata", "creationTimestamp"],
    &["metadata", "deletionTimestamp"],
    &["metadata", "deletionGracePeriodSeconds"],
    &["metadata", "selfLink"],
    &["metadata", "managedFields"],
];

/// Without the fields that nobody owns.
pub(super) fn ownable(set: FieldSet) -> FieldSet {
    UNOWNED.iter().fold(set, |set, path| set.without(path))
}

/// Who writes what, when.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(super) ty: &'a ResourceType,
    pub(super) manager: &'a str,
    pub(super) subresource: &'static str,
    pub(super) now: Timestamp,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        ty: &'a ResourceType,
        options: &'a WriteOptions,
        subresource: &'static str,
        now: Timestamp,
    ) -> Self {
        Self { ty, manager: &options.field_manager, subresource, now }
    }

    fn owner(&self, is_apply: bool) -> Owner {
        Owner {
            manager: self.manager.to_owned(),
            is_apply,
            subresource: self.subresource.to_owned(),
            api_version: self.ty.api_version(),
        }
    }
}

/// One entry's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) manager: String,
    pub(super) is_apply: bool,
    pub(super) subresource: String,
    pub(super) api_version: String,
}

impl Owner {
    /// The owner as conflict messages show it.
    pub(super) fn shown(&self, time: &str) -> String {
        let subresource = if self.subresource.is_empty() {
            String::new()
        } else {
            format!(" with subresource {:?}", self.subresource)
        };
        let using = if self.is_apply { String::new() } else { format!(" using {}", self.api_version) };
        let at = if self.is_apply || time.is_empty() { String::new() } else { format!(" at {time}") };
        format!("{:?}{subresource}{using}{at}", self.manager)
    }
}

/// One entry of the books.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) owner: Owner,
    pub(super) time: String,
    pub(super) fields: FieldSet,
}

/// All entries of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Books {
    pub(super) entries: Vec<Entry>,
}

impl Books {
    pub(super) fn read(object: &Value) -> Self {
        let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let entries = entries
            .filter(|entry| entry["fieldsV1"].is_object())
            .map(|entry| Entry {
                owner: Owner {
                    manager: text(entry, "manager"),
                    is_apply: entry["operation"] == "Apply",
                    subresource: text(entry, "subresource"),
                    api_version: text(entry, "apiVersion"),
                },
                time: text(entry, "time"),
                fields: FieldSet::from_fields_v1(&entry["fieldsV1"]),
            })
            .collect();
        Self { entries }
    }

    pub(super) fn write(&self, object: &mut Value) {
        let entries: Vec<Value> = self.entries.iter().filter(|entry| !entry.fields.is_empty()).map(written).collect();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            if entries.is_empty() {
                metadata.remove("managedFields");
            } else {
                metadata.insert("managedFields".to_owned(), Value::Array(entries));
            }
        }
    }

    /// Gives an owner exactly these fields; the time moves only if they changed.
    pub(super) fn set(&mut self, owner: Owner, fields: FieldSet, now: &str) {
        match self.entries.iter_mut().find(|entry| entry.owner == owner) {
            Some(entry) => {
                if entry.fields != fields {
                    entry.fields = fields;
                    now.clone_into(&mut entry.time);
                }
            }
            None => self.entries.push(Entry { owner, time: now.to_owned(), fields }),
        }
    }

    pub(super) fn fields_of(&self, owner: &Owner) -> FieldSet {
        self.entries.iter().find(|entry| entry.owner == *owner).map(|entry| entry.fields.clone()).unwrap_or_default()
    }

    /// Takes fields away from everyone but `owner`.
    pub(super) fn take_from_others(&mut self, owner: &Owner, fields: &FieldSet) {
        for entry in self.entries.iter_mut().filter(|entry| entry.owner != *owner) {
            entry.fields = entry.fields.minus(fields);
        }
    }

    /// What anyone but `owner` has.
    pub(super) fn fields_of_others(&self, owner: &Owner) -> FieldSet {
        self.entries
            .iter()
            .filter(|entry| entry.owner != *owner)
            .fold(FieldSet::default(), |all, entry| all.union(&entry.fields))
    }
}

fn written(entry: &Entry) -> Value {
    let mut value = json!({
        "manager": entry.owner.manager,
        "operation": if entry.owner.is_apply { "Apply" } else { "Update" },
        "apiVersion": entry.owner.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.fields.to_fields_v1(),
    });
    if !entry.time.is_empty() {
        value["time"] = entry.time.clone().into();
    }
    if !entry.owner.subresource.is_empty() {
        value["subresource"] = entry.owner.subresource.clone().into();
    }
    value
}

/// Books a create, update or patch: whoever changes a field owns it alone.
pub(crate) fn track(old: Option<&Value>, new: &mut Value, writer: &Writer<'_>) {
    let sent_empty = new["metadata"]["managedFields"].as_array().is_some_and(Vec::is_empty);
    let mut books = match old {
        // An explicit empty list is how a client clears the books.
        Some(_) if sent_empty => Books::default(),
        Some(old) => Books::read(old),
        None => Books::default(),
    };
    let shape = Shape::of(writer.ty);
    let difference = FieldSet::difference_of(shape, old.unwrap_or(&Value::Object(serde_json::Map::new())), new);
    let (changed, removed) = (ownable(difference.changed), ownable(difference.removed));
    let owner = writer.owner(false);
    if !changed.is_empty() || !removed.is_empty() {
        books.take_from_others(&owner, &changed.union(&removed));
        let own = books.fields_of(&owner).minus(&removed).union(&changed);
        books.set(owner, own, &timestamp(writer.now));
    }
    books.write(new);
}

/// The owner that a server-side apply acts as.
pub(super) fn applier(writer: &Writer<'_>) -> Owner {
    writer.owner(true)
}

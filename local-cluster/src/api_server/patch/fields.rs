//! Sets of fields: what a manager owns, what an object has, what differs between two. The algebra of server-side
//! apply, with `FieldsV1` as its written form.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::shape::{ListKind, Shape, item_key};

/// A set of paths as a tree. The element names are those of `FieldsV1`: `f:NAME`, `k:{…}` and `v:…`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    children: BTreeMap<String, Node>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    is_member: bool,
    below: FieldSet,
}

impl FieldSet {
    /// Reads `fieldsV1`. What is not understood is left out.
    pub(crate) fn from_fields_v1(fields: &Value) -> Self {
        let mut set = Self::default();
        for (element, below) in fields.as_object().into_iter().flatten().filter(|(element, _)| *element != ".") {
            let is_leaf = below.as_object().is_none_or(Map::is_empty);
            let is_member = is_leaf || below.get(".").is_some();
            set.children.insert(element.clone(), Node { is_member, below: Self::from_fields_v1(below) });
        }
        set
    }

    /// Writes `fieldsV1`.
    pub(crate) fn to_fields_v1(&self) -> Value {
        let children = self.children.iter().map(|(element, node)| {
            let mut below = node.below.to_fields_v1();
            if let (true, false, Some(map)) = (node.is_member, node.below.is_empty(), below.as_object_mut()) {
                map.insert(".".to_owned(), Value::Object(Map::new()));
            }
            (element.clone(), below)
        });
        Value::Object(children.collect())
    }

    /// Whether no field is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Every field of a value.
    pub(crate) fn of(shape: Shape<'_>, value: &Value) -> Self {
        let mut set = Self::default();
        set.add_value(shape, value);
        set
    }

    /// Adds what is below a value; says whether the value itself is one field (a scalar, or something atomic).
    fn add_value(&mut self, shape: Shape<'_>, value: &Value) -> bool {
        match value {
            Value::Object(map) if !map.is_empty() && !shape.is_atomic_map() => {
                for (key, value) in map {
                    self.add_child(format!("f:{key}"), shape.field(key), value, false);
                }
                false
            }
            Value::Array(items) if !items.is_empty() && shape.list() != ListKind::Atomic => {
                for (element, item) in elements(shape, items) {
                    self.add_child(element, shape.item(), item, true);
                }
                false
            }
            _ => true,
        }
    }

    fn add_child(&mut self, element: String, shape: Shape<'_>, value: &Value, is_item: bool) {
        let mut below = Self::default();
        let is_leaf = below.add_value(shape, value);
        self.children.insert(element, Node { is_member: is_leaf || is_item, below });
    }

    /// The fields that differ between two values: changed or added, and removed.
    pub(crate) fn difference_of(shape: Shape<'_>, old: &Value, new: &Value) -> Difference {
        let mut difference = Difference::default();
        compare(shape, old, new, &mut difference);
        difference
    }

    /// Fields of either.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        for (element, node) in &other.children {
            let found = union.children.entry(element.clone()).or_default();
            found.is_member |= node.is_member;
            found.below = found.below.union(&node.below);
        }
        union
    }

    /// Fields of both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| mine && theirs)
    }

    /// Fields of this one that the other has not.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let mut rest = self.combine(other, |mine, theirs| mine && !theirs);
        for (element, node) in &self.children {
            if !other.children.contains_key(element) {
                rest.children.insert(element.clone(), node.clone());
            }
        }
        rest
    }

    fn combine(&self, other: &Self, keep: fn(bool, bool) -> bool) -> Self {
        let mut combined = Self::default();
        for (element, node) in &self.children {
            let Some(theirs) = other.children.get(element) else { continue };
            let below =
                if keep(true, true) { node.below.intersection(&theirs.below) } else { node.below.minus(&theirs.below) };
            let is_member = keep(node.is_member, theirs.is_member);
            if is_member || !below.is_empty() {
                combined.children.insert(element.clone(), Node { is_member, below });
            }
        }
        combined
    }

    /// Without the field at a path of names.
    pub(crate) fn without(&self, path: &[&str]) -> Self {
        let mut set = self.clone();
        set.remove(path);
        set
    }

    fn remove(&mut self, path: &[&str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let element = format!("f:{first}");
        if rest.is_empty() {
            self.children.remove(&element);
        } else if let Some(node) = self.children.get_mut(&element) {
            node.below.remove(rest);
            if node.below.is_empty() && !node.is_member {
                self.children.remove(&element);
            }
        }
    }

    /// The members as error messages show them: `.spec.containers[name="a"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        for (element, node) in &self.children {
            let path = format!("{prefix}{}", shown(element));
            if node.is_member {
                paths.push(path.clone());
            }
            node.below.collect_paths(&path, paths);
        }
    }

    /// Removes these fields from a value, unless `kept` has them too (or, for a list item, anything below them).
    pub(crate) fn remove_from(&self, kept: &Self, shape: Shape<'_>, value: &mut Value) {
        for (element, node) in &self.children {
            let theirs = kept.children.get(element);
            let goes = node.is_member && theirs.is_none();
            if let Some(field) = element.strip_prefix("f:") {
                let Some(map) = value.as_object_mut() else { return };
                if goes && node.below.is_empty() {
                    map.remove(field);
                } else if let Some(child) = map.get_mut(field) {
                    node.below.remove_from(theirs.map_or(&Self::default(), |t| &t.below), shape.field(field), child);
                    if theirs.is_none() && is_empty_container(child) {
                        map.remove(field);
                    }
                }
            } else if let Some(items) = value.as_array_mut() {
                let position = elements(shape, items).into_iter().position(|(candidate, _)| candidate == *element);
                let Some(position) = position else { continue };
                if goes {
                    items.remove(position);
                } else {
                    let below = theirs.map(|t| t.below.clone()).unwrap_or_default();
                    node.below.remove_from(&below, shape.item(), &mut items[position]);
                }
            }
        }
    }
}

fn is_empty_container(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// What differs between two values.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    pub(crate) changed: FieldSet,
    pub(crate) removed: FieldSet,
}

fn compare(shape: Shape<'_>, old: &Value, new: &Value, difference: &mut Difference) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) if !shape.is_atomic_map() => {
            for (key, value) in new {
                compare_child(format!("f:{key}"), shape.field(key), old.get(key), Some(value), difference);
            }
            for (key, value) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
                compare_child(format!("f:{key}"), shape.field(key), Some(value), None, difference);
            }
            // One of two empty maps differs in nothing below, but an emptied one is a field of its own.
            new.is_empty() != old.is_empty() && new.is_empty()
        }
        (Value::Array(old), Value::Array(new)) if shape.list() != ListKind::Atomic => {
            let before: BTreeMap<String, &Value> = elements(shape, old).into_iter().collect();
            let after: BTreeMap<String, &Value> = elements(shape, new).into_iter().collect();
            for (element, value) in &after {
                let old = before.get(element).copied();
                compare_child(element.clone(), shape.item(), old, Some(value), difference);
            }
            for (element, value) in before.iter().filter(|(element, _)| !after.contains_key(*element)) {
                compare_child(element.clone(), shape.item(), Some(value), None, difference);
            }
            false
        }
        (old, new) => old != new,
    }
}

fn compare_child(
    element: String,
    shape: Shape<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    difference: &mut Difference,
) {
    let is_item = !element.starts_with("f:");
    match (old, new) {
        (Some(old), Some(new)) => {
            let mut below = Difference::default();
            let is_changed = compare(shape, old, new, &mut below);
            if is_changed || !below.changed.is_empty() {
                let node = Node { is_member: is_changed, below: below.changed };
                difference.changed.children.insert(element.clone(), node);
            }
            if !below.removed.is_empty() {
                difference.removed.children.insert(element, Node { is_member: false, below: below.removed });
            }
        }
        (None, Some(new)) => difference.changed.add_child(element, shape, new, is_item),
        (Some(old), None) => difference.removed.add_child(element, shape, old, is_item),
        (None, None) => {}
    }
}

/// The items of a list with the path elements that identify them.
fn elements<'a>(shape: Shape<'_>, items: &'a [Value]) -> Vec<(String, &'a Value)> {
    match shape.list() {
        ListKind::Atomic => Vec::new(),
        ListKind::Set => items.iter().map(|item| (format!("v:{item}"), item)).collect(),
        ListKind::Map(keys) => items
            .iter()
            .filter_map(|item| {
                let key: Map<String, Value> = item_key(shape.item(), &keys, item)?.into_iter().collect();
                Some((format!("k:{}", Value::Object(key)), item))
            })
            .collect(),
    }
}

fn shown(element: &str) -> String {
    if let Some(field) = element.strip_prefix("f:") {
        return format!(".{field}");
    }
    if let Some(value) = element.strip_prefix("v:") {
        return format!("[={value}]");
    }
    let key: Map<String, Value> =
        element.strip_prefix("k:").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let parts: Vec<String> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("[{}]", parts.join(","))
}

//! Which fields a message has, read from the table in `fields.txt`. It decodes nothing.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::wire::Wire;

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    /// Its name in JSON.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) ty: Type,
    /// A zero or an empty text says something here: in Go it is a pointer, or always written.
    pub(super) keeps_zero: bool,
}

/// How often a field stands in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Many,
    /// By a text.
    Map,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Bool,
    Int,
    Bytes,
    Message(&'static str),
}

/// The fields of one message, by number.
pub(super) type Message = HashMap<u64, Field>;

static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let lines = include_str!("fields.txt").lines().filter(|line| !line.starts_with('#'));
    let message = |line: &'static str| {
        let (name, fields) = line.split_once(": ")?;
        Some((name, fields.split(", ").filter_map(field).collect()))
    };
    lines.filter_map(message).collect()
});

impl Field {
    /// Its own fields stand in the object that it is a field of.
    pub(super) fn is_inline(&self) -> bool {
        self.name == "="
    }
}

impl Type {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bool => "true or false",
            Self::Int => "a number",
            Self::Bytes => "bytes",
            Self::Message(name) => name,
        }
    }

    /// What stands for a value that was left out.
    pub(super) const fn nothing(self) -> Wire<'static> {
        match self {
            Self::Bool | Self::Int => Wire::Varint(0),
            Self::Text | Self::Bytes | Self::Message(_) => Wire::Bytes(&[]),
        }
    }
}

/// The message of that name.
pub(super) fn message(name: &str) -> Option<&'static Message> {
    MESSAGES.get(name)
}

/// Name of the message of a kind: the first label of its group, its version and its kind.
pub(super) fn name_of(api_version: &str, kind: &str) -> Option<&'static str> {
    let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
    let group = group.split('.').next().unwrap_or_default();
    let own = format!("{group}.{version}.{kind}");
    // Options are sent under the version of what they are for.
    let common = format!("meta.v1.{kind}");
    MESSAGES.get_key_value(own.as_str()).or_else(|| MESSAGES.get_key_value(common.as_str())).map(|(name, _)| *name)
}

/// `number name type`, as the table writes it.
fn field(text: &'static str) -> Option<(u64, Field)> {
    let mut words = text.split(' ');
    let (number, name, ty) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    let (ty, keeps_zero) = ty.strip_suffix('!').map_or((ty, false), |ty| (ty, true));
    let (shape, ty) = match (ty.strip_prefix('*'), ty.strip_prefix('%')) {
        (Some(ty), _) => (Shape::Many, ty),
        (_, Some(ty)) => (Shape::Map, ty),
        _ => (Shape::One, ty),
    };
    let ty = match ty {
        "string" => Type::Text,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "bytes" => Type::Bytes,
        name => Type::Message(name),
    };
    Some((number, Field { name, shape, ty, keeps_zero }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_whole_and_names_only_messages_that_it_has() {
        let lines: Vec<_> = include_str!("fields.txt").lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(MESSAGES.len(), lines.len());
        let special = [
            "meta.v1.Time",
            "meta.v1.MicroTime",
            "meta.v1.FieldsV1",
            "resource.Quantity",
            "intstr.IntOrString",
            "runtime.RawExtension",
        ];
        for line in lines {
            let (name, fields) = line.split_once(": ").expect(line);
            assert_eq!(message(name).map(HashMap::len), Some(fields.split(", ").count()), "{name}");
            for field in message(name).into_iter().flat_map(HashMap::values) {
                if let Type::Message(of) = field.ty {
                    assert!(message(of).is_some() || special.contains(&of), "{name} has a {of}");
                }
            }
        }
    }
}

//! Reads YAML into a tree that remembers where everything stands. Hostile input ends as a problem: size, depth and number
//! of nodes (aliases unrolled) are bounded. What the tree means is no business of this file.

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Number, Value};

use super::path::{Path, Step};

/// A manifest is refused above this many bytes.
const MAX_BYTES: usize = 1 << 20;
/// Mappings and lists within each other.
const MAX_DEPTH: usize = 64;
/// Reading ends after so many errors.
const MAX_ERRORS: usize = 100;
/// Nodes of a file, every use of an alias counted as a copy.
const MAX_NODES: usize = 100_000;

/// A piece of YAML and the bytes it stands in.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) data: Data,
    /// How a scalar is written. Of an alias, a mapping or a list it says nothing.
    pub(super) style: ScalarStyle,
    /// Nodes in it, itself included.
    size: usize,
}

/// What a piece of YAML is, by the core schema of YAML 1.2.
#[derive(Debug, Clone)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The name of a field.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) span: Range<usize>,
    pub(super) style: ScalarStyle,
}

/// What keeps a text from being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) span: Range<usize>,
}

/// Reads all documents of a text; empty ones are left out. All errors that reading can go on after are told at once.
pub(super) fn read(text: &str) -> Result<Vec<Node>, Vec<Unreadable>> {
    if text.len() > MAX_BYTES {
        return Err(vec![Unreadable::new(0..0, format!("the file has {} bytes, more than {MAX_BYTES}", text.len()))]);
    }
    let mut loader = Loader::new(text);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let outcome = match event {
            Ok((event, span)) => loader.take(event, &span),
            Err(error) => {
                let at = loader.offsets.byte(error.marker().index());
                Err(Unreadable::new(at..at, format!("this is not YAML: {}", error.info())))
            }
        };
        if let Err(fatal) = outcome {
            loader.errors.push(fatal);
            break;
        }
        if loader.errors.len() >= MAX_ERRORS {
            break;
        }
    }
    if loader.errors.is_empty() { Ok(loader.documents) } else { Err(loader.errors) }
}

impl Node {
    /// The same as JSON, for deserialising.
    pub(super) fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Data::Map(fields) => {
                Value::Object(fields.iter().map(|(key, value)| (key.name.clone(), value.to_json())).collect())
            }
        }
    }

    /// The field of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|(_, value)| value)
    }

    /// The bytes of what `path` leads to: of its name or of its value. Where the path leads out of the tree, those of the
    /// last thing on the way.
    pub(super) fn locate(&self, path: &Path, at_key: bool) -> Range<usize> {
        let mut node = self;
        let mut key = None;
        for step in path.steps() {
            let next = match (step, &node.data) {
                (Step::Field(name), Data::Map(_)) => node.entry(name).map(|(key, value)| (Some(key), value)),
                (Step::Index(index), Data::List(items)) => items.get(*index).map(|item| (None, item)),
                _ => None,
            };
            match next {
                Some((found, value)) => (key, node) = (found, value),
                None => return key.map_or_else(|| node.head(), |key: &Key| key.span.clone()),
            }
        }
        match (key, &node.data) {
            (Some(key), Data::Map(_) | Data::List(_) | Data::Null) => key.span.clone(),
            (Some(key), _) if at_key => key.span.clone(),
            _ => node.head(),
        }
    }

    /// The bytes to point at: of a mapping its first name, of a list its first element.
    fn head(&self) -> Range<usize> {
        match &self.data {
            Data::Map(fields) => fields.first().map_or_else(|| self.span.clone(), |(key, _)| key.span.clone()),
            Data::List(items) => items.first().map_or_else(|| self.span.clone(), Self::head),
            _ => self.span.clone(),
        }
    }

    fn entry(&self, name: &str) -> Option<(&Key, &Self)> {
        match &self.data {
            Data::Map(fields) => fields.iter().find(|(key, _)| key.name == name).map(|(key, value)| (key, value)),
            _ => None,
        }
    }
}

impl Unreadable {
    fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, span }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Where characters stand in bytes: the parser counts characters.
struct Offsets {
    /// `None`: every character is one byte.
    bytes: Option<Vec<usize>>,
    len: usize,
}

impl Offsets {
    fn new(text: &str) -> Self {
        let bytes = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        Self { bytes, len: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        match &self.bytes {
            None => character.min(self.len),
            Some(bytes) => bytes.get(character).copied().unwrap_or(self.len),
        }
    }
}

/// A mapping or list that is not closed yet.
struct Open {
    anchor: usize,
    start: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { fields: Vec<(Key, Node)>, seen: HashMap<String, usize>, key: Option<Key> },
}

/// Builds trees from the parser's events, without recursion.
struct Loader<'t> {
    text: &'t str,
    offsets: Offsets,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    errors: Vec<Unreadable>,
}

impl<'t> Loader<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            offsets: Offsets::new(text),
            documents: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            errors: Vec::new(),
        }
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Unreadable> {
        let span = self.offsets.byte(span.start.index())..self.offsets.byte(span.end.index());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if tag.is_some() {
                    self.errors.push(Unreadable::new(span.clone(), "tags are not read here").hint("leave the tag out"));
                }
                let data = self.scalar(text.into_owned(), style, &span);
                self.add(Node { span, data, style, size: 1 }, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => self.start(anchor, span.start, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                self.start(anchor, span.start, Content::Map { fields: Vec::new(), seen: HashMap::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(&span),
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(mut node) => {
                    (node.span, node.style) = (span, ScalarStyle::Plain);
                    let cost = node.size;
                    self.add(node, 0, cost)
                }
                None => Err(Unreadable::new(span, "this alias stands within what it repeats")),
            },
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::DocumentStart(_) | Event::StreamStart | Event::StreamEnd | Event::Nothing => Ok(()),
        }
    }

    fn start(&mut self, anchor: usize, start: usize, content: Content) -> Result<(), Unreadable> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Unreadable::new(start..start, format!("more than {MAX_DEPTH} levels within each other")));
        }
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(Unreadable::new(start..start, "a name must be text, not a mapping or a list"));
        }
        self.open.push(Open { anchor, start, content });
        Ok(())
    }

    fn end(&mut self, span: &Range<usize>) -> Result<(), Unreadable> {
        let Some(Open { anchor, start, content }) = self.open.pop() else {
            return Ok(());
        };
        let data = match content {
            Content::List(items) => Data::List(items),
            Content::Map { fields, .. } => Data::Map(fields),
        };
        let inner: usize = match &data {
            Data::List(items) => items.iter().map(|item| item.size).sum(),
            Data::Map(fields) => fields.iter().map(|(_, value)| value.size).sum(),
            _ => 0,
        };
        let (span, style) = (start..span.end.max(start), ScalarStyle::Plain);
        self.add(Node { span, data, style, size: inner + 1 }, anchor, 1)
    }

    /// Puts a finished node where it belongs. `cost` is how many nodes it adds to those counted so far.
    fn add(&mut self, node: Node, anchor: usize, cost: usize) -> Result<(), Unreadable> {
        self.nodes += cost;
        if anchor != 0 {
            self.nodes += node.size;
            self.anchors.insert(anchor, node.clone());
        }
        if self.nodes > MAX_NODES {
            return Err(Unreadable::new(node.span, format!("more than {MAX_NODES} values in one file")));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None if matches!(node.data, Data::Null) => {}
            None => self.documents.push(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { key: key @ None, .. }) => *key = Some(name_of(self.text, node)?),
            Some(Content::Map { fields, seen, key: key @ Some(_) }) => {
                let Some(key) = key.take() else { return Ok(()) };
                if let Some(first) = seen.get(&key.name) {
                    let error = Unreadable::new(key.span, format!("{:?} is written twice", key.name));
                    self.errors.push(error.hint(format!("it stands in line {} already", line_of(self.text, *first))));
                } else {
                    seen.insert(key.name.clone(), key.span.start);
                    fields.push((key, node));
                }
            }
        }
        Ok(())
    }

    /// What a scalar is, by the core schema: quoted ones are text, plain ones may be something else.
    fn scalar(&mut self, text: String, style: ScalarStyle, span: &Range<usize>) -> Data {
        if style != ScalarStyle::Plain {
            return Data::Text(text);
        }
        match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
            "true" | "True" | "TRUE" => return Data::Bool(true),
            "false" | "False" | "FALSE" => return Data::Bool(false),
            _ => {}
        }
        let is_special = matches!(text.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str(), ".inf" | ".nan");
        match number(&text) {
            Some(number) => Data::Number(number),
            None if is_special => {
                self.errors.push(Unreadable::new(span.clone(), format!("{text} is no number that can be compared")));
                Data::Null
            }
            None => Data::Text(text),
        }
    }
}

/// A number of the core schema that JSON can hold; text that only looks like one stays text.
fn number(text: &str) -> Option<Number> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let (radix, digits) = match unsigned.get(..2) {
        Some("0x") => (16, &unsigned[2..]),
        Some("0o") => (8, &unsigned[2..]),
        _ => (10, unsigned),
    };
    if radix != 10 {
        return if digits.starts_with(['+', '-']) {
            None
        } else {
            u64::from_str_radix(digits, radix).ok().map(Number::from)
        };
    }
    let shape = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !unsigned.chars().all(shape) {
        return None;
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    let whole = || text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok();
    whole().or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64))
}

/// The name of a field: any scalar, as it is written.
fn name_of(text: &str, node: Node) -> Result<Key, Unreadable> {
    let name = match node.data {
        Data::Text(name) => name,
        Data::Bool(_) | Data::Number(_) => text.get(node.span.clone()).unwrap_or_default().to_owned(),
        Data::Null => return Err(Unreadable::new(node.span, "a name is missing here")),
        Data::List(_) | Data::Map(_) => return Err(Unreadable::new(node.span, "a name must be text")),
    };
    Ok(Key { name, span: node.span, style: node.style })
}

fn line_of(text: &str, byte: usize) -> usize {
    text.as_bytes().iter().take(byte).filter(|b| **b == b'\n').count() + 1
}

//! The text of a manifest without the credentials in it: other values stand where credentials can stand, and everything else,
//! comments and form as far as possible, is as it was, so that it still means the same. What a credential is, and what stands in
//! its place, is the caller's to say.

use std::ops::Range;

use saphyr_parser::ScalarStyle;
use serde_json::{Map, Value};

use super::document::{self, Data, Node};

/// Where in a manifest a credential can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The value of what is named so: a header that is sent or expected, a field of an expected answer, an annotation.
    Named(&'a str),
    /// What an answer must hold where this path leads to.
    Selected(&'a str),
    /// A body, a path with its query, or what a body must contain.
    Text,
    /// A base URL.
    Url,
    /// An argument of a program, after that other one.
    Argument(Option<&'a str>),
    /// A comment, with its `#`.
    Comment,
}

/// The text, with what `change` gives for the values in such places instead of them. `None`: it cannot be read.
pub fn without_credentials(text: &str, change: impl FnMut(Place<'_>, &str) -> Option<String>) -> Option<String> {
    let documents = document::read(text).ok()?;
    let mut walk = Walk { text, change, scalars: Vec::new(), edits: Vec::new(), fits: true };
    let wanted: Vec<Value> = documents.iter().map(|document| walk.value(document, &mut Vec::new(), None)).collect();
    walk.comments();
    let fits = walk.fits;
    if fits && walk.edits.is_empty() {
        return Some(text.to_owned());
    }
    let edited = walk.edited();
    let means_it = |found: Vec<Node>| found.iter().map(Node::to_json).eq(wanted.iter().cloned());
    if fits && document::read(&edited).is_ok_and(means_it) {
        return Some(edited);
    }
    // An anchor that is used elsewhere, or a form that cannot hold the new value. JSON is YAML, and says it without either.
    let documents: Vec<String> = wanted.iter().map(|document| format!("{document:#}\n")).collect();
    Some(documents.join("---\n"))
}

/// A walk through the documents of a text.
struct Walk<'t, C> {
    text: &'t str,
    change: C,
    /// Where scalars are written: what is between them are names of anchors, punctuation and comments.
    scalars: Vec<Range<usize>>,
    /// What is written instead of what.
    edits: Vec<(Range<usize>, String)>,
    /// Whether all new values could be written where the old ones stand.
    fits: bool,
}

impl<C: FnMut(Place<'_>, &str) -> Option<String>> Walk<'_, C> {
    /// What a node is to mean. `at`: the fields that lead to it. `beside`: in a list the text before it, in a mapping the
    /// `jsonPath` of that mapping; below what is expected there, still that one.
    fn value<'n>(&mut self, node: &'n Node, at: &mut Vec<&'n str>, beside: Option<&'n str>) -> Value {
        let is_expected = at.contains(&"equals");
        match &node.data {
            Data::List(items) => {
                let mut before = None;
                let mut values = Vec::new();
                for item in items {
                    values.push(self.value(item, at, if is_expected { beside } else { before }));
                    before = text_of(item);
                }
                Value::Array(values)
            }
            Data::Map(fields) => {
                let path = if is_expected { beside } else { node.get("jsonPath").and_then(text_of) };
                let mut values = Map::new();
                for (key, value) in fields {
                    self.scalars.push(written(self.text, &key.span, key.style));
                    at.push(&key.name);
                    values.insert(key.name.clone(), self.value(value, at, path));
                    at.pop();
                }
                Value::Object(values)
            }
            Data::Null | Data::Bool(_) | Data::Number(_) | Data::Text(_) => self.scalar(node, place(at, beside)),
        }
    }

    fn scalar(&mut self, node: &Node, place: Option<Place<'_>>) -> Value {
        let written = written(self.text, &node.span, node.style);
        self.scalars.push(written.clone());
        let old = match &node.data {
            Data::Text(text) => text.clone(),
            Data::Number(number) => number.to_string(),
            _ => return node.to_json(),
        };
        let Some(new) = place.and_then(|place| (self.change)(place, &old)) else { return node.to_json() };
        match form(self.text, &written, node.style, &new) {
            Some(form) => self.edits.push((written, form)),
            None => self.fits = false,
        }
        Value::String(new)
    }

    /// Looks at all that stands between scalars.
    fn comments(&mut self) {
        let mut scalars = std::mem::take(&mut self.scalars);
        scalars.sort_by_key(|scalar| scalar.start);
        let end = self.text.len();
        let mut from = 0;
        for scalar in scalars.into_iter().chain(std::iter::once(end..end)) {
            if scalar.start > from {
                self.comments_in(from..scalar.start);
            }
            from = from.max(scalar.end);
        }
    }

    fn comments_in(&mut self, gap: Range<usize>) {
        let mut from = gap.start;
        while let Some(found) = self.text.get(from..gap.end).and_then(|rest| rest.find('#')) {
            let start = from + found;
            let is_comment = self.text[..start].chars().next_back().is_none_or(char::is_whitespace);
            let end = self.text[start..gap.end].find(['\r', '\n']).map_or(gap.end, |len| start + len);
            if is_comment && let Some(new) = (self.change)(Place::Comment, &self.text[start..end]) {
                self.edits.push((start..end, new));
            }
            from = if is_comment { end } else { start + 1 };
        }
    }

    /// The text with all edits. Of two at one place, as aliases have them, the first is made.
    fn edited(&mut self) -> String {
        self.edits.sort_by_key(|(range, _)| range.start);
        let mut edited = String::with_capacity(self.text.len());
        let mut from = 0;
        for (range, new) in &self.edits {
            if let Some(kept) = self.text.get(from..range.start) {
                edited.push_str(kept);
                edited.push_str(new);
                from = range.end;
            }
        }
        edited.push_str(self.text.get(from..).unwrap_or_default());
        edited
    }
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.data {
        Data::Text(text) => Some(text),
        _ => None,
    }
}

/// Which place it is that these fields lead to, if credentials can stand there.
fn place<'a>(at: &[&'a str], beside: Option<&'a str>) -> Option<Place<'a>> {
    let inner = match at {
        ["metadata", "annotations", name] => return Some(Place::Named(name)),
        ["spec", "experiment", inner @ ..] | ["spec", inner @ ..] => inner,
        _ => return None,
    };
    match inner {
        ["probes" | "flows", "http", "then", request @ ..] | ["probes" | "flows", "http", request @ ..] => {
            place_of_request(request, beside)
        }
        ["probes", "prometheus" | "invariants", "url"] | ["abort", "alert", "url"] => Some(Place::Url),
        ["probes", "invariants", "path"] => Some(Place::Text),
        ["probes", "command", "argv"] => Some(Place::Argument(beside)),
        _ => None,
    }
}

fn place_of_request<'a>(at: &[&'a str], beside: Option<&'a str>) -> Option<Place<'a>> {
    match at {
        ["headers", name] | ["success", "headers", name, "equals" | "contains"] => Some(Place::Named(name)),
        ["path" | "body"] | ["success", "body" | "bodies", "contains"] => Some(Place::Text),
        ["success", "body" | "bodies", "equals"] => beside.map(Place::Selected),
        ["success", "body" | "bodies", "equals", .., name] => Some(Place::Named(name)),
        ["url"] => Some(Place::Url),
        _ => None,
    }
}

/// The bytes of the scalar alone: the parser's span begins with its anchor and, of a quoted one, ends behind a comment.
fn written(text: &str, span: &Range<usize>, style: ScalarStyle) -> Range<usize> {
    let piece = text.get(span.clone()).unwrap_or_default();
    match style {
        ScalarStyle::SingleQuoted => quoted(piece, span.start, b'\''),
        ScalarStyle::DoubleQuoted => quoted(piece, span.start, b'"'),
        ScalarStyle::Plain if piece.starts_with('&') => {
            let value = piece.find(char::is_whitespace).map_or("", |end| piece[end..].trim_start());
            span.end - value.len()..span.end
        }
        _ => span.clone(),
    }
}

/// From the first quote of a piece to the one that closes it.
fn quoted(piece: &str, offset: usize, quote: u8) -> Range<usize> {
    let bytes = piece.as_bytes();
    let start = bytes.iter().position(|byte| *byte == quote).unwrap_or_default();
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        let is_doubled = quote == b'\'' && bytes.get(at + 1) == Some(&quote);
        match *byte {
            b'\\' if quote == b'"' => at += 2,
            found if found != quote => at += 1,
            _ if is_doubled => at += 2,
            _ => return offset + start..offset + at + 1,
        }
    }
    offset + start..offset + bytes.len()
}

/// How a text is written where a scalar of that style stands; `None`: that style cannot hold it.
fn form(text: &str, written: &Range<usize>, style: ScalarStyle, new: &str) -> Option<String> {
    match style {
        ScalarStyle::Plain if is_plain(new) => Some(new.to_owned()),
        ScalarStyle::SingleQuoted if !new.contains(char::is_control) => Some(format!("'{}'", new.replace('\'', "''"))),
        ScalarStyle::Literal | ScalarStyle::Folded => block(text, written, style, new),
        _ => Some(Value::from(new).to_string()),
    }
}

/// Whether a text is the same without quotes, wherever it stands. Errs towards no.
fn is_plain(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"()/._-=&?:".contains(&b);
    text.starts_with(['(', '/']) && text.bytes().all(inner) && !text.ends_with(':')
}

/// The lines of a block, indented as it is, with the end that it has.
fn block(text: &str, written: &Range<usize>, style: ScalarStyle, new: &str) -> Option<String> {
    let before = text.get(..written.start)?;
    let indent = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
    // Empty lines before the first and behind the last one are not among those bytes.
    let new = new.trim_matches('\n');
    let is_indented = !indent.is_empty() && indent.bytes().all(|b| b == b' ');
    if !is_indented || (style == ScalarStyle::Folded && new.contains('\n')) {
        return None;
    }
    let old = text.get(written.clone())?;
    let indented = |line: &str| if line.is_empty() { String::new() } else { format!("{indent}{line}") };
    let lines: Vec<String> = new.split('\n').map(indented).collect();
    let lines = lines.join("\n");
    // The first one is indented already.
    Some(lines.strip_prefix(indent)?.to_owned() + &old[old.trim_end().len()..])
}

#[cfg(test)]
mod tests;

//! Problems of a file, each with its line, column and a snippet: what `chaos validate` prints. It renders text and writes
//! nothing.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// Everything that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    source_name: String,
    text: String,
    found: Vec<Diagnostic>,
    /// Problems beyond those that are kept.
    dropped: usize,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The place in the manifest, such as `spec.probes[1].http.rate`; empty: the document.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    #[serde(skip)]
    span: Range<usize>,
}

impl Diagnostics {
    /// More than this are not rendered, only counted: nobody reads a thousand problems.
    const MAX_SHOWN: usize = 50;
    /// More than this are not even kept: a hostile file has a hundred thousand.
    const MAX_KEPT: usize = 500;
    /// Longer lines are shown around the place only.
    const MAX_LINE: usize = 400;

    pub(super) fn new(source_name: &str, text: &str) -> Self {
        Self { source_name: source_name.to_owned(), text: text.to_owned(), found: Vec::new(), dropped: 0 }
    }

    pub(super) fn add(&mut self, span: Range<usize>, path: String, message: String, hint: Option<String>) {
        if self.found.len() >= Self::MAX_KEPT {
            self.dropped += 1;
            return;
        }
        let start = floor_char_boundary(&self.text, span.start);
        let end = floor_char_boundary(&self.text, span.end.max(start));
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        self.found.push(Diagnostic {
            line: before.bytes().filter(|b| *b == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            path,
            message,
            hint,
            span: start..end,
        });
    }

    /// In the order of the file.
    pub(super) fn sorted(mut self) -> Self {
        self.found.sort_by_key(|found| found.span.start);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Where the text came from.
    pub fn source_name(&self) -> &str {
        &self.source_name
    }

    /// All problems, in the order of the file; never empty.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// All problems with their snippets, for people; with ANSI colours where the reader is a terminal.
    pub fn render(&self, coloured: bool) -> String {
        let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
        let shown = self.found.iter().take(Self::MAX_SHOWN);
        let mut out = shown.map(|found| self.render_one(&renderer, found)).collect::<Vec<_>>().join("\n\n");
        let hidden = self.found.len().saturating_sub(Self::MAX_SHOWN) + self.dropped;
        if hidden > 0 {
            out = format!("{out}\n\n… and {hidden} more");
        }
        out
    }

    fn render_one(&self, renderer: &Renderer, found: &Diagnostic) -> String {
        let title =
            if found.path.is_empty() { found.message.clone() } else { format!("{}: {}", found.path, found.message) };
        let lines = self.lines_around(found.span.start);
        let group = Level::ERROR.primary_title(title);
        let group = match self.text.get(lines.clone()) {
            Some(source) if source.len() <= Self::MAX_LINE => {
                let end = found.span.end.min(lines.end).max(found.span.start);
                let span = found.span.start - lines.start..end - lines.start;
                group.element(
                    Snippet::source(source)
                        .line_start(self.line_of(lines.start))
                        .path(self.source_name.as_str())
                        .fold(false)
                        .annotation(AnnotationKind::Primary.span(span)),
                )
            }
            _ => group.element(Origin::path(self.source_name.as_str()).line(found.line).char_column(found.column)),
        };
        let group: Group<'_> = match &found.hint {
            Some(hint) => group.element(Level::HELP.with_name("hint").message(hint.as_str())),
            None => group,
        };
        renderer.render(&[group])
    }

    /// The line of that byte and the one before it.
    fn lines_around(&self, at: usize) -> Range<usize> {
        let start = self.text[..at].rfind('\n').unwrap_or(0);
        let start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[at..].find('\n').map_or(self.text.len(), |len| at + len);
        start..end
    }

    fn line_of(&self, at: usize) -> usize {
        self.text[..at].bytes().filter(|b| *b == b'\n').count() + 1
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

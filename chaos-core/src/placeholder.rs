//! Text with typed placeholders (`{{uuid}}`, `{{seq}}`, `{{choice a b c}}`, `{{int 1 9}}`, and the names of what earlier
//! requests of a flow extracted): parsed once, with unknown ones refused, then rendered for each request. Deterministic: the
//! values are a function of the slot and of the keys that are handed in; there is no other templating, and nothing here reads
//! the environment.

use std::fmt::Write as _;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A text that has been checked, ready to be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Seq,
    Uuid,
    Choice(Vec<String>),
    Int { low: i64, high: i64 },
    Extracted(String),
}

/// What earlier requests of a flow extracted, by name.
pub type Extracted = std::collections::BTreeMap<String, String>;

/// A placeholder that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceholderError {
    /// No such placeholder.
    #[error(
        "unknown placeholder {{{{{name}}}}}; hint: known are {{{{uuid}}}}, {{{{seq}}}}, {{{{choice a b}}}} and {{{{int 1 9}}}}{extracted}"
    )]
    Unknown {
        /// What stands between the braces.
        name: String,
        /// What else is known here, in words.
        extracted: String,
    },
    /// A known one with arguments that do not fit.
    #[error("placeholder {{{{{name}}}}} has wrong arguments; hint: {hint}")]
    Arguments {
        /// What stands between the braces.
        name: String,
        /// How it is written.
        hint: &'static str,
    },
    /// Two opening braces without closing ones.
    #[error("placeholder is not closed after {start:?}; hint: end it with two closing braces")]
    Open {
        /// The first characters after the braces.
        start: String,
    },
}

/// Which request the text is rendered for.
#[derive(Debug, Clone, Copy)]
pub struct SlotKey {
    /// Number of the slot: the value of `seq`.
    pub slot: u64,
    /// The run's seed: `choice` and `int` are the same in every run with it.
    pub seed: u64,
    /// Random for every run: identities must not repeat over runs, or the system answers from its memory.
    pub run: u128,
}

impl std::str::FromStr for Template {
    type Err = PlaceholderError;

    fn from_str(text: &str) -> Result<Self, PlaceholderError> {
        Self::with_extracted(text, &[])
    }
}

/// As it was written.
impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Seq => f.write_str("{{seq}}"),
            Part::Uuid => f.write_str("{{uuid}}"),
            Part::Choice(words) => write!(f, "{{{{choice {}}}}}", words.join(" ")),
            Part::Int { low, high } => write!(f, "{{{{int {low} {high}}}}}"),
            Part::Extracted(name) => write!(f, "{{{{{name}}}}}"),
        })
    }
}

/// Whether this can be the name of something extracted: it must not be a placeholder already.
pub fn is_free_name(name: &str) -> bool {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    first && letters && name.len() <= 63 && !matches!(name, "uuid" | "seq" | "choice" | "int")
}

impl Template {
    /// Parses a text that may also use these names of extracted values.
    pub fn with_extracted(text: &str, names: &[&str]) -> Result<Self, PlaceholderError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((inner, tail)) = after.split_once("}}") else {
                return Err(PlaceholderError::Open { start: after.chars().take(20).collect() });
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(part(inner.trim(), names)?);
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The text itself, where it holds no placeholder: it needs to be rendered only once.
    pub fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The literal texts between the placeholders.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
    }

    /// Appends the text for a slot to `out`; what was not extracted is nothing.
    pub fn render(&self, key: SlotKey, extracted: &Extracted, out: &mut String) {
        let mut drawn = None;
        let mut unique = None;
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Seq => push(out, format_args!("{}", key.slot)),
                Part::Uuid => push_uuid(out, unique.get_or_insert_with(|| stream(key.run, key.slot))),
                Part::Choice(options) => {
                    let index = draw(&mut drawn, key, options.len() as u64);
                    out.push_str(usize::try_from(index).ok().and_then(|i| options.get(i)).map_or("", String::as_str));
                }
                Part::Int { low, high } => {
                    let value =
                        i128::from(*low) + i128::from(draw(&mut drawn, key, high.abs_diff(*low).saturating_add(1)));
                    push(out, format_args!("{value}"));
                }
                Part::Extracted(name) => out.push_str(extracted.get(name).map_or("", String::as_str)),
            }
        }
    }
}

fn part(inner: &str, names: &[&str]) -> Result<Part, PlaceholderError> {
    let wrong = |hint| PlaceholderError::Arguments { name: inner.to_owned(), hint };
    let mut words = inner.split_whitespace();
    let name = words.next().unwrap_or_default();
    let arguments: Vec<&str> = words.collect();
    match (name, arguments.as_slice()) {
        ("uuid", []) => Ok(Part::Uuid),
        ("seq", []) => Ok(Part::Seq),
        ("uuid" | "seq", _) => Err(wrong("it takes none")),
        ("choice", []) => Err(wrong("name at least one word, as in {{choice a b c}}")),
        ("choice", words) => Ok(Part::Choice(words.iter().map(|&word| word.to_owned()).collect())),
        ("int", [low, high]) => match (low.parse(), high.parse()) {
            (Ok(low), Ok(high)) if low <= high => Ok(Part::Int { low, high }),
            _ => Err(wrong("write two whole numbers, the lower one first, as in {{int 1 9}}")),
        },
        ("int", _) => Err(wrong("write two whole numbers, as in {{int 1 9}}")),
        (name, []) if names.contains(&name) => Ok(Part::Extracted(name.to_owned())),
        _ => {
            let extracted = names.iter().map(|name| format!(", {{{{{name}}}}}")).collect();
            Err(PlaceholderError::Unknown { name: inner.to_owned(), extracted })
        }
    }
}

/// A stream of random numbers that belongs to one slot alone.
fn stream(key: u128, slot: u64) -> ChaCha8Rng {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(&key.to_le_bytes());
    seed[16..24].copy_from_slice(&slot.to_le_bytes());
    ChaCha8Rng::from_seed(seed)
}

/// A number below `bound` (the bias of the multiplication is below 2⁻⁵⁰ for any bound a manifest may write).
fn draw(rng: &mut Option<ChaCha8Rng>, key: SlotKey, bound: u64) -> u64 {
    let bits = rng.get_or_insert_with(|| stream(u128::from(key.seed), key.slot)).next_u64();
    let scaled = (u128::from(bits) * u128::from(bound)) >> 64;
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// A UUID of version 4 (RFC 9562).
fn push_uuid(out: &mut String, rng: &mut ChaCha8Rng) {
    let (high, low) = (rng.next_u64(), rng.next_u64());
    let (first, second, version) = (high >> 32, (high >> 16) & 0xffff, (high & 0x0fff) | 0x4000);
    let (variant, node) = (((low >> 48) & 0x3fff) | 0x8000, low & 0xffff_ffff_ffff);
    push(out, format_args!("{first:08x}-{second:04x}-{version:04x}-{variant:04x}-{node:012x}"));
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str, slot: u64, run: u128) -> String {
        let mut out = String::new();
        text.parse::<Template>().unwrap().render(SlotKey { slot, seed: 5, run }, &Extracted::new(), &mut out);
        out
    }

    #[test]
    fn fixed_text_is_known_as_such() {
        assert_eq!("/v1/rides".parse::<Template>().unwrap().fixed(), Some("/v1/rides"));
        assert_eq!("".parse::<Template>().unwrap().fixed(), Some(""));
        assert_eq!("{{seq}}".parse::<Template>().unwrap().fixed(), None);
        for text in ["/a/{{seq}}?b={{choice c d}}", "{{uuid}} {{int -1 9}}"] {
            assert_eq!(text.parse::<Template>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn values_have_their_type() {
        assert_eq!(render(r#"{"a":{"rider":"{{seq}}"}}"#, 12, 1), r#"{"a":{"rider":"12"}}"#);
        for slot in 0..500 {
            let int: i64 = render("{{int -2 2}}", slot, 1).parse().unwrap();
            assert!((-2..=2).contains(&int));
            assert!(["a", "b"].contains(&render("{{ choice a b }}", slot, 1).as_str()));
        }
        let seen: std::collections::BTreeSet<_> = (0..500).map(|slot| render("{{int -2 2}}", slot, 1)).collect();
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn choices_repeat_with_the_seed_and_identities_never() {
        assert_eq!(render("{{int 0 1000000}}", 3, 1), render("{{int 0 1000000}}", 3, 2));
        let mut seen = std::collections::BTreeSet::new();
        for run in 0..10 {
            for slot in 0..100 {
                let text = render("{{uuid}}{{uuid}}", slot, run);
                let (first, second) = text.split_at(36);
                assert_eq!((&first[14..15], first.matches('-').count()), ("4", 4), "{first}");
                assert!(seen.insert(first.to_owned()) && seen.insert(second.to_owned()));
            }
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_hint() {
        for text in
            ["{{uid}}", "{{}}", "{{uuid 4}}", "{{choice}}", "{{int 9 1}}", "{{int 1}}", "{{int a b}}", "a {{seq"]
        {
            let error = text.parse::<Template>().unwrap_err();
            assert!(error.to_string().contains("hint: "), "{text}: {error}");
        }
    }

    #[test]
    fn extracted_values_stand_where_they_are_named_and_only_known_names_do() {
        let template = Template::with_extracted("/rides/{{ride}}?n={{seq}}", &["ride"]).unwrap();
        let mut out = String::new();
        let extracted = Extracted::from([("ride".to_owned(), "r-7".to_owned())]);
        template.render(SlotKey { slot: 3, seed: 0, run: 0 }, &extracted, &mut out);
        assert_eq!((out.as_str(), template.fixed()), ("/rides/r-7?n=3", None));
        let error = Template::with_extracted("{{rider}}", &["ride"]).unwrap_err();
        assert!(error.to_string().ends_with("{{int 1 9}}, {{ride}}"), "{error}");
        assert!(is_free_name("ride_1") && !is_free_name("seq") && !is_free_name("1a") && !is_free_name("a b"));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let text = format!("{{{{int {} {}}}}}", i64::MIN, i64::MAX);
        assert!(render(&text, 0, 0).parse::<i64>().is_ok());
    }
}

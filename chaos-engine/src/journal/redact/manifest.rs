//! A manifest without secrets that is still the same manifest: its values are looked at one by one, by where they stand. What
//! is recorded has to be read again, and mean the same; what could not is refused before a run begins.

use chaos_core::model::Experiment;
use chaos_core::validate::{self, Place};
use chaos_core::verdict::JudgeSpec;

use super::names::{is_of_credential, selects_credential};
use super::{MASK, Redactor, patterns};

/// A run whose record nobody could judge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "without its credentials, as it is recorded, the manifest {why}: nobody could judge the run by its record; hint: keep \
     credentials to values of headers, bodies and queries, and give each experiment of a file a name of its own"
)]
pub struct Unrecordable {
    why: String,
}

impl Redactor {
    /// The manifest without secrets, comments and form as far as possible; one that cannot be read, as a text without secrets.
    pub fn manifest(&self, text: &str) -> String {
        let clean = validate::without_credentials(text, |place, text| self.placed(place, text));
        clean.unwrap_or_else(|| self.text(text).into_owned())
    }

    /// Whether a run of this experiment can be judged, and planned again, by the record that will hold its manifest.
    pub fn check(&self, manifest: &str, experiment: &Experiment) -> Result<(), Unrecordable> {
        let (written, recorded) = (read(manifest, experiment)?, read(&self.manifest(manifest), experiment)?);
        let is_same = JudgeSpec::from(&recorded) == JudgeSpec::from(experiment)
            && (&recorded.target, &recorded.fault) == (&written.target, &written.fault)
            && (recorded.phases, recorded.limits, recorded.seed) == (written.phases, written.limits, written.seed);
        if is_same {
            return Ok(());
        }
        Err(Unrecordable { why: format!("says something else of experiment {:?}", experiment.name) })
    }

    /// What stands in place of a value; `None`: there is nothing to hide in it.
    fn placed(&self, place: Place<'_>, text: &str) -> Option<String> {
        let clean = match place {
            // What an annotation is called comes after a domain.
            Place::Named(name) if is_of_credential(name.rsplit('/').next().unwrap_or(name)) => masked(text),
            Place::Selected(path) if selects_credential(path) => masked(text),
            Place::Argument(before) => self.argument(before, text),
            Place::Url => self.url(text),
            // Fields first: a known secret that was replaced in the midst of a value would be taken for all of it.
            Place::Text => {
                let fields = patterns::hide_fields(text.into());
                patterns::hide_fields(self.text(&fields)).into_owned()
            }
            Place::Named(_) | Place::Selected(_) | Place::Comment => self.text(text).into_owned(),
        };
        let is_template = matches!(place, Place::Named(_) | Place::Text);
        let clean = if is_template && !has_whole_placeholders(text, &clean) { masked(text) } else { clean };
        // A path stays one.
        let is_path = place == Place::Text && text.starts_with('/');
        let clean = if is_path && !clean.starts_with('/') { format!("/{clean}") } else { clean };
        (clean != text).then_some(clean)
    }

    /// A URL whose host is its host, however it is called.
    fn url(&self, url: &str) -> String {
        let host = url.find("://").map_or(0, |at| at + 3);
        let path = url[host..].find('/').map_or(url.len(), |at| host + at);
        let (base, rest) = url.split_at(path);
        if base.contains('@') { self.text(url).into_owned() } else { format!("{base}{}", self.text(rest)) }
    }

    /// An argument of a program, by the option before it or in it.
    fn argument(&self, before: Option<&str>, text: &str) -> String {
        if let Some((option, value)) = glued(text) {
            let clean = format!("{}{}", &text[..text.len() - value.len()], self.value_of(Some(option), value));
            return self.text(&clean).into_owned();
        }
        let option = before.filter(|before| before.starts_with('-')).map(|before| before.trim_start_matches('-'));
        // An option is no value of the one before it.
        self.value_of(option.filter(|_| !text.starts_with('-')), text)
    }

    /// The value of an option, or an argument of none.
    fn value_of(&self, option: Option<&str>, text: &str) -> String {
        let is_user = matches!(option, Some("u" | "user" | "proxy-user")) && text.contains(':');
        if is_user || option.is_some_and(is_of_credential) {
            return masked(text);
        }
        if let Some((name, _)) = text.split_once('=').filter(|(name, _)| is_of_credential(name.trim_start_matches('-')))
        {
            return format!("{name}={MASK}");
        }
        let header = text.split_once(": ").filter(|_| matches!(option, Some("H" | "header")));
        match header {
            Some((name, _)) if is_of_credential(name) => format!("{name}: {MASK}"),
            _ => self.text(text).into_owned(),
        }
    }
}

/// The option and the value that are one argument: `--user=me:secret`, `-ume:secret`, `-HToken: secret`.
fn glued(text: &str) -> Option<(&str, &str)> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if let Some((name, value)) = text.split_once('=')
        && name.starts_with('-')
        && name.chars().all(is_of_name)
    {
        return Some((name.trim_start_matches('-'), value));
    }
    let short = |option: &'static str| text.strip_prefix('-')?.strip_prefix(option).map(|value| (option, value));
    ["u", "H"].into_iter().find_map(short).filter(|(_, value)| !value.is_empty())
}

/// The experiment of that name, as whoever reads a record looks for it.
fn read(manifest: &str, experiment: &Experiment) -> Result<Experiment, Unrecordable> {
    let read = validate::recorded_experiments("the record", manifest).map_err(|problems| {
        let first = problems.iter().next().map(|first| format!("{}: {}", first.path, first.message));
        let first = first.unwrap_or_default();
        Unrecordable { why: format!("is not valid ({})", first.trim_start_matches(": ")) }
    })?;
    let named = read.into_iter().find(|found| found.name == experiment.name);
    named.ok_or_else(|| Unrecordable { why: format!("holds no experiment {:?}", experiment.name) })
}

/// The mask in place of a whole value; line breaks at its end are the form of a block.
fn masked(text: &str) -> String {
    format!("{MASK}{}", &text[text.trim_end_matches('\n').len()..])
}

/// Whether the placeholders that are left are whole: one that was cut into would not be known.
fn has_whole_placeholders(before: &str, after: &str) -> bool {
    let mut rest = after;
    while let Some((_, opened)) = rest.split_once("{{") {
        let Some((inner, tail)) = opened.split_once("}}") else { return false };
        if !before.contains(&format!("{{{{{inner}}}}}")) {
            return false;
        }
        rest = tail;
    }
    true
}

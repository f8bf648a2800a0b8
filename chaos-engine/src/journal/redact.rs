//! Takes secrets out of events before anyone stores or shows them: values that the configuration named, headers that
//! commonly carry credentials, tokens in URLs. It errs towards hiding; it must not change identities or numbers, nor what a
//! manifest means: from the one that is recorded the run is judged, replayed and taken up again.

mod manifest;
mod names;
mod patterns;

use std::borrow::Cow;

use chaos_core::model::{HttpLoad, Probe};
use chaos_core::record::{Answer, Event, Started, StopCause};
use serde_json::Value;

use crate::probe::Access;

pub use manifest::Unrecordable;
pub(crate) use names::{is_of_credential, selects_credential};

/// A plain scalar of YAML wherever it stands.
const MASK: &str = "(redacted)";
/// Shorter secrets would mask ordinary words and digits.
const SHORTEST: usize = 6;

/// The secrets of a run.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Also hides these values wherever they stand. Those below six characters are ignored.
    pub fn hide(&mut self, secrets: impl IntoIterator<Item = String>) {
        let lines = secrets.into_iter().flat_map(|secret| secret.lines().map(str::to_owned).collect::<Vec<_>>());
        let lines = lines.map(|line| line.trim().to_owned());
        // What is part of the mask is told by it, and hiding that would never come to an end.
        self.secrets.extend(lines.filter(|line| line.len() >= SHORTEST && !MASK.contains(line.as_str())));
        // The longest first: a secret may contain another.
        self.secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.secrets.dedup();
    }

    /// Hides the value of a request header, if headers of that name carry credentials.
    pub fn hide_header(&mut self, name: &str, value: &str) {
        let is_scheme =
            ["bearer", "digest", "negotiate"].iter().any(|scheme| value.trim().eq_ignore_ascii_case(scheme));
        // A scheme alone stands before a placeholder, and is no secret.
        if is_of_credential(name) && !is_scheme {
            let credential = value.split_once(' ').map(|(_scheme, credential)| credential.to_owned());
            self.hide([value.to_owned()].into_iter().chain(credential));
        }
    }

    /// Hides the credentials in the headers of these probes.
    pub fn of(probes: &[Probe]) -> Self {
        let mut redactor = Self::default();
        probes.iter().filter_map(Probe::http).for_each(|http| redactor.hide_load(&http.load));
        redactor
    }

    /// Hides those of [`Self::of`], and what is shown to these metrics sources as it is now: their answers may repeat it.
    pub fn of_run<'a>(probes: &[Probe], sources: impl IntoIterator<Item = &'a Access>) -> Self {
        let mut redactor = Self::of(probes);
        redactor.hide(sources.into_iter().filter_map(Access::secret));
        redactor
    }

    /// Hides the credentials in the headers of this load.
    pub fn hide_load(&mut self, load: &HttpLoad) {
        for (name, value) in load.steps.iter().flat_map(|step| &step.headers) {
            let written = value.to_string();
            for text in value.texts() {
                let is_before_another = text.ends_with(['=', ':']) && !written.ends_with(text);
                self.hide_header(name, if is_before_another { before_last_name(text) } else { text });
            }
        }
    }

    /// The text without secrets. Of a manifest that is to be read again, see [`Self::manifest`].
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut clean = Cow::Borrowed(text);
        for secret in &self.secrets {
            if clean.contains(secret.as_str()) {
                clean = Cow::Owned(clean.replace(secret.as_str(), MASK));
            }
        }
        patterns::hide(clean)
    }

    /// The event without secrets in any of its texts. Names, UIDs and numbers stay what they are: a secret that is spelt like
    /// one of them is none there.
    pub fn event(&self, mut event: Event) -> Event {
        match &mut event {
            Event::Started(started) => self.start(started),
            Event::Bad(bad) => self.clean(&mut bad.detail),
            Event::Sample(sample) => match &mut sample.answer {
                Answer::Value(value) => self.value(value),
                Answer::Error { message, .. } => self.clean(message),
            },
            Event::Invariants { violations, .. } => violations.iter_mut().for_each(|violation| {
                self.clean(&mut violation.invariant);
                self.clean(&mut violation.story);
            }),
            Event::Kill(kill) => kill.message.iter_mut().for_each(|message| self.clean(message)),
            Event::Skipped { skip, .. } => self.clean(&mut skip.message),
            Event::Blind { cause, .. } => self.clean(cause),
            Event::Stop { cause, .. } => self.cause(cause),
            Event::WoundDown { left, .. } => left.iter_mut().for_each(|text| self.clean(text)),
            Event::Note { text, .. } => self.clean(text),
            Event::Told { reason_text, .. } => self.clean(reason_text),
            // These hold names and numbers, and what the cluster says of itself.
            Event::Planned { .. }
            | Event::Phase { .. }
            | Event::Schedule(_)
            | Event::Bin(_)
            | Event::Served { .. }
            | Event::Intent { .. }
            | Event::PutOff { .. }
            | Event::Pod(_)
            | Event::Clock { .. }
            | Event::Sight { .. }
            | Event::Finished { .. } => {}
        }
        event
    }

    fn start(&self, started: &mut Started) {
        started.manifest = self.manifest(&started.manifest);
        self.clean(&mut started.manifest_source);
        self.clean(&mut started.cluster);
        started.environment.iter_mut().for_each(|(_, fact)| self.clean(fact));
    }

    fn cause(&self, cause: &mut StopCause) {
        match cause {
            StopCause::SloRefuted { .. } | StopCause::Signal { .. } => {}
            StopCause::Guard { message }
            | StopCause::Switch { message }
            | StopCause::NotRecovered { message }
            | StopCause::Blind { message }
            | StopCause::Journal { message }
            | StopCause::Killer { message }
            | StopCause::NoProbes { message }
            | StopCause::Probes { message } => self.clean(message),
        }
    }

    /// Cleans every text of an answer.
    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.clean(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    if !field.is_null() && !field.is_boolean() && is_of_credential(name) {
                        *field = MASK.into();
                    } else {
                        self.value(field);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn clean(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.text(text) {
            *text = clean;
        }
    }
}

/// What stands before the name at the end of a text: `id=1` of `id=1; session=`. That name is no secret, and where it was hidden,
/// what follows it would be known by nothing.
fn before_last_name(text: &str) -> &str {
    text.rfind([' ', ';', ',']).map_or("", |at| text[..at].trim_end_matches([' ', ';', ',']))
}

#[cfg(test)]
mod tests;

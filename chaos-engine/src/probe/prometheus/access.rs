//! Where a Prometheus is, and what is shown to it. Credentials are named by their files and read whenever they are needed, as
//! tokens rotate; they go to that server alone, and nothing that it answers brings them back into a record.

use std::path::{Path, PathBuf};

use http::HeaderValue;
use serde::Deserialize;

use super::super::look::NoAnswer;
use super::super::tls::Trust;

/// What stands where a token stood.
const MASK: &str = "(redacted)";
/// A shorter token may be an ordinary word of an answer.
const SHORTEST: usize = 6;

/// How a Prometheus is asked, as a configuration says it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Access {
    /// Its base URL.
    pub url: String,
    /// A file with the token that it is shown, read before every request.
    pub bearer_token_file: Option<PathBuf>,
    /// A PEM file of the certificates that are trusted, instead of the machine's own.
    pub ca_file: Option<PathBuf>,
}

/// A token, as it is sent.
pub(super) struct Token {
    text: String,
    pub(super) header: HeaderValue,
}

impl From<&str> for Access {
    /// Without credentials.
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), bearer_token_file: None, ca_file: None }
    }
}

impl Access {
    /// The same, with its files below that folder where their paths are relative.
    #[must_use]
    pub fn below(self, folder: &Path) -> Self {
        let below = |file: Option<PathBuf>| file.map(|file| folder.join(file));
        Self { url: self.url, bearer_token_file: below(self.bearer_token_file), ca_file: below(self.ca_file) }
    }

    /// Why it cannot be used, if it cannot: what speaks no TLS has no certificate to be verified.
    pub fn objection(&self) -> Option<&'static str> {
        if !(self.url.starts_with("http://") || self.url.starts_with("https://")) {
            return Some("the url is no http URL");
        }
        let is_plain = self.url.starts_with("http://");
        (is_plain && self.ca_file.is_some()).then_some("caFile belongs to an https URL")
    }

    /// The token as it is now, for whoever has to hide it.
    pub fn secret(&self) -> Option<String> {
        std::fs::read_to_string(self.bearer_token_file.as_ref()?).ok()
    }

    pub(super) fn trust(&self) -> Result<Trust, NoAnswer> {
        let read = self.ca_file.as_deref().map(Trust::of_file).transpose();
        Ok(read.map_err(|error| NoAnswer::new("tls", error))?.unwrap_or_default())
    }
}

impl Token {
    pub(super) async fn of_file(file: &Path) -> Result<Self, NoAnswer> {
        let unusable =
            |why: &str| NoAnswer::new("credentials", format!("the token of {} cannot be used: {why}", file.display()));
        let text = tokio::fs::read_to_string(file).await.map_err(|error| unusable(&error.to_string()))?;
        let text = text.trim().to_owned();
        if text.is_empty() {
            return Err(unusable("there is none"));
        }
        let header = HeaderValue::try_from(format!("Bearer {text}"));
        let mut header = header.map_err(|_| unusable("a header cannot hold it"))?;
        header.set_sensitive(true);
        Ok(Self { text, header })
    }

    /// An answer without the token in it.
    pub(super) fn hidden_in(&self, body: Vec<u8>) -> Vec<u8> {
        let is_there = |text: &&str| self.text.len() >= SHORTEST && text.contains(&self.text);
        let text = std::str::from_utf8(&body).ok().filter(is_there);
        let hidden = text.map(|text| text.replace(&self.text, MASK).into_bytes());
        hidden.unwrap_or(body)
    }
}

#[cfg(test)]
mod tests;

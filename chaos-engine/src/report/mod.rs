//! Renders the result of a run, or of the runs of a game day, for people and machines. Every function here is pure: the same
//! result gives the same bytes, no clock and no file is looked at, and every text that came from a server or a manifest is
//! escaped for its format.

pub mod day;
pub mod github;
pub mod html;
pub mod json;
pub mod junit;
pub mod load;
pub mod markdown;
pub mod terminal;
mod text;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

//! The rule on numbers, the precedence of outcomes, whole runs, advice, kills in figures, error rates, and records that lie.

mod advice;
mod answers;
mod error_rates;
mod hostile;
mod kills;
mod outcome;
mod phases;
mod rule;
mod runs;

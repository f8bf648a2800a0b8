//! The rule on numbers, the precedence of outcomes, whole runs, advice, kills in figures, and error rates.

mod advice;
mod answers;
mod error_rates;
mod kills;
mod outcome;
mod phases;
mod rule;
mod runs;

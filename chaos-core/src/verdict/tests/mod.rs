//! The rule on numbers, the precedence of outcomes, whole runs, and error rates.

mod answers;
mod error_rates;
mod outcome;
mod phases;
mod rule;
mod runs;

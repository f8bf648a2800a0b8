//! The rule on numbers, the precedence of outcomes, whole runs, advice, and error rates.

mod advice;
mod answers;
mod error_rates;
mod outcome;
mod phases;
mod rule;
mod runs;

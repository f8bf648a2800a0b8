//! The exact statistics behind verdicts, as small functions of numbers: binomial tails and Clopper-Pearson bounds, the
//! Hoeffding-Bentkus p-value, the test by betting, and how many kills a claim needs. Knows nothing of runs or probes.

mod betting;
mod binomial;
mod bounded_mean;
mod planning;
mod two_samples;

#[cfg(test)]
mod tests;

pub use betting::Betting;
pub use binomial::{at_least, at_most, clopper_pearson_lower, clopper_pearson_upper, ln_probability};
pub use bounded_mean::{hoeffding_bentkus, kl};
pub use planning::{
    AvailabilityTerms, HarmlessTerms, bad_kills_allowed, kills_for_availability, kills_for_harmless, loss_allowed,
    power_of_availability, power_of_harmless, share_provable, worst_loss_provable,
};
pub use two_samples::{fisher, holm, permutation};

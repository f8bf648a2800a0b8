//! The random gaps between two strikes of a stream, drawn so that seed, stream and number alone decide: neither a restart
//! nor the order in which streams are planned changes one of them.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::model::{Distribution, Every};

/// The gap before strike `number` of the stream, in active time: `min + Exp(mean − min)`, or the mean if it is fixed.
///
/// The uniform variable is the first 53 bits of ChaCha8 keyed with SHA-256 of seed, stream and number.
pub(crate) fn draw(every: &Every, seed: i64, stream: &str, number: u64) -> Duration {
    if every.distribution == Distribution::Fixed {
        return every.mean.std();
    }
    let mut key = Sha256::new();
    key.update(b"chaos gap v1");
    key.update(seed.to_be_bytes());
    key.update(number.to_be_bytes());
    key.update(stream.as_bytes());
    let bits = ChaCha8Rng::from_seed(key.finalize().into()).next_u64() >> 11;
    // In (0, 1]: the logarithm is finite.
    let uniform = (bits + 1) as f64 / (1u64 << 53) as f64;
    let spread = every.mean.std().saturating_sub(every.min.std());
    every.min.std() + spread.mul_f64(-uniform.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(mean: u64, min: u64) -> Every {
        let millis = crate::units::Duration::from_millis;
        Every { mean: millis(mean), min: millis(min), distribution: Distribution::Exponential }
    }

    #[test]
    fn never_below_the_minimum_and_the_mean_is_the_stated_one() {
        let every = every(1000, 400);
        let gaps: Vec<_> = (0..20_000).map(|i| draw(&every, 7, "trips", i).as_secs_f64()).collect();
        assert!(gaps.iter().all(|gap| *gap >= 0.4));
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        // Standard error of 20,000 exponentials of mean 0.6 s is 4 ms; five of them.
        assert!((mean - 1.0).abs() < 0.021, "{mean}");
    }

    #[test]
    fn seed_stream_and_number_alone_decide() {
        let every = every(1000, 400);
        let gap = draw(&every, 7, "trips", 3);
        assert_eq!(gap, draw(&every, 7, "trips", 3));
        for other in [draw(&every, 8, "trips", 3), draw(&every, 7, "eta", 3), draw(&every, 7, "trips", 4)] {
            assert_ne!(gap, other);
        }
    }

    #[test]
    fn fixed_gaps_are_the_mean() {
        let every = Every { distribution: Distribution::Fixed, ..every(1000, 400) };
        assert_eq!(draw(&every, 7, "trips", 3), Duration::from_secs(1));
    }
}

//! Runs with known truth, to measure how often the rule errs. It makes kill windows and nothing else: what is said about
//! them is decided by [`rule`](super::rule::rule) itself. Deterministic: the generator is an argument.

use rand::{Rng, RngExt};

use super::rule::Window;

/// Requests in a window of every simulated run with even gaps: 200 a second, one kill a second.
pub const REQUESTS_PER_WINDOW: u64 = 200;
/// Bursts end at this many means of the distribution they are cut from.
const CUT: f64 = 4.0;

/// How bursts of losses are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bursts {
    /// All alike.
    Fixed,
    /// Exponential, cut at four means.
    Exponential,
    /// Nine of ten small (a quarter of the mean), one of ten large.
    Mixed,
}

/// How far apart kills are, in requests that are due from one to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gaps {
    /// Always [`REQUESTS_PER_WINDOW`].
    Even,
    /// At least `least`, and beyond that exponential, `mean` on average: `distribution: Exponential` of a manifest.
    Exponential {
        /// The shortest.
        least: u64,
        /// The average.
        mean: u64,
    },
}

impl Gaps {
    /// On average.
    pub const fn mean(self) -> u64 {
        match self {
            Self::Even => REQUESTS_PER_WINDOW,
            Self::Exponential { mean, .. } => mean,
        }
    }

    /// The next one. Even gaps draw nothing.
    fn next(self, rng: &mut impl Rng) -> u64 {
        match self {
            Self::Even => REQUESTS_PER_WINDOW,
            Self::Exponential { least, mean } => {
                let beyond = mean.saturating_sub(least) as f64;
                least + whole(-(-rng.random::<f64>()).ln_1p() * beyond, rng)
            }
        }
    }
}

/// A platform whose truth is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Platform {
    /// Mean loss of a kill, in requests.
    pub mean_loss: f64,
    /// How bursts are spread.
    pub bursts: Bursts,
    /// Share of kills that cost something (before rounding to whole requests).
    pub bad_share: f64,
    /// Share of kills that the traffic is known to have met.
    pub exposed_share: f64,
    /// Share of requests that the load generator does not send in time.
    pub unsent_share: f64,
    /// How far apart its kills are. What a kill costs does not depend on when the next one comes.
    pub gaps: Gaps,
}

impl Platform {
    /// A platform of this availability, whose every kill is exposed and whose load generator is strong enough.
    pub fn of(availability: f64, bursts: Bursts, bad_share: f64) -> Self {
        Self::uneven(availability, bursts, bad_share, Gaps::Even)
    }

    /// The same with its kills so far apart. A burst must fit into the shortest gap: what does not is lost to the truth.
    pub fn uneven(availability: f64, bursts: Bursts, bad_share: f64, gaps: Gaps) -> Self {
        let mean_loss = (1.0 - availability) * gaps.mean() as f64;
        Self { mean_loss, bursts, bad_share, exposed_share: 1.0, unsent_share: 0.0, gaps }
    }

    fn burst(&self) -> f64 {
        self.mean_loss / self.bad_share
    }

    /// `M`: the most that one kill really can cost.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
    pub fn worst_loss(&self) -> u64 {
        let largest = match self.bursts {
            Bursts::Fixed => 1.0,
            Bursts::Exponential => CUT / cut_mean(),
            Bursts::Mixed => LARGE,
        };
        ((self.burst() * largest - 1e-9).ceil() as u64).max(1)
    }

    /// One run of `kills` kills.
    pub fn run(&self, kills: usize, rng: &mut impl Rng) -> Vec<Window> {
        (0..kills).map(|_| self.window(rng)).collect()
    }

    fn window(&self, rng: &mut impl Rng) -> Window {
        let requests = self.gaps.next(rng);
        let bad = if rng.random_bool(self.bad_share) { whole(self.burst() * self.size(rng), rng) } else { 0 };
        let bad = bad.min(requests);
        let unsent = self.unsent(requests - bad, rng);
        Window {
            requests,
            kills: 1,
            bad_for_sure: bad,
            bad_at_worst: bad + unsent,
            exposed: rng.random_bool(self.exposed_share),
        }
    }

    /// How many of these requests are not sent: by the gaps between them, which are geometric.
    fn unsent(&self, requests: u64, rng: &mut impl Rng) -> u64 {
        if self.unsent_share <= 0.0 {
            return 0;
        }
        let mut gap = || ((-rng.random::<f64>()).ln_1p() / (-self.unsent_share).ln_1p()).floor() + 1.0;
        let mut position = gap();
        let mut unsent = 0;
        while position <= requests as f64 {
            unsent += 1;
            position += gap();
        }
        unsent
    }

    /// Size of a burst, in means.
    fn size(&self, rng: &mut impl Rng) -> f64 {
        match self.bursts {
            Bursts::Fixed => 1.0,
            Bursts::Exponential => {
                let uniform: f64 = rng.random();
                -(-uniform * (1.0 - (-CUT).exp())).ln_1p() / cut_mean()
            }
            Bursts::Mixed => {
                if rng.random_bool(0.9) {
                    SMALL
                } else {
                    LARGE
                }
            }
        }
    }
}

/// A platform that loses requests in bursts that no kill causes, at a steady rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Background {
    /// Share of requests that are bad.
    pub bad_share: f64,
    /// Requests of a burst, one after the other.
    pub burst: u64,
}

/// The requests of one run on such a platform, in order.
#[derive(Debug)]
pub struct Requests<'r, R> {
    background: Background,
    /// Bad requests that the burst still has.
    left: u64,
    rng: &'r mut R,
}

impl Background {
    /// A platform of this availability.
    pub fn of(availability: f64, burst: u64) -> Self {
        Self { bad_share: 1.0 - availability, burst }
    }

    /// One run, which begins at any moment, in a burst or not.
    pub fn run<R: Rng>(self, rng: &mut R) -> Requests<'_, R> {
        let left = if rng.random_bool(self.bad_share) { rng.random_range(0..self.burst) } else { 0 };
        Requests { background: self, left, rng }
    }

    /// Probability that a burst begins where none is.
    fn begins(self) -> f64 {
        self.bad_share / (self.bad_share + self.burst as f64 * (1.0 - self.bad_share))
    }
}

impl<R: Rng> Requests<'_, R> {
    /// Whether the next request is bad.
    fn next_is_bad(&mut self) -> bool {
        if self.left == 0 && self.rng.random_bool(self.background.begins()) {
            self.left = self.background.burst;
        }
        let bad = self.left > 0;
        self.left = self.left.saturating_sub(1);
        bad
    }

    /// How many of so many more are bad.
    pub fn bad_of(&mut self, requests: u64) -> u64 {
        (0..requests).map(|_| u64::from(self.next_is_bad())).sum()
    }
}

const SMALL: f64 = 0.25;
const LARGE: f64 = (1.0 - 0.9 * SMALL) / 0.1;

/// Mean of an exponential variable of mean 1 that is known to be below [`CUT`].
fn cut_mean() -> f64 {
    1.0 - CUT * (-CUT).exp() / (1.0 - (-CUT).exp())
}

/// `x` requests on average, as a whole number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
fn whole(x: f64, rng: &mut impl Rng) -> u64 {
    x.floor() as u64 + u64::from(rng.random_bool(x.fract()))
}

//! Is a promise broken? A test by betting against "at most a share `q` of the requests is bad", valid however often and
//! whenever one looks.
//!
//! Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2023). Under the promise each
//! factor has mean at most 1, so the wealth is a supermartingale, and P(it ever reaches 1/α) ≤ α (Ville's inequality).
//! It needs no bound on the loss of a window.
//!
//! The promise is of all requests: a window of `w` of them may lose `q·w` on average, and one that loses more because the next
//! kill came soon is made good by one that is long. So what a window loses above `q·w` is measured by the longest window so far,
//! not by the window itself: in units of their own windows, losses of short ones would weigh more than the good of long ones.
//! Only a window that is the longest so far is its own measure, so the bound is exact where each window keeps the promise for
//! itself, and nearly so where only all of them together do.

/// What part of its wealth each of the equally endowed gamblers stakes on every window.
const STAKES: [f64; 5] = [0.5, 0.2, 0.08, 0.03, 0.01];

/// The wealth of the gamblers after the windows seen so far. It starts at 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Betting {
    budget: f64,
    /// Requests of the longest window so far.
    longest: u64,
    ln_wealth: [f64; STAKES.len()],
    highest: f64,
}

impl Betting {
    /// Against the promise that at most the share `budget` (0 to 1) of requests is bad.
    pub const fn against(budget: f64) -> Self {
        Self { budget, longest: 0, ln_wealth: [0.0; STAKES.len()], highest: 1.0 }
    }

    /// One more window: `bad` of its `requests`. A window without requests says nothing.
    pub fn observe(&mut self, requests: u64, bad: u64) {
        if requests == 0 {
            return;
        }
        self.longest = self.longest.max(requests);
        let longest = self.longest as f64;
        let burn = if bad == 0 { 0.0 } else { bad as f64 / (self.budget * longest) };
        // Never below −1, so that no gambler loses more than its stake.
        let gain = burn - requests as f64 / longest;
        for (ln_wealth, stake) in self.ln_wealth.iter_mut().zip(STAKES) {
            *ln_wealth += (stake * gain).ln_1p();
        }
        self.highest = self.highest.max(self.e_value());
    }

    /// The mean wealth now: large where the promise is broken.
    pub fn e_value(&self) -> f64 {
        self.ln_wealth.iter().map(|ln| ln.exp()).sum::<f64>() / STAKES.len() as f64
    }

    /// The largest mean wealth at any look so far: what decides.
    pub const fn highest(&self) -> f64 {
        self.highest
    }
}

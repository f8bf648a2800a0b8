//! Is a promise broken? A test by betting against "at most a share `q` of the requests is bad", valid however often and
//! whenever one looks.
//!
//! Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2023). Under the promise each
//! factor has mean at most 1, so the wealth is a supermartingale, and P(it ever reaches 1/α) ≤ α (Ville's inequality).
//! It needs no bound on the loss of a window.

/// What part of its wealth each of the equally endowed gamblers stakes on every window.
const STAKES: [f64; 5] = [0.5, 0.2, 0.08, 0.03, 0.01];

/// The wealth of the gamblers after the windows seen so far. It starts at 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Betting {
    budget: f64,
    ln_wealth: [f64; STAKES.len()],
    highest: f64,
}

impl Betting {
    /// Against the promise that at most the share `budget` (0 to 1) of requests is bad.
    pub const fn against(budget: f64) -> Self {
        Self { budget, ln_wealth: [0.0; STAKES.len()], highest: 1.0 }
    }

    /// One more window: `bad` of its `requests`. A window without requests says nothing.
    pub fn observe(&mut self, requests: u64, bad: u64) {
        if requests == 0 {
            return;
        }
        let burn = if bad == 0 { 0.0 } else { bad as f64 / (self.budget * requests as f64) };
        for (ln_wealth, stake) in self.ln_wealth.iter_mut().zip(STAKES) {
            *ln_wealth += (stake * (burn - 1.0)).ln_1p();
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

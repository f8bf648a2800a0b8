//! What came of a run, a step or an execution, as their statuses tell it: the outcome of a verdict, or a plan.

use super::Outcome;

/// What came of a run, a step or an execution. Statuses hold it as a word: one that a newer version wrote must not make an
/// object unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conclusion {
    /// What a verdict says.
    Judged(Outcome),
    /// A dry run: nothing was touched or proved.
    Planned,
}

impl Conclusion {
    /// The word that statuses have for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Judged(outcome) => outcome.as_str(),
            Self::Planned => "planned",
        }
    }

    /// What a word of a status says. One that is not known proves nothing.
    pub fn read(word: &str) -> Self {
        let judged = Outcome::ALL.into_iter().map(Self::Judged);
        let known = judged.chain([Self::Planned]).find(|known| known.as_str() == word);
        known.unwrap_or(Self::Judged(Outcome::Inconclusive))
    }

    /// Whether it is as it should be.
    pub const fn has_passed(self) -> bool {
        matches!(self, Self::Judged(Outcome::Pass) | Self::Planned)
    }

    /// How bad it is among several: the worst of the steps is what came of their execution.
    pub const fn severity(self) -> u8 {
        match self {
            Self::Judged(Outcome::Pass) => 0,
            Self::Planned => 1,
            Self::Judged(Outcome::Inconclusive) => 2,
            Self::Judged(Outcome::Invalid) => 3,
            Self::Judged(Outcome::Aborted) => 4,
            Self::Judged(Outcome::Fail) => 5,
        }
    }
}

impl From<Outcome> for Conclusion {
    fn from(outcome: Outcome) -> Self {
        Self::Judged(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_what_it_was_written_for() {
        for conclusion in Outcome::ALL.into_iter().map(Conclusion::Judged).chain([Conclusion::Planned]) {
            assert_eq!(Conclusion::read(conclusion.as_str()), conclusion);
        }
        assert!(Conclusion::read("pass").has_passed() && Conclusion::read("planned").has_passed());
    }

    #[test]
    fn a_word_that_is_not_known_has_not_passed() {
        for word in ["", "Pass", "better"] {
            assert_eq!(Conclusion::read(word), Conclusion::Judged(Outcome::Inconclusive), "{word}");
            assert!(!Conclusion::read(word).has_passed());
        }
    }
}

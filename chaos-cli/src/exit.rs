//! Exit codes and how a failed command says what went wrong. The table of codes is part of the documented interface.

use std::process::ExitCode;

use chaos_core::verdict::{self, ReasonCode};

/// How a command ended. The numbers are the documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit(verdict::ExitCode);

impl Exit {
    /// It did what was asked; of a run: the hypothesis held, with the evidence asked for.
    pub(crate) const OK: Self = Self(verdict::ExitCode::Held);
    /// Of a comparison: the two sides differ.
    pub(crate) const DIFFERENT: Self = Self(verdict::ExitCode::Failed);
    /// Usage, a manifest that is not valid, a plan that arithmetic rules out.
    pub(crate) const INVALID_INPUT: Self = Self(verdict::ExitCode::InvalidManifest);
    /// Cluster, metrics or a probe tool out of reach at the start.
    pub(crate) const COULD_NOT_RUN: Self = Self(verdict::ExitCode::OutOfReach);
    /// Refused by a safety rule before anything was touched.
    pub(crate) const REFUSED: Self = Self(verdict::ExitCode::Refused);
    /// Stopped before it was through; everything wound down.
    pub(crate) const STOPPED: Self = Self(verdict::ExitCode::Stopped);
    /// Too little evidence.
    pub(crate) const INCONCLUSIVE: Self = Self(verdict::ExitCode::Inconclusive);
    /// A run that proves nothing: no victim, no sample.
    pub(crate) const INVALID_RUN: Self = Self(verdict::ExitCode::InvalidRun);

    /// Of two ends the worse one: broken promises and what a person must act on come first, missing evidence last.
    pub(crate) fn worse(self, other: Self) -> Self {
        Self(verdict::ExitCode::worst([self.0, other.0]))
    }
}

impl From<verdict::ExitCode> for Exit {
    fn from(code: verdict::ExitCode) -> Self {
        Self(code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0.code())
    }
}

/// A command that could not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: anyhow::Error,
    /// Why, where more is known than the exit code says.
    because: Option<ReasonCode>,
}

impl Failure {
    fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into(), because: None }
    }

    pub(crate) fn invalid(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Exit::INVALID_INPUT, error)
    }

    /// It did not work; where a permission is missing, somebody refused it.
    pub(crate) fn could_not_run(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        let refused = crate::refusal::is_of_permission(&error);
        Self::new(if refused { Exit::REFUSED } else { Exit::COULD_NOT_RUN }, error)
    }

    /// A call to the API server failed: what it found invalid is, what it did not permit is refused.
    pub(crate) fn of_api(error: kube::Error, what: impl Into<String>) -> Self {
        let is_invalid = matches!(&error, kube::Error::Api(status) if status.code == 422);
        let error = anyhow::Error::new(error).context(what.into());
        if is_invalid { Self::invalid(error) } else { Self::could_not_run(error) }
    }

    pub(crate) fn refused(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Exit::REFUSED, error)
    }

    pub(crate) fn stopped(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Exit::STOPPED, error)
    }

    pub(crate) fn invalid_run(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Exit::INVALID_RUN, error)
    }

    /// The same, as the end of a run of which that is known.
    pub(crate) fn because(self, reason: ReasonCode) -> Self {
        Self { exit: reason.exit_code().into(), because: Some(reason), ..self }
    }

    /// The same, with what to do about it.
    pub(crate) fn hint(self, hint: &str) -> Self {
        Self { error: anyhow::anyhow!("{}; hint: {hint}", self.message()), ..self }
    }

    /// How a command ends that only this failure ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// What it means for a run that was to be started.
    pub(crate) fn reason(&self) -> ReasonCode {
        if let Some(reason) = self.because {
            return reason;
        }
        match self.exit {
            Exit::INVALID_INPUT => ReasonCode::InvalidManifest,
            Exit::REFUSED => ReasonCode::Refused,
            Exit::STOPPED => ReasonCode::Interrupted,
            Exit::INVALID_RUN => ReasonCode::NoVictim,
            _ => ReasonCode::OutOfReach,
        }
    }

    /// What failed, with its causes and hints, in one line.
    pub(crate) fn message(&self) -> String {
        crate::output::one_line(&self.error)
    }

    /// Says what failed, with its causes, on stderr, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        crate::output::error(&self.error);
        self.exit.into()
    }
}

/// Failures without a better-known kind mean that the command could not run, or was not permitted to.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::could_not_run(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_end_of_several_wins() {
        let exit = |code: &u8| Exit::from(verdict::ExitCode::try_from(*code).unwrap());
        let worst = |codes: &[u8]| codes.iter().map(exit).fold(Exit::OK, Exit::worse).0.code();
        assert_eq!(worst(&[0, 7, 0]), 7);
        assert_eq!(worst(&[7, 8]), 8);
        assert_eq!(worst(&[8, 2, 4, 3, 5]), 5);
        assert_eq!(worst(&[5, 1, 0]), 1);
        assert_eq!(worst(&[1, 6]), 6);
        assert_eq!(worst(&[]), 0);
    }

    #[test]
    fn what_is_not_permitted_is_refused_wherever_it_is_told() {
        let answer = |code| kube::Error::Api(kube::core::Status::failure("no", "Reason").with_code(code).boxed());
        for (code, exit) in
            [(403, Exit::REFUSED), (404, Exit::COULD_NOT_RUN), (422, Exit::INVALID_INPUT), (500, Exit::COULD_NOT_RUN)]
        {
            assert_eq!(Failure::of_api(answer(code), "failed to list runs").exit, exit, "{code}");
        }
        let told = anyhow::Error::new(answer(403)).context("failed to list runs");
        assert_eq!(Failure::from(told).exit, Exit::REFUSED);
    }
}

//! Errors for people: which step, what happened, how to mend it.

use std::fmt;

/// The result of a step.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    step: String,
    problem: String,
    remedy: String,
}

impl Error {
    pub(crate) fn new(step: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { step: step.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// What was being done, such as `downloading Debian's packages`.
    pub fn step(&self) -> &str {
        &self.step
    }

    /// What happened.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What to do about it.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}\n  to mend it: {}", self.step, self.problem, self.remedy)
    }
}

impl std::error::Error for Error {}

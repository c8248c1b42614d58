//! Why an instance cannot go on for a reason that is not its user's decision.

use std::fmt;

use super::limit::Limit;

/// Parks an instance: nothing is lost, and it goes on when a fitting component or a higher limit is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Park {
    /// The class of the reason.
    pub reason: ParkReason,
    /// What happened, for people.
    pub message: String,
    /// What to do about it, for people.
    pub advice: String,
}

impl Park {
    pub(crate) fn new(reason: ParkReason, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { reason, message: message.into(), advice: advice.into() }
    }

    pub(crate) fn contract(message: impl Into<String>) -> Self {
        Self::new(
            ParkReason::Contract,
            message,
            "this is a bug in the guest SDK that the component was built with: rebuild it with a fixed SDK and deploy it",
        )
    }
}

impl std::error::Error for Park {}

impl fmt::Display for Park {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}); {}", self.message, self.reason.word(), self.advice)
    }
}

/// The classes of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParkReason {
    /// The replay disagrees with the history.
    Divergence,
    /// The guest trapped in the replayed part.
    ReplayTrap,
    /// The guest broke the contract.
    Contract,
    /// The orchestrator reached a limit; the deadline several times.
    Limit(Limit),
    /// No component here has that name and version.
    NoVersion,
    /// The history is not one that this host can run.
    History,
}

impl ParkReason {
    /// The stable word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Divergence => "divergence",
            Self::ReplayTrap => "replay-trap",
            Self::Contract => "contract",
            Self::Limit(limit) => limit.word(),
            Self::NoVersion => "no-version",
            Self::History => "history",
        }
    }
}

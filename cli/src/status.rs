//! Statuses as words of the command line.

use clap::ValueEnum;
use durawasm_client::Status;

/// A status, or several that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusWord {
    /// Accepted, and not begun yet.
    Pending,
    /// Under way.
    Running,
    /// Paused.
    #[value(alias = "paused")]
    Suspended,
    /// Ended with a result.
    Completed,
    /// Ended with a failure.
    Failed,
    /// Ended by somebody.
    Terminated,
    /// Ended by somebody, in the words of some SDKs.
    #[value(alias = "cancelled")]
    Canceled,
    /// Pending, running or suspended.
    Open,
    /// Completed, failed, terminated or canceled.
    Ended,
}

impl StatusWord {
    /// The statuses that words stand for, each once.
    pub(crate) fn statuses(words: &[StatusWord]) -> Vec<Status> {
        let named = |status: &Status| words.iter().any(|word| word.names(*status));
        Status::ALL.into_iter().filter(named).collect()
    }

    fn names(self, status: Status) -> bool {
        match self {
            StatusWord::Pending => status == Status::Pending,
            StatusWord::Running => status == Status::Running,
            StatusWord::Suspended => status == Status::Suspended,
            StatusWord::Completed => status == Status::Completed,
            StatusWord::Failed => status == Status::Failed,
            StatusWord::Terminated => status == Status::Terminated,
            StatusWord::Canceled => status == Status::Canceled,
            StatusWord::Open => !status.is_terminal() && status != Status::ContinuedAsNew,
            StatusWord::Ended => status.is_terminal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_groups_and_single_statuses_are_joined() {
        assert_eq!(StatusWord::statuses(&[]), []);
        assert_eq!(StatusWord::statuses(&[StatusWord::Open]), [Status::Pending, Status::Running, Status::Suspended]);
        let joined = StatusWord::statuses(&[StatusWord::Failed, StatusWord::Ended, StatusWord::Failed]);
        assert_eq!(joined, [Status::Completed, Status::Failed, Status::Terminated, Status::Canceled]);
    }
}

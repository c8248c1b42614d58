//! What can go wrong between a client and a scheduler.

use std::error::Error as StdError;

use durawasm_errors::{Code, CodedError};
use durawasm_proto::metadata;
use tonic::Status;

/// What kind of error a call ended with: what a program branches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such instance.
    NotFound,
    /// The scheduler has no such task hub.
    UnknownHub,
    /// The instance id is taken.
    AlreadyExists,
    /// What the connection was to be made with is wrong: its address, hub or token.
    InvalidConnection,
    /// An argument is wrong.
    Invalid,
    /// The instance is not in a status that allows the call.
    Refused,
    /// Something is larger than a limit.
    TooLarge,
    /// The scheduler cannot be reached. Trying again later may help.
    Unavailable,
    /// The caller's time has passed.
    TimedOut,
    /// The scheduler does not know who calls.
    Unauthenticated,
    /// The caller may not do this.
    PermissionDenied,
    /// The scheduler does not implement the call.
    Unsupported,
    /// No worker is connected that could answer. Trying again later may help.
    NoWorker,
    /// No such version of a component is deployed.
    VersionNotFound,
    /// What is deployed already does not allow it: the same version with another content, or two components that offer the same.
    VersionConflict,
    /// A change of what is deployed was refused: it is needed, or somebody else was faster, or it makes no sense.
    DeploymentRefused,
    /// Something went wrong in the scheduler.
    Server,
}

impl ErrorKind {
    /// The error code under which people find its page.
    pub fn code(self) -> Code {
        match self {
            ErrorKind::NotFound => Code::InstanceNotFound,
            ErrorKind::UnknownHub => Code::UnknownHub,
            ErrorKind::AlreadyExists => Code::InstanceExists,
            ErrorKind::InvalidConnection => Code::Usage,
            ErrorKind::Invalid | ErrorKind::Refused => Code::Refused,
            ErrorKind::TooLarge => Code::PayloadTooLarge,
            ErrorKind::Unavailable => Code::SchedulerUnreachable,
            ErrorKind::TimedOut => Code::WaitTimedOut,
            ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => Code::NotAllowed,
            ErrorKind::Unsupported => Code::Unsupported,
            ErrorKind::NoWorker => Code::NoWorker,
            ErrorKind::VersionNotFound => Code::VersionNotFound,
            ErrorKind::VersionConflict => Code::ComponentConflict,
            ErrorKind::DeploymentRefused => Code::DeploymentRefused,
            ErrorKind::Server => Code::SchedulerError,
        }
    }
}

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    advice: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), advice: None, source: None }
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Error {
        self.advice = Some(advice.into());
        self
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.source = Some(source.into());
        self
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do next, if there is something better to say than the page of the error's code.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// Reads the status that a call ended with. NOT_FOUND becomes [`ErrorKind::NotFound`]; whether it is the hub that
    /// is missing only the caller can tell.
    pub(crate) fn from_status(status: Status, address: &str) -> Error {
        // A status that was made on this side, because the connection broke, has a source; one that the scheduler sent
        // has none. The code of the former depends on where in the HTTP/2 stack the break was noticed.
        let broken = status.source().is_some();
        let kind = match status.code() {
            tonic::Code::Unavailable => ErrorKind::Unavailable,
            tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::Cancelled if broken => ErrorKind::Unavailable,
            tonic::Code::NotFound => ErrorKind::NotFound,
            tonic::Code::AlreadyExists => ErrorKind::AlreadyExists,
            // The protocol has INVALID_ARGUMENT for this as well; our scheduler says which it means.
            tonic::Code::InvalidArgument if says_too_large(&status) => ErrorKind::TooLarge,
            tonic::Code::InvalidArgument => ErrorKind::Invalid,
            tonic::Code::FailedPrecondition | tonic::Code::Aborted => ErrorKind::Refused,
            tonic::Code::ResourceExhausted | tonic::Code::OutOfRange => ErrorKind::TooLarge,
            tonic::Code::DeadlineExceeded => ErrorKind::TimedOut,
            tonic::Code::Unauthenticated => ErrorKind::Unauthenticated,
            tonic::Code::PermissionDenied => ErrorKind::PermissionDenied,
            tonic::Code::Unimplemented => ErrorKind::Unsupported,
            // The scheduler ends its calls with CANCELLED when it shuts down.
            tonic::Code::Cancelled => ErrorKind::Unavailable,
            _ => ErrorKind::Server,
        };
        let message = match kind {
            ErrorKind::Unavailable => format!("the scheduler at {address} cannot be reached"),
            ErrorKind::Unsupported => format!("the scheduler at {address} does not support this call"),
            _ if status.message().is_empty() => {
                format!("the scheduler at {address} answered {}", status.code().description())
            }
            _ => status.message().to_owned(),
        };
        let error = Error::new(kind, message);
        match kind {
            ErrorKind::Unavailable | ErrorKind::Server => error.because(status),
            _ => error,
        }
    }

    /// The same error about a hub instead of an instance.
    pub(crate) fn into_unknown_hub(self, hub: &str, address: &str) -> Error {
        let message = format!("the scheduler at {address} has no task hub `{hub}`");
        Error { kind: ErrorKind::UnknownHub, message, advice: None, source: self.source }
    }
}

fn says_too_large(status: &Status) -> bool {
    status.metadata().get(metadata::REFUSAL).is_some_and(|reason| reason == metadata::TOO_LARGE)
}

impl From<Error> for CodedError {
    fn from(error: Error) -> CodedError {
        let mut coded = CodedError::new(error.kind.code(), error.message);
        if let Some(advice) = error.advice {
            coded = coded.advise(advice);
        }
        match error.source {
            Some(source) => coded.because(source),
            None => coded,
        }
    }
}

//! An error that carries its code, and the way to give one to an error from below.

use std::{error::Error, fmt};

use crate::Code;

/// What happened, to what, and what to do next.
///
/// The message names the instance, file or address that it is about. The advice is one sentence; where there is
/// none, the code's page has the general one.
#[derive(Debug)]
pub struct CodedError {
    code: Code,
    message: String,
    advice: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CodedError {
    /// An error with what happened, for people.
    pub fn new(code: Code, message: impl Into<String>) -> CodedError {
        CodedError { code, message: message.into(), advice: None, source: None }
    }

    /// Says what to do next.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> CodedError {
        self.advice = Some(advice.into());
        self
    }

    /// Keeps the error from below; its message is shown after this one's.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> CodedError {
        self.source = Some(source.into());
        self
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What happened, without its causes.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next, if there is something better to say than the code's page.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }

    /// The messages of the errors below, outermost first. One that only repeats the end of the message before it is
    /// left out.
    pub fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        let mut next = self.source();
        while let Some(error) = next {
            let text = error.to_string();
            let before = causes.last().map_or(self.message.as_str(), String::as_str);
            if !before.ends_with(&text) {
                causes.push(text);
            }
            next = error.source();
        }
        causes
    }
}

impl fmt::Display for CodedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Error for CodedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Gives an error from below a code and a message.
pub trait Context<T> {
    /// Turns the error into a [`CodedError`] whose cause it is.
    fn coded(self, code: Code, message: impl FnOnce() -> String) -> Result<T, CodedError>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Context<T> for Result<T, E> {
    fn coded(self, code: Code, message: impl FnOnce() -> String) -> Result<T, CodedError> {
        self.map_err(|error| CodedError::new(code, message()).because(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_listed_once() {
        let below = std::io::Error::other("the disk is gone");
        let error = CodedError::new(Code::StoreWriteFailed, "cannot write: the disk is gone").because(below);
        assert!(error.causes().is_empty());
        let below = std::io::Error::other("the disk is gone");
        let error = CodedError::new(Code::StoreWriteFailed, "cannot write").because(below);
        assert_eq!(error.causes(), ["the disk is gone"]);
        assert_eq!(error.to_string(), "DW0004: cannot write");
    }
}

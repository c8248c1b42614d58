//! The id of an orchestration instance.

use std::{fmt, str::FromStr};

use durawasm_errors::{Code, CodedError};
use serde::Serialize;

/// The longest instance id, in bytes.
const MAX_BYTES: usize = 1024;

/// The id of an orchestration instance: any text of 1 to 1,024 bytes that does not begin with `@` (those are entities).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct InstanceId(String);

/// Why a text is not an instance id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInstanceId {
    /// There is nothing in it.
    #[error("an instance id cannot be empty")]
    Empty,
    /// It is longer than what is allowed.
    #[error("an instance id has at most {MAX_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It names an entity.
    #[error("ids that begin with `@` belong to entities, not to orchestrations")]
    Entity,
}

impl InstanceId {
    /// Takes a text as an id.
    pub fn new(text: impl Into<String>) -> Result<InstanceId, InvalidInstanceId> {
        let text = text.into();
        match text.len() {
            0 => Err(InvalidInstanceId::Empty),
            bytes if bytes > MAX_BYTES => Err(InvalidInstanceId::TooLong { bytes }),
            _ if text.starts_with('@') => Err(InvalidInstanceId::Entity),
            _ => Ok(InstanceId(text)),
        }
    }

    /// An id that a scheduler sent; what it has accepted is not questioned.
    pub(crate) fn from_scheduler(text: String) -> InstanceId {
        InstanceId(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for InstanceId {
    type Err = InvalidInstanceId;

    fn from_str(text: &str) -> Result<InstanceId, InvalidInstanceId> {
        InstanceId::new(text)
    }
}

impl From<InvalidInstanceId> for CodedError {
    fn from(error: InvalidInstanceId) -> CodedError {
        CodedError::new(Code::InvalidInstanceId, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_line_breaks_and_unicode_are_fine_in_an_id() {
        for text in ["order 17", "a\"b'c", "zeile\nzwei", "東京", "a@b", &"x".repeat(1024)] {
            assert_eq!(InstanceId::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn empty_long_and_entity_ids_are_refused() {
        assert_eq!(InstanceId::new(""), Err(InvalidInstanceId::Empty));
        assert_eq!(InstanceId::new("é".repeat(513)), Err(InvalidInstanceId::TooLong { bytes: 1026 }));
        assert_eq!(InstanceId::new("@counter@a"), Err(InvalidInstanceId::Entity));
    }
}

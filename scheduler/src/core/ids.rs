//! Names and numbers of things, each a type of its own.

use std::fmt;
use std::sync::Arc;

/// The longest instance id in bytes.
pub const MAX_INSTANCE_ID_BYTES: usize = 1_024;

/// The longest id of an entity (`@name@key`) in characters; what the Durable Task emulator allows.
pub const MAX_ENTITY_ID_CHARS: usize = 100;

/// Names an orchestration instance (or, with a leading `@`, an entity) within a task hub. Any text but the empty
/// one, of at most [`MAX_INSTANCE_ID_BYTES`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

/// Why a text is not an instance id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInstanceId {
    /// It is empty.
    #[error("an instance id must not be empty")]
    Empty,
    /// It is too long.
    #[error("an instance id has at most {MAX_INSTANCE_ID_BYTES} bytes, this one has {0}")]
    TooLong(usize),
    /// It is an entity's and too long.
    #[error("an entity id (@name@key) has at most {MAX_ENTITY_ID_CHARS} characters, this one has {0}")]
    EntityTooLong(usize),
}

impl InstanceId {
    /// Checks a text from outside.
    ///
    /// # Errors
    /// If it is empty or too long.
    pub fn parse(text: &str) -> Result<Self, InvalidInstanceId> {
        if text.is_empty() {
            return Err(InvalidInstanceId::Empty);
        }
        if text.len() > MAX_INSTANCE_ID_BYTES {
            return Err(InvalidInstanceId::TooLong(text.len()));
        }
        if text.starts_with('@') && text.chars().count() > MAX_ENTITY_ID_CHARS {
            return Err(InvalidInstanceId::EntityTooLong(text.chars().count()));
        }
        Ok(Self(text.into()))
    }

    /// Takes a text that was checked before: from the store, or made here.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names an entity.
    #[must_use]
    pub fn is_entity(&self) -> bool {
        self.0.starts_with('@')
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Names one execution of an instance on the wire: new at each continue-as-new.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExecutionId(Arc<str>);

impl ExecutionId {
    /// Takes any text: clients may choose it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    )*};
}

numbers! {
    /// Numbers an instance in the store. Never used twice in a hub, also not when an id is used again, so that what
    /// is left of an old instance can never be taken for the new one's. Made of [`Incarnation`] and a counter.
    InstanceKey;
    /// Numbers an execution in the store: as [`InstanceKey`], and never reused either.
    RunId;
    /// Numbers a batch of writes, from 1 since the store was opened.
    BatchSeq;
    /// Numbers a connected worker's stream, from 1 since the process started.
    StreamId;
    /// Numbers a call that waits for an answer.
    RequestId;
    /// Raised and made durable each time that a store is opened. Below 2³¹.
    Incarnation;
}

/// Where an event stands in the history of its execution, from 0.
pub type Position = u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_quotes_newlines_and_unicode_are_fine_and_long_ones_are_not() {
        for text in ["a", "o'r\"d\ner", "zażółć 🦀", &"x".repeat(1_024)] {
            assert_eq!(InstanceId::parse(text).map(|i| i.as_str().to_owned()), Ok(text.to_owned()));
        }
        assert_eq!(InstanceId::parse(""), Err(InvalidInstanceId::Empty));
        assert_eq!(InstanceId::parse(&"x".repeat(1_025)), Err(InvalidInstanceId::TooLong(1_025)));
        assert_eq!(InstanceId::parse(&format!("@e@{}", "k".repeat(98))), Err(InvalidInstanceId::EntityTooLong(101)));
    }
}

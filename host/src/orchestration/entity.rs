//! Messages to entities, and the ids of entities.

use super::history::{RecordedKind, Time};
use crate::abi::EntityId;

/// A message to an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityMessage {
    /// Names the message, so that an answer finds its way back; empty until the turn ends.
    pub request: String,
    /// What matching compares.
    pub name: String,
    /// What the message says.
    pub content: EntityContent,
}

/// What a message to an entity says. Entities are named as the protocol names them: `@name@key`.
#[derive(Clone, Debug, PartialEq)]
pub enum EntityContent {
    /// Run an operation and answer.
    Call {
        /// The entity.
        entity: String,
        /// The operation.
        operation: String,
        /// Its input.
        input: Option<String>,
    },
    /// Run an operation.
    Signal {
        /// The entity.
        entity: String,
        /// The operation.
        operation: String,
        /// Its input.
        input: Option<String>,
        /// Not before this time.
        scheduled: Option<Time>,
    },
    /// Begin a critical section, and answer when all these entities are locked. Sorted, each once.
    Lock {
        /// The entities.
        entities: Vec<String>,
    },
    /// Release an entity.
    Unlock {
        /// The entity.
        entity: String,
        /// The request that locked it.
        section: String,
    },
}

impl EntityMessage {
    pub(crate) fn new(content: EntityContent) -> Self {
        let name = match &content {
            EntityContent::Call { entity, operation, .. } | EntityContent::Signal { entity, operation, .. } => {
                operation_name(entity, operation)
            }
            EntityContent::Lock { entities } => lock_name(entities),
            EntityContent::Unlock { entity, .. } => entity.clone(),
        };
        Self { request: String::new(), name, content }
    }

    /// The kind of event that it leaves in the history.
    pub fn kind(&self) -> RecordedKind {
        match self.content {
            EntityContent::Call { .. } => RecordedKind::EntityCall,
            EntityContent::Signal { .. } => RecordedKind::EntitySignal,
            EntityContent::Lock { .. } => RecordedKind::EntityLock,
            EntityContent::Unlock { .. } => RecordedKind::EntityUnlock,
        }
    }
}

/// How matching names an operation of an entity.
pub(super) fn operation_name(entity: &str, operation: &str) -> String {
    format!("{entity}/{operation}")
}

/// How matching names the entities of a critical section.
pub(super) fn lock_name(entities: &[String]) -> String {
    entities.join(", ")
}

/// The most characters that an entity's id may have.
const MAX_ID: usize = 100;

/// An entity's id as the protocol writes it: `@name@key`, with the name in lower case. Says what is wrong with one that cannot be.
pub(crate) fn protocol_id(id: &EntityId) -> Result<String, String> {
    let text = format!("@{}@{}", id.name.to_lowercase(), id.key);
    let wrong = |what: &str| Err(format!("`{text}` is no entity id: {what}"));
    if id.name.is_empty() {
        return wrong("the name is empty");
    }
    if id.name.contains('@') {
        return wrong("the name must not contain `@`, which separates it from the key");
    }
    let length = text.chars().count();
    if length > MAX_ID {
        return wrong(&format!("it has {length} characters, and at most {MAX_ID} are allowed"));
    }
    Ok(text)
}

/// The parts of `@name@key`.
pub(crate) fn parse_id(text: &str) -> Option<EntityId> {
    let (name, key) = text.strip_prefix('@')?.split_once('@')?;
    (!name.is_empty()).then(|| EntityId { name: name.to_owned(), key: key.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, key: &str) -> EntityId {
        EntityId { name: name.to_owned(), key: key.to_owned() }
    }

    #[test]
    fn names_are_written_in_lower_case_and_keys_as_they_are() {
        assert_eq!(protocol_id(&id("Counter", "A@b")).unwrap(), "@counter@A@b");
        assert_eq!(parse_id("@counter@A@b").unwrap(), id("counter", "A@b"));
        assert_eq!(parse_id("@counter@").unwrap(), id("counter", ""));
        for text in ["", "counter@a", "@counter", "@@a"] {
            assert!(parse_id(text).is_none(), "{text}");
        }
    }

    #[test]
    fn ids_that_the_protocol_cannot_hold_are_refused_with_what_is_wrong() {
        assert!(protocol_id(&id("", "a")).unwrap_err().contains("empty"));
        assert!(protocol_id(&id("a@b", "a")).unwrap_err().contains("must not contain"));
        assert!(protocol_id(&id("a", &"ü".repeat(97))).is_ok());
        assert!(protocol_id(&id("a", &"ü".repeat(98))).unwrap_err().contains("101 characters"));
    }
}

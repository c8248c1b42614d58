//! The ids of entities: a name that says which code, and a key that says which one.

use std::fmt;
use std::marker::PhantomData;

use super::Entity;
use crate::bindings::durawasm::workflow::types as wit;
use crate::{Error, Result};

/// Names an entity: in the protocol, and for people, `@name@key`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId {
    name: String,
    key: String,
}

/// The most characters that `@name@key` may have.
const MAX_LENGTH: usize = 100;

impl EntityId {
    /// The entity of this name (case does not matter) and key (it does).
    pub fn new(name: impl AsRef<str>, key: impl Into<String>) -> Self {
        Self { name: name.as_ref().to_lowercase(), key: key.into() }
    }

    /// The name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether an entity can have this id.
    pub(crate) fn check(&self) -> Result<()> {
        let length = self.name.chars().count() + self.key.chars().count() + 2;
        let problem = if self.name.is_empty() {
            "the name is empty".to_owned()
        } else if self.name.contains('@') {
            "the name must not contain `@`, which separates it from the key".to_owned()
        } else if length > MAX_LENGTH {
            format!("it has {length} characters, and at most {MAX_LENGTH} are allowed")
        } else {
            return Ok(());
        };
        Err(Error::new("InvalidEntityId", format!("`{self}` is no entity id: {problem}")).not_retriable())
    }

    pub(crate) fn from_wit(id: wit::EntityId) -> Self {
        Self::new(id.name, id.key)
    }

    pub(crate) fn to_wit(&self) -> wit::EntityId {
        wit::EntityId { name: self.name.clone(), key: self.key.clone() }
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}@{}", self.name, self.key)
    }
}

impl From<&EntityId> for EntityId {
    fn from(id: &EntityId) -> Self {
        id.clone()
    }
}

/// Names an entity whose operations are known: `Counter::id("a")`.
pub struct EntityRef<E> {
    id: EntityId,
    entity: PhantomData<fn() -> E>,
}

impl<E: Entity> EntityRef<E> {
    /// The entity with this key.
    pub fn new(key: impl Into<String>) -> Self {
        Self { id: EntityId::new(E::NAME, key), entity: PhantomData }
    }
}

impl<E> EntityRef<E> {
    /// Its id.
    pub fn id(&self) -> &EntityId {
        &self.id
    }

    /// Its key.
    pub fn key(&self) -> &str {
        self.id.key()
    }
}

impl<E> Clone for EntityRef<E> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), entity: PhantomData }
    }
}

impl<E> fmt::Debug for EntityRef<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl<E> From<EntityRef<E>> for EntityId {
    fn from(entity: EntityRef<E>) -> Self {
        entity.id
    }
}

impl<E> From<&EntityRef<E>> for EntityId {
    fn from(entity: &EntityRef<E>) -> Self {
        entity.id.clone()
    }
}

//! Running one operation: the state is read when it is asked for, and written when it was changed.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Entity, EntityContext, EntityId};
use crate::bindings::durawasm::workflow::types;
use crate::bindings::exports::durawasm::workflow::{entity as wit, migration};
use crate::{Error, Result, payload};

/// The state of an entity, read when an operation asks for it.
#[doc(hidden)]
pub struct State<S> {
    entity: String,
    text: Option<String>,
    value: Option<S>,
    written: bool,
}

impl<S: Serialize + DeserializeOwned + Default> State<S> {
    fn new(entity: &EntityId, text: Option<String>) -> Self {
        // Some SDKs write an empty text for no state.
        Self { entity: entity.to_string(), text: text.filter(|text| !text.is_empty()), value: None, written: false }
    }

    /// The state, to look at. An entity that has none begins with the default.
    pub fn read(&mut self) -> Result<&S> {
        Ok(self.value()?)
    }

    /// The state, to change.
    pub fn write(&mut self) -> Result<&mut S> {
        self.written = true;
        self.value()
    }

    fn value(&mut self) -> Result<&mut S> {
        let value = match (self.value.take(), &self.text) {
            (Some(value), _) => value,
            (None, Some(text)) => serde_json::from_str(text).map_err(|error| {
                let message = format!(
                    "the state of the entity `{}` does not fit: {error}. An older version may have left it: make a state of it with \
                     `fn migrate(old: serde_json::Value) -> Result<Self>`",
                    self.entity
                );
                Error::new("InvalidState", message).not_retriable()
            })?,
            (None, None) => S::default(),
        };
        Ok(self.value.insert(value))
    }

    fn change(self) -> Result<wit::Change> {
        let Some(value) = self.value.filter(|_| self.written) else { return Ok(wit::Change::Keep) };
        let text = payload::encode(&value, || format!("the state of the entity `{}`", self.entity))?;
        Ok(if self.text.as_ref() == Some(&text) { wit::Change::Keep } else { wit::Change::Replace(text) })
    }
}

/// The result of a method, encoded: what the macros write about.
#[doc(hidden)]
pub struct Operation;

impl Operation {
    /// Whether a caller means the operation of this name.
    pub fn is(ctx: &EntityContext, name: &str) -> bool {
        ctx.operation().eq_ignore_ascii_case(name)
    }

    /// Encodes a result.
    pub fn encode<T: Serialize>(ctx: &EntityContext, value: &T) -> Result<String> {
        payload::encode(value, || format!("the result of the operation `{}` of `{}`", ctx.operation(), ctx.id()))
    }

    /// What is left when the entity's own operations have been looked at: `delete`, or nothing.
    pub fn other(ctx: &EntityContext, known: &[&str]) -> Result<String> {
        if Self::is(ctx, "delete") {
            ctx.delete();
            return Ok("null".to_owned());
        }
        Err(ctx.unknown(known))
    }
}

/// The export `entity.run`, for one kind of entity.
pub(crate) fn run<E: Entity>(
    entity: types::EntityId,
    state: Option<String>,
    operation: wit::Operation,
) -> wit::OperationResult {
    let entity = EntityId::from_wit(entity);
    let mut state = State::<E::State>::new(&entity, state);
    let ctx = EntityContext::new(entity, operation);
    let result = E::operate(&ctx, &mut state).and_then(|output| {
        let change = if ctx.is_deleted() { wit::Change::Delete } else { state.change()? };
        Ok((output, change))
    });
    match result {
        Ok((output, change)) => wit::OperationResult { outcome: Ok(Some(output)), change, actions: ctx.take_actions() },
        Err(error) => failed(error),
    }
}

fn failed(error: Error) -> wit::OperationResult {
    wit::OperationResult { outcome: Err(error.into_failures()), change: wit::Change::Keep, actions: Vec::new() }
}

/// An operation on an entity that this component does not have.
pub(crate) fn unknown(error: Error) -> wit::OperationResult {
    failed(error)
}

/// The export `migration.migrate`, for one kind of entity.
pub(crate) fn migrate<E: Entity>(
    entity: types::EntityId,
    state: &str,
) -> Result<Option<migration::Payload>, types::Failures> {
    if !E::MIGRATES || state.is_empty() || serde_json::from_str::<E::State>(state).is_ok() {
        return Ok(None);
    }
    let entity = EntityId::from_wit(entity);
    let migrated = payload::decode(Some(state), || format!("the state of the entity `{entity}`"))
        .and_then(E::migrate)
        .and_then(|new| payload::encode(&new, || format!("the state of the entity `{entity}`")));
    migrated.map(Some).map_err(Error::into_failures)
}

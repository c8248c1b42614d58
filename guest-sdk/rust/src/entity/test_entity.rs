//! Unit tests of entities, natively: no component, host or scheduler is needed.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Entity, EntityId, operation};
use crate::bindings::exports::durawasm::workflow::entity as wit;
use crate::timestamp::Timestamp;
use crate::{Error, Result, payload};

/// One entity in a test: it keeps the state between operations, drops what a failed operation did, and collects what operations send.
///
/// ```
/// # use durawasm_guest::prelude::*;
/// use durawasm_guest::TestEntity;
///
/// #[entity]
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Counter {
///     value: i64,
/// }
///
/// #[entity]
/// impl Counter {
///     fn add(&mut self, amount: i64) -> Result<i64> {
///         self.value += amount;
///         Ok(self.value)
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let mut counter = TestEntity::<Counter>::new("a");
/// assert_eq!(counter.run::<i64>("add", &5)?, 5);
/// assert_eq!(counter.run::<i64>("add", &2)?, 7);
/// assert_eq!(counter.state().map(|counter| counter.value), Some(7));
/// # Ok(())
/// # }
/// ```
pub struct TestEntity<E: Entity> {
    id: EntityId,
    text: Option<String>,
    /// The time that operations see.
    pub now: Timestamp,
    runs: u32,
    sent: Vec<Sent>,
    entity: PhantomData<fn() -> E>,
}

/// What an operation sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    /// A signal to an entity.
    Signal {
        /// The entity.
        entity: EntityId,
        /// The operation.
        operation: String,
        /// The input, as JSON.
        input: Option<String>,
        /// Not before this time.
        at: Option<Timestamp>,
    },
    /// An orchestration.
    Started {
        /// The orchestrator's name.
        name: String,
        /// The instance id.
        instance_id: String,
        /// The input, as JSON.
        input: Option<String>,
        /// Not before this time.
        at: Option<Timestamp>,
    },
}

impl<E: Entity> TestEntity<E> {
    /// An entity without state.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            id: EntityId::new(E::NAME, key),
            text: None,
            now: Timestamp::UNIX_EPOCH,
            runs: 0,
            sent: Vec::new(),
            entity: PhantomData,
        }
    }

    /// Runs an operation.
    ///
    /// # Errors
    /// Those of the operation. Nothing that it did counts then.
    pub fn run<T: DeserializeOwned>(&mut self, operation: &str, input: &(impl Serialize + ?Sized)) -> Result<T> {
        self.runs += 1;
        let input = payload::encode(input, || "the input".to_owned())?;
        let migrated = match &self.text {
            Some(text) => operation::migrate::<E>(self.id.to_wit(), text).map_err(Error::from_failures)?,
            None => None,
        };
        self.text = migrated.or(self.text.take());
        let operation = wit::Operation {
            name: operation.to_owned(),
            input: Some(input),
            signal: false,
            id: format!("operation-{}", self.runs),
            now: self.now.into_wit(),
        };
        let result = operation::run::<E>(self.id.to_wit(), self.text.clone(), operation);
        let output = result.outcome.map_err(Error::from_failures)?;
        match result.change {
            wit::Change::Keep => {}
            wit::Change::Replace(text) => self.text = Some(text),
            wit::Change::Delete => self.text = None,
        }
        self.sent.extend(result.actions.into_iter().map(sent));
        payload::decode(output.as_deref(), || "the result".to_owned())
    }

    /// The state; none if the entity has none.
    pub fn state(&self) -> Option<E::State> {
        self.text.as_deref().and_then(|text| serde_json::from_str(text).ok())
    }

    /// Replaces the state, as text, such as one that an older version would have left.
    pub fn set_state_text(&mut self, text: impl Into<String>) {
        self.text = Some(text.into());
    }

    /// What operations have sent since this was called last.
    pub fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }
}

fn sent(action: wit::Action) -> Sent {
    match action {
        wit::Action::Signal(signal) => Sent::Signal {
            entity: EntityId::from_wit(signal.entity),
            operation: signal.operation,
            input: signal.input,
            at: signal.scheduled.map(Timestamp::from_wit),
        },
        wit::Action::StartOrchestration(start) => Sent::Started {
            name: start.name,
            instance_id: start.instance_id.unwrap_or_default(),
            input: start.input,
            at: start.scheduled.map(Timestamp::from_wit),
        },
    }
}

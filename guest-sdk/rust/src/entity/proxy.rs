//! How others reach an entity: what the typed methods of the macros, and the untyped ones here, have beneath them.

use std::rc::Rc;

use serde::Serialize;

use super::{EntityContext, EntityId};
use crate::bindings::exports::durawasm::workflow::{entity as effects, orchestrator as wit};
use crate::orchestration::{EntityCall, Instance};
use crate::timestamp::Timestamp;
use crate::{Result, payload};

/// Calls operations of one entity from an orchestrator.
#[doc(hidden)]
pub struct Caller {
    instance: Rc<Instance>,
    entity: EntityId,
}

impl Caller {
    pub(crate) fn new(instance: Rc<Instance>, entity: EntityId) -> Self {
        Self { instance, entity }
    }

    /// Calls an operation.
    pub fn call<T>(&self, operation: &str, input: &(impl Serialize + ?Sized)) -> EntityCall<T> {
        EntityCall::new(&self.instance, &self.entity, operation, encode(&self.entity, operation, input).map(Some))
    }

    /// Calls an operation that takes no input.
    pub fn call_plain<T>(&self, operation: &str) -> EntityCall<T> {
        EntityCall::new(&self.instance, &self.entity, operation, Ok(None))
    }
}

/// Signals one entity.
#[doc(hidden)]
pub struct Signaller {
    sender: Sender,
    entity: EntityId,
    scheduled: Option<Timestamp>,
}

enum Sender {
    Orchestration(Rc<Instance>),
    Entity(EntityContext),
}

impl Signaller {
    pub(crate) fn of_orchestration(instance: Rc<Instance>, entity: EntityId, scheduled: Option<Timestamp>) -> Self {
        Self { sender: Sender::Orchestration(instance), entity, scheduled }
    }

    pub(crate) fn of_entity(context: EntityContext, entity: EntityId, scheduled: Option<Timestamp>) -> Self {
        Self { sender: Sender::Entity(context), entity, scheduled }
    }

    /// Signals an operation.
    pub fn send(&self, operation: &str, input: &(impl Serialize + ?Sized)) -> Result<()> {
        self.dispatch(operation, Some(encode(&self.entity, operation, input)?))
    }

    /// Signals an operation that takes no input.
    pub fn send_plain(&self, operation: &str) -> Result<()> {
        self.dispatch(operation, None)
    }

    fn dispatch(&self, operation: &str, input: Option<String>) -> Result<()> {
        self.entity.check()?;
        let operation = operation.to_owned();
        let scheduled = self.scheduled.map(|time| time.rounded_up_to_micros().into_wit());
        match &self.sender {
            Sender::Orchestration(instance) => {
                instance.locks.check_signal(&self.entity)?;
                let entity = self.entity.to_wit();
                instance.send(wit::Command::SignalEntity(wit::EntityOperation {
                    entity,
                    operation,
                    input,
                    scheduled,
                }))?;
            }
            Sender::Entity(context) => {
                let entity = self.entity.to_wit();
                context.act(effects::Action::Signal(effects::Signal { entity, operation, input, scheduled }));
            }
        }
        Ok(())
    }
}

fn encode(entity: &EntityId, operation: &str, input: &(impl Serialize + ?Sized)) -> Result<String> {
    payload::encode(input, || format!("the input of the operation `{operation}` of `{entity}`"))
}

/// Calls operations by name, of an entity that is a function.
pub struct DynamicCalls(Caller);

impl DynamicCalls {
    #[doc(hidden)]
    pub fn new(caller: Caller) -> Self {
        Self(caller)
    }

    /// Calls an operation.
    pub fn call<T>(&self, operation: &str, input: &(impl Serialize + ?Sized)) -> EntityCall<T> {
        self.0.call(operation, input)
    }
}

/// Signals operations by name, of an entity that is a function.
pub struct DynamicSignals(Signaller);

impl DynamicSignals {
    #[doc(hidden)]
    pub fn new(signaller: Signaller) -> Self {
        Self(signaller)
    }

    /// Signals an operation.
    ///
    /// # Errors
    /// If there can be no such entity, the input cannot be written as JSON, or the orchestrator has locked the entity.
    pub fn send(&self, operation: &str, input: &(impl Serialize + ?Sized)) -> Result<()> {
        self.0.send(operation, input)
    }
}

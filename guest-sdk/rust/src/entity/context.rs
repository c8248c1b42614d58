//! What an operation of an entity sees, and what it does outside the entity.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::proxy::Signaller;
use super::{Entity, EntityId, EntityRef};
use crate::bindings::exports::durawasm::workflow::entity as wit;
use crate::component::{InputFor, Orchestrator};
use crate::timestamp::Timestamp;
use crate::{Error, Result, payload};

/// An operation's way to everything outside its entity. A cheap handle.
///
/// What an operation does through it happens when the batch that the operation belongs to is committed, and not at all if the
/// operation fails.
#[derive(Clone)]
pub struct EntityContext(Rc<Running>);

struct Running {
    entity: EntityId,
    operation: String,
    operation_id: String,
    input: Option<String>,
    signal: bool,
    now: Timestamp,
    actions: RefCell<Vec<wit::Action>>,
    started: Cell<u32>,
    deleted: Cell<bool>,
}

/// How an entity starts an orchestration, for [`EntityContext::start_with`].
#[derive(Clone, Debug, Default)]
#[must_use = "give it to `start_with` or `start_named`"]
pub struct Start {
    id: Option<String>,
    version: Option<String>,
    at: Option<Timestamp>,
}

impl Start {
    /// With this instance id. If it is taken by an instance that runs, nothing is started.
    pub fn id(mut self, instance_id: impl Into<String>) -> Self {
        self.id = Some(instance_id.into());
        self
    }

    /// In this version.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Not before this time.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.at = Some(time);
        self
    }
}

impl EntityContext {
    pub(crate) fn new(entity: EntityId, operation: wit::Operation) -> Self {
        Self(Rc::new(Running {
            entity,
            operation: operation.name,
            operation_id: operation.id,
            input: operation.input,
            signal: operation.signal,
            now: Timestamp::from_wit(operation.now),
            actions: RefCell::default(),
            started: Cell::new(0),
            deleted: Cell::new(false),
        }))
    }

    /// The entity's id.
    pub fn id(&self) -> &EntityId {
        &self.0.entity
    }

    /// The entity's key.
    pub fn key(&self) -> &str {
        self.0.entity.key()
    }

    /// The name of the operation, as the caller wrote it.
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// Names this run of the operation for ever, and is the same when it runs again after a crash: hand it to other systems as an
    /// idempotency key.
    pub fn operation_id(&self) -> &str {
        &self.0.operation_id
    }

    /// Whether nobody waits for the result.
    pub fn is_signal(&self) -> bool {
        self.0.signal
    }

    /// The time at which the operation runs.
    pub fn now(&self) -> Timestamp {
        self.0.now
    }

    /// The operation's input, for entities that are functions: methods get it as their argument.
    ///
    /// # Errors
    /// If it does not fit the type.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T> {
        let what = || format!("the input of the operation `{}` of `{}`", self.operation(), self.id());
        payload::decode(self.0.input.as_deref(), what)
    }

    /// The error to return for an operation that the entity does not know, for entities that are functions.
    pub fn unknown_operation<T>(&self) -> Result<T> {
        Err(self.unknown(&[]))
    }

    pub(crate) fn unknown(&self, known: &[&str]) -> Error {
        let mut message = format!("the entity `{}` has no operation `{}`", self.id(), self.operation());
        if !known.is_empty() {
            message.push_str("; it has ");
            message.push_str(&known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "));
        }
        Error::new("UnknownOperation", message).not_retriable()
    }

    /// Signals another entity (or this one, for later): `ctx.signal(Counter::id("a")).add(5)?`.
    pub fn signal<E: Entity>(&self, entity: EntityRef<E>) -> E::Signals {
        E::signals(Signaller::of_entity(self.clone(), entity.into(), None))
    }

    /// Signals an entity, not before a time.
    pub fn signal_at<E: Entity>(&self, entity: EntityRef<E>, time: Timestamp) -> E::Signals {
        E::signals(Signaller::of_entity(self.clone(), entity.into(), Some(time)))
    }

    /// Signals an entity by name, such as one of another component or of a worker in another language.
    ///
    /// # Errors
    /// If there can be no such entity, or the input cannot be written as JSON.
    pub fn signal_entity(
        &self,
        entity: impl Into<EntityId>,
        operation: &str,
        input: &(impl Serialize + ?Sized),
    ) -> Result<()> {
        Signaller::of_entity(self.clone(), entity.into(), None).send(operation, input)
    }

    /// Starts an orchestrator of this component, and returns the id of its instance.
    ///
    /// # Errors
    /// If the input cannot be written as JSON.
    pub fn start<O: Orchestrator>(&self, orchestrator: fn() -> O, input: impl InputFor<O>) -> Result<String> {
        self.start_with(orchestrator, input, Start::default())
    }

    /// [`EntityContext::start`] with options.
    ///
    /// # Errors
    /// If the input cannot be written as JSON.
    pub fn start_with<O: Orchestrator>(
        &self,
        orchestrator: fn() -> O,
        input: impl InputFor<O>,
        options: Start,
    ) -> Result<String> {
        let _only_names_it = orchestrator;
        self.start_named(O::NAME, &input, options)
    }

    /// Starts an orchestration by name, and returns the id of its instance.
    ///
    /// # Errors
    /// If the input cannot be written as JSON.
    pub fn start_named(
        &self,
        name: impl Into<String>,
        input: &(impl Serialize + ?Sized),
        options: Start,
    ) -> Result<String> {
        let name = name.into();
        let input = payload::encode(input, || format!("the input of the orchestration `{name}`"))?;
        let Start { id, version, at } = options;
        let id = id.unwrap_or_else(|| {
            // The same when the operation runs again.
            let number = self.0.started.get() + 1;
            self.0.started.set(number);
            format!("{}:{number}", self.0.operation_id)
        });
        self.act(wit::Action::StartOrchestration(wit::Start {
            name,
            version,
            input: Some(input),
            instance_id: Some(id.clone()),
            scheduled: at.map(Timestamp::into_wit),
        }));
        Ok(id)
    }

    /// Deletes the entity's state when the operation has ended.
    pub fn delete(&self) {
        self.0.deleted.set(true);
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.0.deleted.get()
    }

    pub(crate) fn act(&self, action: wit::Action) {
        self.0.actions.borrow_mut().push(action);
    }

    pub(crate) fn take_actions(&self) -> Vec<wit::Action> {
        self.0.actions.take()
    }
}

//! Entities as an orchestrator sees them: calls, and critical sections with their rules.
//!
//! The host holds the rules too, for guests in any language, and fails an orchestration that breaks them. Here they are errors that
//! the orchestrator can handle.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::Context;
use super::instance::Instance;
use super::op::Op;
use crate::bindings::exports::durawasm::workflow::orchestrator::{Command, EntityOperation, OpId, Request};
use crate::entity::{Caller, Entity, EntityId, EntityRef, Signaller};
use crate::timestamp::Timestamp;
use crate::{Error, Result, payload};

impl Context {
    /// An entity, to call and to wait for: `ctx.entity(Counter::id("a")).add(5).await?`. The operation is called at once; the await
    /// only waits for its result.
    pub fn entity<E: Entity>(&self, entity: EntityRef<E>) -> E::Calls {
        E::calls(Caller::new(Rc::clone(self.instance()), entity.into()))
    }

    /// An entity, to signal without waiting: `ctx.signal(Counter::id("a")).add(5)?`.
    pub fn signal<E: Entity>(&self, entity: EntityRef<E>) -> E::Signals {
        E::signals(Signaller::of_orchestration(Rc::clone(self.instance()), entity.into(), None))
    }

    /// An entity, to signal for a time to come.
    pub fn signal_at<E: Entity>(&self, entity: EntityRef<E>, time: Timestamp) -> E::Signals {
        E::signals(Signaller::of_orchestration(Rc::clone(self.instance()), entity.into(), Some(time)))
    }

    /// Calls an entity by name, such as one of another component or of a worker in another language.
    pub fn call_entity<T>(
        &self,
        entity: impl Into<EntityId>,
        operation: &str,
        input: &(impl Serialize + ?Sized),
    ) -> EntityCall<T> {
        Caller::new(Rc::clone(self.instance()), entity.into()).call(operation, input)
    }

    /// Signals an entity by name.
    ///
    /// # Errors
    /// If there can be no such entity, the input cannot be written as JSON, or this orchestration has locked the entity.
    pub fn signal_entity(
        &self,
        entity: impl Into<EntityId>,
        operation: &str,
        input: &(impl Serialize + ?Sized),
    ) -> Result<()> {
        Signaller::of_orchestration(Rc::clone(self.instance()), entity.into(), None).send(operation, input)
    }

    /// Locks entities for this orchestration: `let section = ctx.lock(&[Account::id("a"), Account::id("b")]).await?;`. Nobody else's
    /// operations run on them until the guard that this gives is dropped, or the orchestration ends.
    ///
    /// In between only these entities may be called, each once at a time; none of them may be signalled, no child may be started, and no
    /// other lock may be asked for. No entity may be called while the lock is waited for.
    pub fn lock<I: Into<EntityId>>(&self, entities: impl IntoIterator<Item = I>) -> Lock {
        let mut ids: Vec<EntityId> = entities.into_iter().map(Into::into).collect();
        ids.sort_unstable();
        ids.dedup();
        let instance = self.instance();
        let request =
            instance.locks.check_lock(&ids).map(|()| Request::Lock(ids.iter().map(EntityId::to_wit).collect()));
        let op = Op::issue_if(instance, request);
        if let Some(id) = op.id() {
            instance.locks.asked(id, ids.clone());
        }
        Lock { op, entities: ids }
    }

    /// Whether this orchestration has locked an entity.
    pub fn is_locked(&self, entity: impl Into<EntityId>) -> bool {
        self.instance().locks.held().contains(&entity.into())
    }

    /// The entities that this orchestration has locked.
    pub fn locked(&self) -> Vec<EntityId> {
        self.instance().locks.held()
    }
}

/// A call of an entity's operation. Awaiting it gives the operation's result.
///
/// Dropping it means that nobody waits for the result any more: the operation runs all the same.
#[must_use = "the operation runs, but nobody waits for its result: `.await` it, or use `ctx.signal(…)`"]
pub struct EntityCall<T> {
    op: Op,
    entity: EntityId,
    operation: String,
    output: PhantomData<fn() -> T>,
}

impl<T> EntityCall<T> {
    pub(crate) fn new(
        instance: &Rc<Instance>,
        entity: &EntityId,
        operation: &str,
        input: Result<Option<String>>,
    ) -> Self {
        let request =
            entity.check().and_then(|()| instance.locks.check_call(instance, entity)).and(input).map(|input| {
                let operation = operation.to_owned();
                Request::CallEntity(EntityOperation { entity: entity.to_wit(), operation, input, scheduled: None })
            });
        let op = Op::issue_if(instance, request);
        if let Some(op) = op.id() {
            instance.locks.called(op, entity);
        }
        Self { op, entity: entity.clone(), operation: operation.to_owned(), output: PhantomData }
    }
}

impl<T: DeserializeOwned> Future for EntityCall<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.op.poll(cx).map(|outcome| {
            // Some SDKs answer with an empty text where there is nothing to say.
            let output = outcome?.filter(|text| !text.is_empty());
            payload::decode(output.as_deref(), || {
                format!("the result of the operation `{}` of `{}`", self.operation, self.entity)
            })
        })
    }
}

/// A lock that is asked for, made by [`Context::lock`]. Dropped before it is there, it is given back as soon as it is.
#[must_use = "nothing is locked without `.await`"]
pub struct Lock {
    op: Op,
    entities: Vec<EntityId>,
}

impl Future for Lock {
    type Output = Result<Locked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Some(op) = self.op.id() else {
            return self.op.poll(cx).map(|refused| Err(refused.expect_err("it was refused")));
        };
        self.op.poll(cx).map(|outcome| {
            outcome?;
            let entities = std::mem::take(&mut self.entities);
            Ok(Locked { instance: Rc::clone(self.op.instance()), op, entities })
        })
    }
}

/// Entities that are locked for this orchestration, made by [`Context::lock`]. They are released when it is dropped.
#[must_use = "the entities are released when this is dropped: keep it for as long as they shall be locked"]
pub struct Locked {
    instance: Rc<Instance>,
    op: OpId,
    entities: Vec<EntityId>,
}

impl Locked {
    /// The entities, sorted.
    pub fn entities(&self) -> &[EntityId] {
        &self.entities
    }

    /// Releases them, as dropping it does.
    pub fn release(self) {}
}

impl Drop for Locked {
    fn drop(&mut self) {
        if self.instance.locks.forget(self.op) {
            self.instance.send_or_refuse(Command::Unlock(self.op));
        }
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Locked").field(&self.entities).finish()
    }
}

/// The locks that were asked for and not given back.
#[derive(Default)]
pub(crate) struct Locks(RefCell<Vec<Section>>);

struct Section {
    op: OpId,
    entities: Vec<EntityId>,
    granted: bool,
    /// The latest call of each entity that was made in it. The one before it had been answered or given up by then.
    calls: BTreeMap<EntityId, OpId>,
}

impl Locks {
    fn asked(&self, op: OpId, entities: Vec<EntityId>) {
        self.0.borrow_mut().push(Section { op, entities, granted: false, calls: BTreeMap::new() });
    }

    /// The op is resolved: if it is a lock, the section begins.
    pub(crate) fn granted(&self, op: OpId) {
        if let Some(section) = self.0.borrow_mut().iter_mut().find(|section| section.op == op) {
            section.granted = true;
        }
    }

    /// The section of this op is over. False if the op is no lock.
    pub(crate) fn forget(&self, op: OpId) -> bool {
        let mut sections = self.0.borrow_mut();
        let before = sections.len();
        sections.retain(|section| section.op != op);
        sections.len() < before
    }

    fn held(&self) -> Vec<EntityId> {
        let sections = self.0.borrow();
        sections.iter().filter(|section| section.granted).flat_map(|section| section.entities.clone()).collect()
    }

    fn called(&self, op: OpId, entity: &EntityId) {
        if let Some(section) = self.0.borrow_mut().first_mut() {
            section.calls.insert(entity.clone(), op);
        }
    }

    fn check_call(&self, instance: &Instance, entity: &EntityId) -> Result<()> {
        let sections = self.0.borrow();
        let Some(section) = sections.first() else { return Ok(()) };
        let locked = || list(&section.entities);
        let (error_type, message) = if !section.granted {
            let message = format!(
                "`{entity}` cannot be called while this orchestration waits for the lock of {}: await the lock before calls, or call \
                 before asking for it",
                locked()
            );
            ("EntityNotLocked", message)
        } else if !section.entities.contains(entity) {
            let message = format!(
                "`{entity}` cannot be called from a critical section that has locked {}: only these may be called there. Lock it \
                 together with the others, or call it outside the critical section",
                locked()
            );
            ("EntityNotLocked", message)
        } else if section.calls.get(entity).is_some_and(|op| instance.is_pending(*op)) {
            let message = format!(
                "`{entity}` cannot be called from a critical section before the call before it was answered: await one call of an entity \
                 before the next"
            );
            ("ParallelCalls", message)
        } else {
            return Ok(());
        };
        Err(Error::new(error_type, message).not_retriable())
    }

    /// A child could want what its parent has locked, and both would wait for ever.
    pub(crate) fn check_child(&self, name: &str) -> Result<()> {
        let held = self.held();
        if held.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the child orchestration `{name}` cannot be started in a critical section that has locked {}: start it before the lock, or \
             after its release",
            list(&held)
        );
        Err(Error::new("ChildInSection", message).not_retriable())
    }

    pub(crate) fn check_signal(&self, entity: &EntityId) -> Result<()> {
        if !self.held().contains(entity) {
            return Ok(());
        }
        let message = format!(
            "`{entity}` cannot be signalled while this orchestration has locked it: the signal would wait for the lock's end. Call the \
             operation and wait for it, or signal behind the critical section"
        );
        Err(Error::new("EntityLocked", message).not_retriable())
    }

    fn check_lock(&self, entities: &[EntityId]) -> Result<()> {
        if entities.is_empty() {
            return Err(Error::new("InvalidLock", "a lock needs at least one entity").not_retriable());
        }
        entities.iter().try_for_each(EntityId::check)?;
        let sections = self.0.borrow();
        let Some(section) = sections.first() else { return Ok(()) };
        let message = format!(
            "this orchestration has locked {} or asked for it: locks cannot be nested, since two orchestrations could wait for each \
             other for ever. Lock all entities at once",
            list(&section.entities)
        );
        Err(Error::new("NestedLock", message).not_retriable())
    }
}

fn list(entities: &[EntityId]) -> String {
    entities.iter().map(|entity| format!("`{entity}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{echo, resolved, short, start};
    use super::super::{OneOf2, race};
    use super::*;

    fn account(key: &str) -> EntityId {
        EntityId::new("Account", key)
    }

    #[test]
    fn a_guard_that_is_dropped_releases_what_was_locked() {
        let (mut execution, commands) = start(|ctx| async move {
            let section = ctx.lock(&[account("b"), account("a"), account("b")]).await?;
            assert_eq!(section.entities(), [account("a"), account("b")]);
            assert!(ctx.is_locked(account("a")) && !ctx.is_locked(account("c")));
            ctx.call_entity::<()>(account("a"), "withdraw", &5).await?;
            drop(section);
            assert!(ctx.locked().is_empty());
            ctx.signal_entity(account("a"), "note", "done")?;
            Ok("1".to_owned())
        });
        let [Command::Issue((1, Request::Lock(ids)))] = commands.as_slice() else { panic!("{commands:?}") };
        assert_eq!(ids.len(), 2);
        let commands = execution.resume(vec![resolved(1, 1, "null")]);
        let [Command::Issue((2, Request::CallEntity(call)))] = commands.as_slice() else { panic!("{commands:?}") };
        assert_eq!((call.entity.name.as_str(), call.operation.as_str()), ("account", "withdraw"));
        let commands = execution.resume(vec![resolved(2, 2, "null")]);
        let [Command::Unlock(1), Command::SignalEntity(_), Command::Complete(Ok(_))] = commands.as_slice() else {
            panic!("{commands:?}");
        };
    }

    #[test]
    fn the_rules_of_a_critical_section_are_errors_that_can_be_handled() {
        let (mut execution, _) = start(|ctx| async move {
            let lock = ctx.lock([account("a"), account("c")]);
            let mut seen = vec![ctx.call_entity::<()>(account("a"), "x", &()).await.expect_err("not there yet")];
            let _section = lock.await?;
            seen.push(ctx.call_entity::<()>(account("b"), "x", &()).await.expect_err("not locked"));
            drop(ctx.call_entity::<()>(account("c"), "x", &()));
            let (first, second) =
                (ctx.call_entity::<()>(account("c"), "x", &()), ctx.call_entity::<()>(account("c"), "x", &()));
            seen.push(second.await.expect_err("the one before it is not answered"));
            drop(first);
            seen.push(ctx.start_child_named::<()>("child", &()).await.expect_err("a child"));
            seen.push(ctx.signal_entity(account("a"), "x", &()).expect_err("locked"));
            seen.push(ctx.lock([account("b")]).await.expect_err("nested"));
            seen.push(ctx.lock::<EntityId>([]).await.expect_err("empty"));
            seen.push(ctx.signal_entity(EntityId::new("", "k"), "x", &()).expect_err("no name"));
            ctx.signal_entity(account("b"), "x", &())?;
            Ok(seen.iter().map(Error::error_type).collect::<Vec<_>>().join(" "))
        });
        let commands = execution.resume(vec![resolved(1, 1, "null")]);
        let Some(Command::Complete(Ok(Some(seen)))) = commands.last() else { panic!("{commands:?}") };
        let expected = "EntityNotLocked EntityNotLocked ParallelCalls ChildInSection EntityLocked NestedLock InvalidLock InvalidEntityId";
        assert_eq!(seen, expected);
        let calls = |commands: &[Command]| {
            commands.iter().filter(|command| matches!(command, Command::Issue((_, Request::CallEntity(_))))).count()
        };
        assert_eq!(calls(&commands), 2, "{commands:?}");
        assert!(matches!(commands[..], [.., Command::SignalEntity(_), Command::Unlock(1), _]), "{commands:?}");
    }

    #[test]
    fn a_section_remembers_one_call_of_each_entity_however_many_there_are() {
        let (mut execution, _) = start(|ctx| async move {
            let _section = ctx.lock([account("a"), account("b")]).await?;
            for _ in 0..10 {
                ctx.call_entity::<()>(account("a"), "x", &()).await?;
                ctx.call_entity::<()>(account("b"), "x", &()).await?;
            }
            let remembered = ctx.instance().locks.0.borrow()[0].calls.len();
            Ok(remembered.to_string())
        });
        let mut commands = Vec::new();
        for op in 1..=21 {
            commands = execution.resume(vec![resolved(op, op, "null")]);
        }
        let [Command::Unlock(1), Command::Complete(Ok(Some(remembered)))] = commands.as_slice() else {
            panic!("{commands:?}");
        };
        assert_eq!(remembered, "2");
    }

    #[test]
    fn a_lock_that_lost_a_race_is_cancelled_and_one_that_nobody_took_is_released() {
        let (mut execution, _) = start(|ctx| async move {
            let lost = matches!(race((ctx.lock([account("a")]), echo(&ctx, 1))).await, OneOf2::Second(_));
            let untaken = ctx.lock([account("b")]);
            echo(&ctx, 2).await?;
            drop(untaken);
            Ok(lost.to_string())
        });
        let commands = execution.resume(vec![resolved(2, 1, "1")]);
        assert_eq!(short(&commands)[0], "-1");
        let commands = execution.resume(vec![resolved(3, 2, "null"), resolved(4, 2, "2")]);
        assert!(matches!(commands[..], [Command::Unlock(3), Command::Complete(Ok(_))]), "{commands:?}");
    }
}

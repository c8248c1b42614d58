//! What one orchestration instance shares between the user's future and the executor: its facts, the time, the ops that
//! wait, and the commands that have not left yet.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::task::{Poll, Waker};

use super::context::Parent;
use super::entities::Locks;
use super::query::Queries;
use super::random::Streams;
use crate::Result;
use crate::bindings::exports::durawasm::workflow::orchestrator::{Command, Context, OpId, Outcome, Request};
use crate::timestamp::Timestamp;

/// Named in hidden signatures only.
#[doc(hidden)]
pub struct Instance {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) version: Option<String>,
    pub(crate) parent: Option<Parent>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) now: Cell<Timestamp>,
    pub(crate) random: RefCell<Streams>,
    pub(crate) queries: Queries,
    pub(crate) locks: Locks,
    waits: RefCell<BTreeMap<OpId, Wait>>,
    outbox: RefCell<Outbox>,
    next_op: Cell<OpId>,
}

/// An op that has been issued and whose outcome nobody has taken yet.
enum Wait {
    Pending(Option<Waker>),
    Resolved(Outcome),
}

#[derive(Default)]
struct Outbox {
    commands: Vec<Command>,
    /// How many commands have left before those.
    sent: u64,
    /// After the last command nothing is sent: awaitables that the finished future still held are dropped in silence.
    closed: bool,
}

/// Where a command stands in the order of all commands of the instance.
#[derive(Clone, Copy)]
pub(crate) struct Position(u64);

impl Instance {
    /// The instance and its input.
    pub(crate) fn new(context: Context) -> (Self, Option<String>) {
        let instance = Self {
            name: context.name,
            id: context.instance_id,
            version: context.version,
            parent: context.parent.map(Parent::from_wit),
            tags: context.tags,
            now: Cell::new(Timestamp::from_wit(context.now)),
            random: RefCell::new(Streams::new(context.seed)),
            queries: Queries::default(),
            locks: Locks::default(),
            waits: RefCell::default(),
            outbox: RefCell::default(),
            next_op: Cell::new(1),
        };
        (instance, context.input)
    }

    /// Begins something to wait for.
    ///
    /// # Errors
    /// If a query is being answered.
    pub(crate) fn issue(&self, request: Request) -> Result<(OpId, Position)> {
        let op = self.next_op.get();
        let position = self.send(Command::Issue((op, request)))?;
        self.next_op.set(op + 1);
        self.waits.borrow_mut().insert(op, Wait::Pending(None));
        Ok((op, position))
    }

    /// Sends a command.
    ///
    /// # Errors
    /// If a query is being answered.
    pub(crate) fn send(&self, command: Command) -> Result<Position> {
        self.queries.check(&command)?;
        let mut outbox = self.outbox.borrow_mut();
        let position = Position(outbox.sent + outbox.commands.len() as u64);
        if !outbox.closed {
            outbox.commands.push(command);
        }
        Ok(position)
    }

    /// Sends a command on behalf of somebody who cannot take an error. If a query is being answered, its answer says what
    /// was refused.
    pub(crate) fn send_or_refuse(&self, command: Command) {
        let _in_the_answer = self.send(command);
    }

    /// Sends the command that ends the execution.
    pub(crate) fn send_last(&self, command: Command) {
        self.send_or_refuse(command);
        self.outbox.borrow_mut().closed = true;
    }

    /// The request at `position` for as long as it has not left; none afterwards.
    pub(crate) fn with_unsent<R>(&self, position: Position, look: impl FnOnce(&mut Request) -> R) -> Option<R> {
        let mut outbox = self.outbox.borrow_mut();
        let index = usize::try_from(position.0.checked_sub(outbox.sent)?).ok()?;
        match outbox.commands.get_mut(index) {
            Some(Command::Issue((_, request))) => Some(look(request)),
            _ => None,
        }
    }

    pub(crate) fn take_commands(&self) -> Vec<Command> {
        let mut outbox = self.outbox.borrow_mut();
        outbox.sent += outbox.commands.len() as u64;
        std::mem::take(&mut outbox.commands)
    }

    /// Keeps the outcome for whoever waits. False if nobody does: the op was forgotten, or this is a late resolution of one that
    /// was cancelled.
    pub(crate) fn resolve(&self, op: OpId, outcome: Outcome) -> bool {
        let mut waits = self.waits.borrow_mut();
        let Some(wait @ Wait::Pending(_)) = waits.get_mut(&op) else { return false };
        self.locks.granted(op);
        let before = std::mem::replace(wait, Wait::Resolved(outcome));
        // The waker runs user code of other crates at most through its clone and wake, yet no borrow is held.
        drop(waits);
        if let Wait::Pending(Some(waker)) = before {
            waker.wake();
        }
        true
    }

    pub(crate) fn poll_op(&self, op: OpId, waker: &Waker) -> Poll<Outcome> {
        let mut waits = self.waits.borrow_mut();
        match waits.remove(&op) {
            Some(Wait::Resolved(outcome)) => Poll::Ready(outcome),
            Some(Wait::Pending(before)) => {
                let waker = before.filter(|before| before.will_wake(waker)).unwrap_or_else(|| waker.clone());
                waits.insert(op, Wait::Pending(Some(waker)));
                Poll::Pending
            }
            // `Op` polls only until it is ready, and the table forgets an op only then or when its `Op` is dropped.
            None => unreachable!("op {op} was polled after its end"),
        }
    }

    /// Whether somebody waits for an outcome that is not there yet.
    pub(crate) fn is_pending(&self, op: OpId) -> bool {
        matches!(self.waits.borrow().get(&op), Some(Wait::Pending(_)))
    }

    /// Nobody will ever take the op's outcome, and the host goes on with it.
    pub(crate) fn forget(&self, op: OpId) {
        self.waits.borrow_mut().remove(&op);
    }

    /// Nobody waits for the op any more. The host needs to know only if its outcome is still to come.
    pub(crate) fn abandon(&self, op: OpId) {
        let before = self.waits.borrow_mut().remove(&op);
        let is_lock = self.locks.forget(op);
        match before {
            Some(Wait::Pending(_)) => self.send_or_refuse(Command::Cancel(op)),
            // Locked, and nobody has taken the guard.
            Some(Wait::Resolved(_)) if is_lock => self.send_or_refuse(Command::Unlock(op)),
            _ => {}
        }
    }
}

//! One op from its issue to its end, as every awaitable holds it.

use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use super::instance::{Instance, Position};
use crate::Error;
use crate::bindings::exports::durawasm::workflow::orchestrator::{OpId, Request};

/// Issued when it is made. Dropped before its outcome is there, it is cancelled.
pub(crate) struct Op {
    instance: Rc<Instance>,
    state: State,
}

enum State {
    Waiting(OpId, Position),
    /// It could not be issued. The error waits for the first poll.
    Refused(Error),
    Ended,
}

impl Op {
    pub(crate) fn issue(instance: &Rc<Instance>, request: Request) -> Self {
        let state = match instance.issue(request) {
            Ok((op, position)) => State::Waiting(op, position),
            Err(error) => State::Refused(error),
        };
        Self { instance: Rc::clone(instance), state }
    }

    /// Of a request whose making failed: the awaitable then resolves with the error.
    pub(crate) fn issue_if(instance: &Rc<Instance>, request: Result<Request, Error>) -> Self {
        match request {
            Ok(request) => Self::issue(instance, request),
            Err(error) => Self { instance: Rc::clone(instance), state: State::Refused(error) },
        }
    }

    /// Its number; none if it was refused or has ended.
    pub(crate) fn id(&self) -> Option<OpId> {
        match self.state {
            State::Waiting(op, _) => Some(op),
            State::Refused(_) | State::Ended => None,
        }
    }

    pub(crate) fn instance(&self) -> &Rc<Instance> {
        &self.instance
    }

    /// Changes the request before it leaves. None if the op was refused.
    ///
    /// # Panics
    /// If the request has left, that is, if there was an `await` since: `option` names the method that came too late.
    pub(crate) fn amend<R>(&self, option: &str, change: impl FnOnce(&mut Request) -> R) -> Option<R> {
        let State::Waiting(_, position) = self.state else { return None };
        let changed = self.instance.with_unsent(position, change);
        assert!(
            changed.is_some(),
            "`{option}` comes too late: the call was issued before the last await. Give options where the call is made, \
             as in `ctx.call(f, input).{option}(..)`"
        );
        changed
    }

    /// Lets it run without anybody who waits for it. It is not cancelled, since the host does not try again what is.
    pub(crate) fn detach(mut self) {
        if let State::Waiting(op, _) = std::mem::replace(&mut self.state, State::Ended) {
            self.instance.forget(op);
        }
    }

    pub(crate) fn poll(&mut self, cx: &TaskContext<'_>) -> Poll<Result<Option<String>, Error>> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Waiting(op, position) => match self.instance.poll_op(op, cx.waker()) {
                Poll::Ready(outcome) => Poll::Ready(outcome.map_err(Error::from_failures)),
                Poll::Pending => {
                    self.state = State::Waiting(op, position);
                    Poll::Pending
                }
            },
            State::Refused(error) => Poll::Ready(Err(error)),
            State::Ended => panic!("an awaitable was polled after it was ready"),
        }
    }
}

impl Drop for Op {
    fn drop(&mut self) {
        if let State::Waiting(op, _) = self.state {
            self.instance.abandon(op);
        }
    }
}

//! What an orchestrator waits for besides calls: time and external events.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::instance::Instance;
use super::op::Op;
use crate::bindings::exports::durawasm::workflow::orchestrator::Request;
use crate::timestamp::Timestamp;
use crate::{Result, payload};

/// A durable timer, made by [`Context::sleep`](super::Context::sleep) and
/// [`Context::sleep_until`](super::Context::sleep_until). It runs from when it is made, not from when it is awaited.
#[must_use = "the orchestration does not sleep without `.await`"]
pub struct Timer(Op);

impl Timer {
    pub(crate) fn new(instance: &Rc<Instance>, time: Timestamp) -> Self {
        Self(Op::issue(instance, Request::Timer(time.rounded_up_to_micros().into_wit())))
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.0.poll(cx).map(|_fired| ())
    }
}

/// A wait for one external event, made by [`Context::event`](super::Context::event). It takes its place in the queue of
/// that event's waiters when it is made, and gives it up when it is dropped.
#[must_use = "the event is not waited for without `.await`"]
pub struct EventWait<T> {
    op: Op,
    name: String,
    payload: PhantomData<fn() -> T>,
}

impl<T> EventWait<T> {
    pub(crate) fn new(instance: &Rc<Instance>, name: String) -> Self {
        let op = Op::issue(instance, Request::WaitEvent(name.clone()));
        Self { op, name, payload: PhantomData }
    }
}

impl<T: DeserializeOwned> Future for EventWait<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<T>> {
        self.op.poll(cx).map(|outcome| payload::decode(outcome?.as_deref(), || format!("the event `{}`", self.name)))
    }
}

/// A future with a deadline, made by [`Context::timeout`](super::Context::timeout).
#[must_use = "nothing is waited for without `.await`"]
pub struct Timeout<F> {
    future: Option<Pin<Box<F>>>,
    timer: Timer,
    after: Duration,
}

impl<F: Future> Timeout<F> {
    pub(crate) fn new(timer: Timer, after: Duration, future: F) -> Self {
        Self { future: Some(Box::pin(future)), timer, after }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let future = self.future.as_mut().expect("a timeout is not polled after it is ready");
        // The future first: a tie goes to it.
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            self.future = None;
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut self.timer).poll(cx).map(|()| {
            self.future = None;
            Err(TimedOut { after: self.after })
        })
    }
}

/// The time of a [`Context::timeout`](super::Context::timeout) was up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut {
    after: Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not done after {:?}", self.after)
    }
}

impl std::error::Error for TimedOut {}

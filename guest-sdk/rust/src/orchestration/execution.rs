//! The executor: one future, polled until it can go no further, once at the start and again after each resolution.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use super::context::Context;
use super::instance::Instance;
use crate::Result;
use crate::bindings::exports::durawasm::workflow::orchestrator as wit;
use crate::timestamp::Timestamp;

/// An orchestrator's body: made once, ends with the encoded output.
pub(crate) type Body = Pin<Box<dyn Future<Output = Result<Option<String>>>>>;

/// One orchestration from `start` to its last command.
pub(crate) struct Execution {
    instance: Rc<Instance>,
    /// None when the orchestration has ended.
    body: Option<Body>,
    woken: Arc<Woken>,
}

/// Whether the future wants to be polled. Single-threaded, yet wakers must be `Send`, hence the atomic.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Execution {
    /// Begins: makes the body and polls it.
    pub(crate) fn start(
        context: wit::Context,
        body: impl FnOnce(Context, Option<String>) -> Body,
    ) -> (Self, Vec<wit::Command>) {
        let (instance, input) = Instance::new(context);
        let instance = Rc::new(instance);
        let body = body(Context::new(Rc::clone(&instance)), input);
        let mut execution = Self { instance, body: Some(body), woken: Arc::new(Woken(AtomicBool::new(true))) };
        execution.poll_until_quiet();
        let commands = execution.instance.take_commands();
        (execution, commands)
    }

    /// Delivers resolutions one by one: after each the future goes as far as it can, so that neither the commands nor the
    /// winner of a race depend on how the host grouped them.
    pub(crate) fn resume(&mut self, resolutions: Vec<wit::Resolution>) -> Vec<wit::Command> {
        for wit::Resolution { op, now, outcome } in resolutions {
            self.instance.now.set(Timestamp::from_wit(now));
            if self.instance.resolve(op, outcome) {
                self.poll_until_quiet();
            }
        }
        self.instance.take_commands()
    }

    /// What the orchestrator can be asked now.
    pub(crate) fn query_names(&self) -> Vec<String> {
        self.instance.queries.names()
    }

    /// The encoded answer to a question.
    pub(crate) fn answer(&self, query: &str, input: Option<String>) -> Result<String> {
        self.instance.queries.answer(query, input)
    }

    fn poll_until_quiet(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut cx = TaskContext::from_waker(&waker);
        while let Some(body) = &mut self.body
            && self.woken.0.swap(false, Ordering::Relaxed)
        {
            if let Poll::Ready(result) = body.as_mut().poll(&mut cx) {
                self.instance.send_last(match result {
                    Ok(output) => wit::Command::Complete(Ok(output)),
                    Err(error) => match error.into_ending() {
                        Ok(next) => wit::Command::ContinueAsNew(next),
                        Err(failures) => wit::Command::Complete(Err(failures)),
                    },
                });
                self.body = None;
            }
        }
    }
}

//! Calls of activities and of child orchestrations.
//!
//! A call is issued when it is made, not when it is first awaited, so that two calls made one after the other run at the
//! same time. Its options (`retry`, `version`, …) are part of it and must be given before the next `await`.

use std::borrow::Cow;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use serde::de::DeserializeOwned;

use super::instance::Instance;
use super::op::Op;
use super::retry::{self, Policy, Retry, Retrying};
use crate::bindings::exports::durawasm::workflow::orchestrator::{ActivityCall, ChildCall, Request};
use crate::{Error, Result, payload};

type Name = Cow<'static, str>;

/// A call of an activity. Awaiting it gives the activity's result.
///
/// Dropping it means that nobody waits for the result any more: an activity that was called runs all the same.
#[must_use = "the activity runs, but nobody waits for its result: `.await` it, or say so with `.forget()`"]
pub struct Call<T>(Target<T>);

/// A child orchestration. Awaiting it gives the child's result.
///
/// Dropping it means that nobody waits for the result any more: a child that was started runs on.
#[must_use = "the child runs, but nobody waits for its result: `.await` it, or say so with `.forget()`"]
pub struct Child<T>(Target<T>);

/// What both kinds of calls share.
struct Target<T> {
    op: Op,
    kind: &'static str,
    name: Name,
    output: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Target<T> {
    fn poll(&mut self, cx: &TaskContext<'_>) -> Poll<Result<T>> {
        self.op.poll(cx).map(|outcome| self.decode(outcome?))
    }

    fn decode(&self, output: Option<String>) -> Result<T> {
        payload::decode(output.as_deref(), || format!("the output of the {} `{}`", self.kind, self.name))
    }
}

impl<T> Call<T> {
    pub(crate) fn new(instance: &Rc<Instance>, name: Name, input: Result<String>) -> Self {
        let request = input.map(|input| {
            let name = name.clone().into_owned();
            Request::Activity(ActivityCall { name, version: None, input: Some(input), retry: None, tags: Vec::new() })
        });
        let op = Op::issue_if(instance, request);
        Self(Target { op, kind: "activity", name, output: PhantomData })
    }
}

impl<T> Child<T> {
    pub(crate) fn new(instance: &Rc<Instance>, name: Name, input: Result<String>) -> Self {
        let request = instance.locks.check_child(&name).and(input).map(|input| {
            let (name, tags) = (name.clone().into_owned(), Vec::new());
            Request::Child(ChildCall { name, version: None, input: Some(input), instance_id: None, retry: None, tags })
        });
        let op = Op::issue_if(instance, request);
        Self(Target { op, kind: "child orchestration", name, output: PhantomData })
    }

    /// Gives the child an instance id. Without one it gets the parent's id and a number.
    pub fn id(self, instance_id: impl Into<String>) -> Self {
        self.0.op.amend("id", |request| match request {
            Request::Child(call) => call.instance_id = Some(instance_id.into()),
            _ => unreachable!("a child is issued as a child"),
        });
        self
    }
}

/// The fields that both requests have.
struct Options<'a> {
    version: &'a mut Option<String>,
    retry: &'a mut Option<Policy>,
    tags: &'a mut Vec<(String, String)>,
}

fn options(request: &mut Request) -> Options<'_> {
    match request {
        Request::Activity(ActivityCall { version, retry, tags, .. })
        | Request::Child(ChildCall { version, retry, tags, .. }) => Options { version, retry, tags },
        _ => unreachable!("a call is issued as a call"),
    }
}

macro_rules! calls {
    ($call:ident) => {
        impl<T> $call<T> {
            /// Calls this version of it.
            pub fn version(self, version: impl Into<String>) -> Self {
                self.0.op.amend("version", |request| *options(request).version = Some(version.into()));
                self
            }

            /// Tries again after a failure. The host does the waiting and trying; every try is in the history.
            pub fn retry(self, retry: Retry) -> Self {
                self.0.op.amend("retry", |request| *options(request).retry = Some(retry.into_policy()));
                self
            }

            /// Attaches a tag, which the callee and queries can see.
            pub fn tag(self, name: impl Into<String>, value: impl Into<String>) -> Self {
                self.0.op.amend("tag", |request| options(request).tags.push((name.into(), value.into())));
                self
            }

            /// Runs it and never looks at how it ends. If it has a retry policy it is tried again for as long as the orchestration runs.
            pub fn forget(self) {
                self.0.op.detach();
            }
        }

        impl<T: DeserializeOwned + 'static> $call<T> {
            /// Asks `again` after each failure whether to try again, within the policy that `retry` gave before (without one:
            /// [`Retry::default`]). The tries are then made by the orchestrator, one call each.
            pub fn retry_if(self, again: impl FnMut(&Error) -> bool + 'static) -> Retrying<T> {
                let prepared = self.0.op.amend("retry_if", |request| {
                    let policy = options(request).retry.take();
                    (policy.unwrap_or_else(|| Retry::default().into_policy()), request.clone())
                });
                let Some((policy, request)) = prepared else { return Retrying::new(self) };
                let instance = Rc::clone(self.0.op.instance());
                let (kind, name) = (self.0.kind, self.0.name.clone());
                let call_again = {
                    let instance = Rc::clone(&instance);
                    move || {
                        let op = Op::issue(&instance, request.clone());
                        Self(Target { op, kind, name: name.clone(), output: PhantomData })
                    }
                };
                Retrying::new(retry::with_predicate(instance, self, call_again, policy, again))
            }
        }

        impl<T: DeserializeOwned> Future for $call<T> {
            type Output = Result<T>;

            fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
                self.0.poll(cx)
            }
        }
    };
}

calls!(Call);
calls!(Child);

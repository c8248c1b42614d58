//! What an orchestrator can do.

use std::borrow::Cow;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::awaitable::{EventWait, Timeout, Timer};
use super::call::{Call, Child};
use super::instance::Instance;
use super::random::Random;
use crate::bindings::exports::durawasm::workflow::orchestrator as wit;
use crate::component::{Activity, InputFor, Orchestrator};
use crate::timestamp::Timestamp;
use crate::{Error, Result, payload};

/// An orchestrator's way to everything outside itself. A cheap handle: clone it into concurrent parts of the orchestrator.
///
/// What an orchestrator does must follow from its input and from what this context gives it alone, since its history is
/// replayed. The sandbox sees to that: clocks and randomness of the standard library follow the history as well, and network,
/// files and threads do not exist.
#[derive(Clone)]
pub struct Context(Rc<Instance>);

/// The orchestration that started this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its instance id.
    pub instance_id: String,
    /// The name of its orchestrator.
    pub name: String,
    /// Its version, if it has one.
    pub version: Option<String>,
}

impl Parent {
    pub(crate) fn from_wit(parent: wit::Parent) -> Self {
        let wit::Parent { instance_id, name, version } = parent;
        Self { instance_id, name, version }
    }
}

/// How an orchestration continues as new, for [`Context::continue_as_new_with`].
#[derive(Clone, Debug)]
#[must_use = "give it to `continue_as_new_with`"]
pub struct Next {
    keep_events: bool,
    version: wit::NextVersion,
}

/// With the events that nobody has waited for, in the default version.
impl Default for Next {
    fn default() -> Self {
        Self { keep_events: true, version: wit::NextVersion::Default }
    }
}

impl Next {
    /// External events that nobody has waited for do not go over to the next generation.
    pub fn discard_events(mut self) -> Self {
        self.keep_events = false;
        self
    }

    /// The next generation keeps this one's version, instead of moving to the default version.
    pub fn keep_version(mut self) -> Self {
        self.version = wit::NextVersion::Keep;
        self
    }

    /// The next generation runs on this version.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = wit::NextVersion::Exact(version.into());
        self
    }
}

impl Context {
    pub(crate) fn new(instance: Rc<Instance>) -> Self {
        Self(instance)
    }

    pub(crate) fn instance(&self) -> &Rc<Instance> {
        &self.0
    }

    /// The orchestrator's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The orchestration's id.
    pub fn instance_id(&self) -> &str {
        &self.0.id
    }

    /// The version that the orchestration began with, if it has one.
    pub fn version(&self) -> Option<&str> {
        self.0.version.as_deref()
    }

    /// The orchestration that started this one, if one did.
    pub fn parent(&self) -> Option<&Parent> {
        self.0.parent.as_ref()
    }

    /// The names and values that the orchestration was started with.
    pub fn tags(&self) -> &[(String, String)] {
        &self.0.tags
    }

    /// The value of a tag.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.0.tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The time, as it is in the history: it moves when something that was waited for has happened.
    pub fn now(&self) -> Timestamp {
        self.0.now.get()
    }

    /// A unique id that is the same in every replay.
    pub fn new_uuid(&self) -> Uuid {
        self.0.random.borrow_mut().new_uuid()
    }

    /// Random numbers that are the same in every replay, for the crate `rand`.
    pub fn random(&self) -> Random {
        Random(Rc::clone(&self.0))
    }

    /// Calls an activity of this component: `ctx.call(say_hello, "Tokyo").await?`. It is called at once; the await only
    /// waits for its result.
    pub fn call<A: Activity>(&self, activity: fn() -> A, input: impl InputFor<A>) -> Call<A::Output> {
        let _only_names_it = activity;
        Call::new(&self.0, Cow::Borrowed(A::NAME), encode_input("activity", A::NAME, &input))
    }

    /// Calls an activity by name, such as one of another component or of a worker in another language.
    pub fn call_named<T>(&self, name: impl Into<String>, input: &(impl Serialize + ?Sized)) -> Call<T> {
        let name = name.into();
        let input = encode_input("activity", &name, input);
        Call::new(&self.0, Cow::Owned(name), input)
    }

    /// Starts an orchestrator of this component as a child: `ctx.start_child(ship, &order).await?`. It is started at
    /// once; the await only waits for its result.
    pub fn start_child<O: Orchestrator>(&self, orchestrator: fn() -> O, input: impl InputFor<O>) -> Child<O::Output> {
        let _only_names_it = orchestrator;
        Child::new(&self.0, Cow::Borrowed(O::NAME), encode_input("child orchestration", O::NAME, &input))
    }

    /// Starts a child orchestration by name.
    pub fn start_child_named<T>(&self, name: impl Into<String>, input: &(impl Serialize + ?Sized)) -> Child<T> {
        let name = name.into();
        let input = encode_input("child orchestration", &name, input);
        Child::new(&self.0, Cow::Owned(name), input)
    }

    /// Sleeps durably: for seconds or for years.
    pub fn sleep(&self, duration: Duration) -> Timer {
        self.sleep_until(self.now() + duration)
    }

    /// Sleeps until a time; not at all if it has passed.
    pub fn sleep_until(&self, time: Timestamp) -> Timer {
        Timer::new(&self.0, time)
    }

    /// Waits for the next external event of a name (case does not matter). Events that came before anyone waited are kept;
    /// several waiters are served in the order in which they were made.
    pub fn event<T: DeserializeOwned>(&self, name: impl Into<String>) -> EventWait<T> {
        EventWait::new(&self.0, name.into())
    }

    /// Waits for a future, but no longer than `after`: `ctx.timeout(hour, ctx.event::<Approval>("approval")).await`.
    /// When the time is up the future is dropped, which cancels what it waits for.
    pub fn timeout<F: Future>(&self, after: Duration, future: F) -> Timeout<F> {
        Timeout::new(self.sleep(after), after, future)
    }

    /// Sends an external event to another orchestration. One that does not exist never gets it.
    ///
    /// # Errors
    /// If the payload cannot be written as JSON.
    pub fn send_event(
        &self,
        instance_id: impl Into<String>,
        name: impl Into<String>,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<()> {
        let (instance_id, name) = (instance_id.into(), name.into());
        let payload = payload::encode(payload, || format!("the payload of the event `{name}`"))?;
        self.0.send(wit::Command::SendEvent(wit::Event { instance_id, name, payload: Some(payload) }))?;
        Ok(())
    }

    /// Replaces the status that clients see of this orchestration. The next generation begins with it.
    ///
    /// # Errors
    /// If the status cannot be written as JSON.
    pub fn set_custom_status(&self, status: &(impl Serialize + ?Sized)) -> Result<()> {
        let status = payload::encode(status, || "the custom status".to_owned())?;
        self.0.send(wit::Command::CustomStatus(Some(status)))?;
        Ok(())
    }

    /// Removes the custom status that this generation has set. One of the generation before stays until it is replaced.
    pub fn clear_custom_status(&self) {
        self.0.send_or_refuse(wit::Command::CustomStatus(None));
    }

    /// Answers questions from outside (`durawasm query ID NAME`) from now on, also after the orchestration's end. The handler shares
    /// with the orchestrator what it tells about:
    ///
    /// ```
    /// # use durawasm_guest::prelude::*;
    /// use std::{cell::RefCell, rc::Rc};
    ///
    /// #[orchestrator]
    /// async fn ship_all(ctx: Context, orders: Vec<String>) -> Result<()> {
    ///     let shipped = Rc::new(RefCell::new(Vec::new()));
    ///     let shown = Rc::clone(&shipped);
    ///     ctx.on_query("shipped", move |()| Ok(shown.borrow().clone()));
    ///     for order in orders {
    ///         ctx.call_named::<()>("ship", &order).await?;
    ///         shipped.borrow_mut().push(order);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// A handler may only look. It runs in an orchestrator that was replayed for this one question and is thrown away afterwards:
    /// what it changes is lost, and what it would call, send or wait for is refused. A name that had a handler gets a new one.
    /// Do not hold a `borrow_mut()` across an `await`: the handler could not read then.
    pub fn on_query<I, T>(&self, name: impl Into<String>, handler: impl Fn(I) -> Result<T> + 'static)
    where
        I: DeserializeOwned,
        T: Serialize,
    {
        self.0.queries.add(name.into(), handler);
    }

    /// Ends this execution and begins another one of the same orchestration, with this input and an empty history:
    /// `return ctx.continue_as_new(&state);`. Only returning it from the orchestrator does so.
    ///
    /// # Errors
    /// Always: the error is how the wish travels to the orchestrator's end.
    pub fn continue_as_new<T>(&self, input: &(impl Serialize + ?Sized)) -> Result<T> {
        self.continue_as_new_with(input, Next::default())
    }

    /// [`Context::continue_as_new`] with options.
    ///
    /// # Errors
    /// Always: the error is how the wish travels to the orchestrator's end.
    pub fn continue_as_new_with<T>(&self, input: &(impl Serialize + ?Sized), next: Next) -> Result<T> {
        let input = payload::encode(input, || "the input of the next generation".to_owned())?;
        let Next { keep_events, version } = next;
        Err(Error::continue_as_new(wit::NextGeneration { input: Some(input), keep_events, version }))
    }
}

fn encode_input(kind: &str, name: &str, input: &(impl Serialize + ?Sized)) -> Result<String> {
    payload::encode(input, || format!("the input of the {kind} `{name}`"))
}

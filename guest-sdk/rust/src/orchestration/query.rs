//! Questions that an orchestrator answers about itself.
//!
//! The host asks an orchestrator that it has made for that alone, by replaying the history, and throws it away afterwards. So
//! a handler may only look. What it would send is not sent, and the answer is then an error that says what it was.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::exports::durawasm::workflow::orchestrator::{Command, Request};
use crate::{Error, Result, payload};

type Handler = Rc<dyn Fn(Option<String>) -> Result<String>>;

/// The questions of one orchestration instance. They outlive the orchestrator's end, so that one that has ended still answers.
#[derive(Default)]
pub(crate) struct Queries {
    handlers: RefCell<BTreeMap<String, Handler>>,
    /// The answer that is being made, if one is.
    current: RefCell<Option<Current>>,
}

struct Current {
    query: String,
    /// The first thing that the handler tried to do.
    refused: Option<Error>,
}

impl Queries {
    /// From now on `handler` answers `name`, instead of who did before.
    pub(crate) fn add<I, T>(&self, name: String, handler: impl Fn(I) -> Result<T> + 'static)
    where
        I: DeserializeOwned,
        T: Serialize,
    {
        let query = name.clone();
        let handler = move |input: Option<String>| {
            let input = payload::decode(input.as_deref(), || format!("the input of the query `{query}`"))?;
            payload::encode(&handler(input)?, || format!("the answer to the query `{query}`"))
        };
        self.handlers.borrow_mut().insert(name, Rc::new(handler));
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.handlers.borrow().keys().cloned().collect()
    }

    pub(crate) fn answer(&self, name: &str, input: Option<String>) -> Result<String> {
        // Taken out first: a handler may ask for further handlers, or replace itself.
        let handler = self.handlers.borrow().get(name).map(Rc::clone);
        let handler = handler.ok_or_else(|| unknown(name, &self.names()))?;
        *self.current.borrow_mut() = Some(Current { query: name.to_owned(), refused: None });
        let answer = handler(input);
        // What it was not allowed to do is the error, also if the handler went on as if nothing had been.
        match self.current.take().and_then(|current| current.refused) {
            Some(refused) => Err(refused),
            None => answer,
        }
    }

    /// Asked before a command is sent.
    ///
    /// # Errors
    /// If a query is being answered.
    pub(crate) fn check(&self, command: &Command) -> Result<()> {
        let mut current = self.current.borrow_mut();
        let Some(Current { query, refused }) = &mut *current else { return Ok(()) };
        let error = Error::new(
            "QueryHasEffects",
            format!(
                "the query `{query}` may only look, but its handler tried to {}. Do that in the orchestrator itself, and let the \
                 handler read what the orchestrator keeps",
                describe(command)
            ),
        );
        let error = error.not_retriable();
        refused.get_or_insert_with(|| error.clone());
        Err(error)
    }
}

/// The failure of a question that nobody answers: it says what can be asked.
pub(crate) fn unknown(name: &str, known: &[String]) -> Error {
    let known_here = match known {
        [] => "it answers no queries at this point".to_owned(),
        known => format!("it answers {}", known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    };
    let message = format!("the orchestration has no query `{name}`; {known_here}");
    Error::new("UnknownQuery", message).with_property("queries", &known).not_retriable()
}

/// What a command does, after "tried to".
fn describe(command: &Command) -> String {
    match command {
        Command::Issue((_, request)) => match request {
            Request::Activity(call) => format!("call the activity `{}`", call.name),
            Request::Child(call) => format!("start the child orchestration `{}`", call.name),
            Request::Timer(_) => "sleep".to_owned(),
            Request::WaitEvent(name) => format!("wait for the event `{name}`"),
            Request::CallEntity(call) => format!("call the entity `{}`", call.entity.name),
            Request::Lock(_) => "lock entities".to_owned(),
        },
        Command::Cancel(_) => "drop something that the orchestrator waits for".to_owned(),
        Command::Unlock(_) => "unlock entities".to_owned(),
        Command::SignalEntity(signal) => format!("signal the entity `{}`", signal.entity.name),
        Command::SendEvent(event) => format!("send the event `{}`", event.name),
        Command::CustomStatus(_) => "change the custom status".to_owned(),
        Command::ContinueAsNew(_) | Command::Complete(_) => "end the orchestration".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{echo, failed, resolved, seconds, short, start};
    use super::super::{Context, Execution};
    use super::*;

    /// Adds up what the event `add` brings, until it has three numbers.
    async fn adds(ctx: Context) -> Result<String> {
        let numbers = Rc::new(RefCell::new(Vec::<u32>::new()));
        let (sum, above) = (Rc::clone(&numbers), Rc::clone(&numbers));
        ctx.on_query("sum", move |()| Ok(sum.borrow().iter().sum::<u32>()));
        ctx.on_query("above", move |limit: u32| Ok(above.borrow().iter().filter(|number| **number > limit).count()));
        while numbers.borrow().len() < 3 {
            let number = ctx.event("add").await?;
            numbers.borrow_mut().push(number);
        }
        Ok("\"done\"".to_owned())
    }

    fn ask(execution: &Execution, name: &str) -> Result<String> {
        execution.answer(name, None)
    }

    /// An orchestrator whose query `q` runs `handler`, and that waits for an activity meanwhile.
    fn answering<T: Serialize>(handler: impl Fn(&Context) -> Result<T> + 'static) -> Execution {
        let (execution, _) = start(|ctx| async move {
            let shared = ctx.clone();
            ctx.on_query("q", move |()| handler(&shared));
            Ok(echo(&ctx, 1).await?.to_string())
        });
        execution
    }

    #[test]
    fn an_answer_shows_what_the_orchestrator_has_kept_so_far() {
        let (mut execution, _) = start(adds);
        assert_eq!(ask(&execution, "sum").expect("is answered"), "0");
        execution.resume(vec![resolved(1, 1, "3"), resolved(2, 1, "4")]);
        assert_eq!(ask(&execution, "sum").expect("is answered"), "7");
        assert_eq!(execution.answer("above", Some("3".to_owned())).expect("is answered"), "1");
    }

    #[test]
    fn an_orchestration_that_has_ended_still_answers() {
        let (mut execution, _) = start(adds);
        let commands = execution.resume((1..=3).map(|op| resolved(op, 1, "5")).collect());
        assert_eq!(short(&commands), ["+2 event add", "+3 event add", "= \"done\""]);
        assert_eq!(ask(&execution, "sum").expect("is answered"), "15");
    }

    #[test]
    fn a_question_that_nobody_answers_is_told_what_can_be_asked() {
        let (execution, _) = start(adds);
        assert_eq!(execution.query_names(), ["above", "sum"]);
        let error = ask(&execution, "Sum").expect_err("names are compared as they are");
        assert_eq!(error.error_type(), "UnknownQuery");
        assert_eq!(error.message(), "the orchestration has no query `Sum`; it answers `above`, `sum`");
        assert_eq!(error.property::<Vec<String>>("queries").expect("is told"), ["above", "sum"]);
        let (silent, _) = start(|ctx| async move { Ok(echo(&ctx, 1).await?.to_string()) });
        assert_eq!(
            ask(&silent, "sum").expect_err("answers nothing").message(),
            "the orchestration has no query `sum`; it answers no queries at this point"
        );
    }

    #[test]
    fn an_input_that_does_not_fit_is_an_error_that_names_the_query() {
        let (execution, _) = start(adds);
        let error = execution.answer("above", Some("\"all\"".to_owned())).expect_err("is no number");
        assert_eq!(error.error_type(), "InvalidPayload");
        assert!(error.message().starts_with("the input of the query `above` does not fit"), "{error}");
    }

    #[test]
    fn a_handler_answers_with_its_own_error() {
        let execution =
            answering(|_| -> Result<u32> { Err("x".parse::<u32>().expect_err("x is not a number").into()) });
        assert_eq!(ask(&execution, "q").expect_err("fails").error_type(), "ParseIntError");
    }

    #[test]
    fn a_handler_that_acts_is_refused_and_nothing_is_sent() {
        type Act = fn(&Context);
        let acts: [(Act, &str); 7] = [
            (|ctx| echo(ctx, 1).version("2").forget(), "call the activity `echo`"),
            (|ctx| ctx.start_child_named::<()>("ship", &1).id("x").forget(), "start the child orchestration `ship`"),
            (|ctx| drop(ctx.sleep(seconds(1))), "sleep"),
            (|ctx| drop(ctx.event::<u32>("e")), "wait for the event `e`"),
            (|ctx| drop(ctx.send_event("other", "e", &1)), "send the event `e`"),
            (|ctx| drop(ctx.set_custom_status(&1)), "change the custom status"),
            (|ctx| ctx.clear_custom_status(), "change the custom status"),
        ];
        for (act, what) in acts {
            let mut execution = answering(move |ctx| {
                act(ctx);
                Ok("as if nothing had been")
            });
            let error = ask(&execution, "q").expect_err("is refused");
            assert_eq!(error.error_type(), "QueryHasEffects");
            let wanted = format!("the query `q` may only look, but its handler tried to {what}. ");
            assert!(error.message().starts_with(&wanted), "{error}");
            // What the orchestrator itself does afterwards has the numbers that it would have had.
            assert_eq!(short(&execution.resume(vec![failed(1, 1, Error::new("End", ""))])), ["! End"]);
        }
    }

    #[test]
    fn a_handler_that_drops_what_the_orchestrator_waits_for_is_refused() {
        let (execution, _) = start(|ctx| async move {
            let wait = RefCell::new(Some(ctx.event::<u32>("e")));
            ctx.on_query("q", move |()| Ok(wait.take().is_some()));
            Ok(echo(&ctx, 1).await?.to_string())
        });
        let error = ask(&execution, "q").expect_err("is refused");
        assert!(error.message().contains("tried to drop something that the orchestrator waits for"), "{error}");
    }

    #[test]
    fn a_name_that_had_a_handler_gets_the_new_one() {
        let (execution, _) = start(|ctx| async move {
            ctx.on_query("phase", |()| Ok("first"));
            ctx.on_query("phase", |()| Ok("second"));
            Ok(echo(&ctx, 1).await?.to_string())
        });
        assert_eq!(execution.query_names(), ["phase"]);
        assert_eq!(ask(&execution, "phase").expect("is answered"), "\"second\"");
    }
}

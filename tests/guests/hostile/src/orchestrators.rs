//! Orchestrators that break the contract.

use std::cell::RefCell;

use crate::bindings::durawasm::workflow::types::{Failure, Timestamp};
use crate::bindings::exports::durawasm::workflow::orchestrator::{
    ActivityCall, Command, Context, Event, Guest, NextGeneration, NextVersion, Request, Resolution,
};
use crate::{
    Hostile, devour, flood, out_of_bounds, overflow, overflow_with_large_frames, random, repeated, spin, too_long,
    trap, work,
};

/// What an orchestrator answers at its start, or after its first activity.
type Answer = fn() -> Vec<Command>;

/// Each by its name. Those whose name begins with `later` do it after the activity `fine`, in `resume`.
pub(crate) const ALL: &[(&str, Answer)] = &[
    ("panics", || panic!("hostile")),
    ("traps", || trap()),
    ("reads out of bounds", || vec![complete(&out_of_bounds().to_string())]),
    ("loops for ever", || spin()),
    ("allocates without end", || devour()),
    ("overflows the stack", || vec![complete(&overflow(0).to_string())]),
    ("overflows the stack in its memory", || vec![complete(&overflow_with_large_frames(0).to_string())]),
    ("repeats an op id", || vec![call(1, "fine", None), call(1, "fine", None)]),
    ("goes back with its op ids", || vec![call(5, "fine", None), call(3, "fine", None)]),
    ("cancels an unknown op", || vec![call(1, "fine", None), Command::Cancel(99)]),
    ("cancels twice", || vec![call(1, "fine", None), Command::Cancel(1), Command::Cancel(1)]),
    ("unlocks an unknown op", || vec![call(1, "fine", None), Command::Unlock(99)]),
    ("unlocks an activity", || vec![call(1, "fine", None), Command::Unlock(1)]),
    ("completes twice", || vec![complete("1"), complete("2")]),
    ("goes on after complete", || vec![complete("1"), call(1, "fine", None)]),
    ("goes on after continue as new", || vec![continue_as_new(Some("1".to_owned())), call(1, "fine", None)]),
    ("fails without a failure", || vec![Command::Complete(Err(Vec::new()))]),
    ("fails with a long message", || vec![Command::Complete(Err(vec![failure(too_long())]))]),
    ("calls with a long input", || vec![call(1, "fine", Some(too_long()))]),
    ("completes with a long output", || vec![complete(&too_long())]),
    ("sets a long custom status", || vec![Command::CustomStatus(Some(too_long())), call(1, "fine", None)]),
    ("sends a long event", || vec![send(too_long()), call(1, "fine", None)]),
    ("continues with a long input", || vec![continue_as_new(Some(too_long()))]),
    ("sleeps until a time with too many nanoseconds", || vec![timer(4_000_000_000, 1_000_000_000)]),
    ("sleeps until the end of time", || vec![timer(u64::MAX, 0)]),
    ("sleeps until the past", || vec![timer(0, 0)]),
    ("completes with what is not JSON", || vec![complete("not { JSON")]),
    ("completes with an empty text", || vec![complete("")]),
    ("calls an activity without a name", || vec![call(1, "", None)]),
    ("waits for an event without a name", || vec![Command::Issue((1, Request::WaitEvent(String::new())))]),
    ("waits for nothing", Vec::new),
    ("sends a hundred thousand commands", || (1..=100_000).map(|op| call(op, "fine", None)).collect()),
    ("later panics", || panic!("hostile, later")),
    ("later traps", || trap()),
    ("later loops for ever", || spin()),
    ("later allocates without end", || devour()),
    ("later repeats an op id", || vec![call(1, "fine", None)]),
    ("later waits for nothing", Vec::new),
    ("calls an activity that traps", || vec![call(1, "traps", None)]),
    ("holds 8 MiB", || {
        KEPT.with_borrow_mut(|kept| kept.resize(8 << 20, 1));
        vec![call(1, "fine", None)]
    }),
    ("computes for a while", || {
        work(20_000_000);
        vec![call(1, "fine", None)]
    }),
    ("logs without end", || {
        flood();
        vec![call(1, "fine", None)]
    }),
    ("asks for 2 MiB of random bytes", || vec![complete(&random(2 << 20).to_string())]),
    ("hands over more than it has", || repeated(10_000).map(|text| Command::CustomStatus(Some(text))).collect()),
    ("calls a thousand activities", || (1..=1_000).map(|op| call(op, "fine", None)).collect()),
    ("is honest", || vec![call(1, "fine", None)]),
];

thread_local! {
    static NAME: RefCell<String> = const { RefCell::new(String::new()) };
    static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Guest for Hostile {
    fn start(context: Context) -> Vec<Command> {
        NAME.set(context.name.clone());
        if context.name.starts_with("later") {
            return vec![call(1, "fine", None)];
        }
        answer(&context.name)
    }

    /// An activity's failure ends the orchestration with it; else those that do it later do it now, and others complete.
    fn resume(resolutions: Vec<Resolution>) -> Vec<Command> {
        let Some(first) = resolutions.into_iter().next() else { return Vec::new() };
        let name = NAME.with_borrow(Clone::clone);
        match first.outcome {
            Err(failures) => vec![Command::Complete(Err(failures))],
            Ok(_) if name.starts_with("later") => answer(&name),
            Ok(output) => vec![Command::Complete(Ok(output))],
        }
    }
}

fn answer(name: &str) -> Vec<Command> {
    match ALL.iter().find(|(known, _)| *known == name) {
        Some((_, answer)) => answer(),
        None => vec![Command::Complete(Err(vec![failure(format!("there is no `{name}`"))]))],
    }
}

fn call(op: u64, name: &str, input: Option<String>) -> Command {
    let call = ActivityCall { name: name.to_owned(), version: None, input, retry: None, tags: Vec::new() };
    Command::Issue((op, Request::Activity(call)))
}

fn timer(seconds: u64, nanos: u32) -> Command {
    Command::Issue((1, Request::Timer(Timestamp { seconds, nanos })))
}

fn complete(output: &str) -> Command {
    Command::Complete(Ok(Some(output.to_owned())))
}

fn continue_as_new(input: Option<String>) -> Command {
    Command::ContinueAsNew(NextGeneration { input, keep_events: true, version: NextVersion::Keep })
}

fn send(payload: String) -> Command {
    Command::SendEvent(Event { instance_id: "nobody".to_owned(), name: "event".to_owned(), payload: Some(payload) })
}

fn failure(message: String) -> Failure {
    Failure { error_type: "Hostile".to_owned(), message, stack: None, retriable: true, properties: Vec::new() }
}

//! Orchestrators that each try one way to observe something outside their history, without the SDK in between.
//!
//! All do the same, round after round: they look, tell what they saw in their custom status, a log line and the input of an activity,
//! and look again at everything that they hear. In the end they return all that they saw. What each looks at is in the modules.

mod calls;
mod entropy;
mod floats;
mod memory;
mod system;
mod time;

#[allow(unsafe_code, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package durawasm:test-observer;

            world observer {
                include durawasm:workflow/orchestrators@0.1.0;
            }
        ",
        world: "durawasm:test-observer/observer",
        generate_all,
        pub_export_macro: true,
    });
}

use std::cell::RefCell;
use std::collections::BTreeSet;

use bindings::durawasm::workflow::log::{Level, write};
use bindings::exports::durawasm::workflow::component::{Definition, Guest as Described, Info};
use bindings::exports::durawasm::workflow::orchestrator::{
    ActivityCall, Command, Context, Guest, Request, Resolution, RetryPolicy, Timestamp,
};
use bindings::exports::durawasm::workflow::queries::{Guest as Questioned, Outcome, Payload};

/// What implements the exports.
struct Observer;

bindings::export!(Observer with_types_in bindings);

/// What a case looks at.
type Look = fn(&Moment<'_>) -> String;

/// What a case may know when it looks.
struct Moment<'a> {
    context: &'a Context,
    /// What has just been heard: none at the start.
    heard: Option<&'a Resolution>,
    /// How many resolutions came in the same call.
    together: usize,
    /// How often the guest was called.
    calls: u32,
}

/// How many rounds there are.
const ROUNDS: u32 = 3;

/// The name of the event that is waited for all the time.
const EVENT: &str = "poke";

fn cases() -> impl Iterator<Item = (&'static str, Look)> {
    [calls::ALL, entropy::ALL, floats::ALL, memory::ALL, system::ALL, time::ALL].into_iter().flatten().copied()
}

struct Run {
    context: Context,
    look: Look,
    saw: Vec<String>,
    /// What the round waits for.
    open: BTreeSet<u64>,
    last: u64,
    event: u64,
    round: u32,
    calls: u32,
}

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

impl Described for Observer {
    fn describe() -> Info {
        let definition = |name: &str| Definition {
            name: name.to_owned(),
            input_schema: None,
            output_schema: None,
            description: None,
        };
        Info {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            orchestrators: cases().map(|(name, _)| definition(name)).collect(),
            activities: Vec::new(),
            entities: Vec::new(),
        }
    }
}

impl Guest for Observer {
    fn start(context: Context) -> Vec<Command> {
        let look = cases().find(|(name, _)| *name == context.name).map_or(unknown as Look, |(_, look)| look);
        let mut run =
            Run { context, look, saw: Vec::new(), open: BTreeSet::new(), last: 0, event: 0, round: 0, calls: 1 };
        let mut commands = Vec::new();
        run.look(None, 0, &mut commands);
        run.wait_for_event(&mut commands);
        run.begin_round(&mut commands);
        RUN.set(Some(run));
        commands
    }

    fn resume(resolutions: Vec<Resolution>) -> Vec<Command> {
        RUN.with_borrow_mut(|run| {
            let Some(run) = run else { return Vec::new() };
            run.calls += 1;
            let mut commands = Vec::new();
            for resolution in &resolutions {
                run.hear(resolution, resolutions.len(), &mut commands);
            }
            commands
        })
    }
}

impl Questioned for Observer {
    fn names() -> Vec<String> {
        vec!["what was seen".to_owned()]
    }

    /// Leaves traces all over the guest, which nobody may ever see.
    fn answer(_name: String, _input: Option<Payload>) -> Outcome {
        memory::leave_traces();
        RUN.with_borrow_mut(|run| {
            let Some(run) = run else { return Ok(None) };
            run.calls += 1_000;
            run.saw.push("a question".to_owned());
            Ok(Some(run.saw.join("\n")))
        })
    }
}

fn unknown(_: &Moment<'_>) -> String {
    "there is no such case".to_owned()
}

impl Run {
    fn look(&mut self, heard: Option<&Resolution>, together: usize, commands: &mut Vec<Command>) {
        let seen = (self.look)(&Moment { context: &self.context, heard, together, calls: self.calls });
        write(Level::Info, "observer", &seen, &[("round".to_owned(), self.round.to_string())]);
        commands.push(Command::CustomStatus(Some(seen.clone())));
        self.saw.push(seen);
    }

    fn op(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn wait_for_event(&mut self, commands: &mut Vec<Command>) {
        self.event = self.op();
        commands.push(Command::Issue((self.event, Request::WaitEvent(EVENT.to_owned()))));
    }

    /// What every round waits for: an activity that returns, one that fails, and a timer.
    fn begin_round(&mut self, commands: &mut Vec<Command>) {
        let input = self.saw.last().cloned();
        let call = |name: &str, retry| {
            let (name, input) = (name.to_owned(), input.clone());
            Request::Activity(ActivityCall { name, version: None, input, retry, tags: Vec::new() })
        };
        // A factor without an exact form in binary.
        let retry = RetryPolicy {
            max_attempts: 4,
            first_interval: 100,
            backoff: 1.1,
            max_interval: None,
            timeout: None,
            non_retriable: Vec::new(),
        };
        let now = self.context.now;
        let later = Timestamp { seconds: now.seconds + u64::from(self.round) * 60, nanos: now.nanos };
        let retry = (self.round == 1).then_some(retry);
        for request in [call("look", None), call("fails", retry), Request::Timer(later)] {
            let op = self.op();
            self.open.insert(op);
            commands.push(Command::Issue((op, request)));
        }
    }

    fn hear(&mut self, resolution: &Resolution, together: usize, commands: &mut Vec<Command>) {
        if self.round == ROUNDS {
            return;
        }
        self.context.now = resolution.now;
        self.look(Some(resolution), together, commands);
        if resolution.op == self.event {
            self.wait_for_event(commands);
        }
        self.open.remove(&resolution.op);
        if self.open.is_empty() {
            self.round += 1;
            if self.round == ROUNDS {
                commands.push(Command::Complete(Ok(Some(self.saw.join("\n")))));
            } else {
                self.begin_round(commands);
            }
        }
    }
}

/// Sixteen hexadecimal digits that stand for much data: FNV-1a.
fn digest(bytes: impl IntoIterator<Item = u8>) -> String {
    let hash = bytes
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

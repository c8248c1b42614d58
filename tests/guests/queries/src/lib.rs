//! Orchestrators that count the external events `add`, and answer questions about it, well and badly. Without the SDK in between.

#[allow(unsafe_code, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package durawasm:test-queries;

            world queries {
                include durawasm:workflow/orchestrators@0.1.0;
                export durawasm:workflow/queries@0.1.0;
            }
        ",
        world: "durawasm:test-queries/queries",
        generate_all,
        pub_export_macro: true,
    });
}

use std::cell::RefCell;

use bindings::durawasm::workflow::log;
use bindings::durawasm::workflow::types::Failure;
use bindings::exports::durawasm::workflow::component::{self, Definition, Info};
use bindings::exports::durawasm::workflow::orchestrator::{self, Command, Context, OpId, Outcome, Request, Resolution};
use bindings::exports::durawasm::workflow::queries;

struct Counting;

bindings::export!(Counting with_types_in bindings);

#[derive(Default)]
struct State {
    name: String,
    instance: String,
    random: u64,
    tags: Vec<String>,
    count: u64,
    answered: u64,
    last: OpId,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Counts for ever, or until the event `end`; panics at the third `add`; and one that computes for ever at the first.
const ORCHESTRATORS: [&str; 3] = ["counter", "panics at three", "spins"];

const NAMES: [&str; 12] = [
    "count",
    "echo",
    "who",
    "random",
    "tags",
    "answered",
    "nothing",
    "fails",
    "traps",
    "spins",
    "devours",
    "says too much",
];

impl component::Guest for Counting {
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
            orchestrators: ORCHESTRATORS.map(definition).to_vec(),
            activities: Vec::new(),
            entities: Vec::new(),
        }
    }
}

impl orchestrator::Guest for Counting {
    fn start(context: Context) -> Vec<Command> {
        STATE.with_borrow_mut(|state| {
            state.name = context.name;
            state.instance = context.instance_id;
            state.random = context.seed.a;
            state.tags = context.tags.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
            state.last = 2;
        });
        say("started");
        let end = Command::Issue((1, Request::WaitEvent("end".to_owned())));
        vec![end, Command::Issue((2, Request::WaitEvent("add".to_owned())))]
    }

    fn resume(resolutions: Vec<Resolution>) -> Vec<Command> {
        STATE.with_borrow_mut(|state| {
            let mut commands = Vec::new();
            for resolution in resolutions {
                if resolution.op == 1 {
                    commands.push(Command::Complete(Ok(Some(state.count.to_string()))));
                    break;
                }
                state.count += 1;
                match state.name.as_str() {
                    "panics at three" if state.count == 3 => panic!("it was three"),
                    "spins" => spin(),
                    _ => {}
                }
                state.last += 1;
                commands.push(Command::Issue((state.last, Request::WaitEvent("add".to_owned()))));
            }
            commands
        })
    }
}

impl queries::Guest for Counting {
    fn names() -> Vec<String> {
        NAMES.map(str::to_owned).to_vec()
    }

    fn answer(name: String, input: Option<String>) -> Outcome {
        say("asked");
        STATE.with_borrow_mut(|state| {
            state.answered += 1;
            match name.as_str() {
                "count" => Ok(Some(state.count.to_string())),
                "echo" => Ok(input),
                "who" => Ok(Some(state.instance.clone())),
                "random" => Ok(Some(state.random.to_string())),
                "tags" => Ok(Some(state.tags.join(","))),
                "answered" => Ok(Some(state.answered.to_string())),
                "nothing" => Ok(None),
                "fails" => Err(vec![failure("Closed", "not on Sundays")]),
                "fails without a failure" => Err(Vec::new()),
                "traps" => panic!("the question was too much"),
                "spins" => spin(),
                "devours" => devour(),
                "says too much" => Ok(Some("x".repeat((1 << 20) + 1))),
                _ => Err(vec![failure("UnknownQuery", &format!("`{name}` is none of {}", NAMES.join(", ")))]),
            }
        })
    }
}

fn say(line: &str) {
    log::write(log::Level::Info, "queries", line, &[]);
}

fn failure(error_type: &str, message: &str) -> Failure {
    Failure {
        error_type: error_type.to_owned(),
        message: message.to_owned(),
        stack: None,
        retriable: false,
        properties: Vec::new(),
    }
}

fn spin() -> ! {
    let mut rounds = 0_u64;
    loop {
        rounds = std::hint::black_box(rounds.wrapping_add(1));
    }
}

fn devour() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

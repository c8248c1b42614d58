//! An entity that is written against the contract itself: its state is a number, as text. What an operation does is in its name.

use std::sync::atomic::{AtomicU64, Ordering};

#[allow(unsafe_code, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package durawasm:test-entities;

            world entities {
                include durawasm:workflow/entities@0.1.0;
                export durawasm:workflow/migration@0.1.0;
            }
        ",
        world: "durawasm:test-entities/entities",
        generate_all,
        pub_export_macro: true,
    });
}

use bindings::durawasm::workflow::types::{EntityId, Failure};
use bindings::exports::durawasm::workflow::component::{Definition, Info};
use bindings::exports::durawasm::workflow::entity::{Action, Change, Operation, OperationResult, Signal, Start};
use bindings::exports::durawasm::workflow::{component, entity, migration};

struct Guest;

bindings::export!(Guest with_types_in bindings);

/// What is left in the memory of the component instance, whatever the state says.
static RUNS: AtomicU64 = AtomicU64::new(0);

impl component::Guest for Guest {
    fn describe() -> Info {
        let definition = Definition {
            name: "Hostile".to_owned(),
            input_schema: None,
            output_schema: None,
            description: Some("Breaks rules.".to_owned()),
        };
        Info {
            name: "test-entities".to_owned(),
            version: "1.0.0".to_owned(),
            orchestrators: Vec::new(),
            activities: Vec::new(),
            entities: vec![definition],
        }
    }
}

fn failure(error_type: &str) -> Failure {
    Failure {
        error_type: error_type.to_owned(),
        message: "as asked".to_owned(),
        stack: None,
        retriable: true,
        properties: Vec::new(),
    }
}

fn signal(key: &str) -> Action {
    let entity = EntityId { name: "Other".to_owned(), key: key.to_owned() };
    Action::Signal(Signal { entity, operation: "touch".to_owned(), input: Some("1".to_owned()), scheduled: None })
}

impl entity::Guest for Guest {
    fn run(_entity: EntityId, state: Option<String>, operation: Operation) -> OperationResult {
        RUNS.fetch_add(1, Ordering::Relaxed);
        let value: u64 = state.as_deref().map_or(0, |state| state.parse().expect("a number"));
        let done = |output: String, change| OperationResult { outcome: Ok(Some(output)), change, actions: Vec::new() };
        let replace = |text: String| Change::Replace(text);
        match operation.name.as_str() {
            "add" => {
                let amount: u64 = operation.input.as_deref().unwrap_or("1").parse().expect("a number");
                let new = (value + amount).to_string();
                done(new.clone(), replace(new))
            }
            "get" => done(value.to_string(), Change::Keep),
            "delete" => done("null".to_owned(), Change::Delete),
            // How often this component instance has run something.
            "runs" => done(RUNS.load(Ordering::Relaxed).to_string(), Change::Keep),
            // Denied, unless the manifest asks for clocks.
            "read_clock" => {
                let seconds = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
                done(seconds.to_string(), replace("999".to_owned()))
            }
            "is_signal" => done(operation.signal.to_string(), Change::Keep),
            "send" => {
                let start = Start {
                    name: "ship".to_owned(),
                    version: Some("2".to_owned()),
                    input: None,
                    instance_id: None,
                    scheduled: Some(operation.now),
                };
                let actions = vec![signal("a"), Action::StartOrchestration(start)];
                OperationResult { outcome: Ok(None), change: Change::Keep, actions }
            }
            // More than fits into a message, though each is small enough.
            "send_too_much" => {
                let large = |n: u32| match signal(&n.to_string()) {
                    Action::Signal(signal) => {
                        Action::Signal(Signal { input: Some(format!("\"{}\"", "x".repeat(64 << 10))), ..signal })
                    }
                    other => other,
                };
                let actions = (0..40).map(large).collect();
                OperationResult { outcome: Ok(None), change: replace("999".to_owned()), actions }
            }
            // Whatever a failed operation asks for does not count.
            "fail" => OperationResult {
                outcome: Err(vec![failure("Asked")]),
                change: replace("999".to_owned()),
                actions: vec![signal("a")],
            },
            "fail_without_reason" => {
                OperationResult { outcome: Err(Vec::new()), change: Change::Keep, actions: Vec::new() }
            }
            "trap" => panic!("trapped as asked"),
            "spin" => loop {
                std::hint::black_box(0);
            },
            "eat_memory" => {
                let mut eaten = Vec::new();
                loop {
                    eaten.push(vec![1_u8; 1 << 20]);
                    std::hint::black_box(&eaten);
                }
            }
            "result_is_not_json" => done("{oops".to_owned(), replace("999".to_owned())),
            "state_is_not_json" => done("1".to_owned(), replace("{oops".to_owned())),
            "result_too_large" => done(format!("\"{}\"", "x".repeat(2 << 20)), replace("999".to_owned())),
            "state_too_large" => done("1".to_owned(), replace(format!("\"{}\"", "x".repeat(2 << 20)))),
            "signal_nobody" => {
                let entity = EntityId { name: String::new(), key: "a".to_owned() };
                let signal = Signal { entity, operation: "touch".to_owned(), input: None, scheduled: None };
                OperationResult {
                    outcome: Ok(None),
                    change: replace("999".to_owned()),
                    actions: vec![Action::Signal(signal)],
                }
            }
            _ => OperationResult {
                outcome: Err(vec![failure("UnknownOperation")]),
                change: Change::Keep,
                actions: Vec::new(),
            },
        }
    }
}

impl migration::Guest for Guest {
    /// The version before wrote `old:7`.
    fn migrate(_entity: EntityId, state: String) -> Result<Option<String>, Vec<Failure>> {
        match state.strip_prefix("old:") {
            Some("trap") => panic!("cannot migrate"),
            Some("fail") => Err(vec![failure("TooOld")]),
            Some("spin") => loop {
                std::hint::black_box(0);
            },
            Some("nonsense") => Ok(Some("{oops".to_owned())),
            Some(number) => Ok(Some(number.to_owned())),
            None => Ok(None),
        }
    }
}

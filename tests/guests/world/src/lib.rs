//! What Rust's standard library sees of the world in the sandbox of orchestrators: one orchestrator a way to look.
//!
//! Each looks, calls an activity with what it saw, looks again, and completes with both.

mod looks;

#[allow(unsafe_code, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package durawasm:test-world;

            world test {
                export durawasm:workflow/component@0.1.0;
                export durawasm:workflow/orchestrator@0.1.0;
            }
        ",
        world: "durawasm:test-world/test",
        generate_all,
        pub_export_macro: true,
    });
}

use std::cell::RefCell;

use bindings::exports::durawasm::workflow::component::{self, Definition, Info};
use bindings::exports::durawasm::workflow::orchestrator::{self, ActivityCall, Command, Context, Request, Resolution};
use serde_json::{Value, json};

struct World;

bindings::export!(World with_types_in bindings);

impl component::Guest for World {
    fn describe() -> Info {
        let definition = |(name, _): &(&str, _)| Definition {
            name: (*name).to_owned(),
            input_schema: None,
            output_schema: None,
            description: None,
        };
        Info {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            orchestrators: looks::ALL.iter().map(definition).collect(),
            activities: Vec::new(),
            entities: Vec::new(),
        }
    }
}

thread_local! {
    /// The orchestrator's name, and what it saw first.
    static FIRST: RefCell<(String, Value)> = const { RefCell::new((String::new(), Value::Null)) };
}

fn look(name: &str) -> Value {
    let (_, look) = looks::ALL.iter().find(|(known, _)| *known == name).expect("the host knows the names");
    look()
}

impl orchestrator::Guest for World {
    fn start(context: Context) -> Vec<Command> {
        let seen = look(&context.name);
        let call = ActivityCall {
            name: "note".to_owned(),
            version: None,
            input: Some(seen.to_string()),
            retry: None,
            tags: Vec::new(),
        };
        FIRST.set((context.name, seen));
        vec![Command::Issue((1, Request::Activity(call)))]
    }

    fn resume(_: Vec<Resolution>) -> Vec<Command> {
        let (name, first) = FIRST.take();
        vec![Command::Complete(Ok(Some(json!([first, look(&name)]).to_string())))]
    }
}

//! An orchestrator without Rust's standard library, as someone writes who builds for `wasm32-unknown-unknown`: it imports nothing at
//! all, and sees only what it is told.

#![no_std]

extern crate alloc;

mod memory;

#[allow(unsafe_code, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package durawasm:test-bare;

            world test {
                export durawasm:workflow/component@0.1.0;
                export durawasm:workflow/orchestrator@0.1.0;
            }
        ",
        world: "durawasm:test-bare/test",
        generate_all,
        std_feature,
        pub_export_macro: true,
    });
}

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use bindings::exports::durawasm::workflow::component::{self, Definition, Info};
use bindings::exports::durawasm::workflow::orchestrator::{self, ActivityCall, Command, Context, Request, Resolution};

struct Bare;

bindings::export!(Bare with_types_in bindings);

impl component::Guest for Bare {
    fn describe() -> Info {
        let greet = Definition { name: "greet".to_owned(), input_schema: None, output_schema: None, description: None };
        Info {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            orchestrators: vec![greet],
            activities: Vec::new(),
            entities: Vec::new(),
        }
    }
}

impl orchestrator::Guest for Bare {
    fn start(context: Context) -> Vec<Command> {
        let now = format!("[{},{}]", context.now.seconds, context.now.nanos);
        let call =
            ActivityCall { name: "note".to_owned(), version: None, input: Some(now), retry: None, tags: Vec::new() };
        vec![Command::Issue((1, Request::Activity(call)))]
    }

    fn resume(resolutions: Vec<Resolution>) -> Vec<Command> {
        resolutions.into_iter().map(|resolution| Command::Complete(resolution.outcome)).collect()
    }
}

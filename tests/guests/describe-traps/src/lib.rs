//! A component that traps when it is asked what it is.

#[allow(unsafe_code, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "activities", pub_export_macro: true });
}

use bindings::exports::durawasm::workflow::activity::{Context, Guest as Activities, Outcome};
use bindings::exports::durawasm::workflow::component::{Guest, Info};

struct Hostile;

bindings::export!(Hostile with_types_in bindings);

impl Guest for Hostile {
    fn describe() -> Info {
        panic!("describe panics on purpose")
    }
}

impl Activities for Hostile {
    fn run(_context: Context, _input: Option<String>) -> Outcome {
        Ok(None)
    }
}

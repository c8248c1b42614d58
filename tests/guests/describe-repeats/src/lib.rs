//! A component that offers one name twice, and something without a name.

#[allow(unsafe_code, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "activities", pub_export_macro: true });
}

use bindings::exports::durawasm::workflow::activity::{Context, Guest as Activities, Outcome};
use bindings::exports::durawasm::workflow::component::{Definition, Guest, Info};

struct Hostile;

bindings::export!(Hostile with_types_in bindings);

impl Guest for Hostile {
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
            orchestrators: Vec::new(),
            activities: vec![definition("twice"), definition("twice"), definition("")],
            entities: Vec::new(),
        }
    }
}

impl Activities for Hostile {
    fn run(_context: Context, _input: Option<String>) -> Outcome {
        Ok(None)
    }
}

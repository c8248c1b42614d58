//! Exports another version of the contract, with its own copy of it.

#[allow(unsafe_code, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "workflow", pub_export_macro: true });
}

use bindings::exports::durawasm::workflow::{activity, component};

struct Old;

bindings::export!(Old with_types_in bindings);

impl component::Guest for Old {
    fn describe() -> component::Info {
        component::Info { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

impl activity::Guest for Old {
    fn run(name: String, _input: Option<String>) -> Result<Option<String>, String> {
        Ok(Some(name))
    }
}

//! A good component, with nothing that durawasm knows.

#[allow(unsafe_code, clippy::all, reason = "generated code")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "calculator", pub_export_macro: true });
}

struct Calculator;

bindings::export!(Calculator with_types_in bindings);

impl bindings::exports::test::calculator::arithmetic::Guest for Calculator {
    fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }
}

//! The WIT contract as Rust types, made by wit-bindgen from the repository's `wit` folder. Everything else in this crate is
//! written on top of these types; nothing here is written by hand.

// wit-bindgen's glue to the canonical ABI is unsafe code. It is the one place in this crate where unsafe code is allowed.
#![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated code")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "durable",
    pub_export_macro: true,
    export_macro_name: "export",
    default_bindings_module: "durawasm_guest::__private::bindings",
    additional_derives: [PartialEq, Clone],
});

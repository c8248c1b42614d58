#![allow(missing_docs, unsafe_code, clippy::all, reason="generated")]
wit_bindgen::generate!({
    path: "../../wit",
    world: "workflow",
    pub_export_macro: true,
    default_bindings_module: "durawasm_guest::__private::bindings",
    additional_derives: [PartialEq, Clone],
});

//! What orchestrators see of the world, in the words of the libraries that people use: Rust's, Python's and JavaScript's. Live
//! values come from the history or are denied, and nothing that is seen is different after an eviction.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod javascript;
mod look;
mod python;
mod rust;
#[path = "../support/mod.rs"]
mod support;

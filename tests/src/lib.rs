//! What end-to-end tests and benches stand on: the real program in processes of its own, killed and started at will.
//!
//! Where things are is told by the environment (`cargo xtask test` sets it), with the places where a plain build leaves them
//! as the default.

pub mod cluster;
pub mod command;
pub mod process;
pub mod sdk;
pub mod variant;

use std::path::{Path, PathBuf};

/// The program `durawasm`.
#[must_use]
pub fn program() -> PathBuf {
    given("DURAWASM_PROGRAM").unwrap_or_else(|| target().join("release").join("durawasm"))
}

/// The folder with the components of `examples/`.
#[must_use]
pub fn examples() -> PathBuf {
    given("DURAWASM_EXAMPLES").unwrap_or_else(|| target().join("guests").join("examples"))
}

/// The folder with the components of `tests/guests/`.
#[must_use]
pub fn test_guests() -> PathBuf {
    given("DURAWASM_TEST_GUESTS").unwrap_or_else(|| target().join("guests").join("tests"))
}

/// A Python with the packages that the tests use.
#[must_use]
pub fn python() -> PathBuf {
    given("DURAWASM_PYTHON").unwrap_or_else(|| PathBuf::from("python3"))
}

/// A Node.js that can run the packages of [`node_modules`].
#[must_use]
pub fn node() -> PathBuf {
    given("DURAWASM_NODE").unwrap_or_else(|| PathBuf::from("node"))
}

/// The folder with the packages of `tests/js/package.json`.
#[must_use]
pub fn node_modules() -> PathBuf {
    given("DURAWASM_NODE_MODULES").unwrap_or_else(|| target().join("node").join("node_modules"))
}

/// The folder with one folder of components for each language other than Rust: `python`, `js`.
#[must_use]
pub fn language_guests() -> PathBuf {
    given("DURAWASM_LANGUAGE_GUESTS").unwrap_or_else(|| target().join("guests"))
}

fn given(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

fn target() -> PathBuf {
    given("CARGO_TARGET_DIR").unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"))
}

//! Fuzz targets: places where bytes come in that somebody else has made, and what must hold whatever they are.
//!
//! Each target is one file below [`targets`]: a function of the input's bytes. [`run`] feeds it with inputs that follow from a
//! seed (see [`mutation`]), watches time and memory, and keeps what fails; [`replay`] runs one input again. The tests run each target for a moment,
//! `cargo xtask soak --only fuzz` for as long as is asked. `docs/fuzzing.md` tells how to work with them.

pub mod mutation;
mod panics;
mod runner;
pub mod targets;

pub use runner::{Failed, Plan, Report, Target, replay, run};

//! Random orchestration programs, for property tests of replay.
//!
//! A [`Program`] is data. The guest in `tests/guests/programs` interprets it with the SDK; [`predict`] says what must come of
//! it, with no futures and no wakers: one step after the other, given what happened in the order of the history. A host that
//! runs the guest live, after eviction at any point, or after a crash, must get what the model predicts.

mod model;
mod program;
#[cfg(feature = "strategy")]
pub mod strategy;

pub use crate::model::{Happened, Happening, Prediction, agrees, predict};
pub use crate::program::{Observation, Program, Step, Wait};

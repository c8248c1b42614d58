//! The scheduler's core: state machines without I/O, clock or randomness.
//!
//! `(state, input, now) → (state changes, effects)`. Threads, sockets and disks are outside; so is time. The same code runs
//! under the real partition thread and under the seeded simulator.

pub mod batch;
pub mod ids;
pub mod record;
pub mod time;

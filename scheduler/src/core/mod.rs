//! The scheduler's core: state machines without I/O, clock or randomness.
//!
//! `(state, input, now) → (state changes, effects)`. Threads, sockets and disks are outside; so is time. The same code runs
//! under the real partition thread and under the seeded simulator.

pub mod batch;
pub mod delivery;
pub mod dispatch;
pub mod entity;
pub mod events;
pub mod ids;
pub mod instance;
pub mod message;
pub mod partition;
pub mod payload;
pub mod pipeline;
pub mod record;
pub mod surroundings;
pub mod time;
pub mod timers;
pub mod token;
pub mod versions;

mod chunks;
mod clients;
mod ending;
mod purge;
mod questions;
mod repair;
mod rewrite;
mod turn;
mod workers;

//! Components assembled from WebAssembly text, for what no compiler would write: traps at any place, answers made of any bytes,
//! handles out of thin air.
//!
//! [`Guest`] is a core module in pieces, each of which a test may replace; [`Image`] writes values into a guest's memory as the
//! canonical ABI lays them out, and [`command`] does so for the commands of an orchestrator. Nothing here knows the host.

pub mod command;
mod guest;
mod image;
mod version;
mod world;

pub use guest::{ANSWER, DONE, Guest, NOTHING, echo, neighbour};
pub use image::Image;
pub use version::rewritten;

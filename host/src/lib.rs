//! The host worker.

pub mod abi;
pub mod orchestration;
pub mod registry;
pub mod sandbox;

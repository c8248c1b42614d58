//! The host worker.

pub mod abi;
pub mod orchestration;

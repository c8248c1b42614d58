//! The durawasm scheduler: task hubs, a durable store, dispatch and the gRPC service.
//!
//! [`Options`] → [`Scheduler::build`] → [`Scheduler::run`]. Inside, from the middle outwards: [`core`] decides (no I/O, no clock),
//! [`store`] keeps, [`payload`] keeps what is large, [`hub`] drives one core over one store, and [`service`] speaks gRPC.

pub mod core;
pub mod deployments;
pub mod hub;
pub mod payload;
pub mod server;
pub mod service;
pub mod store;

pub use server::{Options, Scheduler, SchedulerError};

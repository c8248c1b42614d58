//! The durawasm scheduler: task hubs, a durable store, dispatch and the gRPC service.

pub mod core;
pub mod store;

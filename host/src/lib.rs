//! The host worker: it connects to a scheduler and runs WebAssembly components.
//!
//! Data flows one way: [`connection`] takes work items in, [`dispatch`] gives them to the runner of orchestrations or
//! of activities, these call guests in the [`sandbox`], and answers go back over the connection. [`orchestration`] holds
//! what an orchestration *means* and knows none of the others; [`registry`] holds the components, and [`deployment`]
//! knows what each may do.
//!
//! [`Host`] puts all of it together. [`replay`] runs histories without any effect, for questions to orchestrators and for tools.

pub mod abi;
mod connection;
pub mod deployment;
mod dispatch;
mod host;
mod options;
pub mod orchestration;
pub mod registry;
pub mod replay;
pub mod sandbox;

pub use connection::ChannelError;
pub use dispatch::Warmth;
pub use host::{BuildError, Handle, Host, Status};
pub use options::Options;

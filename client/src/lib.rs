//! The client of a durawasm scheduler, or of any other that speaks the Durable Task protocol: starts orchestrations,
//! asks for them, waits for them, follows them, and sends them events.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use durawasm_client::{Client, Connection, Payload, StartOptions, Wait};
//!
//! let client = Client::connect(Connection::to("http://127.0.0.1:8080")).await?;
//! let id = client.start("hello_cities", Some(Payload::json(&["Tokyo", "Seattle"])?), StartOptions::default()).await?;
//! let instance = client.wait_for_completion(&id, &Wait::default()).await?;
//! println!("{}: {:?}", instance.status, instance.output);
//! # Ok(())
//! # }
//! ```
//!
//! The messages of the wire stop in [`convert`]; everything else here are types of the domain. They serialize to the
//! JSON that the command line prints with `--json`.

mod client;
mod connection;
mod convert;
mod describe;
mod error;
mod failure;
mod follow;
mod history;
mod id;
mod instance;
mod narration;
mod payload;
mod start;
mod time;
mod wait;

pub use client::Client;
pub use connection::{Connection, DEFAULT_ADDRESS, DEFAULT_HUB};
pub use describe::{Description, Details, Parked};
pub use error::{Error, ErrorKind};
pub use failure::Failure;
pub use follow::{Follower, Update};
pub use history::{EventKind, History, HistoryEvent};
pub use id::{InstanceId, InvalidInstanceId};
pub use instance::{Instance, Status};
pub use narration::Narrator;
pub use payload::Payload;
pub use start::{Reuse, StartOptions};
pub use wait::Wait;

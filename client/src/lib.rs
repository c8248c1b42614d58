//! The client of a durawasm scheduler, or of any other that speaks the Durable Task protocol: starts orchestrations,
//! asks for them, lists them, waits for them, follows them, sends them events, and repairs and purges them.
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
//! Lists are streams of pages:
//!
//! ```no_run
//! # async fn example(client: durawasm_client::Client) -> Result<(), durawasm_client::Error> {
//! use durawasm_client::{InstanceFilter, Status};
//! use futures::TryStreamExt as _;
//!
//! let failed = InstanceFilter { statuses: vec![Status::Failed], ..Default::default() };
//! let mut pages = std::pin::pin!(client.list(failed));
//! while let Some(page) = pages.try_next().await? {
//!     for instance in page {
//!         client.rewind(&instance.id, Some("the service is up again")).await?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The messages of the wire stop in [`convert`]; everything else here are types of the domain. They serialize to the
//! JSON that the command line prints with `--json`.

mod client;
mod connection;
mod control;
mod convert;
mod deployment;
mod describe;
mod entity;
mod entity_call;
mod error;
mod export;
mod failure;
mod follow;
mod history;
mod hub;
mod id;
mod instance;
mod listing;
mod long_call;
mod narration;
mod payload;
mod purge;
mod repair;
mod start;
mod time;
mod turns;
mod wait;

pub use client::Client;
pub use connection::{Connection, DEFAULT_ADDRESS, DEFAULT_HUB};
pub use control::RestartAs;
pub use deployment::{DeployedVersion, Deployments, Offer, VersionDefault, VersionUsage, WHOLE};
pub use describe::{Description, Details, Fuel, Parked, ParkedInstance, ReturnedActivity};
pub use entity::{CleanOptions, Cleaned, Entity, EntityFilter, EntityId, InvalidEntityId};
pub use entity_call::EntityCall;
pub use error::{Error, ErrorKind};
pub use export::{ExportedHistory, InvalidExport};
pub use failure::Failure;
pub use follow::{Follower, Update};
pub use history::{EventKind, History, HistoryEvent, Recorded};
pub use id::{InstanceId, InvalidInstanceId};
pub use instance::{Instance, Status};
pub use listing::{EndedFilter, InstanceFilter, Page, PageToken};
pub use narration::Narrator;
pub use payload::Payload;
pub use purge::{PurgeFilter, Purged};
pub use repair::{Fork, ForkOptions, Migration, ResetOptions, Substitute};
pub use start::{Reuse, StartOptions};
pub use turns::{Call, Turns};
pub use wait::Wait;

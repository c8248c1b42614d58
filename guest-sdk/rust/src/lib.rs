//! Durable orchestrators, activities and entities in Rust, compiled to one WebAssembly component.
//!
//! ```
//! use durawasm_guest::prelude::*;
//!
//! /// Greets some cities, one after the other.
//! #[orchestrator]
//! async fn hello_cities(ctx: Context, cities: Vec<String>) -> Result<Vec<String>> {
//!     let mut greetings = Vec::new();
//!     for city in &cities {
//!         greetings.push(ctx.call(say_hello, city).retry(Retry::attempts(3)).await?);
//!     }
//!     Ok(greetings)
//! }
//!
//! #[activity]
//! fn say_hello(city: String) -> Result<String> {
//!     ensure!(!city.is_empty(), "NoCity"; "there is nobody to greet");
//!     Ok(format!("Hello {city}!"))
//! }
//!
//! durawasm_guest::component!(hello_cities, say_hello);
//! # fn main() {}
//! ```
//!
//! An **orchestrator** decides what happens: it calls activities, starts children, sleeps, waits for events. Its code is
//! replayed from its history after a crash, or when it was taken out of memory, so what it does follows from its input and
//! its [`Context`] alone. An **activity** does the work that has effects. It runs at least once.
//!
//! An **entity** is a piece of state with a name and a key, whose operations run one at a time ([`macro@entity`]).
//!
//! Everything that an orchestrator waits for begins when it is made, not when it is awaited: two calls that are made before
//! the first `await` run at the same time. [`join_all`], [`try_join`] and [`race`] wait for several.
//! What is dropped before it is ready is cancelled: a waiter for an event gives up its place, and the outcome of a call is
//! dropped, though the activity or child runs on.
//!
//! Lines written with the crate `log` (re-exported as [`log`]), or with `tracing` (feature `tracing`), go to the host, each
//! at most once however often an orchestrator is replayed. A panic fails the orchestration or activity with its message and place.

mod activity;
#[doc(hidden)]
pub mod bindings;
mod component;
mod entity;
mod error;
mod logging;
mod orchestration;
mod panics;
mod payload;
pub mod prelude;
mod schema;
mod timestamp;
#[cfg(feature = "tracing")]
mod tracing;

pub use durawasm_guest_macros::{activity, entity, orchestrator};
#[cfg(feature = "schema")]
pub use schemars;
pub use {log, rand, serde_json, uuid};

pub use crate::activity::ActivityContext;
pub use crate::component::{Activity, InputFor, Orchestrator, Returned};
pub use crate::entity::{
    DynamicCalls, DynamicSignals, Entity, EntityContext, EntityId, EntityRef, Sent, Start, TestEntity,
};
pub use crate::error::{Error, Failure, Result, ResultExt};
pub use crate::orchestration::{
    Call, Child, Context, EntityCall, EventWait, JoinAll, JoinTuple, Lock, Locked, Next, OneOf2, OneOf3, OneOf4,
    Parent, RaceAll, RaceTuple, Random, Retry, Retrying, TimedOut, Timeout, Timer, TryJoinAll, TryJoinTuple, join,
    join_all, race, race_all, try_join, try_join_all,
};
pub use crate::timestamp::{InvalidTimestamp, Timestamp};

/// What the macros write about. Not for other use: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::component::{
        Offer, Offered, answer_query, describe, migrate_state, names_are_unique, query_names, resume_orchestrator,
        run_activity, run_entity, start_orchestrator,
    };
    pub use crate::entity::{Caller, Named, Operation, Signaller, State};
    pub use crate::schema::OperationSchemas;
}

/// The guide's example is compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Guide;

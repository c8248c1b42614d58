//! Orchestrators: the step machine of the contract on one side, `async fn`s on the other.
//!
//! [`execution`] polls the user's future and speaks the contract; [`instance`] holds what the future shares with it: the
//! ops that wait and the commands that leave; [`context`] and the awaitables are what the user sees.

mod awaitable;
mod call;
mod children;
mod context;
mod entities;
mod execution;
mod instance;
mod join;
mod op;
mod query;
mod race;
mod random;
mod retry;
#[cfg(test)]
mod tests;

pub use awaitable::{EventWait, TimedOut, Timeout, Timer};
pub use call::{Call, Child};
pub use context::{Context, Next, Parent};
pub use entities::{EntityCall, Lock, Locked};
pub(crate) use execution::Execution;
pub use instance::Instance;
pub use join::{JoinAll, JoinTuple, TryJoinAll, TryJoinTuple, join, join_all, try_join, try_join_all};
pub(crate) use query::unknown as unknown_query;
pub use race::{OneOf2, OneOf3, OneOf4, RaceAll, RaceTuple, race, race_all};
pub use random::Random;
pub use retry::{Retry, Retrying};

//! Running orchestrations: from history events to a guest's commands to actions.
//!
//! A [`Session`] is one instance kept warm. It knows nothing of the network, of threads or of WebAssembly: events go
//! in, a [`Turn`] comes out, and the guest behind it is anything that implements [`Guest`]. Live and replay are the
//! same pass over events; `docs/replay.md` says what of it may never change.

mod action;
pub(crate) mod convert;
mod divergence;
mod entity;
mod external;
mod failure;
mod guest;
mod history;
mod ledger;
mod limit;
mod park;
mod retry;
pub(crate) mod rewind;
mod seed;
mod session;
pub(crate) mod trace;
pub(crate) mod warmth;

pub use action::{Action, Completion, Decision, Fuel, Status, Turn};
pub use convert::{Answered, history_event, response};
pub use entity::{EntityContent, EntityMessage};
pub(crate) use entity::{parse_id, protocol_id};
pub use guest::{Guest, GuestFault, LogLevel, LogLine, Question};
pub use history::{EventKind, ExecutionStarted, HistoryEvent, ParentInstance, Recorded, RecordedKind, Time};
pub use limit::Limit;
pub use park::{Park, ParkReason};
pub(crate) use retry::FIRST_ATTEMPT;
pub use seed::Streams;
pub(crate) use session::FUEL;
pub use session::{Defaults, Limits, Program, Session};

//! Entities: pieces of state with a name and a key, whose operations run one at a time.
//!
//! [`operation`] runs an operation and keeps the books of what it changed; [`context`] is what an operation sees; [`id`] names entities;
//! [`proxy`] is how others reach one: calls from orchestrators, signals from orchestrators and entities.

mod context;
mod id;
mod operation;
mod proxy;
mod test_entity;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::schema::OperationSchemas;

pub use context::{EntityContext, Start};
pub use id::{EntityId, EntityRef};
pub use operation::{Operation, State};
pub(crate) use operation::{migrate, run, unknown};
pub use proxy::{Caller, DynamicCalls, DynamicSignals, Signaller};
pub use test_entity::{Sent, TestEntity};

/// An entity. Implemented by the attribute `#[entity]` on an `impl` block, or on a function.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an entity",
    label = "not an entity",
    note = "an entity is a struct with the attribute `#[entity]` and an `impl` block with the same attribute, or a function with it"
)]
pub trait Entity: Sized + 'static {
    /// The name that callers use, in lower case.
    const NAME: &'static str;
    /// The operations that it has, for messages; empty if only its code knows.
    const OPERATIONS: &'static [&'static str];
    /// Whether it can make its state of what an older version left.
    const MIGRATES: bool = false;
    /// What is kept between operations.
    type State: Serialize + DeserializeOwned + Default + 'static;
    /// A method for each operation, for those who wait for its result.
    type Calls;
    /// A method for each operation, for those who do not.
    type Signals;

    /// The types of the operations, as far as they are known.
    #[doc(hidden)]
    fn schemas() -> Vec<OperationSchemas> {
        Vec::new()
    }
    /// Makes the calls of one entity.
    fn calls(caller: Caller) -> Self::Calls;
    /// Makes the signals to one entity.
    fn signals(signaller: Signaller) -> Self::Signals;
    /// Runs the operation that the context names, and returns its encoded result.
    ///
    /// # Errors
    /// If the operation fails. Then nothing that it did counts.
    fn operate(ctx: &EntityContext, state: &mut State<Self::State>) -> Result<String>;
    /// Makes a state of what an older version left.
    ///
    /// # Errors
    /// If it cannot.
    fn migrate(old: serde_json::Value) -> Result<Self::State> {
        Ok(serde_json::from_value(old)?)
    }
}

/// What `#[entity]` on a struct says of it, for `#[entity]` on its `impl` block.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no entity name",
    label = "the struct needs the attribute `#[entity]` too",
    note = "write `#[entity]` above `struct {Self}`"
)]
pub trait Named {
    const NAME: &'static str;
    const DESCRIPTION: Option<&'static str>;
}

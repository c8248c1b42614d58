//! Where a task hub is kept: batches in, pages out.
//!
//! A store knows nothing of orchestrations: it keeps what the core decided, all of a batch or nothing of it, and says so only
//! when it is on disk. Reads see committed batches alone, and may run while a batch is written.

use crate::core::batch::Batch;
pub use crate::core::entity::LoadedEntity;
use crate::core::ids::{Incarnation, InstanceId, Position, RunId};
use crate::core::payload::{Hash, HubKey};
pub use crate::core::record::LoadedInstance;
use crate::core::record::{InstanceRecord, Status, StoredEvent, TimerRecord};
use crate::core::time::Timestamp;

pub mod committed;
pub mod directory;
pub(crate) mod durable;
pub mod entities;
pub mod failing;
pub mod memory;
pub mod sqlite;

mod codec;
mod entity_codec;
mod format;
mod listing;
mod lock;
mod memory_entities;
mod memory_references;
mod read;
mod references;
mod seal;

pub use entities::{EntityFilter, EntityPage, EntityView};

/// Why a store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What was read is not what was written.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The file was written by a newer version.
    #[error("the store has format {found}, this version knows formats up to {known}")]
    NewerFormat {
        /// The file's format.
        found: i64,
        /// The newest that this version reads.
        known: i64,
    },
    /// Another process has it open.
    #[error("the store is in use: {0}")]
    Locked(String),
    /// A text that cannot name a task hub.
    #[error("`{0}` cannot name a task hub: use 1 to 64 of the letters a-z, digits, `-`, `_` and `.`")]
    InvalidName(String),
    /// A name that some file systems cannot keep apart from another hub's.
    #[error("task hub `{wanted}` cannot be made beside `{existing}`: their names differ only in upper and lower case")]
    NameTaken {
        /// The name asked for.
        wanted: String,
        /// The hub that is there.
        existing: String,
    },
    /// The disk or the file system refused.
    #[error("the store cannot be read or written: {0}")]
    Io(String),
}

impl From<codec::Damaged> for StoreError {
    fn from(damaged: codec::Damaged) -> Self {
        Self::Corrupt(damaged.to_string())
    }
}

/// What a partition starts from. Its size is that of the work at hand, not of what has finished.
#[derive(Debug)]
pub struct Recovered {
    /// This opening's number, on disk by now.
    pub incarnation: Incarnation,
    /// Instances with work to hand out (see [`InstanceRecord::is_active`]).
    pub active: Vec<LoadedInstance>,
    /// Entities with something in their queues.
    pub entities: Vec<LoadedEntity>,
    /// All timers.
    pub timers: Vec<TimerRecord>,
}

/// An instance as a client sees it.
#[derive(Clone, Debug)]
pub struct InstanceView {
    /// Its row.
    pub record: InstanceRecord,
    /// The `executionStarted` event of its current execution, which holds the input; if asked for.
    pub started: Option<StoredEvent>,
    /// The `executionCompleted` event, which holds output and failure; if there is one. Always read, because failures are
    /// always shown.
    pub completed: Option<StoredEvent>,
}

/// Which instances to show. What is not said does not matter; all that is said must hold. Instances that have ended and those
/// that have not are both in it; entities never are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFilter {
    /// The status is one of these. Empty: any.
    pub statuses: Vec<Status>,
    /// Created at this time or later.
    pub created_from: Option<Timestamp>,
    /// Created before this time.
    pub created_to: Option<Timestamp>,
    /// Ended at this time or later.
    pub completed_from: Option<Timestamp>,
    /// Ended before this time.
    pub completed_to: Option<Timestamp>,
    /// The id begins so.
    pub id_prefix: Option<String>,
}

/// In which order instances are shown. No place in it changes as long as the instance does not change in what the order is by, so
/// that a listing in pages shows each instance once, whatever happens meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstanceOrder {
    /// By the time of creation, then by id. With a prefix: by id alone.
    #[default]
    Created,
    /// By the time of the end, then by id, with a prefix too. Shows only what has ended.
    Completed,
}

/// A place in a listing: after which instance it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The time that the order is by, of the last instance that was looked at. 0 if the order is by id.
    pub time: Timestamp,
    /// That instance's id. It may be gone by now.
    pub id: InstanceId,
}

/// How much of a listing is wanted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize {
    /// At most so many instances.
    pub instances: usize,
    /// About so many bytes of inputs, outputs and the rest, but at least one instance.
    pub bytes: usize,
    /// Whether inputs (and with them outputs) are wanted. Without them, of the ends only those of failed instances are read.
    pub inputs: bool,
}

/// A part of a listing.
#[derive(Clone, Debug, Default)]
pub struct InstancePage {
    /// The instances. May be fewer than asked for, or none, although more follow: a page costs a bounded time, however few of the
    /// instances it looks at fit the filter.
    pub instances: Vec<InstanceView>,
    /// Where the next page begins. None: this was the last one.
    pub next: Option<Place>,
}

/// A task hub's durable state.
pub trait Store: Send + Sync + 'static {
    /// Applies a batch and returns when it is on disk. Called by one thread at a time.
    ///
    /// # Errors
    /// If it is not certain that the batch is on disk. The caller must not go on with this store.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Raises the incarnation (on disk before this returns) and reads what there is to do. Called once, first.
    ///
    /// # Errors
    /// If the store cannot be read or is damaged.
    fn recover(&self) -> Result<Recovered, StoreError>;

    /// Reads an instance to work on.
    ///
    /// # Errors
    /// If the store cannot be read or is damaged.
    fn load(&self, id: &InstanceId) -> Result<Option<LoadedInstance>, StoreError>;

    /// Reads an instance to show: row, and `with_input` the input, and output and failure if it has ended, in one snapshot.
    ///
    /// # Errors
    /// If the store cannot be read or is damaged.
    fn view(&self, id: &InstanceId, with_input: bool) -> Result<Option<InstanceView>, StoreError>;

    /// Reads a part of a history: from position `from`, at least one event if there is one, about `max_bytes` at most.
    ///
    /// # Errors
    /// If the store cannot be read or is damaged.
    fn history(&self, run: RunId, from: Position, max_bytes: usize) -> Result<Vec<StoredEvent>, StoreError>;

    /// Lists instances, a page at a time: from the first one on, or after `after`.
    ///
    /// # Errors
    /// If the store cannot be read or is damaged.
    fn list(
        &self,
        filter: &InstanceFilter,
        order: InstanceOrder,
        after: Option<&Place>,
        size: PageSize,
    ) -> Result<InstancePage, StoreError>;

    /// The instances that orchestrations under this id have started as children, in all their executions, by id. At most `limit`,
    /// those after `after`.
    ///
    /// # Errors
    /// If the store cannot be read or is damaged.
    fn children(
        &self,
        parent: &InstanceId,
        after: Option<&InstanceId>,
        limit: usize,
    ) -> Result<Vec<InstanceId>, StoreError>;

    /// Reads an entity to work on.
    ///
    /// # Errors
    /// If the store cannot be read or is damaged.
    fn load_entity(&self, id: &InstanceId) -> Result<Option<LoadedEntity>, StoreError>;

    /// Reads an entity to show.
    ///
    /// # Errors
    /// If the store cannot be read or is damaged.
    fn view_entity(&self, id: &InstanceId, with_state: bool) -> Result<Option<EntityView>, StoreError>;

    /// Lists entities by id, a page at a time: from the first one on, or after `after`. The states are read if the page's inputs are
    /// wanted.
    ///
    /// # Errors
    /// If the store cannot be read or is damaged.
    fn list_entities(
        &self,
        filter: &EntityFilter,
        after: Option<&InstanceId>,
        size: PageSize,
    ) -> Result<EntityPage, StoreError>;

    /// The number that references to payloads of this hub hold.
    fn payload_key(&self) -> HubKey;

    /// Whether a committed row refers to a payload.
    ///
    /// # Errors
    /// If the store cannot be read or is damaged.
    fn is_payload_referenced(&self, hash: Hash) -> Result<bool, StoreError>;

    /// Payloads that rows have let go since this was last called, and that others may still refer to.
    fn released_payloads(&self) -> Vec<Hash>;
}

//! Where a task hub is kept: batches in, pages out.
//!
//! A store knows nothing of orchestrations: it keeps what the core decided, all of a batch or nothing of it, and says so only
//! when it is on disk. Reads see committed batches alone, and may run while a batch is written.

use crate::core::batch::Batch;
use crate::core::ids::{Incarnation, InstanceId, Position, RunId};
pub use crate::core::record::LoadedInstance;
use crate::core::record::{InstanceRecord, StoredEvent, TimerRecord};

pub mod directory;
pub mod failing;
pub mod memory;
pub mod sqlite;

mod codec;
mod format;
mod lock;
mod read;

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
}

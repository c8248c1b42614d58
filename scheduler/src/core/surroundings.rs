//! What a partition finds around it: where it reads what it has not in memory, its bounds, and who it is.

use std::time::Duration;

use super::entity::LoadedEntity;
use super::ids::{Incarnation, InstanceId, RunId};
use super::record::{LoadedInstance, StoredEvent};

/// Where the core finds instances that are not in memory: the committed state of the store.
pub trait Lookup {
    /// Reads an instance.
    ///
    /// # Errors
    /// A text for people if what is stored is damaged.
    fn load(&self, id: &InstanceId) -> Result<Option<LoadedInstance>, String>;

    /// Reads an entity.
    ///
    /// # Errors
    /// A text for people if what is stored is damaged.
    fn load_entity(&self, id: &InstanceId) -> Result<Option<LoadedEntity>, String>;

    /// Reads the whole history of an execution.
    ///
    /// # Errors
    /// A text for people if what is stored is damaged.
    fn history(&self, run: RunId) -> Result<Vec<StoredEvent>, String>;
}

/// Bounds that an operator may set.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest input, output, event payload, custom status or state of an entity in bytes. At most [`Limits::MOST_PAYLOAD_BYTES`].
    pub payload_bytes: usize,
    /// How many new events one episode brings at most…
    pub new_events: usize,
    /// …and about how many bytes.
    pub new_event_bytes: usize,
    /// How many operations one batch brings to an entity at most; of their bytes as many as an episode's events may have.
    pub entity_operations: usize,
    /// How many idle instances and entities stay in memory.
    pub idle_instances: usize,
    /// How long an activity waits for its worker to come back before it is sent to another one.
    pub activity_grace: Duration,
}

impl Limits {
    /// What `payload_bytes` may be: a message has 64 MiB, and must have room for an entity's state, an input, and what is beside them.
    pub const MOST_PAYLOAD_BYTES: usize = 24 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes: 16 << 20,
            new_events: 4_000,
            new_event_bytes: 2 << 20,
            entity_operations: 500,
            idle_instances: 20_000,
            activity_grace: Duration::from_secs(2),
        }
    }
}

/// What a partition must know before it can start.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The task hub.
    pub hub: String,
    /// This opening of the store.
    pub incarnation: Incarnation,
    /// Random: makes the ids of executions unique beyond this store.
    pub salt: u64,
}

/// How much a partition holds in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Instances.
    pub instances: usize,
    /// Entities.
    pub entities: usize,
    /// Operations in the queues of these entities, those that workers have included.
    pub operations: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Work that is held back for a while.
    pub delayed: usize,
    /// Instances that wait for another worker.
    pub parked: usize,
    /// Items that workers have.
    pub sent: usize,
    /// Repairs that wait for a write, and questions that wait for an answer.
    pub waiting: usize,
}

impl Census {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

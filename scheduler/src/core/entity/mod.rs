//! Durable entities: state with a name, and operations on it that run one after the other.
//!
//! An entity has a queue. Clients, orchestrations and entities put operations into it (and orchestrations requests for its lock), and
//! workers get them in batches, one batch an entity at a time. What a batch did is committed in one input, and so in one batch of the
//! store: the new state, the end of its operations, the answers to their callers, and what the operations sent on.
//!
//! | module | what |
//! |---|---|
//! | `name` | what is an entity's id |
//! | `record` | what the store keeps of an entity |
//! | `state` | an entity in memory: what of its queue may run now |
//! | `queue` | how operations get into the queue, now or at their time, and what follows |
//! | `batches` | batches that go to workers and come back |
//! | `outcome` | what an answer to a batch says, and whether it makes sense |
//! | `locks` | critical sections of orchestrations |
//! | `messages` | what orchestrations send to entities |
//! | `outside` | calls of clients, and their answers until somebody has them |
//! | `administration` | what clients ask of entities: signals, forgetting, cleaning |
//!
//! **Locks.** A request for several locks enters the queues of all these entities in one input, so that of two requests the same one is
//! first in every queue that both are in: they cannot wait for each other. It is granted when it has come to the front of all of them.
//! An execution has one critical section at most and may call nothing but what it has locked, so nobody who holds a lock waits for
//! another one. While an entity is locked only calls of the holder's run; everything else waits in the queue, in order.

mod administration;
mod batches;
mod locks;
mod messages;
mod name;
mod outcome;
mod outside;
mod queue;
mod record;
mod state;

pub use batches::BatchItem;
pub use name::{InvalidEntityId, entity_id, entity_name};
pub use record::{CallSite, CriticalSection, EntityLock, EntityRecord, LoadedEntity, QueueEntry};
pub use state::{Entity, EntityTurn, SentBatch};

pub(super) use messages::{SectionRule, check_message};
pub(super) use queue::EntityMessage;

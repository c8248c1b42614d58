//! The messages inside the store's blobs. Their numbers are the file format: `docs/store.md` lists them, and a number is
//! never used again for something else.
//!
//! They mirror the core's records rather than being them, so that the core may change shape while old files stay
//! readable. History events, parent links and trace contexts are kept exactly as the Durable Task protocol encodes them:
//! what its numbers mean cannot change either.

use std::collections::BTreeMap;

use durawasm_proto::durabletask as pb;

/// Facts about the whole file.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Meta {
    #[prost(uint64, tag = "1")]
    pub(super) incarnation: u64,
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) payload_key: Vec<u8>,
}

/// The row of an instance. Its key is the row's.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Instance {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(uint64, tag = "2")]
    pub(super) run: u64,
    #[prost(string, tag = "3")]
    pub(super) execution: String,
    #[prost(string, tag = "4")]
    pub(super) name: String,
    #[prost(string, optional, tag = "5")]
    pub(super) version: Option<String>,
    #[prost(enumeration = "pb::OrchestrationStatus", tag = "6")]
    pub(super) status: i32,
    #[prost(int64, tag = "7")]
    pub(super) created_at: i64,
    #[prost(int64, tag = "8")]
    pub(super) updated_at: i64,
    #[prost(int64, optional, tag = "9")]
    pub(super) completed_at: Option<i64>,
    #[prost(int64, optional, tag = "10")]
    pub(super) scheduled_start: Option<i64>,
    #[prost(string, optional, tag = "11")]
    pub(super) custom_status: Option<String>,
    #[prost(message, optional, tag = "12")]
    pub(super) parent: Option<Parent>,
    #[prost(btree_map = "string, string", tag = "13")]
    pub(super) tags: BTreeMap<String, String>,
    #[prost(message, optional, tag = "14")]
    pub(super) trace: Option<pb::OrchestrationTraceContext>,
    #[prost(uint64, tag = "15")]
    pub(super) history_len: u64,
    #[prost(uint64, tag = "16")]
    pub(super) history_bytes: u64,
    #[prost(int64, tag = "17")]
    pub(super) last_episode_at: i64,
    #[prost(message, optional, tag = "18")]
    pub(super) base: Option<Turn>,
    #[prost(uint64, tag = "19")]
    pub(super) inbox_next: u64,
    #[prost(uint64, tag = "20")]
    pub(super) inbox_len: u64,
    #[prost(uint32, tag = "21")]
    pub(super) open_activities: u32,
    #[prost(uint32, tag = "22")]
    pub(super) open_children: u32,
    #[prost(message, optional, tag = "23")]
    pub(super) parked: Option<Parking>,
    #[prost(message, optional, tag = "24")]
    pub(super) caller_trace: Option<pb::TraceContext>,
    #[prost(bool, tag = "25")]
    pub(super) inherited_status: bool,
    #[prost(message, optional, tag = "26")]
    pub(super) fuel: Option<FuelUse>,
    #[prost(message, optional, tag = "27")]
    pub(super) section: Option<Section>,
}

/// What an instance has cost.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct FuelUse {
    #[prost(uint64, tag = "1")]
    pub(super) turn: u64,
    #[prost(uint64, optional, tag = "2")]
    pub(super) execution: Option<u64>,
    #[prost(uint64, tag = "3")]
    pub(super) earlier: u64,
}

/// A critical section.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Section {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) entities: Vec<String>,
    #[prost(bool, tag = "3")]
    pub(super) granted: bool,
}

/// Who waits for an instance's end.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Parent {
    #[prost(string, tag = "1")]
    pub(super) instance: String,
    #[prost(uint64, tag = "2")]
    pub(super) run: u64,
    #[prost(uint64, tag = "3")]
    pub(super) position: u64,
    #[prost(message, optional, tag = "4")]
    pub(super) info: Option<pb::ParentInstanceInfo>,
}

/// A turn.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Turn {
    #[prost(uint64, tag = "1")]
    pub(super) incarnation: u64,
    #[prost(uint64, tag = "2")]
    pub(super) attempt: u64,
}

/// Why an instance is parked.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Parking {
    #[prost(string, tag = "1")]
    pub(super) reason: String,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(string, tag = "3")]
    pub(super) component: String,
    #[prost(string, tag = "4")]
    pub(super) advice: String,
    #[prost(int64, tag = "5")]
    pub(super) since: i64,
    #[prost(uint32, tag = "6")]
    pub(super) attempts: u32,
}

/// An event of a history or an inbox.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Event {
    #[prost(message, optional, tag = "1")]
    pub(super) event: Option<pb::HistoryEvent>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) answers: Option<u64>,
}

/// Events that were appended to a history at once.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Episode {
    #[prost(message, repeated, tag = "1")]
    pub(super) events: Vec<Event>,
}

/// The row of an entity. Its key is the row's.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entity {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(int64, tag = "2")]
    pub(super) created_at: i64,
    #[prost(int64, tag = "3")]
    pub(super) modified_at: i64,
    #[prost(bool, tag = "4")]
    pub(super) has_state: bool,
    #[prost(uint64, tag = "5")]
    pub(super) queue_next: u64,
    #[prost(uint64, tag = "6")]
    pub(super) queued_operations: u64,
    #[prost(uint64, tag = "7")]
    pub(super) queued_requests: u64,
    #[prost(uint64, tag = "8")]
    pub(super) held_operations: u64,
    #[prost(message, optional, tag = "9")]
    pub(super) lock: Option<Lock>,
}

/// The lock of an entity.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Lock {
    #[prost(string, tag = "1")]
    pub(super) holder: String,
    #[prost(uint64, tag = "2")]
    pub(super) run: u64,
    #[prost(string, tag = "3")]
    pub(super) section: String,
}

/// An entry of the queue of an entity. The sequence is the row's.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Operation {
    #[prost(message, optional, tag = "1")]
    pub(super) event: Option<pb::HistoryEvent>,
    #[prost(message, optional, tag = "2")]
    pub(super) caller: Option<Caller>,
}

/// Where something was called.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Caller {
    #[prost(uint64, tag = "1")]
    pub(super) run: u64,
    #[prost(uint64, tag = "2")]
    pub(super) position: u64,
}

/// A timer. Run and position are the row's key.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Timer {
    #[prost(int64, tag = "1")]
    pub(super) due: i64,
    #[prost(int32, tag = "2")]
    pub(super) timer_id: i32,
    #[prost(string, tag = "3")]
    pub(super) instance: String,
}

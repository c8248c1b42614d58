//! The wire formats: the Durable Task protocol (our own description of it) and `durawasm.v1`, our extensions.
//!
//! Nothing here has behaviour. The host, the scheduler and the client turn these messages into their own types at
//! their edges.

/// The Durable Task protocol, which has no proto package.
#[allow(
    missing_docs,
    clippy::all,
    clippy::unwrap_used,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod durabletask {
    tonic::include_proto!("_");

    // The generated code of a package reaches the messages without one through `super`.
    pub(crate) mod durawasm {
        pub mod v1 {
            tonic::include_proto!("durawasm.v1");
        }
    }
}

/// What the Durable Task protocol cannot say, between durawasm's own parts.
pub use durabletask::durawasm::v1;

/// The descriptors of all files, as an encoded `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Names of gRPC metadata.
pub mod metadata {
    /// The task hub that a call is for.
    pub const TASK_HUB: &str = "taskhub";
    /// The worker that a call comes from: unique per process.
    pub const WORKER_ID: &str = "workerid";
    /// Announces on GetWorkItems that the worker understands `durawasm.v1`; the value is `1`.
    pub const DURAWASM_API: &str = "durawasm-api";
    /// On a refusal whose status code means more than one thing: which of them.
    pub const REFUSAL: &str = "durawasm-refusal";
    /// A value of [`REFUSAL`], with INVALID_ARGUMENT: something is over a limit.
    pub const TOO_LARGE: &str = "too-large";
}

/// Keys of `OrchestratorRequest.properties` for workers that understand `durawasm.v1`.
pub mod property {
    /// The completion token of the last committed turn of this execution; left out before the first.
    pub const BASE_TOKEN: &str = "durawasm.base.token";
    /// How many events are committed in this execution's history (decimal). If there are some and `pastEvents` is
    /// empty they were left out: a worker that does not stand at the base asks with `requiresHistory`.
    pub const BASE_POSITION: &str = "durawasm.base.position";
    /// The fuel that the committed turns of this execution have cost (decimal), if it was counted. A replay of them costs the same.
    pub const BASE_FUEL: &str = "durawasm.base.fuel";
    /// The version that the instance runs on, if it is not the one that its `executionStarted` says because it was moved to another one.
    pub const VERSION: &str = "durawasm.version";
}

/// Tags of instances that durawasm itself sets. Guests do not see them.
pub mod tag {
    /// On a fork: the id of the instance whose history it began with, or that one's own value of this tag if it has one. The random
    /// numbers of an execution follow from the instance's id; a fork draws those of its origin, or its history would not replay.
    pub const SEED_OF: &str = "durawasm.seed-of";
    /// On an instance that was moved to another version in the middle of its execution: the version that the execution began with, which may be
    /// empty. It is gone when the instance continues as new.
    pub const MOVED_FROM: &str = "durawasm.moved-from";
}

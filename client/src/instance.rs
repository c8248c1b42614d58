//! An orchestration instance, as queries show it.

use std::{collections::BTreeMap, fmt, time::SystemTime};

use serde::Serialize;

use crate::{Failure, InstanceId, Payload, time};

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Accepted, and not begun yet.
    Pending,
    /// Under way.
    Running,
    /// Held until somebody resumes it.
    Suspended,
    /// Ended with a result.
    Completed,
    /// Ended with a failure.
    Failed,
    /// Ended by somebody.
    Terminated,
    /// Ended by somebody; some SDKs have this beside `Terminated`.
    Canceled,
    /// On the way from one execution to the next. Seen in histories.
    ContinuedAsNew,
}

impl Status {
    /// All statuses.
    pub const ALL: [Status; 8] = [
        Status::Pending,
        Status::Running,
        Status::Suspended,
        Status::Completed,
        Status::Failed,
        Status::Terminated,
        Status::Canceled,
        Status::ContinuedAsNew,
    ];

    /// Whether the instance has ended for good.
    pub fn is_terminal(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::Terminated | Status::Canceled)
    }

    /// The status in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Running => "running",
            Status::Suspended => "suspended",
            Status::Completed => "completed",
            Status::Failed => "failed",
            Status::Terminated => "terminated",
            Status::Canceled => "canceled",
            Status::ContinuedAsNew => "continued as new",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a scheduler says of an instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// The name of its orchestrator.
    pub name: String,
    /// The version of its orchestrator, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// Its current execution; continue-as-new begins another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// The orchestration that started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<InstanceId>,
    /// When it was accepted.
    #[serde(serialize_with = "time::option::serialize", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<SystemTime>,
    /// When something last happened to it.
    #[serde(serialize_with = "time::option::serialize", skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<SystemTime>,
    /// When it ended.
    #[serde(serialize_with = "time::option::serialize", skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<SystemTime>,
    /// The time before which it was not to begin.
    #[serde(serialize_with = "time::option::serialize", skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<SystemTime>,
    /// What it was started with, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Payload>,
    /// What it ended with, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    /// What it says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_status: Option<Payload>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The names and values that were given to it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

//! How an orchestration is started.

use std::{collections::BTreeMap, time::SystemTime};

use durawasm_proto::durabletask as wire;

use crate::{InstanceId, Payload, Status};

/// What to start an orchestration with, beside its name and input.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// The id of the new instance. None: the scheduler makes one.
    pub id: Option<InstanceId>,
    /// The version of the orchestrator. None: the scheduler's default for the name.
    pub version: Option<String>,
    /// Names and values that travel with the instance.
    pub tags: BTreeMap<String, String>,
    /// Not before this time.
    pub scheduled_at: Option<SystemTime>,
    /// What to do if the id is taken.
    pub reuse: Reuse,
}

/// What to do if the id of a new instance is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// Refuse to start.
    #[default]
    Refuse,
    /// Replace an instance that has ended; refuse if it runs.
    ReplaceEnded,
    /// Replace any instance; one that runs is terminated.
    ReplaceAny,
}

impl StartOptions {
    pub(crate) fn into_request(self, name: &str, input: Option<Payload>) -> wire::CreateInstanceRequest {
        wire::CreateInstanceRequest {
            instance_id: self.id.map(|id| id.as_str().to_owned()).unwrap_or_default(),
            name: name.to_owned(),
            version: self.version,
            input: input.map(|input| input.as_str().to_owned()),
            scheduled_start_timestamp: self.scheduled_at.map(prost_types::Timestamp::from),
            orchestration_id_reuse_policy: self.reuse.into_policy(),
            execution_id: None,
            tags: self.tags.into_iter().collect(),
            parent_trace_context: None,
            request_time: Some(SystemTime::now().into()),
        }
    }
}

impl Reuse {
    fn into_policy(self) -> Option<wire::OrchestrationIdReusePolicy> {
        let replaceable: Vec<Status> = match self {
            // An explicit empty policy and not the absence of one: what that means is each scheduler's choice.
            Reuse::Refuse => Vec::new(),
            Reuse::ReplaceEnded => Status::ALL.into_iter().filter(|status| status.is_terminal()).collect(),
            Reuse::ReplaceAny => Status::ALL.into_iter().filter(|&status| status != Status::ContinuedAsNew).collect(),
        };
        Some(wire::OrchestrationIdReusePolicy { replaceable_status: crate::convert::statuses_to_wire(&replaceable) })
    }
}

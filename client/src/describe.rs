//! All that a scheduler knows of an instance.

use std::time::SystemTime;

use durawasm_proto::v1;
use serde::Serialize;

use crate::{Client, Error, ErrorKind, Instance, InstanceId, convert, time};

/// An instance, and what it waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// The instance.
    #[serde(flatten)]
    pub instance: Instance,
    /// What only our own scheduler tells. None with schedulers of other makes.
    #[serde(flatten)]
    pub details: Option<Details>,
}

/// What the standard protocol cannot say of an instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Events in the history of the current execution.
    pub history_events: u64,
    /// Their size.
    pub history_bytes: u64,
    /// What its computing has cost. None if its workers do not count that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<Fuel>,
    /// Events that have arrived and are not in the history yet.
    pub inbox_events: u64,
    /// Activities that have not ended.
    pub open_activities: u64,
    /// Timers that have not fired.
    pub open_timers: u64,
    /// Sub-orchestrations that have not ended.
    pub open_children: u64,
    /// What is missing so that it can go on, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Why it is not tried now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
    /// The worker that runs its current episode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// How often in a row its current turn came back without an answer: a worker gave it back, or was lost with it.
    #[serde(skip_serializing_if = "is_zero")]
    pub returned_episodes: u32,
    /// Open activities that came back without an answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub returned_activities: Vec<ReturnedActivity>,
}

/// What the computing of an orchestration has cost, in units of fuel: about one for each WebAssembly instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fuel {
    /// Its last committed turn.
    pub last_turn: u64,
    /// Its current execution.
    pub execution: u64,
    /// All its executions, generations before continue-as-new included.
    pub total: u64,
}

/// An activity that a worker gave back, or that was lost with its worker. It is sent again, with growing delays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReturnedActivity {
    /// The position of its call in the history.
    pub event: u64,
    /// Its name.
    pub name: String,
    /// How often.
    pub times: u32,
}

/// Why an instance does not go on, though it has what it waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parked {
    /// A stable word: `divergence`, `deadline`, `memory`, `contract`, `no-version`, …
    pub reason: String,
    /// What happened.
    pub message: String,
    /// Name and version of the component.
    pub component: String,
    /// What to do about it.
    pub advice: String,
    /// Since when.
    #[serde(serialize_with = "time::option::serialize", skip_serializing_if = "Option::is_none")]
    pub since: Option<SystemTime>,
    /// How often it has been tried.
    pub attempts: u32,
}

/// An instance that is parked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParkedInstance {
    /// Its id.
    pub id: InstanceId,
    /// The orchestrator.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Why.
    pub parked: Parked,
}

impl Client {
    /// The instances that are parked, oldest first. Only our own scheduler knows.
    pub async fn list_parked(&self) -> Result<Vec<ParkedInstance>, Error> {
        let failed = |status| self.extension(self.hub_missing(status), "tell which instances are parked");
        let answer = self.services().durawasm.list_parked(v1::ListParkedRequest {}).await;
        let mut stream = answer.map_err(failed)?.into_inner();
        let mut list = Vec::new();
        while let Some(instance) = stream.message().await.map_err(failed)? {
            let Some(parked) = instance.parked else { continue };
            list.push(ParkedInstance {
                id: InstanceId::from_scheduler(instance.instance_id),
                name: instance.name,
                version: Some(instance.version).filter(|version| !version.is_empty()),
                parked: convert::parked(parked),
            });
        }
        Ok(list)
    }
}

pub(crate) async fn describe(client: &Client, id: &InstanceId, payloads: bool) -> Result<Option<Description>, Error> {
    let request = v1::DescribeInstanceRequest { instance_id: id.to_string(), inputs_and_outputs: payloads };
    let answer = client.services().durawasm.describe_instance(request).await;
    match answer.map_err(|status| client.hub_missing(status)) {
        Ok(answer) => Ok(convert::description(answer.into_inner())),
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            let instance = client.get(id, payloads).await?;
            Ok(instance.map(|instance| Description { instance, details: None }))
        }
        Err(error) => Err(error),
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

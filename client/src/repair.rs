//! What only our own scheduler has: taking an instance back in its history, forking it there, and asking its orchestrator.

use durawasm_proto::v1;
use serde::Serialize;
use tonic::{Code, Status};

use crate::{Client, Error, ErrorKind, Failure, InstanceId, Payload, convert};

/// How an instance is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResetOptions {
    /// Why, for people.
    pub reason: Option<String>,
    /// The execution whose events are numbered so: if the instance is in another one by then, nothing is done. None: whatever it is.
    pub execution: Option<String>,
}

/// What a fork is to be, beside the beginning of another instance's history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForkOptions {
    /// The id of the new instance. None: the scheduler makes one.
    pub id: Option<InstanceId>,
    /// The version of its orchestrator. None: that of the old instance.
    pub version: Option<String>,
    /// What calls that are open at that point are to have returned. These are not made again.
    pub results: Vec<Substitute>,
    /// The execution of the old instance whose events are numbered so: if it is in another one by then, nothing is done. None: whatever
    /// it is.
    pub execution: Option<String>,
}

/// What became of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Migration {
    /// It goes on with the other version.
    Moved,
    /// It has gone on since its history was replayed, or is going on: replay it again.
    Changed,
    /// It has ended.
    Ended,
}

/// What a call is to have returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitute {
    /// The position of the event that made the call (an activity or a child), or of the event that answered it.
    pub event: u64,
    /// What it returned.
    pub result: Option<Payload>,
}

/// A new instance that has the beginning of another one's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fork {
    /// The new instance.
    pub id: InstanceId,
    /// How many events of the history it has.
    pub kept_events: u64,
}

impl Client {
    /// Takes an instance back to before the turn of an event (see [`crate::Turns`]): that turn is undone, and all after
    /// it. External events of undone turns are delivered again, in order; calls that were open then are made again.
    /// Returns how many events of the history were kept.
    pub async fn reset(&self, id: &InstanceId, at_event: u64, options: ResetOptions) -> Result<u64, Error> {
        let request = v1::ResetInstanceRequest {
            instance_id: id.to_string(),
            at_event,
            reason: options.reason,
            execution_id: options.execution.unwrap_or_default(),
        };
        let answer = self.services().durawasm.reset_instance(request).await;
        let answer = self.settle(answer, id).await.map_err(|error| self.extension(error, "reset an instance"))?;
        Ok(answer.into_inner().kept_events)
    }

    /// Starts a new instance from the history of another one, up to before the turn of an event. The other one is not
    /// changed.
    pub async fn fork(&self, id: &InstanceId, at_event: u64, options: ForkOptions) -> Result<Fork, Error> {
        let request = v1::ForkInstanceRequest {
            instance_id: id.to_string(),
            at_event,
            new_instance_id: options.id.map(|id| id.to_string()).unwrap_or_default(),
            version: options.version,
            execution_id: options.execution.unwrap_or_default(),
            results: options
                .results
                .into_iter()
                .map(|substitute| v1::Substitute {
                    event: substitute.event,
                    result: substitute.result.map(|result| result.as_str().to_owned()),
                })
                .collect(),
        };
        let answer = self.services().durawasm.fork_instance(request).await;
        let answer = self.settle(answer, id).await.map_err(|error| self.extension(error, "fork an instance"))?;
        let answer = answer.into_inner();
        Ok(Fork { id: InstanceId::from_scheduler(answer.instance_id), kept_events: answer.kept_events })
    }

    /// Lets an instance go on with another version of its orchestrator, on which the first `events` events of this execution replay: all that
    /// there were.
    pub async fn migrate(
        &self,
        id: &InstanceId,
        execution: &str,
        events: u64,
        version: &str,
    ) -> Result<Migration, Error> {
        use v1::migrate_instance_response::Outcome;
        let request = v1::MigrateInstanceRequest {
            instance_id: id.to_string(),
            execution_id: execution.to_owned(),
            history_events: events,
            version: version.to_owned(),
        };
        let answer = self.services().durawasm.migrate_instance(request).await;
        let answer = self.settle(answer, id).await.map_err(|error| self.extension(error, "migrate an instance"))?;
        Ok(match answer.into_inner().outcome() {
            Outcome::Moved => Migration::Moved,
            Outcome::Ended => Migration::Ended,
            Outcome::Changed | Outcome::Unspecified => Migration::Changed,
        })
    }

    /// Asks an orchestrator a question that changes nothing: a worker replays the committed history and answers. The
    /// inner error is the orchestrator's; its type is `UnknownQuery` if it does not answer that name.
    pub async fn query(
        &self,
        id: &InstanceId,
        name: &str,
        input: Option<Payload>,
    ) -> Result<Result<Option<Payload>, Failure>, Error> {
        let request = v1::QueryInstanceRequest {
            instance_id: id.to_string(),
            name: name.to_owned(),
            input: input.map(|input| input.as_str().to_owned()),
        };
        match self.services().durawasm.query_instance(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                Ok(match answer.failure {
                    Some(failure) => Err(convert::failure(failure)),
                    None => Ok(answer.output.map(Payload::from_text)),
                })
            }
            Err(status) if is_from_scheduler(&status, Code::Unavailable) => {
                Err(Error::new(ErrorKind::NoWorker, status.message()))
            }
            Err(status) => {
                let error = self.missing(status, id).await;
                Err(self.extension(error, "ask an orchestrator"))
            }
        }
    }
}

/// Whether the scheduler sent this status, and not this side because the connection broke.
fn is_from_scheduler(status: &Status, code: Code) -> bool {
    use std::error::Error as _;
    status.code() == code && status.source().is_none() && !status.message().is_empty()
}

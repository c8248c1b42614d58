//! Calls of entities from outside: one long call, made again under the same id when the connection breaks.

use std::time::Duration;

use durawasm_proto::v1;
use tokio::time::timeout;

use crate::long_call::{Unanswered, held_until};
use crate::{Client, EntityId, Error, ErrorKind, Failure, Payload, convert};

/// How to call an entity.
#[derive(Clone, Debug)]
pub struct EntityCall {
    /// Names the call, with 1 to 100 characters; best a UUID. Of calls of an entity with the same id the operation runs once, and all get
    /// its result. Give one where the call must not be made twice even if this process ends before it has the result.
    pub request_id: String,
    /// How long to wait. None: for ever. The operation stays in the entity's queue when the time is up.
    pub timeout: Option<Duration>,
    /// For how long to go on when the scheduler cannot be reached: it may be restarting.
    pub patience: Duration,
}

impl Default for EntityCall {
    /// A new id, for ever, and half a minute of patience with a scheduler that is away.
    fn default() -> EntityCall {
        EntityCall { request_id: uuid::Uuid::new_v4().to_string(), timeout: None, patience: Duration::from_secs(30) }
    }
}

/// How long to try to say that an answer has arrived. The scheduler forgets it by itself if it is not told.
const LONGEST_THANKS: Duration = Duration::from_secs(1);

impl Client {
    /// Runs an operation on an entity and waits for its result, which is on disk by then. The inner error is the operation's. However
    /// often the connection breaks or the scheduler restarts, the operation is committed once.
    ///
    /// Only durawasm's own scheduler can do this: others are an error of the kind [`ErrorKind::Unsupported`].
    pub async fn call_entity(
        &self,
        id: &EntityId,
        operation: &str,
        input: Option<Payload>,
        call: &EntityCall,
    ) -> Result<Result<Option<Payload>, Failure>, Error> {
        let request = v1::CallEntityRequest {
            instance_id: id.to_string(),
            operation: operation.to_owned(),
            input: input.map(|input| input.as_str().to_owned()),
            request_id: call.request_id.clone(),
        };
        let ask = |until| {
            let (mut durawasm, request) = (self.services().durawasm, held_until(request.clone(), until));
            async move { durawasm.call_entity(request).await }
        };
        let answer = match self.long_call(call.timeout, call.patience, ask).await {
            Ok(answer) => answer.into_inner(),
            Err(Unanswered::TimedOut) => return Err(timed_out(id, operation, call)),
            Err(Unanswered::Failed(error)) if error.kind() == ErrorKind::Unsupported => return Err(self.cannot_call()),
            Err(Unanswered::Failed(error)) => return Err(error),
        };
        self.acknowledge(&request).await;
        Ok(match answer.failure {
            Some(failure) => Err(convert::failure(failure)),
            None => Ok(answer.output.map(Payload::from_text)),
        })
    }

    async fn acknowledge(&self, call: &v1::CallEntityRequest) {
        let call = v1::EntityCall { instance_id: call.instance_id.clone(), request_id: call.request_id.clone() };
        let request = v1::AcknowledgeEntityCallsRequest { calls: vec![call] };
        // If this is lost the answer is kept for a while longer.
        let _ = timeout(LONGEST_THANKS, self.services().durawasm.acknowledge_entity_calls(request)).await;
    }

    fn cannot_call(&self) -> Error {
        let address = &self.connection().address;
        Error::new(ErrorKind::Unsupported, format!("the scheduler at {address} cannot call an entity from outside"))
            .advise(
                "This is an extension of durawasm: it needs a durawasm scheduler, of this version or a newer one. With other schedulers, \
                 signal the entity and look at its state, or start an orchestration that calls it.",
            )
    }
}

fn timed_out(id: &EntityId, operation: &str, call: &EntityCall) -> Error {
    let after = humantime::format_duration(call.timeout.unwrap_or_default());
    let message = format!("the operation `{operation}` of `{id}` has not run after {after}");
    Error::new(ErrorKind::TimedOut, message).advise(format!(
        "It stays in the entity's queue. To wait for it again, make the same call with the request id `{}`.",
        call.request_id
    ))
}

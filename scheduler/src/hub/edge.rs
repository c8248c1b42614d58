//! The edge of a hub: large texts become references on the way in, and texts again on the way out.

use durawasm_proto::durabletask as pb;
use pb::operation_result::ResultType;
use pb::orchestrator_action::OrchestratorActionType as Action;
use pb::work_item::Request;
use tonic::Status;

use super::{Call, Hub, Waiter, wall_clock};
use crate::core::events;
use crate::core::ids::InstanceId;
use crate::core::message::{Input, QuestionOutcome};
use crate::core::payload::{MARK, of_event_mut};
use crate::core::record::{Parked, StoredEvent};
use crate::core::token::{Token, WorkKind};
use crate::payload::{PayloadError, Whose, item_weight, of_item};
use crate::store::{EntityView, InstanceView};

/// Workers of the SDKs take messages of this size, unless their users allow more.
pub const STANDARD_MESSAGE_BYTES: usize = 4 << 20;

/// How often an item may be lost with its stream before its size is taken for the reason, if it is over what the SDKs take.
const LOSSES: u32 = 3;

/// Why an instance is parked that needs a payload that is lost.
pub const PAYLOAD_LOST_REASON: &str = "payload-lost";

/// The type of the failure of what needs a payload that is lost.
pub const PAYLOAD_LOST: &str = "PayloadLost";

/// Work on its way to a worker.
#[derive(Debug)]
pub struct Item {
    /// The item; references in the place of large texts.
    pub item: pb::WorkItem,
    /// How often in a row it was lost with its stream.
    pub losses: u32,
}

impl Hub {
    /// Makes the large texts of a call durable and puts references in their place.
    ///
    /// # Errors
    /// UNAVAILABLE if one cannot be stored. The call is not to be sent then.
    pub async fn take_in(&self, mut call: Call) -> Result<Call, Status> {
        let taken = self.inner.payloads.take_in(&mut call.input).await;
        call.pins = taken.map_err(|error| {
            tracing::error!(hub = self.name(), %error, "a large payload cannot be stored");
            Status::unavailable(format!("task hub `{}`: a large payload cannot be stored: {error}", self.name()))
        })?;
        Ok(call)
    }

    /// Puts the texts into a view of an instance: the custom status, and if they are shown input and output.
    ///
    /// # Errors
    /// DATA_LOSS if one is lost, ABORTED if the instance changed meanwhile.
    pub async fn resolve_view(&self, view: &mut InstanceView, with_payloads: bool) -> Result<(), Status> {
        let InstanceView { record, started, completed } = view;
        let events = started.iter_mut().chain(completed).filter(|_| with_payloads);
        let texts = events.filter_map(|stored| of_event_mut(&mut stored.event));
        for text in texts.chain(&mut record.custom_status) {
            self.resolve(text, &record.id).await?;
        }
        Ok(())
    }

    /// Puts the state into a view of an entity.
    ///
    /// # Errors
    /// As [`Hub::resolve_view`].
    pub async fn resolve_entity(&self, view: &mut EntityView) -> Result<(), Status> {
        if let Some(state) = view.state.as_mut().filter(|state| state.starts_with(MARK)) {
            let mut text = (**state).to_owned();
            self.resolve(&mut text, &view.record.id).await?;
            *state = text.into();
        }
        Ok(())
    }

    /// Puts the text into an entity's answer.
    ///
    /// # Errors
    /// As [`Hub::resolve_view`].
    pub async fn resolve_answer(&self, answer: &mut QuestionOutcome, entity: &InstanceId) -> Result<(), Status> {
        match answer {
            Ok(Some(output)) => self.resolve(output, entity).await,
            _ => Ok(()),
        }
    }

    /// Puts the texts into events of an instance's history.
    ///
    /// # Errors
    /// As [`Hub::resolve_view`].
    pub async fn resolve_events(&self, events: &mut [StoredEvent], id: &InstanceId) -> Result<(), Status> {
        for text in events.iter_mut().filter_map(|stored| of_event_mut(&mut stored.event)) {
            self.resolve(text, id).await?;
        }
        Ok(())
    }

    async fn resolve(&self, text: &mut String, id: &InstanceId) -> Result<(), Status> {
        let Err(error) = self.inner.payloads.resolve(text).await else { return Ok(()) };
        if self.is_gone(&error).await {
            return Err(Status::aborted(format!("instance `{id}` changed while it was read: ask again")));
        }
        tracing::error!(hub = self.name(), instance = %id, %error, "a payload cannot be read");
        Err(match error {
            PayloadError::Unreadable { .. } => Status::unavailable(format!("instance `{id}`: {error}")),
            _ => Status::data_loss(format!("instance `{id}`: {error}")),
        })
    }

    /// Whether a payload is missing because nothing refers to it any more.
    async fn is_gone(&self, error: &PayloadError) -> bool {
        let hash = error.hash();
        matches!(error, PayloadError::Missing { .. })
            && matches!(self.read(move |store| store.is_payload_referenced(hash)).await, Ok(false))
    }

    /// Puts the texts into an item. None: it cannot be sent, and whoever waits for it hears why.
    ///
    /// With `standard` the worker is one that takes [`STANDARD_MESSAGE_BYTES`] if its user did not allow more. What is larger is sent, for
    /// he may have; but if it is lost with its stream again and again, that was the reason.
    pub async fn fill(&self, item: Item, standard: bool) -> Option<pb::WorkItem> {
        let Item { mut item, losses } = item;
        if standard && losses >= LOSSES {
            // Before anything is read.
            let bytes = item_weight(&mut item);
            if bytes > STANDARD_MESSAGE_BYTES {
                self.refuse_size(item, bytes, losses);
                return None;
            }
        }
        let reference = match &item.request {
            Some(Request::EntityRequestV2(request)) => {
                request.entity_state.as_ref().filter(|state| state.starts_with(MARK)).cloned()
            }
            _ => None,
        };
        let mut lost = None;
        for (whose, text) in of_item(&mut item) {
            if let Err(error) = self.inner.payloads.resolve(text).await {
                lost = Some((whose, error));
                break;
            }
        }
        match lost {
            Some((whose, error)) => self.deal_with_loss(item, reference, whose, error).await,
            None => Some(item),
        }
    }

    async fn deal_with_loss(
        &self,
        mut item: pb::WorkItem,
        state: Option<String>,
        whose: Whose,
        error: PayloadError,
    ) -> Option<pb::WorkItem> {
        let token = Token::parse(&item.completion_token)?;
        if self.is_gone(&error).await {
            self.give_back(token);
            return None;
        }
        tracing::error!(hub = self.name(), instance = %token.instance, %error, "a payload cannot be read");
        if matches!(error, PayloadError::Unreadable { .. }) {
            self.give_back(token);
            return None;
        }
        // Operations in front of the one that lacks its input can run: what has no result stays in the queue.
        if let (Whose::Operation(before @ 1..), Some(Request::EntityRequestV2(request))) = (whose, &mut item.request) {
            request.operation_requests.truncate(before);
            return Some(item);
        }
        let what = format!("instance `{}`: {error}", token.instance);
        let failure = events::failure(PAYLOAD_LOST, what.clone(), true);
        match token.kind {
            WorkKind::Orchestration => {
                let advice = "put the payload back from a copy of the payload store, and the instance goes on by itself; or terminate it";
                let parked = Parked {
                    reason: PAYLOAD_LOST_REASON.to_owned(),
                    message: what,
                    component: String::new(),
                    advice: advice.to_owned(),
                    since: wall_clock(),
                    attempts: 0,
                };
                self.tell(|request| Input::Abandon(request, token, Some(Box::new(parked))));
            }
            WorkKind::Activity => self.tell(|request| Input::CompleteActivity(request, token, Box::new(Err(failure)))),
            WorkKind::Entity => {
                let count = if whose == Whose::State { usize::MAX } else { 1 };
                self.fail_operations(item, token, state, &failure, count);
            }
        }
        None
    }

    /// Fails what is too large for the workers of its SDK, who would never tell.
    fn refuse_size(&self, item: pb::WorkItem, bytes: usize, losses: u32) {
        let Some(token) = Token::parse(&item.completion_token) else { return };
        let what = match token.kind {
            WorkKind::Orchestration => "the history of the instance and what is new",
            WorkKind::Activity => "the input of the activity",
            WorkKind::Entity => "the state of the entity and the inputs of its operations",
        };
        let text = format!(
            "{what} have {bytes} bytes, and the worker was lost {losses} times when it was sent them: workers of the Durable Task SDKs take \
             messages of {STANDARD_MESSAGE_BYTES} bytes. Allow them more (in Python `GrpcChannelOptions(max_receive_message_length=…)`), \
             keep large payloads in a store of the SDK's (`LARGE_PAYLOADS`), or pass references to large data"
        );
        tracing::warn!(hub = self.name(), instance = %token.instance, "{text}");
        let failure = events::failure("PayloadTooLarge", text, true);
        match token.kind {
            WorkKind::Activity => self.tell(|request| Input::CompleteActivity(request, token, Box::new(Err(failure)))),
            WorkKind::Entity => self.fail_operations(item, token, None, &failure, 1),
            WorkKind::Orchestration => {
                let completion = pb::CompleteOrchestrationAction {
                    orchestration_status: pb::OrchestrationStatus::Failed.into(),
                    failure_details: Some(failure),
                    ..Default::default()
                };
                let action = Action::CompleteOrchestration(completion);
                let response = pb::OrchestratorResponse {
                    instance_id: token.instance.as_str().into(),
                    actions: vec![pb::OrchestratorAction { id: -1, orchestrator_action_type: Some(action) }],
                    completion_token: item.completion_token,
                    ..Default::default()
                };
                self.tell(|request| Input::CompleteEpisode(request, token, Box::new(response), None));
            }
        }
    }

    /// Fails the first operations of a batch, with the state as it was: as it is in the item, or what stood there before it was read.
    fn fail_operations(
        &self,
        item: pb::WorkItem,
        token: Token,
        before: Option<String>,
        failure: &pb::TaskFailureDetails,
        count: usize,
    ) {
        let Some(Request::EntityRequestV2(request)) = item.request else { return };
        let failed = || {
            let failure = pb::OperationResultFailure { failure_details: Some(failure.clone()), ..Default::default() };
            pb::OperationResult { result_type: Some(ResultType::Failure(failure)) }
        };
        let results = request.operation_requests.iter().take(count).map(|_| failed()).collect();
        let entity_state = before.or(request.entity_state);
        let result = pb::EntityBatchResult { results, entity_state, ..Default::default() };
        self.tell(|call| Input::CompleteBatch(call, token, Box::new(result)));
    }

    /// Sends an input of the hub's own, in which references are what they are.
    fn tell(&self, input: impl FnOnce(crate::core::ids::RequestId) -> Input) {
        self.send(vec![self.prepare(input, Waiter::Nobody)]);
    }
}

//! The texts of messages that may be large: where they are.

use durawasm_proto::durabletask as pb;
use pb::operation_action::OperationActionType;
use pb::operation_result::ResultType;
use pb::orchestrator_action::OrchestratorActionType as Action;
use pb::send_entity_message_action::EntityMessageType;
use pb::work_item::Request;
use prost::Message as _;

use crate::core::message::{Input, Repair};
use crate::core::payload::{of_event_mut, weight};

type Visit<'a> = &'a mut dyn FnMut(&mut String);

/// Those of an input that the core keeps, always in the same order. (A question and its answer are passed on and not kept. The reason of
/// a reset becomes part of another text.)
pub(super) fn of_input(input: &mut Input, visit: Visit<'_>) {
    let mut one = |text: &mut Option<String>| text.iter_mut().for_each(&mut *visit);
    match input {
        Input::Start(_, start) => one(&mut start.input),
        Input::Raise(_, _, _, payload) => one(payload),
        Input::Terminate(_, _, output, _) => one(output),
        Input::Suspend(_, _, reason) | Input::Resume(_, _, reason) | Input::ForceTerminate(_, _, reason) => one(reason),
        Input::Repair(_, repair) => match &mut **repair {
            Repair::Rewind(_, reason) => one(reason),
            Repair::Fork(fork) => fork.results.iter_mut().for_each(|(_, result)| one(result)),
            Repair::Reset(_) | Repair::Restart(..) | Repair::Migrate(_) => {}
        },
        Input::CompleteEpisode(_, _, response, _) => {
            one(&mut response.custom_status);
            response.actions.iter_mut().for_each(|action| of_action(action, visit));
        }
        Input::CompleteActivity(_, _, outcome) => {
            if let Ok(result) = &mut **outcome {
                one(result);
            }
        }
        Input::CompleteBatch(_, _, result) => {
            one(&mut result.entity_state);
            for result in &mut result.results {
                if let Some(ResultType::Success(success)) = &mut result.result_type {
                    one(&mut success.result);
                }
            }
            for action in &mut result.actions {
                match &mut action.operation_action_type {
                    Some(OperationActionType::SendSignal(signal)) => one(&mut signal.input),
                    Some(OperationActionType::StartNewOrchestration(start)) => one(&mut start.input),
                    None => {}
                }
            }
        }
        Input::Signal(_, signal) => one(&mut signal.input),
        Input::CallEntity(_, call) => one(&mut call.input),
        Input::Purge(..)
        | Input::Ask(..)
        | Input::AnswerQuestion(..)
        | Input::Describe(..)
        | Input::Connect(..)
        | Input::Offer(..)
        | Input::Defaults(_)
        | Input::CountHosts(..)
        | Input::CountOpenActivities(_)
        | Input::Drain(_)
        | Input::Disconnect(_)
        | Input::ForgetAnswers(..)
        | Input::CleanEntities { .. }
        | Input::Abandon(..)
        | Input::Tick => {}
    }
}

fn of_action(action: &mut pb::OrchestratorAction, visit: Visit<'_>) {
    let mut one = |text: &mut Option<String>| text.iter_mut().for_each(&mut *visit);
    match &mut action.orchestrator_action_type {
        Some(Action::ScheduleTask(task)) => one(&mut task.input),
        Some(Action::CreateSubOrchestration(child)) => one(&mut child.input),
        Some(Action::SendEvent(event)) => one(&mut event.data),
        Some(Action::CompleteOrchestration(complete)) => {
            one(&mut complete.result);
            complete.carryover_events.iter_mut().filter_map(of_event_mut).for_each(visit);
        }
        Some(Action::TerminateOrchestration(terminate)) => one(&mut terminate.reason),
        Some(Action::SendEntityMessage(message)) => match &mut message.entity_message_type {
            Some(EntityMessageType::EntityOperationSignaled(signal)) => one(&mut signal.input),
            Some(EntityMessageType::EntityOperationCalled(call)) => one(&mut call.input),
            _ => {}
        },
        Some(Action::CreateTimer(_) | Action::RewindOrchestration(_)) | None => {}
    }
}

/// What a text of a work item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The state of the entity.
    State,
    /// The input of that operation of the batch.
    Operation(usize),
    /// Anything else.
    Other,
}

/// Those of a work item. Operations without an input have none.
pub(crate) fn of_item(item: &mut pb::WorkItem) -> Vec<(Whose, &mut String)> {
    let other = |text| (Whose::Other, text);
    match &mut item.request {
        Some(Request::OrchestratorRequest(request)) => {
            let events = request.past_events.iter_mut().chain(&mut request.new_events);
            events.filter_map(of_event_mut).map(other).collect()
        }
        Some(Request::ActivityRequest(request)) => request.input.iter_mut().map(other).collect(),
        Some(Request::EntityRequestV2(request)) => {
            let operations = request.operation_requests.iter_mut().enumerate();
            let inputs = operations.filter_map(|(at, event)| Some((Whose::Operation(at), of_event_mut(event)?)));
            request.entity_state.iter_mut().map(|state| (Whose::State, state)).chain(inputs).collect()
        }
        Some(Request::EntityRequest(_) | Request::HealthPing(_)) | None => Vec::new(),
    }
}

/// How many bytes a work item has when its texts are in it. (Not by far more or less: the lengths of lengths are not counted.)
pub(crate) fn item_weight(item: &mut pb::WorkItem) -> usize {
    let as_it_is = item.encoded_len();
    let texts = of_item(item);
    let more: usize = texts.iter().map(|(_, text)| weight(text)).sum();
    let references: usize = texts.iter().map(|(_, text)| text.len()).sum();
    as_it_is + more - references
}

//! Answers on their way to the scheduler, and what may be shown when they have arrived.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use durawasm_proto::{durabletask as wire, v1};
use parking_lot::Mutex;
use prost::Message;
use tonic::Status;

use super::log_rate::{self, Admitted, LogRate};
use crate::orchestration::{LogLevel, LogLine};
use crate::sandbox::FormerState;

/// An answer, and the log lines that may be shown once it is committed.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) answer: Answer,
    pub(crate) logs: Option<GuestLogs>,
}

/// What a worker answers to a work item.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// With what the episode cost, if guest code was run.
    Orchestration(Box<wire::OrchestratorResponse>, Option<v1::Fuel>),
    Activity(Box<wire::ActivityResponse>),
    /// With what to say instead if the scheduler refuses it.
    Entity(Box<wire::EntityBatchResult>, Arc<Reserve>),
    /// Gives the item back.
    Abandon(Abandoned, String),
    /// Gives an orchestration back that cannot go on. Only where `durawasm.v1` is spoken.
    Park(v1::Park),
}

impl Answer {
    /// What to say instead of an answer that the scheduler refuses, and after how long: an activity has failed then, an episode is given
    /// back, and a batch shrinks to its first operation, which fails if it is refused alone. None for what is of no consequence.
    pub(super) fn refused(&self, status: &Status) -> Option<(Duration, Self)> {
        match self {
            Self::Activity(response) if response.failure_details.is_none() => {
                let failure = wire::TaskFailureDetails {
                    error_type: RESULT_REFUSED.to_owned(),
                    error_message: format!("the scheduler refused the activity's result: {}", status.message()),
                    // The same call would give the same result.
                    is_non_retriable: true,
                    ..Default::default()
                };
                let response =
                    wire::ActivityResponse { result: None, failure_details: Some(failure), ..(**response).clone() };
                Some((Duration::ZERO, Self::Activity(Box::new(response))))
            }
            Self::Orchestration(response, _) => {
                Some((REFUSED_DELAY, Self::Abandon(Abandoned::Orchestration, response.completion_token.clone())))
            }
            Self::Entity(result, reserve) => Some(reserve.instead(result, status)),
            _ => None,
        }
    }

    /// The token of the item that it answers.
    pub(super) fn token(&self) -> &str {
        match self {
            Self::Orchestration(response, _) => &response.completion_token,
            Self::Activity(response) => &response.completion_token,
            Self::Entity(result, _) => &result.completion_token,
            Self::Abandon(_, token) => token,
            Self::Park(park) => &park.completion_token,
        }
    }

    /// The answer that gives an item back. None for what wants no answer.
    pub(super) fn give_back(item: wire::WorkItem) -> Option<Self> {
        use wire::work_item::Request;
        let kind = match item.request? {
            Request::OrchestratorRequest(_) => Abandoned::Orchestration,
            Request::ActivityRequest(_) => Abandoned::Activity,
            Request::EntityRequest(_) | Request::EntityRequestV2(_) => Abandoned::Entity,
            Request::HealthPing(_) => return None,
        };
        Some(Self::Abandon(kind, item.completion_token))
    }
}

/// What is left of a batch of operations if its answer is refused, such as one that is too large for the scheduler.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    /// The state before its first operation, if that changed it.
    pub(crate) before: Option<FormerState>,
    /// The state after its first operation, if one behind it changed it.
    pub(crate) first: Option<FormerState>,
    /// How many of the actions are those of the first operation.
    pub(crate) first_actions: usize,
}

impl Reserve {
    /// Operations without a result have not run as far as the scheduler knows, and come again. So whoever is to blame is alone sooner or
    /// later, and fails; it would be in the way of all others for ever.
    fn instead(self: &Arc<Self>, refused: &wire::EntityBatchResult, status: &Status) -> (Duration, Answer) {
        let mut result = refused.clone();
        result.operation_infos.truncate(1);
        if refused.results.len() > 1 {
            result.results.truncate(1);
            result.actions.truncate(self.first_actions);
            if let Some(FormerState(first)) = &self.first {
                result.entity_state.clone_from(first);
            }
            return (Duration::ZERO, Answer::Entity(Box::new(result), Arc::clone(self)));
        }
        let failed = |result: &wire::OperationResult| {
            matches!(&result.result_type, Some(wire::operation_result::ResultType::Failure(failure))
                if failure.failure_details.as_ref().is_some_and(|details| details.error_type == RESULT_REFUSED))
        };
        if refused.results.first().is_none_or(failed) {
            return (REFUSED_DELAY, Answer::Abandon(Abandoned::Entity, result.completion_token));
        }
        let failure_details = Some(wire::TaskFailureDetails {
            error_type: RESULT_REFUSED.to_owned(),
            error_message: format!("the scheduler refused what the operation led to: {}", status.message()),
            is_non_retriable: true,
            ..Default::default()
        });
        let failure = wire::OperationResultFailure { failure_details, ..Default::default() };
        let failure = wire::operation_result::ResultType::Failure(failure);
        result.results = vec![wire::OperationResult { result_type: Some(failure) }];
        result.actions.clear();
        if let Some(FormerState(before)) = &self.before {
            result.entity_state.clone_from(before);
        }
        (Duration::ZERO, Answer::Entity(Box::new(result), Arc::clone(self)))
    }
}

const RESULT_REFUSED: &str = "ResultRefused";

/// So that an item which is always answered in the same wrong way does not keep everybody busy.
const REFUSED_DELAY: Duration = Duration::from_secs(2);

/// Kinds of items that are given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abandoned {
    Orchestration,
    Activity,
    Entity,
}

impl Abandoned {
    /// What it is called.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Orchestration => "orchestrator",
            Self::Activity => "activity",
            Self::Entity => "entity",
        }
    }
}

/// One for the process, as its log is one.
static RATE: LazyLock<Mutex<LogRate>> = LazyLock::new(Mutex::default);

/// Lines that a guest logged, with where they come from.
#[derive(Debug)]
pub(crate) struct GuestLogs {
    pub(crate) instance: String,
    pub(crate) component: String,
    /// The orchestrator or activity.
    pub(crate) name: String,
    pub(crate) lines: Vec<LogLine>,
}

impl GuestLogs {
    /// Shows the lines, as many as the component may write.
    pub(crate) fn emit(mut self) {
        let Admitted { lines, dropped } =
            RATE.lock().admit(&self.component, self.lines.len(), std::time::Instant::now());
        if dropped > 0 {
            tracing::warn!(
                component = self.component,
                "{dropped} log lines of this component were dropped: more than {} in a second are not shown",
                log_rate::LINES_PER_SECOND
            );
        }
        self.lines.truncate(lines);
        for line in self.lines {
            let fields =
                line.fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
            macro_rules! emit {
                ($level:ident) => {
                    tracing::$level!(
                        target: "guest",
                        instance = self.instance,
                        component = self.component,
                        name = self.name,
                        source = line.target,
                        fields,
                        "{}",
                        line.message
                    )
                };
            }
            match line.level {
                LogLevel::Trace => emit!(trace),
                LogLevel::Debug => emit!(debug),
                LogLevel::Info => emit!(info),
                LogLevel::Warn => emit!(warn),
                LogLevel::Error => emit!(error),
            }
        }
    }
}

/// Peers take messages of 4 MiB at least; some room is left for what surrounds the actions.
const MAX_MESSAGE: usize = 3_900_000;

/// Our own scheduler takes 64 MiB.
const MAX_OWN_MESSAGE: usize = 60_000_000;

/// The bytes of an action that is too large for any message, if there is one in this answer, and what a message can hold.
/// Answers are only cut between actions.
pub(crate) fn oversized(response: &wire::OrchestratorResponse, own_scheduler: bool) -> Option<(usize, usize)> {
    let limit = if own_scheduler { MAX_OWN_MESSAGE } else { MAX_MESSAGE };
    let room = limit.saturating_sub(response.custom_status.as_ref().map_or(0, String::len) + AROUND_ACTIONS);
    response.actions.iter().map(Message::encoded_len).find(|bytes| *bytes > room).map(|bytes| (bytes, room))
}

/// Ids, tokens, traces and tags of fields.
const AROUND_ACTIONS: usize = 8 << 10;

/// Splits an answer that is too large for one message.
pub(super) fn chunks(response: wire::OrchestratorResponse) -> Vec<wire::OrchestratorResponse> {
    if response.encoded_len() <= MAX_MESSAGE {
        return vec![response];
    }
    let mut head = response;
    let actions = std::mem::take(&mut head.actions);
    let room = MAX_MESSAGE.saturating_sub(head.encoded_len());
    let mut parts: Vec<Vec<wire::OrchestratorAction>> = vec![Vec::new()];
    let mut size = 0;
    for action in actions {
        // The field's tag and length come on top.
        let bytes = action.encoded_len() + 8;
        if size + bytes > room && size > 0 {
            parts.push(Vec::new());
            size = 0;
        }
        size += bytes;
        if let Some(part) = parts.last_mut() {
            part.push(action);
        }
    }
    let last = parts.len() - 1;
    parts
        .into_iter()
        .enumerate()
        .map(|(index, actions)| wire::OrchestratorResponse {
            actions,
            is_partial: index < last,
            chunk_index: Some(i32::try_from(index).unwrap_or(i32::MAX)),
            // Only the first chunk stands for the events and carries the trace.
            num_events_processed: (index > 0).then_some(0),
            orchestration_trace_context: head.orchestration_trace_context.clone().filter(|_| index == 0),
            ..head.clone()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(actions: usize, input: usize) -> wire::OrchestratorResponse {
        let action = wire::OrchestratorAction {
            id: 1,
            orchestrator_action_type: Some(wire::orchestrator_action::OrchestratorActionType::ScheduleTask(
                wire::ScheduleTaskAction { name: "a".to_owned(), input: Some("x".repeat(input)), ..Default::default() },
            )),
        };
        wire::OrchestratorResponse {
            instance_id: "i".to_owned(),
            completion_token: "t".to_owned(),
            custom_status: Some("s".to_owned()),
            actions: vec![action; actions],
            ..Default::default()
        }
    }

    #[test]
    fn an_item_is_given_back_as_what_it_is_and_a_ping_is_not() {
        use wire::work_item::Request;
        let give_back = |request| {
            let item = wire::WorkItem { request: Some(request), completion_token: "t".to_owned() };
            match Answer::give_back(item) {
                Some(Answer::Abandon(kind, token)) => Some((kind, token)),
                Some(other) => panic!("{other:?} gives nothing back"),
                None => None,
            }
        };
        let given = |kind| Some((kind, "t".to_owned()));
        assert_eq!(give_back(Request::OrchestratorRequest(Default::default())), given(Abandoned::Orchestration));
        assert_eq!(give_back(Request::ActivityRequest(Default::default())), given(Abandoned::Activity));
        assert_eq!(give_back(Request::HealthPing(wire::HealthPing {})), None);
    }

    #[test]
    fn an_action_that_fits_into_no_message_is_noticed_before_it_is_sent() {
        assert_eq!(oversized(&response(10, 3_000_000), false), None);
        assert!(oversized(&response(1, 5_000_000), false).is_some_and(|(bytes, room)| bytes > room));
        assert_eq!(oversized(&response(1, 5_000_000), true), None);
        assert!(oversized(&response(1, 61_000_000), true).is_some());
    }

    #[test]
    fn a_batch_that_is_refused_shrinks_to_its_first_operation_which_fails_if_it_is_refused_alone() {
        use wire::operation_result::ResultType;
        let result = |text: &str| {
            let success = wire::OperationResultSuccess { result: Some(text.to_owned()), ..Default::default() };
            wire::OperationResult { result_type: Some(ResultType::Success(success)) }
        };
        let batch = wire::EntityBatchResult {
            results: vec![result("1"), result("2")],
            actions: vec![wire::OperationAction { id: 0, ..Default::default() }, wire::OperationAction::default()],
            operation_infos: vec![wire::OperationInfo::default(); 2],
            entity_state: Some("after both".to_owned()),
            completion_token: "t".to_owned(),
            ..Default::default()
        };
        let was = |state: &str| Some(FormerState(Some(state.to_owned())));
        let reserve = Reserve { before: was("before"), first: was("between"), first_actions: 1 };
        let answer = Answer::Entity(Box::new(batch), Arc::new(reserve));
        let too_large = Status::resource_exhausted("4 MiB at most");
        let Some((delay, first @ Answer::Entity(..))) = answer.refused(&too_large) else { panic!("{answer:?}") };
        assert!(delay.is_zero());
        let Answer::Entity(alone, _) = &first else { panic!("{first:?}") };
        assert_eq!((alone.results.len(), alone.actions.len(), alone.operation_infos.len()), (1, 1, 1));
        assert_eq!((alone.entity_state.as_deref(), alone.completion_token.as_str()), (Some("between"), "t"));

        let Some((_, second @ Answer::Entity(..))) = first.refused(&too_large) else { panic!("{first:?}") };
        let Answer::Entity(failed, _) = &second else { panic!("{second:?}") };
        let Some(ResultType::Failure(failure)) = &failed.results[0].result_type else { panic!("{failed:?}") };
        let details = failure.failure_details.as_ref().expect("it says why");
        assert!(
            details.error_type == "ResultRefused" && details.error_message.contains("4 MiB at most"),
            "{details:?}"
        );
        assert_eq!((failed.entity_state.as_deref(), failed.actions.len()), (Some("before"), 0), "nothing has happened");

        let given_back = second.refused(&too_large);
        let Some((delay, Answer::Abandon(Abandoned::Entity, token))) = given_back else { panic!("{given_back:?}") };
        assert!(!delay.is_zero() && token == "t", "whatever this is, it is not the operation's fault");
    }

    #[test]
    fn a_batch_that_is_refused_leaves_the_state_as_its_operations_found_it() {
        let states = |before: Option<FormerState>, first: Option<FormerState>, after: Option<&str>| {
            let result = wire::OperationResult { result_type: None };
            let batch = wire::EntityBatchResult {
                results: vec![result; 2],
                entity_state: after.map(str::to_owned),
                ..Default::default()
            };
            let mut answer = Answer::Entity(Box::new(batch), Arc::new(Reserve { before, first, first_actions: 0 }));
            let mut states = Vec::new();
            for _ in 0..2 {
                answer = answer.refused(&Status::resource_exhausted("too large")).expect("something else").1;
                let Answer::Entity(result, _) = &answer else { panic!("{answer:?}") };
                states.push(result.entity_state.clone());
            }
            states
        };
        let (none, some) = (None, |state: &str| Some(state.to_owned()));
        // Nothing changed it; the first one did; the second one; both; one made it, and one deleted it.
        assert_eq!(states(None, None, Some("5")), [some("5"), some("5")]);
        assert_eq!(states(Some(FormerState(some("5"))), None, Some("6")), [some("6"), some("5")]);
        assert_eq!(states(None, Some(FormerState(some("5"))), Some("6")), [some("5"), some("5")]);
        assert_eq!(
            states(Some(FormerState(some("5"))), Some(FormerState(some("6"))), Some("7")),
            [some("6"), some("5")]
        );
        assert_eq!(states(Some(FormerState(None)), Some(FormerState(some("1"))), None), [some("1"), none]);
    }

    #[test]
    fn a_small_answer_is_one_message_without_marks() {
        let chunks = chunks(response(10, 10));
        assert_eq!(chunks.len(), 1);
        assert!(!chunks[0].is_partial && chunks[0].chunk_index.is_none());
    }

    #[test]
    fn a_large_answer_is_cut_between_actions_and_nothing_is_lost() {
        let chunks = chunks(response(10, 1_000_000));
        assert!(chunks.len() >= 3);
        assert_eq!(chunks.iter().map(|chunk| chunk.actions.len()).sum::<usize>(), 10);
        for (index, chunk) in chunks.iter().enumerate() {
            assert!(chunk.encoded_len() < 4_000_000);
            assert_eq!(chunk.is_partial, index + 1 < chunks.len());
            assert_eq!(chunk.chunk_index, Some(index as i32));
            assert_eq!(chunk.num_events_processed, (index > 0).then_some(0));
            assert_eq!((chunk.completion_token.as_str(), chunk.custom_status.as_deref()), ("t", Some("s")));
        }
    }
}

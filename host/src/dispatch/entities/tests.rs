//! Work items of both forms in, answers out, with a real component.

use std::path::PathBuf;

use wire::operation_action::OperationActionType;
use wire::operation_result::ResultType;

use tokio::sync::mpsc;

use super::super::Outbox;
use super::*;
use crate::registry::{LoadedComponent, Registry};
use crate::sandbox::{CodeCache, Engines, FormerState, SandboxLimits};

fn entities() -> Entities {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/guests/tests");
    let path = std::env::var_os("DURAWASM_TEST_GUESTS").map_or(target, PathBuf::from).join("test_entities.wasm");
    let bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask test`", path.display()));
    let engines = Engines::new().unwrap();
    let component = LoadedComponent::load(&bytes, &engines, &CodeCache::none(), SandboxLimits::default()).unwrap();
    let mut registry = Registry::default();
    registry.add(Arc::new(component)).unwrap();
    Entities::new(RegistryHandle::new(registry), 1)
}

fn event(event: EventType) -> wire::HistoryEvent {
    wire::HistoryEvent { event_id: -1, timestamp: None, event_type: Some(event) }
}

fn signalled(operation: &str) -> wire::HistoryEvent {
    event(EventType::EntityOperationSignaled(wire::EntityOperationSignaledEvent {
        request_id: format!("signal-{operation}"),
        operation: operation.to_owned(),
        ..Default::default()
    }))
}

fn called(operation: &str) -> wire::HistoryEvent {
    event(EventType::EntityOperationCalled(wire::EntityOperationCalledEvent {
        request_id: format!("call-{operation}"),
        operation: operation.to_owned(),
        parent_instance_id: Some("parent".to_owned()),
        parent_execution_id: Some("execution".to_owned()),
        ..Default::default()
    }))
}

fn request(instance_id: &str, operations: Vec<wire::HistoryEvent>) -> Batch {
    let request = wire::EntityRequest {
        instance_id: instance_id.to_owned(),
        execution_id: "e".to_owned(),
        entity_state: Some("5".to_owned()),
        operation_requests: operations,
    };
    request.into()
}

async fn answer(batch: Batch) -> wire::EntityBatchResult {
    answer_with_reserve(batch).await.0
}

async fn answer_with_reserve(batch: Batch) -> (wire::EntityBatchResult, Arc<Reserve>) {
    match entities().run(batch, "token".to_owned()).await {
        Some((Answer::Entity(result, reserve), _)) => (*result, reserve),
        other => panic!("{:?}", other.map(|(answer, _)| answer)),
    }
}

/// How each operation ended, in short.
fn ends(result: &wire::EntityBatchResult) -> Vec<String> {
    let one = |result: &wire::OperationResult| match result.result_type.clone().unwrap() {
        ResultType::Success(success) => {
            assert!(success.start_time_utc.is_some() && success.end_time_utc.is_some());
            success.result.unwrap_or_default()
        }
        ResultType::Failure(failure) => failure.failure_details.unwrap().error_type,
    };
    result.results.iter().map(one).collect()
}

#[tokio::test]
async fn each_operation_gets_a_result_and_who_called_is_named() {
    let other = event(EventType::OrchestratorStarted(wire::OrchestratorStartedEvent {}));
    let operations =
        vec![signalled("add"), called("add"), other, called("fail"), called("is_signal"), signalled("is_signal")];
    let result = answer(request("@hostile@a", operations)).await;
    assert_eq!(ends(&result), ["6", "7", "Asked", "false", "true"], "what is no operation gets no result");
    assert_eq!(result.entity_state.as_deref(), Some("7"));
    assert_eq!(result.completion_token, "token");
    assert!(result.failure_details.is_none());
    let infos: Vec<_> = result
        .operation_infos
        .iter()
        .map(|info| (info.request_id.as_str(), info.response_destination.as_ref().map(|it| it.instance_id.as_str())))
        .collect();
    let parent = Some("parent");
    let expected = [
        ("signal-add", None),
        ("call-add", parent),
        ("call-fail", parent),
        ("call-is_signal", parent),
        ("signal-is_signal", None),
    ];
    assert_eq!(infos, expected);
    let destination = result.operation_infos[1].response_destination.as_ref().unwrap();
    assert_eq!(destination.execution_id.as_deref(), Some("execution"));
}

#[tokio::test]
async fn actions_are_numbered_through_the_batch_and_those_of_failed_operations_are_left_out() {
    let result = answer(request("@Hostile@a", vec![signalled("send"), signalled("fail"), signalled("send")])).await;
    assert_eq!(result.actions.iter().map(|action| action.id).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let Some(OperationActionType::SendSignal(signal)) = &result.actions[0].operation_action_type else {
        panic!("{result:?}");
    };
    assert_eq!((signal.instance_id.as_str(), signal.name.as_str()), ("@other@a", "touch"));
    let Some(OperationActionType::StartNewOrchestration(start)) = &result.actions[1].operation_action_type else {
        panic!("{result:?}");
    };
    assert_eq!((start.name.as_str(), start.version.as_deref(), start.instance_id.as_str()), ("ship", Some("2"), ""));
    assert!(start.scheduled_time.is_some());
}

#[tokio::test]
async fn the_older_form_is_answered_without_saying_who_waits() {
    let operation = |name: &str| wire::OperationRequest {
        operation: name.to_owned(),
        request_id: name.to_owned(),
        ..Default::default()
    };
    let request = wire::EntityBatchRequest {
        instance_id: "@hostile@a".to_owned(),
        entity_state: None,
        operations: vec![operation("add"), operation("delete"), operation("trap"), operation("get")],
        ..Default::default()
    };
    let result = answer(request.into()).await;
    assert_eq!(ends(&result), ["1", "null", "Panic", "0"]);
    assert_eq!(result.entity_state, None);
    assert!(result.operation_infos.is_empty());
}

#[tokio::test]
async fn the_state_is_kept_for_a_refusal_only_where_an_operation_changed_it() {
    let was = |state: &str| Some(FormerState(Some(state.to_owned())));
    for (operations, before, first) in [
        (vec!["get"], None, None),
        (vec!["add"], was("5"), None),
        (vec!["add", "get", "add", "add"], was("5"), was("6")),
        (vec!["get", "fail", "add", "delete"], None, was("5")),
        (vec!["delete", "add"], was("5"), Some(FormerState(None))),
        (vec!["state_is_not_json", "trap", "get"], None, None),
    ] {
        let batch = request("@hostile@a", operations.iter().map(|operation| signalled(operation)).collect());
        let reserve = answer_with_reserve(batch).await.1;
        assert_eq!((&reserve.before, &reserve.first), (&before, &first), "{operations:?}");
    }
}

#[tokio::test]
async fn an_entity_that_no_component_here_has_is_kept_for_a_while_and_goes_back() {
    let (answers, mut received) = mpsc::unbounded_channel();
    let (entities, outbox) = (Arc::new(entities()), Outbox::new(answers));
    for id in ["@nobody@a", "hostile", "@@a"] {
        entities.take(request(id, vec![signalled("add")]), id.to_owned(), outbox.begin());
    }
    let mut tokens = Vec::new();
    for _ in 0..3 {
        match received.recv().await.unwrap().answer {
            Answer::Abandon(Abandoned::Entity, token) => tokens.push(token),
            other => panic!("{other:?}"),
        }
    }
    tokens.sort();
    assert_eq!(tokens, ["@@a", "@nobody@a", "hostile"]);
}

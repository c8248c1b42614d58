//! The host's end of the Durable Task protocol.

use std::sync::atomic::Ordering;

use durawasm_proto::v1;

use super::peer::{Call, World};
use super::*;
use crate::registry::Registry;

fn result(token: &str) -> Answer {
    let response = wire::ActivityResponse {
        task_id: 7,
        result: Some("1".to_owned()),
        completion_token: token.to_owned(),
        ..Default::default()
    };
    Answer::Activity(Box::new(response))
}

fn turn(actions: usize, input: usize) -> Answer {
    let task = wire::ScheduleTaskAction { input: Some("x".repeat(input)), ..Default::default() };
    let action = wire::OrchestratorAction {
        id: 1,
        orchestrator_action_type: Some(wire::orchestrator_action::OrchestratorActionType::ScheduleTask(task)),
    };
    let response = wire::OrchestratorResponse {
        actions: vec![action; actions],
        completion_token: "turn".to_owned(),
        ..Default::default()
    };
    Answer::Orchestration(Box::new(response), None)
}

fn activity(call: Call) -> wire::ActivityResponse {
    match call {
        Call::Activity(response) => *response,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_scheduler_without_sessions_is_greeted_and_then_asked_for_work_with_limits_and_filters() {
    let mut world = World::new().await;
    let (request, _stream) = world.stream().await;
    assert_eq!(request.max_concurrent_orchestration_work_items, 3);
    assert_eq!(request.max_concurrent_activity_work_items, 5);
    // Zero would mean "not stated".
    assert!(request.max_concurrent_entity_work_items > 0);
    assert_eq!(request.capabilities, [i32::from(wire::WorkerCapability::HistoryStreaming)]);
    // A filter without names takes nothing of a kind.
    assert!(request.work_item_filters.is_some_and(|filters| filters.entities.is_empty()));
    // It has connected by the time that it answers.
    world.answer(result("t"));
    activity(world.call().await);
    assert!(!world.parks.load(Ordering::Relaxed), "this scheduler knows no parking");
}

#[tokio::test]
async fn an_answer_is_sent_again_until_the_scheduler_takes_it() {
    let mut world = World::new().await;
    let (_, _stream) = world.stream().await;
    let codes = [Code::Unavailable, Code::Unknown, Code::DeadlineExceeded, Code::Internal, Code::Cancelled];
    world.refuse(codes.map(|code| Status::new(code, "later")));
    world.answer(result("t"));
    for _ in 0..=codes.len() {
        assert_eq!(activity(world.call().await).completion_token, "t");
    }
    world.answer(result("next"));
    assert_eq!(activity(world.call().await).completion_token, "next");
}

#[tokio::test]
async fn an_answer_whose_token_is_void_is_sent_once() {
    let mut world = World::new().await;
    let (_, _stream) = world.stream().await;
    world.refuse([Status::not_found("void")]);
    world.answer(result("void"));
    assert_eq!(activity(world.call().await).completion_token, "void");
    world.answer(result("next"));
    assert_eq!(activity(world.call().await).completion_token, "next");
}

#[tokio::test]
async fn a_large_answer_goes_out_in_parts_one_after_the_other() {
    let mut world = World::new().await;
    let (_, _stream) = world.stream().await;
    // A part that has to be sent again does not overtake the others.
    world.refuse([Status::unavailable("later")]);
    world.answer(turn(10, 1_000_000));
    let mut parts = Vec::new();
    while parts.last() != Some(&(3, false)) {
        let Call::Orchestration(part) = world.call().await else { panic!("only parts are sent") };
        parts.push((part.chunk_index.unwrap(), part.is_partial));
    }
    assert_eq!(parts, [(0, true), (0, true), (1, true), (2, true), (3, false)]);
}

#[tokio::test]
async fn a_result_that_is_refused_becomes_a_failure_of_the_activity_which_is_not_tried_again() {
    let mut world = World::new().await;
    let (_, _stream) = world.stream().await;
    world.refuse([Status::resource_exhausted("1 MiB at most")]);
    world.answer(result("t"));
    assert!(activity(world.call().await).failure_details.is_none());
    let failed = activity(world.call().await);
    let failure = failed.failure_details.expect("it failed");
    assert_eq!((failed.completion_token.as_str(), failed.result), ("t", None));
    assert!(failure.is_non_retriable && failure.error_message.contains("1 MiB at most"), "{failure:?}");
}

#[tokio::test]
async fn an_orchestrators_answer_that_is_refused_is_given_back() {
    let mut world = World::new().await;
    let (_, _stream) = world.stream().await;
    world.refuse([Status::invalid_argument("no")]);
    world.answer(turn(1, 1));
    assert!(matches!(world.call().await, Call::Orchestration(_)));
    assert!(matches!(world.call().await, Call::Abandon(token) if token == "turn"));
}

#[tokio::test]
async fn what_would_be_parked_is_given_back() {
    let mut world = World::new().await;
    let (_, _stream) = world.stream().await;
    world.answer(Answer::Park(v1::Park { completion_token: "parked".to_owned(), ..Default::default() }));
    assert!(matches!(world.call().await, Call::Abandon(token) if token == "parked"));
}

#[tokio::test]
async fn a_stream_that_breaks_is_opened_again_whatever_the_reason() {
    let mut world = World::new().await;
    for code in [Code::NotFound, Code::Unavailable, Code::Cancelled, Code::Internal] {
        let (_, stream) = world.stream().await;
        stream.send(Err(Status::new(code, "broken"))).await.expect("the host listens");
    }
    let (_, stream) = world.stream().await;
    drop(stream);
    let (_, stream) = world.stream().await;
    let item = wire::WorkItem { request: None, completion_token: String::new() };
    stream.send(Ok(item)).await.expect("the host listens");
}

#[tokio::test]
async fn a_host_that_ends_cancels_its_stream_and_finishes_what_it_has_begun() {
    let mut world = World::new().await;
    let (_, stream) = world.stream().await;
    world.work.busy.store(1, Ordering::Relaxed);
    world.draining.send_replace(true);
    tokio::time::timeout(std::time::Duration::from_secs(10), stream.closed()).await.expect("it cancels the stream");
    world.answer(result("last"));
    world.work.busy.store(0, Ordering::Relaxed);
    assert_eq!(activity(world.call().await).completion_token, "last");
    world.ended().await;
}

/// An activity's item.
fn item(token: &str) -> wire::WorkItem {
    let request = wire::work_item::Request::ActivityRequest(wire::ActivityRequest::default());
    wire::WorkItem { request: Some(request), completion_token: token.to_owned() }
}

#[tokio::test]
async fn a_second_stream_takes_over_and_the_first_stays_until_all_that_came_on_it_is_answered() {
    let mut world = World::new().await;
    let (_, first) = world.stream().await;
    for token in ["one", "two"] {
        first.send(Ok(item(token))).await.expect("the host listens");
    }
    while world.work.taken.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    world.registry.replace(Registry::default());
    let second = match world.call().await {
        Call::Open(_, stream) => stream,
        other => panic!("{other:?}"),
    };
    // The first goes on until it has nothing open; so does what still comes on it.
    world.answer(result("one"));
    assert_eq!(activity(world.call().await).completion_token, "one");
    first.send(Ok(item("three"))).await.expect("the host listens still");
    while world.work.taken.load(Ordering::Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    for token in ["two", "three"] {
        assert!(!first.is_closed());
        world.answer(result(token));
        assert_eq!(activity(world.call().await).completion_token, token);
    }
    tokio::time::timeout(std::time::Duration::from_secs(20), first.closed()).await.expect("nothing is open on it");
    second.send(Ok(item("four"))).await.expect("the host listens");
    world.answer(result("four"));
    assert_eq!(activity(world.call().await).completion_token, "four");
    assert!(!second.is_closed());
}

#[tokio::test]
async fn a_stream_on_which_nothing_is_open_ends_soon_after_another_one_took_over() {
    let mut world = World::new().await;
    let (_, mut stream) = world.stream().await;
    for _ in 0..3 {
        world.registry.replace(Registry::default());
        let next = match world.call().await {
            Call::Open(_, stream) => stream,
            other => panic!("{other:?}"),
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), stream.closed()).await.expect("it is of no more use");
        stream = next;
    }
    world.draining.send_replace(true);
    world.ended().await;
}

//! RaiseEvent, TerminateInstance, SuspendInstance, ResumeInstance.

use std::time::Duration;

use crate::stand::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// An instance that has answered its first turn and waits.
async fn waiting(client: &Client, worker: &mut Worker, id: &str) {
    client.start(id, "o").await;
    worker.episode_of(id).await.answer(vec![]).await;
}

// ---- events ------------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn an_event_reaches_the_worker_with_its_payload_and_the_case_of_its_name() {
    let (_server, client, mut worker) = stand().await;
    waiting(&client, &mut worker, "a").await;
    client.raise("a", "ApprOval", Some("{\"yes\":1}")).await.unwrap();
    let episode = worker.episode_of("a").await;
    assert_eq!(episode.new_events(), ["orchestratorStarted", "eventRaised ApprOval({\"yes\":1})"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_raised_before_an_instance_begins_come_after_execution_started_in_order() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    for n in 0..3 {
        client.raise("a", "go", Some(&n.to_string())).await.unwrap();
    }
    let mut worker = Worker::connect(&client).await;
    let expected =
        ["orchestratorStarted", "executionStarted o(-)", "eventRaised go(0)", "eventRaised go(1)", "eventRaised go(2)"];
    assert_eq!(worker.episode_of("a").await.new_events(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_for_a_scheduled_instance_wait_for_its_start() {
    let (_server, client, mut worker) = stand().await;
    let due = from_now(Duration::from_millis(300));
    client.start_with("later", "o", |r| r.scheduled_start_timestamp = Some(at(due))).await.unwrap();
    client.raise("later", "go", Some("1")).await.unwrap();
    let episode = worker.episode_of("later").await;
    assert!(episode.now() >= due);
    assert_eq!(episode.new_events(), ["orchestratorStarted", "executionStarted o(-)", "eventRaised go(1)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_for_an_instance_that_has_ended_are_ok_and_change_nothing() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![complete(1, "done")]).await;
    let (state, history) = (client.get("a").await, client.history("a").await);
    client.raise("a", "go", None).await.expect("accepted");
    client.terminate("a", Some("late"), true).await.expect("accepted");
    client.suspend("a", None).await.expect("accepted");
    client.resume("a", None).await.expect("accepted");
    assert_eq!(client.get("a").await, state);
    assert_eq!(client.history("a").await, history);
    client.start("marker", "o").await;
    worker.episode_of("marker").await;
    assert_eq!(client.describe("a").await.inbox_events, 0, "nothing is left over");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_payload_and_one_with_an_empty_payload_stay_apart() {
    let (_server, client, mut worker) = stand().await;
    waiting(&client, &mut worker, "a").await;
    client.suspend("a", None).await.unwrap();
    client.raise("a", "none", None).await.unwrap();
    client.raise("a", "empty", Some("")).await.unwrap();
    client.resume("a", None).await.unwrap();
    let inputs: Vec<_> = worker
        .episode_of("a")
        .await
        .request
        .new_events
        .into_iter()
        .filter_map(|e| match e.event_type {
            Some(EventType::EventRaised(raised)) => Some(raised.input),
            _ => None,
        })
        .collect();
    assert_eq!(inputs, [None, Some(String::new())]);
}

// ---- terminate ---------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_goes_to_the_worker_which_ends_the_instance() {
    let (_server, client, mut worker) = stand().await;
    waiting(&client, &mut worker, "a").await;
    client.terminate("a", Some("\"enough\""), true).await.unwrap();
    let episode = worker.episode_of("a").await;
    assert_eq!(episode.new_events(), ["orchestratorStarted", "executionTerminated \"enough\" recurse"]);
    assert_eq!(client.status("a").await, Status::Running, "the worker has not answered yet");
    episode.answer(vec![terminated(2, "\"enough\"")]).await;
    let state = client.end("a").await;
    assert_eq!((state.orchestration_status(), state.output.as_deref()), (Status::Terminated, Some("\"enough\"")));
    assert!(state.completed_timestamp.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recursive_termination_reaches_all_open_descendants_when_it_is_committed() {
    let (_server, client, mut worker) = stand().await;
    client.start("top", "o").await;
    worker.episode_of("top").await.answer(vec![child(1, "kid", "o"), child(2, "done", "o")]).await;
    for _ in 0..2 {
        let episode = worker.episode().await;
        match episode.id() {
            "kid" => episode.answer(vec![child(1, "grandkid", "o")]).await,
            _ => episode.answer(vec![complete(1, "early")]).await,
        }
    }
    for _ in 0..2 {
        let episode = worker.episode().await;
        assert!(matches!(episode.id(), "grandkid" | "top"), "{}", episode.id());
        episode.answer(vec![]).await;
    }
    client.terminate("top", Some("stop"), true).await.unwrap();
    for id in ["top", "kid", "grandkid"] {
        let episode = worker.episode_of(id).await;
        assert_eq!(episode.new_events().last().unwrap(), "executionTerminated stop recurse");
        episode.answer(vec![terminated(9, "stop")]).await;
        assert_eq!(client.end(id).await.orchestration_status(), Status::Terminated);
    }
    assert_eq!(client.status("done").await, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_that_is_not_recursive_leaves_children_alone() {
    let (_server, client, mut worker) = stand().await;
    client.start("top", "o").await;
    worker.episode_of("top").await.answer(vec![child(1, "kid", "o")]).await;
    worker.episode_of("kid").await.answer(vec![]).await;
    client.terminate("top", None, false).await.unwrap();
    worker.episode_of("top").await.answer(vec![terminated(2, "stop")]).await;
    client.raise("kid", "go", None).await.unwrap();
    let kid = worker.episode_of("kid").await;
    assert_eq!(kid.new_events(), ["orchestratorStarted", "eventRaised go(-)"]);
    kid.answer(vec![complete(1, "alone")]).await;
    assert_eq!(client.end("kid").await.orchestration_status(), Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_instance_can_be_terminated() {
    let (_server, client, mut worker) = stand().await;
    waiting(&client, &mut worker, "a").await;
    client.suspend("a", Some("wait")).await.unwrap();
    client.raise("a", "go", None).await.unwrap();
    client.terminate("a", Some("stop"), false).await.unwrap();
    let episode = worker.episode_of("a").await;
    let expected = ["orchestratorStarted", "executionSuspended wait", "eventRaised go(-)", "executionTerminated stop"];
    assert_eq!(episode.new_events(), expected);
    episode.answer(vec![terminated(1, "stop")]).await;
    assert_eq!(client.end("a").await.orchestration_status(), Status::Terminated);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_worker_can_run_the_instance_the_scheduler_terminates_it_itself() {
    let server = Server::start().await;
    let client = server.client();
    let _other = Worker::only(&client, &["something-else"]).await;
    client.start("a", "o").await;
    client.terminate("a", Some("stop"), true).await.unwrap();
    let state = client.end("a").await;
    assert_eq!((state.orchestration_status(), state.output.as_deref()), (Status::Terminated, Some("stop")));
    let history = brief(&client.history("a").await);
    let expected = [
        "orchestratorStarted",
        "executionStarted o(-)",
        "executionTerminated stop recurse",
        "executionCompleted TERMINATED stop",
    ];
    assert_eq!(history, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_worker_can_run_them_the_scheduler_terminates_a_whole_family() {
    let (_server, client, mut worker) = stand().await;
    client.start("top", "o").await;
    worker.episode_of("top").await.answer(vec![child(1, "kid", "o")]).await;
    worker.episode_of("kid").await.answer(vec![child(1, "grandkid", "o")]).await;
    worker.episode_of("grandkid").await.answer(vec![]).await;
    drop(worker);
    client.terminate("top", Some("stop"), true).await.unwrap();
    for id in ["top", "kid", "grandkid"] {
        let state = client.end(id).await;
        assert_eq!((state.orchestration_status(), state.output.as_deref()), (Status::Terminated, Some("stop")), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_start_lies_in_the_future_can_be_terminated_at_once() {
    let server = Server::start().await;
    let client = server.client();
    let _worker = Worker::connect(&client).await;
    let due = at(from_now(HOUR));
    client.start_with("later", "o", |r| r.scheduled_start_timestamp = Some(due)).await.unwrap();
    client.terminate("later", Some("never mind"), false).await.unwrap();
    assert_eq!(client.end("later").await.orchestration_status(), Status::Terminated);
}

// ---- suspend and resume ------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_suspended_when_the_call_returns_and_running_after_the_resumption() {
    let (_server, client, mut worker) = stand().await;
    waiting(&client, &mut worker, "a").await;
    client.suspend("a", Some("audit")).await.unwrap();
    assert_eq!(client.status("a").await, Status::Suspended);
    client.resume("a", Some("fine")).await.unwrap();
    assert_eq!(client.status("a").await, Status::Running);
    let expected = ["orchestratorStarted", "executionSuspended audit", "executionResumed fine"];
    assert_eq!(worker.episode_of("a").await.new_events(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_during_a_suspension_is_held_back_and_comes_in_order_after_the_resumption() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "work"), timer(2, 0)]).await;
    let work = worker.call().await;
    let timer = worker.episode_of("a").await;
    assert_eq!(timer.new_events(), ["orchestratorStarted", "timerFired->2"]);
    timer.answer(vec![]).await;
    client.suspend("a", None).await.unwrap();
    client.raise("a", "first", None).await.unwrap();
    work.complete("second").await;
    client.raise("a", "third", None).await.unwrap();
    // Other instances go on, so that a turn of this one would have come before theirs.
    client.start("marker", "o").await;
    worker.episode_of("marker").await.answer(vec![complete(1, "")]).await;
    client.resume("a", None).await.unwrap();
    let expected = [
        "orchestratorStarted",
        "executionSuspended -",
        "eventRaised first(-)",
        "taskCompleted->1 second",
        "eventRaised third(-)",
        "executionResumed -",
    ];
    assert_eq!(worker.episode_of("a").await.new_events(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_is_in_flight_when_the_instance_is_suspended_is_still_committed() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let episode = worker.episode_of("a").await;
    client.suspend("a", None).await.unwrap();
    assert_eq!(client.status("a").await, Status::Suspended);
    episode.answer(vec![call(1, "work")]).await;
    assert_eq!(client.status("a").await, Status::Suspended);
    worker.call().await.complete("kept").await;
    client.resume("a", None).await.unwrap();
    let next = worker.episode_of("a").await;
    let expected = ["orchestratorStarted", "executionSuspended -", "taskCompleted->1 kept", "executionResumed -"];
    assert_eq!(next.new_events(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspending_twice_and_resuming_what_runs_are_ok_and_do_nothing() {
    let (_server, client, mut worker) = stand().await;
    waiting(&client, &mut worker, "a").await;
    client.resume("a", Some("of nothing")).await.unwrap();
    client.suspend("a", Some("first")).await.unwrap();
    client.suspend("a", Some("second")).await.unwrap();
    client.resume("a", Some("third")).await.unwrap();
    client.resume("a", Some("fourth")).await.unwrap();
    let expected = ["orchestratorStarted", "executionSuspended first", "executionResumed third"];
    assert_eq!(worker.episode_of("a").await.new_events(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_has_not_begun_can_be_suspended_and_begins_after_the_resumption() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    client.suspend("a", None).await.unwrap();
    assert_eq!(client.status("a").await, Status::Suspended);
    let mut worker = Worker::connect(&client).await;
    client.start("marker", "o").await;
    worker.episode_of("marker").await;
    client.resume("a", None).await.unwrap();
    assert_eq!(client.status("a").await, Status::Pending, "its code has not begun");
    let episode = worker.episode_of("a").await;
    let expected = ["orchestratorStarted", "executionStarted o(-)", "executionSuspended -", "executionResumed -"];
    assert_eq!(episode.new_events(), expected);
}

//! Continue-as-new: what a generation passes on to the next.

use std::time::Duration;

use crate::stand::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn raised(name: &str, input: &str) -> pb::HistoryEvent {
    let raised = pb::EventRaisedEvent { name: name.into(), input: Some(input.into()) };
    pb::HistoryEvent { event_id: -1, timestamp: Some(at(77)), event_type: Some(EventType::EventRaised(raised)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_generation_has_a_new_execution_and_no_past() {
    let (_server, client, mut worker) = stand().await;
    client.start_with("a", "o", |r| r.input = Some("1".into())).await.unwrap();
    let first = worker.episode_of("a").await;
    let created = client.get("a").await.created_timestamp;
    let mut response = first.response(vec![continue_as_new(1, "2")]);
    let span = pb::OrchestrationTraceContext { span_id: Some("of the first".into()), span_start_time: None };
    response.orchestration_trace_context = Some(span);
    first.send(response).await.unwrap();
    let second = worker.episode_of("a").await;
    assert_eq!(second.request.orchestration_trace_context, None, "that belongs to an execution");
    assert_ne!(first.execution(), second.execution());
    assert_eq!(second.execution().len(), 32);
    assert!(second.past().is_empty());
    assert_eq!(second.new_events(), ["orchestratorStarted", "executionStarted o(2)"]);
    let instance = second.started().orchestration_instance.clone().unwrap();
    assert_eq!(instance.execution_id.as_deref(), Some(second.execution()));
    let state = client.get("a").await;
    assert_eq!((state.orchestration_status(), state.input.as_deref()), (Status::Running, Some("2")));
    assert_eq!(state.execution_id.as_deref(), Some(second.execution()));
    assert_eq!(state.created_timestamp, created, "the instance is as old as before");
    assert!(state.completed_timestamp.is_none() && state.output.is_none());
    assert!(client.history("a").await.is_empty(), "the old history is gone");
    assert!(second.now() > first.now());
}

#[tokio::test(flavor = "multi_thread")]
async fn version_tags_and_trace_are_kept_unless_new_ones_are_given() {
    let (_server, client, mut worker) = stand().await;
    client
        .start_with("a", "o", |r| {
            r.version = Some("1".into());
            r.tags = [("k".to_owned(), "old".to_owned())].into();
            r.parent_trace_context = Some(trace("5"));
        })
        .await
        .unwrap();
    worker.episode_of("a").await.answer(vec![continue_as_new(1, "2")]).await;
    let second = worker.episode_of("a").await;
    assert_eq!((second.started().version.as_deref(), second.started().tags["k"].as_str()), (Some("1"), "old"));
    assert_eq!(second.started().parent_trace_context, Some(trace("5")));
    let change = end_with(1, Status::ContinuedAsNew, |c| {
        c.new_version = Some("2".into());
        c.tags = [("k".to_owned(), "new".to_owned())].into();
    });
    second.answer(vec![change]).await;
    let third = worker.episode_of("a").await;
    assert_eq!((third.started().version.as_deref(), third.started().tags["k"].as_str()), (Some("2"), "new"));
    assert_eq!(third.started().input, None, "no result is no input");
    assert_eq!(third.started().parent_trace_context, Some(trace("5")));
    let state = client.get("a").await;
    assert_eq!((state.version.as_deref(), state.tags["k"].as_str(), state.input), (Some("2"), "new", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn carried_events_come_first_and_then_what_arrived_meanwhile() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let first = worker.episode_of("a").await;
    client.raise("a", "late", Some("3")).await.unwrap();
    client.raise("a", "later", Some("4")).await.unwrap();
    let events = vec![raised("Kept", "1"), raised("kept", "2")];
    first.answer(vec![end_with(1, Status::ContinuedAsNew, |c| c.carryover_events = events)]).await;
    let expected = [
        "orchestratorStarted",
        "executionStarted o(-)",
        "eventRaised Kept(1)",
        "eventRaised kept(2)",
        "eventRaised late(3)",
        "eventRaised later(4)",
    ];
    assert_eq!(worker.episode_of("a").await.new_events(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_the_old_generation_took_and_does_not_carry_are_gone() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    client.raise("a", "taken", None).await.unwrap();
    let mut worker = Worker::connect(&client).await;
    worker.episode_of("a").await.answer(vec![continue_as_new(1, "2")]).await;
    assert_eq!(worker.episode_of("a").await.new_events(), ["orchestratorStarted", "executionStarted o(2)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_timers_and_open_work_of_the_old_generation_are_void() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let soon = from_now(Duration::from_millis(50));
    worker.episode_of("a").await.answer(vec![call(1, "old"), timer(2, soon), timer(3, from_now(HOUR))]).await;
    let old = worker.call().await;
    client.raise("a", "go", None).await.unwrap();
    let second = worker.episode_of("a").await;
    // A result that waits for the next turn when the execution ends is void as well.
    old.complete("waits").await;
    second.answer(vec![continue_as_new(4, "2")]).await;
    let third = worker.episode_of("a").await;
    assert_eq!(third.new_events(), ["orchestratorStarted", "executionStarted o(2)"]);
    third.answer(vec![call(1, "new"), timer(2, soon + 100_000)]).await;
    old.complete("comes again").await;
    let fired = worker.episode_of("a").await;
    assert_eq!(fired.new_events(), ["orchestratorStarted", "timerFired->2"], "the new one's, and the old one's never");
    assert!(fired.now() >= soon + 100_000);
    fired.answer(vec![]).await;
    worker.call().await.complete("new").await;
    assert_eq!(worker.episode_of("a").await.new_events(), ["orchestratorStarted", "taskCompleted->1 new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_timers_in_the_same_answer_are_discarded_and_sent_events_are_carried_out() {
    let (_server, client, mut worker) = stand().await;
    client.start("other", "o").await;
    worker.episode_of("other").await.answer(vec![]).await;
    client.start("a", "o").await;
    let actions = vec![
        call(1, "never"),
        timer(2, 0),
        send(3, "other", "hello", "1"),
        send(4, "a", "to the new one", "2"),
        end_other(5, "other", "bye", false),
        continue_as_new(6, "2"),
    ];
    worker.episode_of("a").await.answer(actions).await;
    let mut seen = [worker.episode().await, worker.episode().await];
    seen.sort_by_key(|e| e.id().to_owned());
    let expected = ["orchestratorStarted", "executionStarted o(2)", "eventRaised to the new one(2)"];
    assert_eq!(seen[0].new_events(), expected);
    let expected = ["orchestratorStarted", "eventRaised hello(1)", "executionTerminated bye"];
    assert_eq!(seen[1].new_events(), expected);
    seen[0].answer(vec![call(1, "marker")]).await;
    assert_eq!(worker.call().await.request.name, "marker", "the old call never runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_the_end_goes_on_waiting() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let first = worker.episode_of("a").await;
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.end("a").await })
    };
    first.answer(vec![continue_as_new(1, "2")]).await;
    worker.episode_of("a").await.answer(vec![continue_as_new(1, "3")]).await;
    worker.episode_of("a").await.answer(vec![complete(1, "end")]).await;
    let state = soon("the waiter", waiting).await.unwrap();
    assert_eq!((state.orchestration_status(), state.output.as_deref()), (Status::Completed, Some("end")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_custom_status_stays_until_the_new_generation_sets_another() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let first = worker.episode_of("a").await;
    let mut response = first.response(vec![]);
    response.custom_status = Some("\"one\"".into());
    client.raise("a", "go", None).await.unwrap();
    first.send(response).await.unwrap();
    worker.episode_of("a").await.answer(vec![continue_as_new(1, "2")]).await;
    assert_eq!(client.get("a").await.custom_status.as_deref(), Some("\"one\""));
    // The new generation's worker knows nothing of it, and says nothing of its own.
    worker.episode_of("a").await.answer(vec![]).await;
    assert_eq!(client.get("a").await.custom_status.as_deref(), Some("\"one\""));
    for status in [Some("\"two\""), None] {
        client.raise("a", "go", None).await.unwrap();
        let next = worker.episode_of("a").await;
        let mut response = next.response(vec![]);
        response.custom_status = status.map(Into::into);
        next.send(response).await.unwrap();
        // What it has set itself it can clear.
        assert_eq!(client.get("a").await.custom_status.as_deref(), status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_that_arrives_meanwhile_holds_the_next_generation() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let first = worker.episode_of("a").await;
    client.suspend("a", None).await.unwrap();
    first.answer(vec![continue_as_new(1, "2")]).await;
    assert_eq!(client.status("a").await, Status::Suspended);
    client.start("marker", "o").await;
    worker.episode_of("marker").await;
    client.resume("a", None).await.unwrap();
    let expected = ["orchestratorStarted", "executionStarted o(2)", "executionSuspended -", "executionResumed -"];
    assert_eq!(worker.episode_of("a").await.new_events(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_that_arrives_meanwhile_ends_the_next_generation() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let first = worker.episode_of("a").await;
    client.terminate("a", Some("stop"), false).await.unwrap();
    first.answer(vec![continue_as_new(1, "2")]).await;
    let second = worker.episode_of("a").await;
    let expected = ["orchestratorStarted", "executionStarted o(2)", "executionTerminated stop"];
    assert_eq!(second.new_events(), expected);
    second.answer(vec![terminated(1, "stop")]).await;
    assert_eq!(client.status("a").await, Status::Terminated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_termination_that_a_turn_holds_ends_the_instance_though_its_code_continues_as_new() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![child(1, "kid", "K")]).await;
    worker.episode_of("kid").await.answer(vec![timer(1, from_now(HOUR))]).await;
    client.terminate("a", Some("stop"), true).await.unwrap();
    // The Python SDK does this if an event of the same turn comes before the termination.
    worker.episode_of("a").await.answer(vec![continue_as_new(2, "2")]).await;
    let state = client.get("a").await;
    assert_eq!((state.orchestration_status(), state.output.as_deref()), (Status::Terminated, Some("stop")));
    let kid = worker.episode_of("kid").await;
    assert_eq!(kid.new_events(), ["orchestratorStarted", "executionTerminated stop recurse"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_does_not_reach_the_new_generation() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let first = worker.episode_of("a").await;
    first.answer(vec![continue_as_new(1, "2")]).await;
    first.send(first.response(vec![complete(1, "of the old one")])).await.expect("ignored");
    let second = worker.episode_of("a").await;
    first.send(first.response(vec![complete(1, "of the old one")])).await.expect("ignored");
    assert_eq!(client.status("a").await, Status::Running);
    second.answer(vec![complete(1, "of the new one")]).await;
    assert_eq!(client.get("a").await.output.as_deref(), Some("of the new one"));
}

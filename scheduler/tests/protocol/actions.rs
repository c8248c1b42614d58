//! What an orchestrator's actions do: activities, events, terminations. (Timers, children and endings have modules of their own.)

use std::time::Duration;

use crate::stand::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_gets_all_that_was_said_in_its_call_and_whose_it_is() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let episode = worker.episode_of("a").await;
    let action = call_with(5, "Work", |c| {
        c.version = Some("2".into());
        c.input = Some("[1]".into());
        c.tags = [("k".to_owned(), "v".to_owned())].into();
        c.parent_trace_context = Some(trace("7"));
    });
    episode.answer(vec![action]).await;
    let call = worker.call().await;
    let expected = pb::ActivityRequest {
        name: "Work".into(),
        version: Some("2".into()),
        input: Some("[1]".into()),
        orchestration_instance: Some(pb::OrchestrationInstance {
            instance_id: "a".into(),
            execution_id: Some(episode.execution().into()),
        }),
        task_id: 5,
        parent_trace_context: Some(trace("7")),
        tags: [("k".to_owned(), "v".to_owned())].into(),
    };
    assert_eq!(call.request, expected);
    let history = client.history("a").await;
    let Some(EventType::TaskScheduled(scheduled)) = &history[2].event_type else { panic!("{:?}", history[2]) };
    assert_eq!(
        (scheduled.name.as_str(), scheduled.version.as_deref(), scheduled.input.as_deref()),
        ("Work", Some("2"), Some("[1]"))
    );
    assert_eq!((scheduled.tags["k"].as_str(), &scheduled.parent_trace_context), ("v", &Some(trace("7"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_failed_if_and_only_if_its_answer_has_failure_details_which_pass_unchanged() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "fails"), call(2, "works")]).await;
    let (first, second) = (worker.call().await, worker.call().await);
    // A result beside the failure does not count.
    let both = pb::ActivityResponse {
        result: Some("ignored".into()),
        failure_details: Some(failure("no")),
        ..first.response()
    };
    first.send(both).await.unwrap();
    let episode = worker.episode_of("a").await;
    let Some(EventType::TaskFailed(failed)) = &episode.request.new_events[1].event_type else { panic!("{episode:?}") };
    assert_eq!((failed.task_scheduled_id, &failed.failure_details), (1, &Some(failure("no"))));
    episode.answer(vec![]).await;
    second.complete("yes").await;
    assert_eq!(worker.episode_of("a").await.new_events(), ["orchestratorStarted", "taskCompleted->2 yes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_is_never_retried_by_the_scheduler() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "fails")]).await;
    let mut retriable = failure("no");
    retriable.is_non_retriable = false;
    worker.call().await.fail(retriable).await;
    worker.episode_of("a").await.answer(vec![call(2, "marker")]).await;
    assert_eq!(worker.call().await.request.name, "marker");
    assert_eq!(client.describe("a").await.open_activities, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_actions_may_repeat_within_and_across_turns_and_leave_gaps() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let twice = vec![
        call_with(7, "w", |c| c.input = Some("first".into())),
        call_with(7, "w", |c| c.input = Some("second".into())),
    ];
    worker.episode_of("a").await.answer(twice).await;
    let calls = [worker.call().await, worker.call().await];
    assert_eq!(
        calls.each_ref().map(|c| (c.request.task_id, c.request.input.as_deref().unwrap())),
        [(7, "first"), (7, "second")]
    );
    assert_ne!(calls[0].token, calls[1].token);
    calls[1].complete("of the second").await;
    // The Python SDK calls a retried activity again under the id of the first try.
    worker.episode_of("a").await.answer(vec![call_with(7, "w", |c| c.input = Some("third".into())), timer(7, 0)]).await;
    let third = worker.call().await;
    assert_eq!(worker.episode_of("a").await.new_events(), ["orchestratorStarted", "timerFired->7"]);
    calls[0].complete("of the first").await;
    third.complete("of the third").await;
    // This item is abandoned, so that both results come with the next.
    let history = brief(&client.history("a").await);
    assert_eq!(history.iter().filter(|e| e.starts_with("taskScheduled#7")).count(), 3, "{history:?}");
    assert_eq!(client.describe("a").await.open_activities, 0, "each call got its own result");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_may_start_at_zero_and_be_negative() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(0, "w")]).await;
    let call = worker.call().await;
    assert_eq!(call.request.task_id, 0);
    call.complete("zero").await;
    let episode = worker.episode_of("a").await;
    assert_eq!(episode.past()[2], "taskScheduled#0 w(-)");
    assert_eq!(episode.new_events(), ["orchestratorStarted", "taskCompleted->0 zero"]);
    episode.answer(vec![failed(-1, failure("worker's own"))]).await;
    assert_eq!(client.status("a").await, Status::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_the_same_answer_as_the_end_is_carried_out_and_its_results_are_dropped() {
    let (_server, client, mut worker) = stand().await;
    client.start("other", "o").await;
    worker.episode_of("other").await.answer(vec![]).await;
    client.start("a", "o").await;
    let actions = vec![
        complete(1, "end"),
        call(2, "forgotten"),
        child(3, "kid", "c"),
        send(4, "other", "hello", "1"),
        timer(5, 0),
    ];
    worker.episode_of("a").await.answer(actions).await;
    assert_eq!(client.end("a").await.output.as_deref(), Some("end"));
    let ended = client.history("a").await;
    worker.call().await.complete("nobody hears it").await;
    for _ in 0..2 {
        let episode = worker.episode().await;
        match episode.id() {
            "other" => assert_eq!(episode.new_events(), ["orchestratorStarted", "eventRaised hello(1)"]),
            _ => assert_eq!(episode.started().name, "c"),
        }
        episode.answer(vec![complete(1, "")]).await;
    }
    client.start("marker", "o").await;
    worker.episode_of("marker").await;
    assert_eq!(client.history("a").await, ended, "an instance that has ended takes nothing in");
    let rest = client.describe("a").await;
    assert_eq!((rest.inbox_events, rest.open_activities, rest.open_timers, rest.open_children), (0, 0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_sent_to_another_instance_arrives_and_one_to_nobody_is_only_recorded() {
    let (_server, client, mut worker) = stand().await;
    client.start("to", "o").await;
    worker.episode_of("to").await.answer(vec![]).await;
    client.start("ended", "o").await;
    worker.episode_of("ended").await.answer(vec![complete(1, "")]).await;
    client.start("from", "o").await;
    let events =
        vec![send(1, "absent", "e", "0"), send(2, "ended", "e", "0"), send(3, "", "e", "0"), send(4, "to", "Go", "9")];
    worker.episode_of("from").await.answer(events).await;
    assert_eq!(worker.episode_of("to").await.new_events(), ["orchestratorStarted", "eventRaised Go(9)"]);
    let history = brief(&client.history("from").await);
    let expected = ["eventSent#1 absent e(0)", "eventSent#2 ended e(0)", "eventSent#3  e(0)", "eventSent#4 to Go(9)"];
    assert_eq!(history[2..], expected);
    assert!(client.find("absent").await.is_none());
    assert_eq!(client.history("ended").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_an_instance_sends_to_itself_arrives_in_its_next_turn() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![send(1, "a", "note", "to self")]).await;
    let next = worker.episode_of("a").await;
    assert_eq!(next.new_events(), ["orchestratorStarted", "eventRaised note(to self)"]);
    assert_eq!(next.past()[2], "eventSent#1 a note(to self)");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_may_terminate_another_instance_which_leaves_no_event_in_its_own_history() {
    let (_server, client, mut worker) = stand().await;
    client.start("victim", "o").await;
    worker.episode_of("victim").await.answer(vec![]).await;
    client.start("a", "o").await;
    worker
        .episode_of("a")
        .await
        .answer(vec![end_other(1, "victim", "because", true), end_other(2, "absent", "x", false)])
        .await;
    let victim = worker.episode_of("victim").await;
    assert_eq!(victim.new_events(), ["orchestratorStarted", "executionTerminated because recurse"]);
    assert_eq!(brief(&client.history("a").await), ["orchestratorStarted", "executionStarted o(-)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_result_of_one_call_is_ignored() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "w")]).await;
    let call = worker.call().await;
    call.complete("first").await;
    call.complete("second").await;
    call.fail(failure("third")).await;
    let episode = worker.episode_of("a").await;
    assert_eq!(episode.new_events(), ["orchestratorStarted", "taskCompleted->1 first"]);
    call.complete("fourth").await;
    episode.answer(vec![timer(2, from_now(Duration::from_millis(1)))]).await;
    assert_eq!(worker.episode_of("a").await.new_events(), ["orchestratorStarted", "timerFired->2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_end_sets_status_output_failure_and_the_time_of_the_end() {
    let (_server, client, mut worker) = stand().await;
    for status in [Status::Completed, Status::Failed, Status::Terminated, Status::Canceled] {
        let id = status.as_str_name();
        client.start(id, "o").await;
        let end = end_with(1, status, |c| {
            c.result = Some(format!("result of {id}"));
            c.failure_details = (status == Status::Failed).then(|| failure("why"));
            c.details = Some("unused".into());
        });
        worker.episode_of(id).await.answer(vec![end]).await;
        let state = client.end(id).await;
        assert_eq!(state.orchestration_status(), status);
        assert_eq!(state.output.unwrap(), format!("result of {id}"));
        assert_eq!(state.failure_details, (status == Status::Failed).then(|| failure("why")));
        assert!(micros(state.completed_timestamp.as_ref()) >= micros(state.created_timestamp.as_ref()));
    }
}

//! Sub-orchestrations: how they begin, how their ends reach the parent, and when they do not.

use crate::stand::*;

/// A parent that has started `kid` with action 3.
async fn family(client: &Client, worker: &mut Worker) -> (Episode, Episode) {
    client.start("parent", "P").await;
    let parent = worker.episode_of("parent").await;
    parent.answer(vec![child(3, "kid", "K")]).await;
    let kid = worker.episode_of("kid").await;
    (parent, kid)
}

fn child_failure(episode: &Episode) -> pb::TaskFailureDetails {
    let last = episode.request.new_events.last().unwrap();
    match &last.event_type {
        Some(EventType::SubOrchestrationInstanceFailed(failed)) => failed.failure_details.clone().expect("details"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_begins_with_what_the_parent_said_and_knows_its_parent() {
    let (_server, client, mut worker) = stand().await;
    client.start_with("parent", "P", |r| r.version = Some("9".into())).await.unwrap();
    let parent = worker.episode_of("parent").await;
    let action = child_with(3, "kid", "K", |c| {
        c.version = Some("1.0".into());
        c.input = Some("{}".into());
        c.tags = [("k".to_owned(), "v".to_owned())].into();
        c.parent_trace_context = Some(trace("3"));
    });
    parent.answer(vec![action]).await;
    let kid = worker.episode_of("kid").await;
    let expected = pb::ExecutionStartedEvent {
        name: "K".into(),
        version: Some("1.0".into()),
        input: Some("{}".into()),
        orchestration_instance: Some(pb::OrchestrationInstance {
            instance_id: "kid".into(),
            execution_id: Some(kid.execution().into()),
        }),
        parent_instance: Some(pb::ParentInstanceInfo {
            task_scheduled_id: 3,
            name: Some("P".into()),
            version: Some("9".into()),
            orchestration_instance: Some(pb::OrchestrationInstance {
                instance_id: "parent".into(),
                execution_id: Some(parent.execution().into()),
            }),
        }),
        parent_trace_context: Some(trace("3")),
        tags: [("k".to_owned(), "v".to_owned())].into(),
        ..Default::default()
    };
    assert_eq!(*kid.started(), expected);
    let state = client.get("kid").await;
    assert_eq!(state.orchestration_status(), Status::Pending);
    assert_eq!((state.parent_instance_id.as_deref(), state.version.as_deref()), (Some("parent"), Some("1.0")));
    assert_eq!((state.input.as_deref(), state.tags["k"].as_str()), (Some("{}"), "v"));
    let history = client.history("parent").await;
    let Some(EventType::SubOrchestrationInstanceCreated(created)) = &history[2].event_type else { panic!() };
    let expected = pb::SubOrchestrationInstanceCreatedEvent {
        instance_id: "kid".into(),
        name: "K".into(),
        version: Some("1.0".into()),
        input: Some("{}".into()),
        parent_trace_context: Some(trace("3")),
        tags: [("k".to_owned(), "v".to_owned())].into(),
    };
    assert_eq!((history[2].event_id, created), (3, &expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_without_an_id_gets_its_parents_and_four_hex_digits_of_the_action() {
    let (_server, client, mut worker) = stand().await;
    client.start("parent", "P").await;
    worker.episode_of("parent").await.answer(vec![child(26, "", "K")]).await;
    worker.episode_of("parent:001a").await;
    assert_eq!(brief(&client.history("parent").await)[2], "childCreated#26 parent:001a K");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_a_child_reaches_its_parent() {
    let (_server, client, mut worker) = stand().await;
    let (_, kid) = family(&client, &mut worker).await;
    kid.answer(vec![complete(1, "\"grown\"")]).await;
    assert_eq!(worker.episode_of("parent").await.new_events(), ["orchestratorStarted", "childCompleted->3 \"grown\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failure_of_a_child_reaches_its_parent_unchanged() {
    let (_server, client, mut worker) = stand().await;
    let (_, kid) = family(&client, &mut worker).await;
    kid.answer(vec![failed(1, failure("broken"))]).await;
    assert_eq!(child_failure(&worker.episode_of("parent").await), failure("broken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_was_terminated_or_canceled_fails_for_its_parent_with_details_made_here() {
    let (_server, client, mut worker) = stand().await;
    for (n, status) in [(1, Status::Terminated), (2, Status::Canceled), (3, Status::Failed)] {
        let (parent, kid) = (format!("parent{n}"), format!("kid{n}"));
        client.start(&parent, "P").await;
        worker.episode_of(&parent).await.answer(vec![child(n, &kid, "K")]).await;
        worker.episode_of(&kid).await.answer(vec![end_with(1, status, |_| {})]).await;
        let episode = worker.episode_of(&parent).await;
        assert!(episode.new_events()[1].starts_with(&format!("childFailed->{n} ")));
        let details = child_failure(&episode);
        assert!(!details.error_type.is_empty() && details.error_message.contains(&kid), "{details:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_whose_id_belongs_to_an_instance_that_has_not_ended_fails_for_the_parent() {
    let (_server, client, mut worker) = stand().await;
    client.start("taken", "somebody's").await;
    worker.episode_of("taken").await.answer(vec![]).await;
    client.start("parent", "P").await;
    worker.episode_of("parent").await.answer(vec![child(3, "taken", "K")]).await;
    let parent = worker.episode_of("parent").await;
    assert!(parent.new_events()[1].starts_with("childFailed->3 "), "{:?}", parent.new_events());
    assert!(child_failure(&parent).error_message.contains("taken"));
    let state = client.get("taken").await;
    assert_eq!((state.name.as_str(), state.orchestration_status()), ("somebody's", Status::Running));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_child_replaces_the_one_that_has_ended_under_its_id() {
    let (_server, client, mut worker) = stand().await;
    let (_, kid) = family(&client, &mut worker).await;
    kid.answer(vec![failed(1, failure("first try"))]).await;
    // The Python SDK: same instance id, same action id.
    worker.episode_of("parent").await.answer(vec![child(3, "kid", "K")]).await;
    let again = worker.episode_of("kid").await;
    assert_ne!(again.execution(), kid.execution());
    assert_eq!(again.new_events(), ["orchestratorStarted", "executionStarted K(-)"]);
    again.answer(vec![complete(1, "second try")]).await;
    assert_eq!(worker.episode_of("parent").await.new_events(), ["orchestratorStarted", "childCompleted->3 second try"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_child_is_dropped_if_its_parent_has_ended() {
    let (_server, client, mut worker) = stand().await;
    let (_, kid) = family(&client, &mut worker).await;
    client.raise("parent", "end", None).await.unwrap();
    worker.episode_of("parent").await.answer(vec![complete(4, "early")]).await;
    let before = client.history("parent").await;
    kid.answer(vec![complete(1, "late")]).await;
    assert_eq!(client.end("kid").await.orchestration_status(), Status::Completed);
    assert_eq!(client.history("parent").await, before);
    assert_eq!(client.describe("parent").await.inbox_events, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_child_does_not_reach_another_execution_of_its_parent() {
    let (_server, client, mut worker) = stand().await;
    let (_, kid) = family(&client, &mut worker).await;
    client.raise("parent", "again", None).await.unwrap();
    worker.episode_of("parent").await.answer(vec![continue_as_new(4, "2")]).await;
    // The new execution waits for a child of its own, under the same action id.
    worker.episode_of("parent").await.answer(vec![child(3, "second", "K")]).await;
    let second = worker.episode_of("second").await;
    kid.answer(vec![complete(1, "of the old one")]).await;
    second.answer(vec![complete(1, "of the new one")]).await;
    let parent = worker.episode_of("parent").await;
    assert_eq!(parent.new_events(), ["orchestratorStarted", "childCompleted->3 of the new one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_with_an_entitys_id_fails_for_the_parent_and_is_never_made() {
    let (_server, client, mut worker) = stand().await;
    client.start("parent", "P").await;
    worker.episode_of("parent").await.answer(vec![child(3, "@e@k", "K")]).await;
    let parent = worker.episode_of("parent").await;
    assert!(parent.new_events()[1].starts_with("childFailed->3 "));
    assert!(client.find("@e@k").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_an_instance_starts_under_its_own_id_fails_and_the_instance_goes_on() {
    let (_server, client, mut worker) = stand().await;
    client.start("self", "P").await;
    worker.episode_of("self").await.answer(vec![child(3, "self", "K")]).await;
    let next = worker.episode_of("self").await;
    assert!(next.new_events()[1].starts_with("childFailed->3 "), "{:?}", next.new_events());
    next.answer(vec![complete(4, "fine")]).await;
    assert_eq!(client.status("self").await, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_continues_as_new_answers_its_parent_with_its_last_generation() {
    let (_server, client, mut worker) = stand().await;
    let (parent, kid) = family(&client, &mut worker).await;
    kid.answer(vec![continue_as_new(1, "2")]).await;
    let second = worker.episode_of("kid").await;
    let link = second.started().parent_instance.clone().expect("the parent is known");
    assert_eq!(link.orchestration_instance.unwrap().execution_id.as_deref(), Some(parent.execution()));
    assert_eq!(link.task_scheduled_id, 3);
    second.answer(vec![continue_as_new(1, "3")]).await;
    worker.episode_of("kid").await.answer(vec![complete(1, "the last")]).await;
    assert_eq!(worker.episode_of("parent").await.new_events(), ["orchestratorStarted", "childCompleted->3 the last"]);
}

//! RewindInstance: a failed instance goes on from before its failure.
//!
//! The scheduler rewrites the history itself, with the result that the rewriting workers (Python, JavaScript) come to, so that it
//! works with those that cannot rewrite.

use crate::stand::*;

async fn rewind_of(client: &Client, id: &str, reason: &str) -> Result<(), tonic::Status> {
    let request = pb::RewindInstanceRequest { instance_id: id.into(), reason: Some(reason.into()) };
    soon("a rewind", client.rpc().rewind_instance(request)).await.map(drop)
}

/// An instance that called `good` and `bad`, and failed because `bad` did.
async fn failed_instance(client: &Client, worker: &mut Worker, id: &str) -> Episode {
    client.start_with(id, "o", |r| r.input = Some("in".into())).await.unwrap();
    worker.episode_of(id).await.answer(vec![call(1, "good")]).await;
    worker.call().await.complete("kept").await;
    worker.episode_of(id).await.answer(vec![call(2, "bad")]).await;
    worker.call().await.fail(failure("no")).await;
    let last = worker.episode_of(id).await;
    last.answer(vec![failed(-1, failure("because of bad"))]).await;
    assert_eq!(client.status(id).await, Status::Failed);
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn rewinding_what_is_not_there_is_not_found_and_what_has_not_failed_failed_precondition() {
    let (_server, client, mut worker) = stand().await;
    refused(rewind_of(&client, "none", "r").await, Code::NotFound);
    client.start("a", "o").await;
    refused(rewind_of(&client, "a", "r").await, Code::FailedPrecondition);
    worker.episode_of("a").await.answer(vec![complete(1, "")]).await;
    refused(rewind_of(&client, "a", "r").await, Code::FailedPrecondition);
    assert_eq!(client.status("a").await, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewound_instance_runs_with_neither_output_nor_failure_and_who_waits_waits_again() {
    let (_server, client, mut worker) = stand().await;
    failed_instance(&client, &mut worker, "a").await;
    rewind_of(&client, "a", "fixed").await.unwrap();
    let state = client.get("a").await;
    assert_eq!(state.orchestration_status(), Status::Running);
    assert_eq!((&state.output, &state.failure_details, &state.completed_timestamp), (&None, &None, &None));
    assert_eq!(state.input.as_deref(), Some("in"));
    let wait = {
        let client = client.clone();
        tokio::spawn(async move { client.end("a").await })
    };
    worker.episode_of("a").await.answer(vec![complete(2, "at last")]).await;
    assert_eq!(soon("the wait", wait).await.unwrap().output.as_deref(), Some("at last"));
    refused(rewind_of(&client, "a", "again").await, Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rewound_history_lacks_failures_and_the_end_and_keeps_what_succeeded() {
    let (_server, client, mut worker) = stand().await;
    let before = failed_instance(&client, &mut worker, "a").await;
    rewind_of(&client, "a", "fixed").await.unwrap();
    let episode = worker.episode_of("a").await;
    let expected = [
        "orchestratorStarted",
        "executionStarted o(in)",
        "taskScheduled#1 good(-)",
        "orchestratorStarted",
        "taskCompleted->1 kept",
        "orchestratorStarted",
    ];
    assert_eq!(episode.past(), expected);
    // Workers of some SDKs fail an instance whose events they do not know, so they are not shown the rewind itself.
    assert_eq!(episode.new_events(), ["orchestratorStarted"]);
    assert_ne!(episode.execution(), before.execution());
    let instance = episode.started().orchestration_instance.clone().unwrap();
    assert_eq!(instance.execution_id.as_deref(), Some(episode.execution()), "executionStarted names the new execution");
    assert_eq!(client.history("a").await, episode.request.past_events);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failed_activity_runs_again_under_its_id_and_the_good_one_does_not() {
    let (_server, client, mut worker) = stand().await;
    failed_instance(&client, &mut worker, "a").await;
    rewind_of(&client, "a", "fixed").await.unwrap();
    worker.episode_of("a").await.answer(vec![call(2, "bad")]).await;
    let again = worker.call().await;
    assert_eq!((again.request.name.as_str(), again.request.task_id), ("bad", 2));
    again.complete("good now").await;
    let last = worker.episode_of("a").await;
    assert_eq!(last.new_events(), ["orchestratorStarted", "taskCompleted->2 good now"]);
    last.answer(vec![complete(3, "done")]).await;
    let history = brief(&client.history("a").await);
    let rewound = history.iter().position(|e| e.starts_with("executionRewound")).expect("it is kept");
    assert_eq!(history[rewound + 1], "taskScheduled#2 bad(-)");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_before_the_rewind_does_not_reach_the_new_execution() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "slow"), failed(2, failure("at once"))]).await;
    let slow = worker.call().await;
    rewind_of(&client, "a", "r").await.unwrap();
    let episode = worker.episode_of("a").await;
    // Its call is in the history, so it is open again, as a new delivery.
    let again = worker.call().await;
    assert_ne!(again.token, slow.token);
    slow.complete("of the old execution").await;
    episode.answer(vec![]).await;
    again.complete("of the new one").await;
    let events = worker.episode_of("a").await.new_events();
    assert_eq!(events, ["orchestratorStarted", "taskCompleted->1 of the new one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_child_is_rewound_with_its_parent_and_answers_it() {
    let (_server, client, mut worker) = stand().await;
    client.start("parent", "P").await;
    worker.episode_of("parent").await.answer(vec![child(1, "good", "K"), child(2, "bad", "K")]).await;
    for _ in 0..2 {
        let kid = worker.episode().await;
        match kid.id() {
            "good" => kid.answer(vec![complete(1, "kept")]).await,
            _ => kid.answer(vec![failed(1, failure("no"))]).await,
        }
    }
    loop {
        let parent = worker.episode_of("parent").await;
        let seen = [parent.past(), parent.new_events()].concat();
        if seen.iter().filter(|e| e.contains("->")).count() == 2 {
            parent.answer(vec![failed(3, failure("because of bad"))]).await;
            break;
        }
        parent.answer(vec![]).await;
    }
    // A worker of ours is told of the rewind.
    drop(worker);
    let mut worker = Worker::connect(&client.clone().saying("durawasm-api", "1")).await;
    rewind_of(&client, "parent", "fixed").await.unwrap();
    let mut seen = [worker.episode().await, worker.episode().await];
    seen.sort_by_key(|e| e.id().to_owned());
    let [kid, parent] = &seen;
    assert_eq!((kid.id(), parent.id()), ("bad", "parent"));
    let past = parent.past();
    assert!(past.contains(&"childCompleted->1 kept".to_owned()) && past.contains(&"childCreated#2 bad K".to_owned()));
    assert!(!past.iter().any(|e| e.starts_with("childFailed")), "{past:?}");
    let Some(EventType::ExecutionRewound(rewound)) = &kid.request.new_events[1].event_type else { panic!("{kid:?}") };
    assert_eq!(rewound.parent_execution_id.as_deref(), Some(parent.execution()));
    parent.answer(vec![]).await;
    kid.answer(vec![complete(1, "good now")]).await;
    assert_eq!(worker.episode_of("parent").await.new_events(), ["orchestratorStarted", "childCompleted->2 good now"]);
    assert_eq!(client.status("good").await, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_child_that_was_purged_is_created_afresh() {
    let (_server, client, mut worker) = stand().await;
    client.start("parent", "P").await;
    let action = child_with(1, "kid", "K", |c| c.input = Some("in".into()));
    worker.episode_of("parent").await.answer(vec![action]).await;
    worker.episode_of("kid").await.answer(vec![failed(1, failure("no"))]).await;
    worker.episode_of("parent").await.answer(vec![failed(2, failure("because of kid"))]).await;
    let purge = pb::PurgeInstancesRequest {
        request: Some(pb::purge_instances_request::Request::InstanceId("kid".into())),
        ..Default::default()
    };
    assert_eq!(client.rpc().purge_instances(purge).await.unwrap().into_inner().deleted_instance_count, 1);
    rewind_of(&client, "parent", "fixed").await.unwrap();
    let mut seen = [worker.episode().await, worker.episode().await];
    seen.sort_by_key(|e| e.id().to_owned());
    assert_eq!(seen[0].new_events(), ["orchestratorStarted", "executionStarted K(in)"]);
    seen[1].answer(vec![]).await;
    seen[0].answer(vec![complete(1, "born again")]).await;
    assert_eq!(worker.episode_of("parent").await.new_events(), ["orchestratorStarted", "childCompleted->1 born again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_item_of_a_rewound_instance_holds_an_end_in_its_past() {
    let (_server, client, mut worker) = stand().await;
    failed_instance(&client, &mut worker, "a").await;
    for round in 0..3 {
        rewind_of(&client, "a", &round.to_string()).await.unwrap();
        let episode = worker.episode_of("a").await;
        assert!(!episode.past().iter().any(|e| e.starts_with("executionCompleted") || e.starts_with("taskFailed")));
        let request = pb::StreamInstanceHistoryRequest {
            instance_id: "a".into(),
            execution_id: Some(episode.execution().into()),
            for_work_item_processing: true,
        };
        let streamed: Vec<_> = client.chunks(request).await.unwrap().into_iter().flat_map(|c| c.events).collect();
        assert_eq!(streamed, episode.request.past_events, "round {round}");
        episode.answer(vec![failed(-1, failure("again"))]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewound_child_alone_answers_a_parent_only_if_that_waits() {
    let (_server, client, mut worker) = stand().await;
    client.start("parent", "P").await;
    worker.episode_of("parent").await.answer(vec![child(1, "kid", "K")]).await;
    worker.episode_of("kid").await.answer(vec![failed(1, failure("no"))]).await;
    worker.episode_of("parent").await.answer(vec![complete(2, "went on")]).await;
    let before = client.history("parent").await;
    rewind_of(&client, "kid", "alone").await.unwrap();
    worker.episode_of("kid").await.answer(vec![complete(1, "late")]).await;
    assert_eq!(client.end("kid").await.orchestration_status(), Status::Completed);
    assert_eq!(client.history("parent").await, before);
}

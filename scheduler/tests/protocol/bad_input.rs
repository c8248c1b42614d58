//! Workers and clients that make mistakes, or lie: each gets a code that its SDK understands, and no instance comes to harm.

use crate::stand::*;

/// A refusal must not look like a failure of the transport, which SDKs answer by sending the same thing again.
#[track_caller]
fn refused_for_good<T: std::fmt::Debug>(answer: Result<T, tonic::Status>) {
    let status = answer.expect_err("it is refused");
    assert!(!RETRIED.contains(&status.code()) && !status.message().is_empty(), "{status:?}");
}

/// The instance is as it was: it gets its item again, and ends well.
async fn unharmed(client: &Client, worker: &mut Worker, refused: &Episode) {
    let again = worker.episode_of(refused.id()).await;
    assert_eq!(again.request.new_events[1..], refused.request.new_events[1..]);
    assert_eq!(again.request.past_events, refused.request.past_events);
    again.answer(vec![complete(99, "well")]).await;
    assert_eq!(client.get(refused.id()).await.output.as_deref(), Some("well"));
}

/// An episode of a new instance `a`.
async fn episode(client: &Client, worker: &mut Worker) -> Episode {
    client.start("a", "o").await;
    worker.episode_of("a").await
}

// ---- answers to episodes -----------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_twice_counts_once_also_if_the_second_says_something_else() {
    let (_server, client, mut worker) = stand().await;
    let first = episode(&client, &mut worker).await;
    first.answer(vec![call(1, "w")]).await;
    first.answer(vec![call(1, "w")]).await;
    first.answer(vec![complete(1, "another opinion")]).await;
    first.abandon().await.expect("ignored");
    worker.call().await.complete("1").await;
    let next = worker.episode_of("a").await;
    assert_eq!(next.past(), ["orchestratorStarted", "executionStarted o(-)", "taskScheduled#1 w(-)"]);
    first.answer(vec![complete(1, "yet another")]).await;
    next.answer(vec![complete(2, "mine")]).await;
    assert_eq!(client.get("a").await.output.as_deref(), Some("mine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_name_of_another_instance_is_refused() {
    let (_server, client, mut worker) = stand().await;
    client.start("victim", "o").await;
    let victim = worker.episode_of("victim").await;
    let mine = episode(&client, &mut worker).await;
    let mut lie = mine.response(vec![complete(1, "not mine")]);
    lie.instance_id = "victim".into();
    refused(mine.send(lie).await, Code::InvalidArgument);
    assert_eq!(client.status("victim").await, Status::Pending);
    victim.answer(vec![complete(1, "fine")]).await;
    unharmed(&client, &mut worker, &mine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_an_action_that_says_nothing_is_refused() {
    let (_server, client, mut worker) = stand().await;
    let item = episode(&client, &mut worker).await;
    let empty = pb::OrchestratorAction { id: 2, orchestrator_action_type: None };
    refused(item.send(item.response(vec![call(1, "w"), empty])).await, Code::InvalidArgument);
    assert_eq!(client.describe("a").await.open_activities, 0, "nothing of it is kept");
    unharmed(&client, &mut worker, &item).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_two_ends_is_refused() {
    let (_server, client, mut worker) = stand().await;
    let item = episode(&client, &mut worker).await;
    let two = item.response(vec![complete(1, "one"), continue_as_new(2, "two")]);
    refused(item.send(two).await, Code::InvalidArgument);
    unharmed(&client, &mut worker, &item).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewind_that_nobody_asked_for_is_refused() {
    let (_server, client, mut worker) = stand().await;
    let item = episode(&client, &mut worker).await;
    refused(item.send(item.response(vec![rewind(-1, Vec::new())])).await, Code::InvalidArgument);
    unharmed(&client, &mut worker, &item).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_in_a_status_that_is_no_end_fails_the_instance_and_says_why() {
    let (_server, client, mut worker) = stand().await;
    for (id, number) in [("running", 0), ("pending", 6), ("suspended", 7), ("unknown", 99)] {
        client.start(id, "o").await;
        let mut action = complete(1, "");
        if let Some(pb::orchestrator_action::OrchestratorActionType::CompleteOrchestration(end)) =
            &mut action.orchestrator_action_type
        {
            end.orchestration_status = number;
        }
        worker.episode_of(id).await.answer(vec![action]).await;
        let state = client.end(id).await;
        assert_eq!(state.orchestration_status(), Status::Failed);
        let why = state.failure_details.expect("a failed instance says why");
        assert!(why.error_message.contains("status"), "{why:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn carrying_over_anything_but_external_events_fails_the_instance_and_says_why() {
    let (_server, client, mut worker) = stand().await;
    let item = episode(&client, &mut worker).await;
    let started = item.request.new_events[1].clone();
    item.answer(vec![end_with(1, Status::ContinuedAsNew, |c| c.carryover_events = vec![started])]).await;
    let state = client.end("a").await;
    assert_eq!(state.orchestration_status(), Status::Failed);
    assert!(state.failure_details.unwrap().error_message.contains("external events"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_of_processed_events_out_of_range_counts_as_the_nearest_that_makes_sense() {
    let (_server, client, mut worker) = stand().await;
    let item = episode(&client, &mut worker).await;
    let mut response = item.response(vec![]);
    response.num_events_processed = Some(-7);
    item.send(response).await.expect("none was processed");
    let again = worker.episode_of("a").await;
    assert_eq!(again.new_events(), ["orchestratorStarted", "executionStarted o(-)"]);
    let mut response = again.response(vec![timer(1, 0)]);
    response.num_events_processed = Some(i32::MAX);
    again.send(response).await.expect("all were processed");
    assert_eq!(worker.episode_of("a").await.new_events(), ["orchestratorStarted", "timerFired->1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_an_answer_may_come_in_any_order() {
    let (_server, client, mut worker) = stand().await;
    let item = episode(&client, &mut worker).await;
    for index in [2, 0, 1] {
        let mut part = item.response(vec![call(index, "w")]);
        (part.is_partial, part.chunk_index) = (true, Some(index));
        item.send(part).await.unwrap();
    }
    let mut last = item.response(vec![call(3, "w")]);
    last.chunk_index = Some(3);
    item.send(last).await.unwrap();
    for id in 0..4 {
        assert_eq!(worker.call().await.request.task_id, id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_parts_do_not_end_is_refused_and_the_instance_goes_elsewhere() {
    let (_server, client, mut worker) = stand().await;
    let item = episode(&client, &mut worker).await;
    let mut sent = 0;
    let end = loop {
        let mut part = item.response(vec![call(1, "w")]);
        (part.is_partial, part.chunk_index) = (true, Some(sent));
        match item.send(part).await {
            Ok(()) => sent += 1,
            Err(status) => break Err::<(), _>(status),
        }
        assert!(sent < 100_000, "it may go on for ever");
    };
    refused_for_good(end);
    unharmed(&client, &mut worker, &item).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_parts_grow_without_bound_is_refused() {
    let (_server, client, mut worker) = stand().await;
    let item = episode(&client, &mut worker).await;
    let payload = "x".repeat(1 << 20);
    let calls: Vec<_> = (0..16).map(|n| call_with(n, "w", |c| c.input = Some(payload.clone()))).collect();
    let mut sent = 0;
    let end = loop {
        let mut part = item.response(calls.clone());
        (part.is_partial, part.chunk_index) = (true, Some(sent));
        match item.send(part).await {
            Ok(()) => sent += 1,
            Err(status) => break Err::<(), _>(status),
        }
        assert!(sent < 100, "it fills the memory");
    };
    refused_for_good(end);
    unharmed(&client, &mut worker, &item).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_asks_for_the_history_it_was_given_gets_it_later_and_holds_up_nobody() {
    let (_server, client, mut worker) = stand().await;
    let item = episode(&client, &mut worker).await;
    for _ in 0..2 {
        let again = item.clone();
        let mut response = again.response(vec![]);
        response.requires_history = true;
        again.send(response).await.unwrap();
    }
    client.start("marker", "o").await;
    let mut seen = [worker.episode().await, worker.episode().await];
    seen.sort_by_key(|e| e.id().to_owned());
    assert_eq!([seen[0].id(), seen[1].id()], ["a", "marker"]);
    seen[0].answer(vec![complete(1, "well")]).await;
}

// ---- sizes -------------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_over_the_limit_is_refused_with_the_limit_and_changes_nothing() {
    let server = Server::with(|o| o.limits.payload_bytes = 1_000).await;
    let client = server.client();
    let (fits, large) = ("x".repeat(1_000), "x".repeat(1_001));
    let start = client.start_with("large", "o", |r| r.input = Some(large.clone())).await;
    assert!(start.as_ref().is_err_and(|s| s.message().contains("1000")), "{start:?}");
    refused(start, Code::InvalidArgument);
    assert!(client.find("large").await.is_none());
    client.start_with("a", "o", |r| r.input = Some(fits.clone())).await.unwrap();
    refused(client.raise("a", "go", Some(&large)).await, Code::InvalidArgument);
    refused(client.terminate("a", Some(&large), false).await, Code::InvalidArgument);
    refused(client.suspend("a", Some(&large)).await, Code::InvalidArgument);
    refused(client.resume("a", Some(&large)).await, Code::InvalidArgument);
    client.raise("a", "go", Some(&fits)).await.unwrap();
    let mut worker = Worker::connect(&client).await;
    let item = worker.episode_of("a").await;
    assert_eq!(item.new_events()[1..], [format!("executionStarted o({fits})"), format!("eventRaised go({fits})")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_whose_answer_holds_too_large_a_payload_fails_and_says_which() {
    let server = Server::with(|o| o.limits.payload_bytes = 1_000).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    let large = "x".repeat(1_001);
    let raised = pb::EventRaisedEvent { name: "go".into(), input: Some(large.clone()) };
    let carried = pb::HistoryEvent { event_type: Some(EventType::EventRaised(raised)), ..Default::default() };
    let answers: [(&str, Vec<pb::OrchestratorAction>, Option<String>); 6] = [
        ("custom status", vec![], Some(large.clone())),
        ("output", vec![complete(1, &large)], None),
        ("activity", vec![call_with(1, "w", |c| c.input = Some(large.clone()))], None),
        ("child", vec![child_with(1, "kid", "k", |c| c.input = Some(large.clone()))], None),
        ("event", vec![send(1, "other", "e", &large)], None),
        ("event", vec![end_with(1, Status::ContinuedAsNew, |c| c.carryover_events = vec![carried])], None),
    ];
    for (n, (what, actions, status)) in answers.into_iter().enumerate() {
        let id = format!("i{n}");
        client.start(&id, "o").await;
        let item = worker.episode_of(&id).await;
        let mut response = item.response(actions);
        response.custom_status = status;
        item.send(response).await.expect("the failure is committed");
        let state = client.end(&id).await;
        let why = state.failure_details.expect("it failed");
        assert_eq!(
            (state.orchestration_status.try_into(), why.error_type.as_str()),
            (Ok(Status::Failed), "PayloadTooLarge")
        );
        assert!(why.error_message.contains(what) && why.is_non_retriable, "{why:?}");
    }
    assert!(client.find("kid").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_over_the_limit_fails_the_activity_and_not_its_worker() {
    let server = Server::with(|o| o.limits.payload_bytes = 1_000).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    episode(&client, &mut worker).await.answer(vec![call(1, "w")]).await;
    worker.call().await.complete(&"x".repeat(1_001)).await;
    let next = worker.episode_of("a").await;
    let Some(EventType::TaskFailed(failed)) = &next.request.new_events[1].event_type else { panic!("{next:?}") };
    assert_eq!(failed.failure_details.as_ref().unwrap().error_type, "PayloadTooLarge");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_several_mebibytes_is_cut_so_that_every_client_can_read_it() {
    let (_server, client, mut worker) = stand().await;
    episode(&client, &mut worker).await.answer(vec![call(1, "w")]).await;
    let mut large = failure(&"m".repeat(3 << 20));
    large.stack_trace = Some("s".repeat(3 << 20));
    worker.call().await.fail(large.clone()).await;
    worker.episode_of("a").await.answer(vec![failed(2, large)]).await;
    // Both readers accept 4 MiB and no more.
    let state = client.end("a").await;
    assert!(state.failure_details.unwrap().error_message.starts_with("mmm"));
    assert_eq!(client.history("a").await.len(), 6);
}

// ---- clients -----------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_an_instance_id_or_with_one_that_is_too_long_are_invalid_argument() {
    let server = Server::start().await;
    let client = server.client();
    for id in ["", &"x".repeat(1_025)] {
        refused(client.raise(id, "go", None).await, Code::InvalidArgument);
        refused(client.terminate(id, None, true).await, Code::InvalidArgument);
        refused(client.suspend(id, None).await, Code::InvalidArgument);
        refused(client.resume(id, None).await, Code::InvalidArgument);
        let mut rpc = client.rpc();
        let get = || pb::GetInstanceRequest { instance_id: id.into(), ..Default::default() };
        refused(rpc.get_instance(get()).await, Code::InvalidArgument);
        refused(rpc.wait_for_instance_start(get()).await, Code::InvalidArgument);
        refused(rpc.wait_for_instance_completion(get()).await, Code::InvalidArgument);
        let rewind = pb::RewindInstanceRequest { instance_id: id.into(), ..Default::default() };
        refused(rpc.rewind_instance(rewind).await, Code::InvalidArgument);
        let restart = pb::RestartInstanceRequest { instance_id: id.into(), ..Default::default() };
        refused(rpc.restart_instance(restart).await, Code::InvalidArgument);
        let history = pb::StreamInstanceHistoryRequest { instance_id: id.into(), ..Default::default() };
        refused(client.chunks(history).await, Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_name_is_invalid_argument() {
    let server = Server::start().await;
    server.client().start("a", "o").await;
    refused(server.client().raise("a", "", None).await, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_filters_that_make_no_sense_do_no_harm() {
    let server = Server::start().await;
    let client = server.client();
    let mut odd = Worker::with(&client, |r| {
        r.max_concurrent_orchestration_work_items = -5;
        r.max_concurrent_activity_work_items = i32::MIN;
        r.capabilities = vec![0, 3, 99];
        r.work_item_filters = Some(pb::WorkItemFilters {
            orchestrations: vec![Default::default(), pb::OrchestrationFilter { name: "o".into(), versions: vec![] }],
            ..Default::default()
        });
    })
    .await;
    client.start("a", "o").await;
    odd.episode_of("a").await.answer(vec![complete(1, "")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_an_execution_that_is_not_the_current_one_is_not_found() {
    let (_server, client, mut worker) = stand().await;
    let first = episode(&client, &mut worker).await;
    first.answer(vec![continue_as_new(1, "2")]).await;
    for execution in [first.execution(), "invented"] {
        let request = pb::StreamInstanceHistoryRequest {
            instance_id: "a".into(),
            execution_id: Some(execution.into()),
            for_work_item_processing: true,
        };
        refused(client.chunks(request).await, Code::NotFound);
    }
}

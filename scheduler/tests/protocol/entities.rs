//! Durable entities: signals and calls, their order, state, and how clients see them.

use std::time::Duration;

use crate::stand::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_creates_the_entity_and_reaches_its_worker_without_a_state() {
    let (_server, client, mut worker) = stand().await;
    assert_eq!(client.entity("@counter@a").await, None);
    client.signal("@counter@a", "add", Some("5")).await;
    let batch = worker.batch_of("@counter@a").await;
    assert_eq!((batch.operations(), batch.state()), (vec!["add(5)".to_owned()], None));
    assert_eq!(batch.request.execution_id.len(), 32);
    let event = &batch.request.operation_requests[0];
    assert!(event.timestamp.is_some());
    let Some(EventType::EntityOperationSignaled(signal)) = &event.event_type else { panic!("{event:?}") };
    assert_eq!(signal.request_id.len(), 36, "an id is made where the client gives none, and it is a UUID");
    batch.run(Some("5")).await;

    client.signal("@counter@a", "add", Some("6")).await;
    let batch = worker.batch_of("@counter@a").await;
    assert_eq!(batch.state(), Some("5"));
    batch.run(Some("11")).await;
    assert_eq!(client.state("@counter@a").await.as_deref(), Some("11"));
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_of_one_entity_come_in_the_order_of_their_arrival_one_batch_at_a_time() {
    let (_server, client, mut worker) = stand().await;
    client.signal("@e@k", "first", None).await;
    let first = worker.batch().await;
    for number in 0..5 {
        client.signal("@e@k", "later", Some(&number.to_string())).await;
    }
    client.signal("@e@other", "alone", None).await;
    let other = worker.batch_of("@e@other").await;
    other.run(Some("x")).await;
    assert_eq!(worker.kept(), 0, "no second batch of an entity while a worker has one");
    first.run(Some("1")).await;
    let batch = worker.batch_of("@e@k").await;
    assert_eq!(batch.operations(), ["later(0)", "later(1)", "later(2)", "later(3)", "later(4)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_bounded() {
    let server = Server::with(|options| options.limits.entity_operations = 3).await;
    let client = server.client();
    for number in 0..7 {
        client.signal("@e@k", "o", Some(&number.to_string())).await;
    }
    let mut worker = Worker::connect(&client).await;
    let mut seen = Vec::new();
    for expected in [3, 3, 1] {
        let batch = worker.batch().await;
        assert_eq!(batch.operations().len(), expected);
        seen.extend(batch.operations());
        batch.run(Some("s")).await;
    }
    assert_eq!(seen, (0..7).map(|n| format!("o({n})")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestration_calls_an_entity_and_gets_the_result_exactly_once() {
    let (_server, client, mut worker) = stand().await;
    client.start("o", "caller").await;
    let episode = worker.episode().await;
    let execution = episode.execution().to_owned();
    episode.answer(vec![call_entity(1, "@counter@a", "add", "5")]).await;

    let batch = worker.batch().await;
    let event = &batch.request.operation_requests[0];
    let Some(EventType::EntityOperationCalled(called)) = &event.event_type else { panic!("{event:?}") };
    assert_eq!(called.parent_instance_id.as_deref(), Some("o"));
    assert_eq!(called.parent_execution_id.as_deref(), Some(execution.as_str()));
    assert_eq!((called.request_id.as_str(), called.operation.as_str()), (request(1).as_str(), "add"));
    batch.answer(&["15"], Some("15")).await;
    // The first answer counts, and counts once.
    batch.answer(&["16"], Some("16")).await;

    let episode = worker.episode().await;
    assert_eq!(
        episode.past(),
        ["orchestratorStarted", "executionStarted caller(-)", "entityCalled#1 @counter@a add(5)"]
    );
    assert_eq!(episode.new_events()[1..], [format!("entityCompleted->{} 15", request(1))]);
    assert_eq!(episode.request.new_events[1].event_id, -1);
    episode.answer(vec![complete(2, "done")]).await;
    client.end("o").await;
    assert_eq!(client.state("@counter@a").await.as_deref(), Some("15"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_episode_says_that_there_are_entities_and_that_their_messages_need_no_reordering() {
    let (_server, client, mut worker) = stand().await;
    client.start("o", "any").await;
    let parameters = worker.episode().await.request.entity_parameters.expect("they are there");
    assert_eq!(parameters.entity_message_reorder_window, Some(prost_types::Duration::default()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_operation_fails_its_call_and_the_batch_goes_on() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::only(&client, &["caller"]).await;
    client.start("o", "caller").await;
    let episode = worker.episode().await;
    episode.answer(vec![call_entity(1, "@e@k", "bad", "1"), call_entity(2, "@e@k", "good", "2")]).await;
    let mut entities = Worker::with(&client, |request| {
        let entities = vec![pb::EntityFilter { name: "E".into() }];
        request.work_item_filters = Some(pb::WorkItemFilters { entities, ..Default::default() });
    })
    .await;
    let batch = entities.batch().await;
    assert_eq!(batch.operations(), ["bad(1)!", "good(2)!"]);
    let mut response = batch.response(&["", "fine"], Some("after"));
    let failed = pb::OperationResultFailure { failure_details: Some(failure("it is bad")), ..Default::default() };
    response.results[0].result_type = Some(pb::operation_result::ResultType::Failure(failed));
    batch.send(response).await.expect("it is accepted");

    let episode = worker.episode().await;
    let news = episode.new_events();
    assert_eq!(
        news[1..],
        [format!("entityFailed->{} it is bad", request(1)), format!("entityCompleted->{} fine", request(2))]
    );
    let Some(EventType::EntityOperationFailed(failed)) = &episode.request.new_events[1].event_type else { panic!() };
    assert_eq!(failed.failure_details, Some(failure("it is bad")), "the failure comes through unchanged");
    assert_eq!(client.state("@e@k").await.as_deref(), Some("after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_of_orchestrations_are_in_their_history_and_run_also_if_the_orchestration_has_ended() {
    let (_server, client, mut worker) = stand().await;
    client.start("o", "signals").await;
    let episode = worker.episode().await;
    episode
        .answer(vec![signal_entity(1, "@E@K", "one", None), complete(2, "done"), signal_entity(3, "@e@K", "two", None)])
        .await;
    client.end("o").await;
    let history = brief(&client.history("o").await);
    assert_eq!(
        history[2..],
        ["entitySignaled#1 @E@K one(-)", "entitySignaled#3 @e@K two(-)", "executionCompleted#2 COMPLETED done"],
        "the target is recorded as it was given"
    );
    let batch = worker.batch_of("@e@K").await;
    assert_eq!(batch.operations(), ["one(-)", "two(-)"], "names are the same in upper and lower case");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_keep_their_case_and_names_do_not() {
    let (_server, client, mut worker) = stand().await;
    client.signal("@Counter@Key", "o", None).await;
    worker.batch_of("@counter@Key").await.run(Some("upper")).await;
    client.signal("@counter@key", "o", None).await;
    worker.batch_of("@counter@key").await.run(Some("lower")).await;
    assert_eq!(client.state("@COUNTER@Key").await.as_deref(), Some("upper"));
    assert_eq!(client.state("@counter@key").await.as_deref(), Some("lower"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_signals_others_and_itself_and_starts_orchestrations() {
    let (_server, client, mut worker) = stand().await;
    client.signal("@e@a", "go", None).await;
    let batch = worker.batch().await;
    let signal = |target: &str, name: &str, due: Option<i64>| {
        pb::operation_action::OperationActionType::SendSignal(pb::SendSignalAction {
            instance_id: target.into(),
            name: name.into(),
            input: Some("in".into()),
            scheduled_time: due.map(at),
            ..Default::default()
        })
    };
    let start = |id: &str, due: Option<i64>| {
        pb::operation_action::OperationActionType::StartNewOrchestration(pb::StartNewOrchestrationAction {
            instance_id: id.into(),
            name: "started".into(),
            version: Some("1.2".into()),
            input: Some("by an entity".into()),
            scheduled_time: due.map(at),
            parent_trace_context: Some(trace("7")),
            ..Default::default()
        })
    };
    let mut response = batch.response(&[""], Some("1"));
    let actions = [
        signal("@e@a", "again", None),
        signal("@F@b", "hello", None),
        signal("@f@c", "later", Some(from_now(Duration::from_millis(300)))),
        start("given", None),
        start("", None),
        start("later", Some(from_now(Duration::from_secs(3_600)))),
    ];
    response.actions =
        (1..).zip(actions).map(|(id, kind)| pb::OperationAction { id, operation_action_type: Some(kind) }).collect();
    batch.send(response).await.expect("it is accepted");

    let (mut batches, mut episodes) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        batches.push(worker.batch().await);
        episodes.push(worker.episode().await);
    }
    batches.push(worker.batch().await);
    assert_eq!(batches[2].id(), "@f@c", "what is scheduled comes at its time");
    batches.sort_by_key(|batch| batch.id().to_owned());
    let of = |batch: &Batch| (batch.id().to_owned(), batch.operations()[0].clone());
    assert_eq!(of(&batches[0]), ("@e@a".into(), "again(in)".into()));
    assert_eq!(of(&batches[1]), ("@f@b".into(), "hello(in)".into()));
    episodes.sort_by_key(|episode| episode.id() != "given");
    assert_eq!(episodes[0].id(), "given");
    assert_eq!(episodes[1].id().len(), 32, "an id is made: {}", episodes[1].id());
    let started = episodes[0].started();
    assert_eq!((started.name.as_str(), started.version.as_deref()), ("started", Some("1.2")));
    assert_eq!((started.input.as_deref(), &started.parent_trace_context), (Some("by an entity"), &Some(trace("7"))));
    assert_eq!(client.status("later").await, Status::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_for_later_is_held_and_the_entity_is_not_there_until_then() {
    let (_server, client, mut worker) = stand().await;
    let due = from_now(Duration::from_millis(400));
    client.signal_with("@e@k", "later", |signal| signal.scheduled_time = Some(at(due))).await.expect("it is accepted");
    assert_eq!(client.entity("@e@k").await, None, "nothing is in its queue");
    client.signal("@e@k", "now", None).await;
    worker.batch().await.run(Some("1")).await;
    assert_eq!(worker.batch().await.operations(), ["later(-)"]);
    assert!(from_now(Duration::ZERO) >= due);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_without_state_is_gone_and_begins_anew_with_its_next_message() {
    let (_server, client, mut worker) = stand().await;
    for (left, state) in [(Some(""), None), (None, None), (Some("kept"), Some("kept".to_owned()))] {
        client.signal("@e@k", "set", None).await;
        let batch = worker.batch().await;
        assert_eq!(batch.state(), None, "nothing is left of the time before");
        batch.run(left).await;
        assert_eq!(client.state("@e@k").await, state, "an empty state is none");
        assert_eq!(client.entity("@e@k").await.is_some(), state.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_of_an_entity_tells_its_backlog_and_its_last_change() {
    let server = Server::start().await;
    let client = server.client();
    client.signal("@e@k", "o", None).await;
    client.signal("@e@k", "o", None).await;
    let before = client.entity("@e@k").await.expect("it has a backlog");
    assert_eq!((before.backlog_queue_size, before.serialized_state), (2, None));
    let mut worker = Worker::connect(&client).await;
    worker.batch().await.run(Some("s")).await;
    let after = client.entity("@e@k").await.expect("it has a state");
    assert_eq!((after.backlog_queue_size, after.locked_by), (0, None));
    assert!(micros(after.last_modified_time.as_ref()) > micros(before.last_modified_time.as_ref()));
    let bare = pb::GetEntityRequest { instance_id: "@e@k".into(), include_state: false };
    let bare = client.rpc().get_entity(bare).await.expect("it works").into_inner().entity.expect("it is there");
    assert_eq!(bare.serialized_state, None, "the state only on request");
}

async fn query(client: &Client, change: impl FnOnce(&mut pb::EntityQuery)) -> pb::QueryEntitiesResponse {
    let mut query = pb::EntityQuery::default();
    change(&mut query);
    let request = pb::QueryEntitiesRequest { query: Some(query) };
    client.rpc().query_entities(request).await.expect("it works").into_inner()
}

fn ids(response: &pb::QueryEntitiesResponse) -> Vec<&str> {
    response.entities.iter().map(|entity| entity.instance_id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_are_queried_by_prefix_time_and_state_page_by_page() {
    let (_server, client, mut worker) = stand().await;
    for id in ["@a@1", "@a@2", "@b@1"] {
        client.signal(id, "o", None).await;
        worker.batch_of(id).await.run(Some(id)).await;
    }
    let middle = client.entity("@a@2").await.expect("it is there").last_modified_time;
    client.signal("@a@transient", "o", None).await;
    let held = worker.batch().await;

    assert_eq!(ids(&query(&client, |_| {}).await), ["@a@1", "@a@2", "@b@1"]);
    assert_eq!(ids(&query(&client, |q| q.instance_id_starts_with = Some("@A@".into())).await), ["@a@1", "@a@2"]);
    assert_eq!(ids(&query(&client, |q| q.instance_id_starts_with = Some("@b".into())).await), ["@b@1"]);
    assert_eq!(ids(&query(&client, |q| q.last_modified_from = middle).await), ["@a@2", "@b@1"], "from is in it");
    assert_eq!(ids(&query(&client, |q| q.last_modified_to = middle).await), ["@a@1"], "to is not");
    let all = query(&client, |q| (q.include_transient, q.include_state) = (true, true)).await;
    assert_eq!(ids(&all), ["@a@1", "@a@2", "@a@transient", "@b@1"]);
    assert_eq!((all.entities[0].serialized_state.as_deref(), all.entities[2].backlog_queue_size), (Some("@a@1"), 1));
    held.run(None).await;

    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let page = query(&client, |q| (q.page_size, q.continuation_token) = (Some(1), token.take())).await;
        assert!(page.entities.len() <= 1 && page.entities.iter().all(|e| e.serialized_state.is_none()));
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        match page.continuation_token {
            Some(next) => {
                assert!(!next.is_empty() && next != "0");
                token = Some(next);
            }
            None => break,
        }
    }
    assert_eq!(seen, ["@a@1", "@a@2", "@b@1"]);
    let instances = client.rpc().query_instances(pb::QueryInstancesRequest::default()).await.expect("it works");
    assert_eq!(instances.into_inner().orchestration_state, [], "entities are no instances");
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_an_entity_deletes_its_state_and_what_a_worker_makes_of_the_old_one_is_void() {
    let (_server, client, mut worker) = stand().await;
    client.signal("@e@k", "set", None).await;
    worker.batch().await.run(Some("old")).await;
    client.signal("@e@k", "add", None).await;
    let old = worker.batch().await;
    let purge = |id: &str| pb::PurgeInstancesRequest {
        request: Some(pb::purge_instances_request::Request::InstanceId(id.into())),
        ..Default::default()
    };
    let purged = client.rpc().purge_instances(purge("@E@k")).await.expect("it works").into_inner();
    assert_eq!(purged.deleted_instance_count, 1);
    old.run(Some("old and more")).await;
    let again = worker.batch().await;
    assert_eq!((again.state(), again.operations()), (None, vec!["add(-)".to_owned()]), "the operation is not lost");
    again.run(None).await;
    assert_eq!(client.entity("@e@k").await, None);
    let purged = client.rpc().purge_instances(purge("@e@k")).await.expect("it works").into_inner();
    assert_eq!(purged.deleted_instance_count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleaning_finds_nothing_because_nothing_empty_and_no_orphaned_lock_is_left() {
    let (_server, client, mut worker) = stand().await;
    client.signal("@e@k", "o", None).await;
    worker.batch().await.run(Some("s")).await;
    client.start("o", "locks").await;
    worker.episode().await.answer(vec![lock(1, "s", &["@e@k"])]).await;
    worker.episode().await;
    let request = pb::CleanEntityStorageRequest {
        remove_empty_entities: true,
        release_orphaned_locks: true,
        ..Default::default()
    };
    let cleaned = client.rpc().clean_entity_storage(request).await.expect("it works").into_inner();
    assert_eq!(cleaned, pb::CleanEntityStorageResponse::default());
    assert_eq!(client.locked_by("@e@k").await.as_deref(), Some("o"), "its holder is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_survive_a_restart_with_state_queue_lock_and_what_is_scheduled() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    client.signal("@e@k", "set", None).await;
    worker.batch().await.run(Some("kept")).await;
    client.start("o", "locks").await;
    worker.episode().await.answer(vec![lock(1, "s", &["@e@k"])]).await;
    let granted = worker.episode().await;
    assert_eq!(granted.new_events()[1..], ["lockGranted s"]);
    client.signal("@e@k", "waits", None).await;
    client.signal("@e@queued", "one", None).await;
    let unanswered = worker.batch().await;
    let due = from_now(Duration::from_millis(500));
    client.signal_with("@e@later", "later", |s| s.scheduled_time = Some(at(due))).await.expect("it is accepted");
    server.stop().await;

    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    unanswered.send(unanswered.response(&[""], Some("late"))).await.expect_err("its scheduler is gone");
    let mut worker = Worker::connect(&client).await;
    let late = pb::EntityBatchResult {
        completion_token: unanswered.token.clone(),
        ..unanswered.response(&[""], Some("late"))
    };
    client.rpc().complete_entity_task(late).await.expect("a void token is fine");
    assert_eq!(client.locked_by("@e@k").await.as_deref(), Some("o"));
    let again = worker.batch_of("@e@queued").await;
    assert_eq!(again.state(), None, "the late answer was ignored");
    again.run(Some("q")).await;
    assert_eq!(worker.batch().await.operations(), ["later(-)"]);
    let granted = worker.episode_of("o").await;
    assert_eq!(granted.new_events()[1..], ["lockGranted s"]);
    granted.answer(vec![unlock(2, "s", "@e@k"), complete(3, "")]).await;
    let batch = worker.batch_of("@e@k").await;
    assert_eq!((batch.operations(), batch.state()), (vec!["waits(-)".to_owned()], Some("kept")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_entity_in_two_hubs_is_two_entities() {
    let server = Server::with(|options| options.dev = true).await;
    let (one, two) = (server.hub("one"), server.hub("two"));
    let mut worker = Worker::connect(&one).await;
    one.signal("@e@k", "o", None).await;
    two.signal("@e@k", "o", None).await;
    worker.batch().await.run(Some("one")).await;
    assert_eq!(worker.kept(), 0);
    assert_eq!(one.state("@e@k").await.as_deref(), Some("one"));
    assert_eq!(two.entity("@e@k").await.expect("it waits").backlog_queue_size, 1);
}

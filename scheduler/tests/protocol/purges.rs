//! PurgeInstances, RestartInstance, SkipGracefulOrchestrationTerminations.

use std::time::Duration;

use pb::purge_instances_request::Request as Purge;

use crate::stand::*;

async fn purge(client: &Client, request: Purge, recursive: bool) -> Result<(i32, Option<bool>), tonic::Status> {
    let request = pb::PurgeInstancesRequest { request: Some(request), recursive, ..Default::default() };
    let answer = soon("a purge", client.rpc().purge_instances(request)).await?.into_inner();
    Ok((answer.deleted_instance_count, answer.is_complete))
}

fn batch(ids: &[&str]) -> pb::InstanceBatch {
    pb::InstanceBatch { instance_ids: ids.iter().map(|id| (*id).into()).collect() }
}

/// Starts an instance and ends it.
async fn ended(client: &Client, worker: &mut Worker, id: &str, end: pb::OrchestratorAction) {
    client.start(id, "o").await;
    worker.episode_of(id).await.answer(vec![end]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_by_id_leaves_nothing_of_an_instance_that_has_ended() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let actions = vec![timer(1, from_now(Duration::from_secs(3_600))), call(2, "w"), complete(3, "")];
    worker.episode_of("a").await.answer(actions).await;
    let late = worker.call().await;
    assert_eq!(purge(&client, Purge::InstanceId("a".into()), false).await.unwrap().0, 1);
    assert!(client.find("a").await.is_none());
    let history = pb::StreamInstanceHistoryRequest { instance_id: "a".into(), ..Default::default() };
    refused(client.chunks(history).await, Code::NotFound);
    refused(client.raise("a", "go", None).await, Code::NotFound);
    late.complete("ignored").await;
    // The id is free, and the new instance knows nothing of the old one.
    client.start("a", "o").await;
    assert_eq!(worker.episode_of("a").await.new_events(), ["orchestratorStarted", "executionStarted o(-)"]);
    let rest = client.describe("a").await;
    assert_eq!((rest.open_timers, rest.open_activities, rest.history_events), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_what_is_not_there_or_has_not_ended_is_ok_and_counts_nothing() {
    let (_server, client, mut worker) = stand().await;
    client.start("running", "o").await;
    worker.episode_of("running").await.answer(vec![child(1, "kid", "o")]).await;
    worker.episode_of("kid").await.answer(vec![complete(1, "")]).await;
    client.start("pending", "o").await;
    for id in ["none", "running", "pending", "@entity@none"] {
        for recursive in [false, true] {
            assert_eq!(purge(&client, Purge::InstanceId(id.into()), recursive).await.unwrap().0, 0, "{id}");
        }
    }
    assert_eq!(client.status("running").await, Status::Running);
    assert_eq!(client.status("kid").await, Status::Completed, "nor are children of what stays purged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_takes_descendants_along_only_if_it_is_recursive_and_counts_them_all() {
    let (_server, client, mut worker) = stand().await;
    for root in ["x", "y"] {
        let (kid, grandkid) = (format!("{root}-kid"), format!("{root}-grandkid"));
        client.start(root, "o").await;
        worker.episode_of(root).await.answer(vec![child(1, &kid, "o")]).await;
        worker.episode_of(&kid).await.answer(vec![child(1, &grandkid, "o")]).await;
        worker.episode_of(&grandkid).await.answer(vec![complete(1, "")]).await;
        worker.episode_of(&kid).await.answer(vec![complete(2, "")]).await;
        worker.episode_of(root).await.answer(vec![complete(2, "")]).await;
    }
    assert_eq!(purge(&client, Purge::InstanceId("x".into()), false).await.unwrap().0, 1);
    assert!(client.find("x-kid").await.is_some());
    assert_eq!(purge(&client, Purge::InstanceId("y".into()), true).await.unwrap().0, 3);
    for id in ["y", "y-kid", "y-grandkid"] {
        assert!(client.find(id).await.is_none(), "{id}");
    }
    assert!(client.find("x-grandkid").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_of_a_batch_takes_those_that_have_ended_and_at_most_five_hundred() {
    let (_server, client, mut worker) = stand().await;
    for id in ["a", "b"] {
        ended(&client, &mut worker, id, complete(1, "")).await;
    }
    client.start("running", "o").await;
    let request = Purge::InstanceBatch(batch(&["a", "none", "running", "b", "a"]));
    assert_eq!(purge(&client, request, false).await.unwrap().0, 2);
    assert!(client.find("running").await.is_some());
    let ids: Vec<String> = (0..501).map(|n| format!("i{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(purge(&client, Purge::InstanceBatch(batch(&ids[..500])), false).await.unwrap().0, 0);
    refused(purge(&client, Purge::InstanceBatch(batch(&ids)), false).await, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_by_filter_takes_what_ended_in_the_status_and_range_and_says_that_it_is_complete() {
    let (_server, client, mut worker) = stand().await;
    ended(&client, &mut worker, "old", complete(1, "")).await;
    ended(&client, &mut worker, "failed", failed(1, failure("no"))).await;
    ended(&client, &mut worker, "completed", complete(1, "")).await;
    client.start("running", "o").await;
    worker.episode_of("running").await.answer(vec![]).await;
    ended(&client, &mut worker, "new", complete(1, "")).await;
    let filter = pb::PurgeInstanceFilter {
        created_time_from: client.get("failed").await.created_timestamp,
        created_time_to: client.get("new").await.created_timestamp,
        runtime_status: vec![Status::Completed.into(), Status::Running.into()],
        timeout: None,
    };
    assert_eq!(purge(&client, Purge::PurgeInstanceFilter(filter), false).await.unwrap(), (1, Some(true)));
    for (id, left) in [("old", true), ("failed", true), ("completed", false), ("running", true), ("new", true)] {
        assert_eq!(client.find(id).await.is_some(), left, "{id}");
    }
    let all = pb::PurgeInstanceFilter::default();
    assert_eq!(purge(&client, Purge::PurgeInstanceFilter(all), false).await.unwrap(), (3, Some(true)));
    assert!(client.find("running").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_runs_out_of_time_says_that_it_is_not_complete_and_can_be_repeated() {
    let (_server, client, mut worker) = stand().await;
    for n in 0..450 {
        ended(&client, &mut worker, &format!("i{n}"), complete(1, "")).await;
    }
    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 1 });
    let (mut total, mut calls) = (0, 0);
    loop {
        let filter = pb::PurgeInstanceFilter { timeout, ..Default::default() };
        let (count, complete) = purge(&client, Purge::PurgeInstanceFilter(filter), false).await.unwrap();
        (total, calls) = (total + count, calls + 1);
        if complete == Some(true) {
            break;
        }
        assert!(count > 0 && complete == Some(false), "each call gets on");
    }
    assert!(total == 450 && calls > 1, "{total} in {calls} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_does_not_say_what_is_invalid_argument() {
    let server = Server::start().await;
    let empty = pb::PurgeInstancesRequest::default();
    refused(server.client().rpc().purge_instances(empty).await, Code::InvalidArgument);
    refused(purge(&server.client(), Purge::InstanceId(String::new()), false).await, Code::InvalidArgument);
}

// ---- restart -----------------------------------------------------------------------------------------------------------

async fn restart(client: &Client, id: &str, new: bool) -> Result<String, tonic::Status> {
    let request = pb::RestartInstanceRequest { instance_id: id.into(), restart_with_new_instance_id: new };
    Ok(soon("a restart", client.rpc().restart_instance(request)).await?.into_inner().instance_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_the_same_id_begins_anew_with_name_version_input_and_tags() {
    let (_server, client, mut worker) = stand().await;
    client
        .start_with("a", "o", |r| {
            r.version = Some("3".into());
            r.input = Some("[1, 2]".into());
            r.tags = [("k".to_owned(), "v".to_owned())].into();
        })
        .await
        .unwrap();
    let first = worker.episode_of("a").await;
    first.answer(vec![complete(1, "out")]).await;
    assert_eq!(restart(&client, "a", false).await.unwrap(), "a");
    let state = client.get("a").await;
    assert!(state.output.is_none() && state.completed_timestamp.is_none());
    let second = worker.episode_of("a").await;
    assert_ne!(second.execution(), first.execution());
    assert!(second.past().is_empty(), "the old history is gone");
    let started = second.started();
    assert_eq!((started.name.as_str(), started.version.as_deref()), ("o", Some("3")));
    assert_eq!((started.input.as_deref(), started.tags["k"].as_str()), (Some("[1, 2]"), "v"));
    second.answer(vec![complete(1, "again")]).await;
    assert_eq!(client.get("a").await.output.as_deref(), Some("again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_a_new_id_works_in_any_status_and_leaves_the_old_instance_alone() {
    let (_server, client, mut worker) = stand().await;
    client.start_with("pending", "o", |r| r.input = Some("1".into())).await.unwrap();
    let new = restart(&client, "pending", true).await.unwrap();
    assert!(new.len() == 32 && client.get(&new).await.input.as_deref() == Some("1"));
    for _ in 0..2 {
        worker.episode().await.answer(vec![]).await;
    }
    let new = restart(&client, "pending", true).await.unwrap();
    assert_eq!(client.get(&new).await.input.as_deref(), Some("1"));
    assert_eq!(client.status("pending").await, Status::Running);
    worker.episode_of(&new).await.answer(vec![complete(1, "")]).await;
    let newest = restart(&client, &new, true).await.unwrap();
    assert_ne!(newest, new);
    assert_eq!(client.status(&new).await, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn restarting_what_is_not_there_is_not_found_and_what_has_not_ended_failed_precondition() {
    let server = Server::start().await;
    let client = server.client();
    client.start("pending", "o").await;
    refused(restart(&client, "none", false).await, Code::NotFound);
    refused(restart(&client, "none", true).await, Code::NotFound);
    refused(restart(&client, "pending", false).await, Code::FailedPrecondition);
    assert_eq!(client.status("pending").await, Status::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_uses_the_input_of_the_current_generation_and_a_late_result_does_not_reach_it() {
    let (_server, client, mut worker) = stand().await;
    client.start_with("a", "o", |r| r.input = Some("1".into())).await.unwrap();
    worker.episode_of("a").await.answer(vec![continue_as_new(1, "2")]).await;
    worker.episode_of("a").await.answer(vec![call(1, "w"), complete(2, "")]).await;
    let late = worker.call().await;
    restart(&client, "a", false).await.unwrap();
    let again = worker.episode_of("a").await;
    assert_eq!(again.started().input.as_deref(), Some("2"));
    late.complete("of the old one").await;
    again.answer(vec![call(1, "w")]).await;
    late.complete("of the old one").await;
    worker.call().await.complete("of the new one").await;
    let events = worker.episode_of("a").await.new_events();
    assert_eq!(events, ["orchestratorStarted", "taskCompleted->1 of the new one"]);
}

// ---- ends without a worker ---------------------------------------------------------------------------------------------

async fn skip(client: &Client, ids: &[&str]) -> Result<Vec<String>, tonic::Status> {
    let request = pb::SkipGracefulOrchestrationTerminationsRequest {
        instance_batch: Some(batch(ids)),
        reason: Some("\"by force\"".into()),
    };
    let mut rpc = client.rpc();
    let answer = rpc.skip_graceful_orchestration_terminations(request);
    Ok(soon("an end by force", answer).await?.into_inner().unterminated_instance_ids)
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_ended_without_a_worker_and_those_that_are_not_are_named() {
    let (_server, client, mut worker) = stand().await;
    ended(&client, &mut worker, "ended", complete(1, "")).await;
    client.start("running", "o").await;
    worker.episode_of("running").await.answer(vec![call(1, "w")]).await;
    client.start("in-flight", "o").await;
    let in_flight = worker.episode_of("in-flight").await;
    client.start("held", "o").await;
    client.suspend("held", None).await.unwrap();
    let mut left = skip(&client, &["running", "none", "ended", "@e@k", "in-flight", "held"]).await.unwrap();
    left.sort_unstable();
    assert_eq!(left, ["@e@k", "ended", "none"]);
    for id in ["running", "in-flight", "held"] {
        let state = client.end(id).await;
        assert_eq!((state.orchestration_status(), state.output.as_deref()), (Status::Terminated, Some("\"by force\"")));
    }
    in_flight.send(in_flight.response(vec![complete(1, "late")])).await.expect("ignored");
    worker.call().await.complete("late").await;
    assert_eq!(client.status("in-flight").await, Status::Terminated);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_five_hundred_instances_are_ended_at_once() {
    let server = Server::start().await;
    let ids: Vec<String> = (0..501).map(|n| format!("i{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(skip(&server.client(), &ids[..500]).await.unwrap().len(), 500);
    refused(skip(&server.client(), &ids).await, Code::InvalidArgument);
}

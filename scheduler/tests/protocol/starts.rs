//! StartInstance: ids, what is kept of the request, times, and the reuse policy.

use std::time::Duration;

use crate::stand::*;

fn policy(statuses: &[Status]) -> Option<pb::OrchestrationIdReusePolicy> {
    let replaceable_status = statuses.iter().map(|s| (*s).into()).collect();
    Some(pb::OrchestrationIdReusePolicy { replaceable_status })
}

fn is_32_hex_digits(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// An instance `id` that has come to this status.
async fn reach(client: &Client, id: &str, status: Status) {
    client.start(id, "reached").await;
    let mut worker = Worker::only(client, &["reached"]).await;
    let episode = worker.episode_of(id).await;
    match status {
        Status::Running => episode.answer(vec![]).await,
        Status::Suspended => {
            episode.answer(vec![]).await;
            client.suspend(id, None).await.unwrap();
        }
        Status::Failed => episode.answer(vec![failed(1, failure("no"))]).await,
        other => episode.answer(vec![end_with(1, other, |_| {})]).await,
    }
    assert_eq!(client.status(id).await, status);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_id_one_of_32_hex_digits_is_made_and_returned() {
    let server = Server::start().await;
    let client = server.client();
    let first = client.start_with("", "o", |_| {}).await.unwrap();
    let second = client.start_with("", "o", |_| {}).await.unwrap();
    assert!(is_32_hex_digits(&first) && first != second, "{first} {second}");
    assert_eq!(client.get(&first).await.instance_id, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_instance_is_pending_and_was_created_now() {
    let server = Server::start().await;
    let client = server.client();
    let before = from_now(Duration::ZERO);
    let id = client.start_with("mine", "o", |_| {}).await.unwrap();
    assert_eq!(id, "mine");
    let state = client.get("mine").await;
    assert_eq!(state.orchestration_status(), Status::Pending);
    let created = micros(state.created_timestamp.as_ref());
    assert!(before <= created && created <= from_now(Duration::ZERO));
    assert!(state.completed_timestamp.is_none() && state.scheduled_start_timestamp.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn name_version_input_tags_and_trace_reach_the_state_and_execution_started() {
    let (_server, client, mut worker) = stand().await;
    client
        .start_with("a", "Órder", |r| {
            r.version = Some("1.2".into());
            r.input = Some("{\"n\": 1}".into());
            r.tags = [("team".to_owned(), "blue".to_owned())].into();
            r.parent_trace_context = Some(trace("1"));
        })
        .await
        .unwrap();
    let state = client.get("a").await;
    assert_eq!((state.name.as_str(), state.version.as_deref()), ("Órder", Some("1.2")));
    assert_eq!((state.input.as_deref(), state.tags["team"].as_str()), (Some("{\"n\": 1}"), "blue"));
    let episode = worker.episode_of("a").await;
    let started = episode.started();
    assert_eq!((started.name.as_str(), started.version.as_deref()), ("Órder", Some("1.2")));
    assert_eq!((started.input.as_deref(), started.tags["team"].as_str()), (Some("{\"n\": 1}"), "blue"));
    assert_eq!(started.parent_trace_context, Some(trace("1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_execution_id_of_the_request_is_used_and_else_one_of_32_hex_digits_is_made() {
    let (_server, client, mut worker) = stand().await;
    client.start_with("chosen", "o", |r| r.execution_id = Some("my-execution".into())).await.unwrap();
    client.start("made", "o").await;
    let (chosen, made) = (worker.episode_of("chosen").await, worker.episode_of("made").await);
    assert_eq!(chosen.execution(), "my-execution");
    assert!(is_32_hex_digits(made.execution()), "{}", made.execution());
    for episode in [chosen, made] {
        let instance = episode.started().orchestration_instance.clone().unwrap();
        assert_eq!(
            (instance.instance_id.as_str(), instance.execution_id.as_deref()),
            (episode.id(), Some(episode.execution()))
        );
        assert_eq!(client.get(episode.id()).await.execution_id.as_deref(), Some(episode.execution()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_in_the_future_stays_pending_and_is_dispatched_when_its_time_has_come() {
    let (_server, client, mut worker) = stand().await;
    let due = from_now(Duration::from_millis(400));
    client.start_with("later", "o", |r| r.scheduled_start_timestamp = Some(at(due))).await.unwrap();
    client.start("now", "o").await;
    let first = worker.episode_of("now").await;
    assert!(first.now() < due, "this machine is too slow for the test");
    let state = client.get("later").await;
    assert_eq!(state.orchestration_status(), Status::Pending);
    assert_eq!(micros(state.scheduled_start_timestamp.as_ref()), due);
    let later = worker.episode_of("later").await;
    assert!(later.now() >= due, "it began {} µs early", due - later.now());
    assert_eq!(micros(later.started().scheduled_start_timestamp.as_ref()), due);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_start_at_the_epoch_or_in_the_past_means_now() {
    let (_server, client, mut worker) = stand().await;
    for (id, when) in [("epoch", 0), ("past", from_now(Duration::ZERO) - 1_000_000)] {
        client.start_with(id, "o", |r| r.scheduled_start_timestamp = Some(at(when))).await.unwrap();
        worker.episode_of(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_entities_empty_names_and_long_ids_are_refused() {
    let server = Server::start().await;
    let client = server.client();
    for id in ["@counter@a", "@", &format!("@e@{}", "k".repeat(98)), &"x".repeat(1_025)] {
        refused(client.start_with(id, "o", |_| {}).await, Code::InvalidArgument);
    }
    refused(client.start_with("a", "", |_| {}).await, Code::InvalidArgument);
    assert!(client.find("a").await.is_none());
    let longest = "ł".repeat(512);
    client.start(&longest, "o").await;
    assert_eq!(client.status(&longest).await, Status::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_an_id_that_exists_is_taken_also_if_its_instance_has_ended() {
    let server = Server::start().await;
    let client = server.client();
    client.start("pending", "o").await;
    reach(&client, "running", Status::Running).await;
    for status in [Status::Completed, Status::Failed, Status::Terminated, Status::Canceled] {
        reach(&client, status.as_str_name(), status).await;
        refused(client.start_with(status.as_str_name(), "o", |_| {}).await, Code::AlreadyExists);
    }
    refused(client.start_with("pending", "o", |_| {}).await, Code::AlreadyExists);
    refused(client.start_with("running", "o", |_| {}).await, Code::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_policy_lets_nothing_be_replaced() {
    let server = Server::start().await;
    let client = server.client();
    reach(&client, "a", Status::Completed).await;
    let again = client.start_with("a", "o", |r| r.orchestration_id_reuse_policy = policy(&[])).await;
    refused(again, Code::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_in_a_replaceable_status_makes_room_and_in_another_it_does_not() {
    let server = Server::start().await;
    let client = server.client();
    reach(&client, "failed", Status::Failed).await;
    reach(&client, "completed", Status::Completed).await;
    let allowed = policy(&[Status::Failed, Status::Terminated]);
    let old = client.get("failed").await;
    client.start_with("failed", "new", |r| r.orchestration_id_reuse_policy = allowed.clone()).await.unwrap();
    let new = client.get("failed").await;
    assert_eq!((new.name.as_str(), new.orchestration_status()), ("new", Status::Pending));
    assert_ne!(old.execution_id, new.execution_id);
    assert!(new.failure_details.is_none() && new.completed_timestamp.is_none());
    assert!(client.history("failed").await.is_empty(), "nothing of the old one is left");
    let taken = client.start_with("completed", "new", |r| r.orchestration_id_reuse_policy = allowed).await;
    refused(taken, Code::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_instance_is_replaced_and_what_it_has_at_workers_becomes_stale() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "old").await;
    let first = worker.episode_of("a").await;
    first.answer(vec![call(1, "work"), timer(2, from_now(Duration::from_secs(3600)))]).await;
    let stale_call = worker.call().await;
    client.raise("a", "go", None).await.unwrap();
    let stale_episode = worker.episode_of("a").await;

    // What .NET sends: everything but what is deduplicated.
    let all = policy(&[Status::Running, Status::Failed, Status::Canceled, Status::Terminated, Status::Pending]);
    client.start_with("a", "new", |r| r.orchestration_id_reuse_policy = all).await.unwrap();
    let fresh = worker.episode_of("a").await;
    assert_eq!(fresh.new_events(), ["orchestratorStarted", "executionStarted new(-)"]);
    assert_ne!(fresh.execution(), stale_episode.execution());
    stale_call.complete("too late").await;
    stale_episode.answer(vec![complete(1, "of the old one")]).await;
    assert_eq!(client.status("a").await, Status::Pending);
    fresh.answer(vec![call(1, "work")]).await;
    let fresh_call = worker.call().await;
    stale_call.complete("too late again").await;
    fresh_call.complete("of the new one").await;
    let next = worker.episode_of("a").await;
    assert_eq!(next.new_events(), ["orchestratorStarted", "taskCompleted->1 of the new one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_a_running_instance_tells_its_waiters_and_its_parent_that_it_was_terminated() {
    let (_server, client, mut worker) = stand().await;
    client.start("parent", "o").await;
    worker.episode_of("parent").await.answer(vec![child(7, "kid", "o")]).await;
    let kid = worker.episode_of("kid").await;
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.end("kid").await })
    };
    kid.answer(vec![]).await;
    let live = policy(&[Status::Running, Status::Terminated]);
    client.start_with("kid", "other", |r| r.orchestration_id_reuse_policy = live).await.unwrap();
    let ended = soon("the waiter", waiting).await.unwrap();
    // Whoever came before the new instance learns of the old one's end; whoever came later waits for the new one.
    assert_eq!(ended.orchestration_status(), Status::Terminated);
    let mut seen = [worker.episode().await, worker.episode().await];
    seen.sort_by_key(|e| e.id().to_owned());
    assert_eq!(seen[0].id(), "kid");
    assert!(seen[0].started().parent_instance.is_none(), "the new one is nobody's child");
    assert!(seen[1].new_events()[1].starts_with("childFailed->7"), "{:?}", seen[1].new_events());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_lets_running_instances_be_replaced_but_not_terminated_ones_is_refused() {
    let server = Server::start().await;
    let client = server.client();
    for status in [Status::Running, Status::Pending, Status::Suspended] {
        let inconsistent = policy(&[status, Status::Completed]);
        let start = client.start_with("new", "o", |r| r.orchestration_id_reuse_policy = inconsistent).await;
        refused(start, Code::InvalidArgument);
    }
    assert!(client.find("new").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_starts_of_one_id_at_once_exactly_one_succeeds() {
    let server = Server::start().await;
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let client = server.client();
        starts.spawn(async move { client.start_with("one", "o", |_| {}).await });
    }
    let answers = soon("all answers", starts.join_all()).await;
    let (taken, made): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_err);
    assert_eq!(made.len(), 1);
    assert!(taken.into_iter().all(|t| t.unwrap_err().code() == Code::AlreadyExists));
}

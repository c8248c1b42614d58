//! GetWorkItems: limits, who gets what, and what becomes of items when a stream breaks or a worker gives them back.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::stand::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_zero_means_not_stated_and_not_none() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::with(&client, |r| {
        r.max_concurrent_orchestration_work_items = 0;
        r.max_concurrent_activity_work_items = 0;
    })
    .await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "w")]).await;
    worker.call().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_for_each_kind_and_count_what_is_neither_completed_nor_abandoned() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::with(&client, |r| {
        r.max_concurrent_orchestration_work_items = 2;
        r.max_concurrent_activity_work_items = 1;
    })
    .await;
    for id in ["a", "b", "c", "d"] {
        client.start(id, "o").await;
    }
    let first = worker.episode_of("a").await;
    let second = worker.episode_of("b").await;
    // With two open nothing more of the kind comes: the activities of the first do, one at a time.
    first.answer(vec![call(1, "x"), call(2, "y")]).await;
    let third = worker.episode_of("c").await;
    let x = worker.call().await;
    second.answer(vec![call(1, "z")]).await;
    worker.episode_of("d").await;
    assert_eq!(worker.kept(), 0);
    x.complete("").await;
    let y = worker.call().await;
    assert_eq!(y.request.name, "y");
    // What is given back makes room as well.
    y.abandon().await.unwrap();
    assert_eq!(worker.call().await.request.name, "z");
    third.abandon().await.unwrap();
    worker.episode_of("a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestration_is_in_flight_on_one_worker_at_a_time_and_activities_run_in_parallel() {
    let server = Server::start().await;
    let client = server.client();
    let mut workers = [Worker::connect(&client).await, Worker::connect(&client).await];
    client.start("a", "o").await;
    let (first, other) = workers.split_at_mut(1);
    let episode = tokio::select! { e = first[0].episode() => e, e = other[0].episode() => e };
    for _ in 0..5 {
        client.raise("a", "go", None).await.unwrap();
    }
    episode.answer((1..=6).map(|id| call(id, "w")).collect()).await;
    let mut open = HashSet::new();
    let mut turns = 0;
    while open.len() < 6 || turns < 1 {
        let item = tokio::select! { i = first[0].next() => i, i = other[0].next() => i };
        match soon("an item", async { item }).await.unwrap().unwrap() {
            Item::Call(call) => assert!(open.insert(call.request.task_id)),
            Item::Episode(episode) => {
                assert_eq!(episode.new_events().len(), 6, "one turn with all that has arrived");
                turns += 1;
            }
            Item::Batch(_) | Item::Ping(_) => {}
        }
    }
    assert_eq!((open.len(), turns), (6, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_streams_of_a_hub_share_its_work() {
    let server = Server::start().await;
    let client = server.client();
    let limited = |r: &mut pb::GetWorkItemsRequest| r.max_concurrent_orchestration_work_items = 3;
    let mut left = Worker::with(&client, limited).await;
    let mut right = Worker::with(&client, limited).await;
    for n in 0..6 {
        client.start(&format!("i{n}"), "o").await;
    }
    let mut ids = HashSet::new();
    for _ in 0..3 {
        assert!(ids.insert(left.episode().await.id().to_owned()));
        assert!(ids.insert(right.episode().await.id().to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_gives_its_episode_to_another_worker_at_once_and_the_old_token_is_void() {
    let server = Server::start().await;
    let client = server.client();
    let mut first = Worker::connect(&client).await;
    client.start("a", "o").await;
    let lost = first.episode_of("a").await;
    let mut second = Worker::connect(&client).await;
    drop(first);
    let again = second.episode_of("a").await;
    assert_eq!(again.new_events(), lost.new_events());
    assert_ne!(again.token, lost.token);
    lost.send(lost.response(vec![complete(1, "late")])).await.expect("ignored");
    assert_eq!(client.status("a").await, Status::Pending);
    again.answer(vec![complete(1, "in time")]).await;
    lost.send(lost.response(vec![complete(1, "later")])).await.expect("ignored");
    assert_eq!(client.get("a").await.output.as_deref(), Some("in time"));
    assert_eq!(client.history("a").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_stream_has_ended_may_still_answer_its_activities_on_another_connection() {
    let server = Server::with(|o| o.limits.activity_grace = Duration::from_secs(3_600)).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "w")]).await;
    let work = worker.call().await;
    // Python's `stop()`: the stream goes first, then the results of what still ran.
    drop(worker);
    let elsewhere = server.another_connection().await;
    let response = pb::ActivityResponse { result: Some("made it".into()), ..work.response() };
    elsewhere.rpc().complete_activity_task(response).await.expect("accepted");
    let mut next = Worker::connect(&client).await;
    assert_eq!(next.episode_of("a").await.new_events(), ["orchestratorStarted", "taskCompleted->1 made it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_of_a_broken_stream_is_delivered_again_and_the_first_answer_counts_whoever_gives_it() {
    let server = Server::start().await;
    let client = server.client();
    let mut first = Worker::connect(&client).await;
    client.start("a", "o").await;
    first.episode_of("a").await.answer(vec![call(1, "w")]).await;
    let lost = first.call().await;
    drop(first);
    let mut second = Worker::connect(&client).await;
    let again = second.call().await;
    assert_eq!(again.request, lost.request);
    assert_ne!(again.token, lost.token);
    lost.complete("of the first").await;
    again.complete("of the second").await;
    let episode = second.episode_of("a").await;
    assert_eq!(episode.new_events(), ["orchestratorStarted", "taskCompleted->1 of the first"]);
    episode.answer(vec![complete(2, "")]).await;
    assert_eq!(client.history("a").await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_episode_comes_again_with_the_same_events_and_a_new_token() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    client.raise("a", "go", Some("1")).await.unwrap();
    let mut worker = Worker::connect(&client).await;
    let first = worker.episode_of("a").await;
    first.abandon().await.unwrap();
    let second = worker.episode_of("a").await;
    assert_eq!(second.request.new_events[1..], first.request.new_events[1..]);
    assert_ne!(second.token, first.token);
    first.send(first.response(vec![complete(1, "void")])).await.expect("ignored");
    assert_eq!(client.status("a").await, Status::Pending);
    // What arrived meanwhile comes behind it.
    second.abandon().await.unwrap();
    client.raise("a", "go", Some("2")).await.unwrap();
    let third = worker.episode_of("a").await;
    assert_eq!(third.new_events()[1..], ["executionStarted o(-)", "eventRaised go(1)", "eventRaised go(2)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_activity_comes_again() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "w")]).await;
    let first = worker.call().await;
    first.abandon().await.unwrap();
    first.abandon().await.expect("twice is fine");
    let second = worker.call().await;
    assert_eq!(second.request, first.request);
    assert_ne!(second.token, first.token);
    second.complete("done").await;
    assert_eq!(worker.episode_of("a").await.new_events(), ["orchestratorStarted", "taskCompleted->1 done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_gives_back_goes_to_another_one_if_there_is_one() {
    let server = Server::start().await;
    let client = server.client();
    let mut rejects = Worker::connect(&client).await;
    client.start("a", "o").await;
    let episode = rejects.episode_of("a").await;
    let mut takes = Worker::connect(&client).await;
    episode.abandon().await.unwrap();
    let episode = takes.episode_of("a").await;
    episode.answer(vec![call(1, "w")]).await;
    let (first, mut other) = tokio::select! {
        call = rejects.call() => (call, takes),
        call = takes.call() => (call, rejects),
    };
    first.abandon().await.unwrap();
    other.call().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_rejects_at_once_each_time_neither_loops_nor_holds_up_others() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::with(&client, |r| r.max_concurrent_orchestration_work_items = 1).await;
    client.start("rejected", "o").await;
    worker.episode_of("rejected").await.abandon().await.unwrap();
    for n in 0..30 {
        let id = format!("fine{n}");
        client.start(&id, "o").await;
        let episode = worker.episode().await;
        match episode.id() == id {
            true => episode.answer(vec![complete(1, "")]).await,
            false => {
                episode.abandon().await.unwrap();
                worker.episode_of(&id).await.answer(vec![complete(1, "")]).await;
            }
        }
    }
    let returned = client.describe("rejected").await.returned_episodes;
    assert!((1..10).contains(&returned), "it came {returned} times while 30 others were done");
    worker.episode_of("rejected").await.answer(vec![complete(1, "")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_waiting_activities_does_not_starve_another_kind() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::with(&client, |r| r.max_concurrent_activity_work_items = 1).await;
    client.start("crowd", "o").await;
    worker.episode_of("crowd").await.answer((1..=500).map(|id| call(id, "common")).collect()).await;
    client.start("single", "o").await;
    worker.episode_of("single").await.answer(vec![call(1, "rare")]).await;
    for before in 0.. {
        assert!(before < 10, "500 others went first");
        let call = worker.call().await;
        if call.request.name == "rare" {
            return;
        }
        call.complete("").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_instance_is_starved_by_one_that_always_has_more_to_do() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::with(&client, |r| r.max_concurrent_orchestration_work_items = 1).await;
    client.start("busy", "o").await;
    let mut episode = worker.episode_of("busy").await;
    client.start("patient", "o").await;
    for turns in 0.. {
        assert!(turns < 10, "it never came to the other one");
        episode.answer(vec![timer(1, 0)]).await;
        episode = worker.episode().await;
        if episode.id() == "patient" {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_tokens_are_unique_per_delivery_also_for_repeated_task_ids_and_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut tokens = HashSet::new();
    for life in 0..3 {
        let server = Server::on_disk(folder.path()).await;
        let client = server.client();
        let mut worker = Worker::connect(&client).await;
        if life == 0 {
            client.start("a", "o").await;
            let episode = worker.episode_of("a").await;
            assert!(tokens.insert(episode.token.clone()));
            episode.answer(vec![call(1, "w"), call(1, "w")]).await;
        }
        for _ in 0..2 {
            assert!(tokens.insert(worker.call().await.token));
        }
        client.raise("a", "go", None).await.unwrap();
        assert!(tokens.insert(worker.episode_of("a").await.token));
        server.stop().await;
    }
    assert_eq!(tokens.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_accepted_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "w"), call(2, "w"), timer(3, 0), child(4, "kid", "k")]).await;
    let (first, second) = (worker.call().await, worker.call().await);
    first.complete("before").await;
    client.raise("a", "go", Some("1")).await.unwrap();
    client.start("held", "o").await;
    client.suspend("held", Some("why")).await.unwrap();
    client.start("doomed", "never there").await;
    drop(worker);
    server.stop().await;

    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    // A result of before the restart is as good as any.
    let late = pb::ActivityResponse { result: Some("after".into()), ..second.response() };
    client.rpc().complete_activity_task(late).await.expect("accepted");
    let mut worker = Worker::connect(&client).await;
    let mut episodes = HashMap::new();
    for _ in 0..3 {
        let episode = worker.episode().await;
        episodes.insert(episode.id().to_owned(), episode);
    }
    let mut new = episodes["a"].new_events();
    new.sort_unstable();
    let expected = [
        "eventRaised go(1)",
        "orchestratorStarted",
        "taskCompleted->1 before",
        "taskCompleted->2 after",
        "timerFired->3",
    ];
    assert_eq!(new, expected);
    assert_eq!(episodes["kid"].started().name, "k");
    assert_eq!(episodes["doomed"].started().name, "never there");
    assert_eq!(client.status("held").await, Status::Suspended);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_instance_come_in_the_order_in_which_they_were_accepted() {
    let server = Server::with(|o| o.limits.new_events = 7).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    client.start("a", "o").await;
    let mut seen = Vec::new();
    for n in 0..100 {
        client.raise("a", "go", Some(&n.to_string())).await.unwrap();
    }
    while seen.len() < 100 {
        let episode = worker.episode_of("a").await;
        seen.extend(episode.new_events().into_iter().filter(|e| e.starts_with("eventRaised")));
        episode.answer(vec![]).await;
    }
    assert!(seen.iter().enumerate().all(|(n, event)| *event == format!("eventRaised go({n})")), "{seen:?}");
}

//! What must hold whatever happens: one test each, numbered as in `docs/conformance.md`. (The eighth is about entities.)

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::stand::*;

/// A small orchestrator that replays: it calls `step` after each external event, and ends with what it has seen when `end` comes.
/// What it does follows from the events alone.
fn replay(events: &[pb::HistoryEvent]) -> Vec<pb::OrchestratorAction> {
    let (mut id, mut seen, mut actions) = (0, Vec::new(), Vec::new());
    for event in events {
        match event.event_type.as_ref().unwrap() {
            EventType::EventRaised(raised) if raised.name == "end" => {
                id += 1;
                actions.push(complete(id, &seen.join(",")));
                return actions;
            }
            EventType::EventRaised(raised) => {
                seen.push(format!("event {}", raised.input.as_deref().unwrap_or("-")));
                id += 2; // A gap, as SDKs leave them.
                actions.push(call_with(id, "step", |c| c.input.clone_from(&raised.input)));
            }
            EventType::TaskCompleted(done) => seen.push(format!("result {}", done.result.as_deref().unwrap_or("-"))),
            _ => {}
        }
    }
    actions
}

/// What the worker has to answer: the actions that the history does not hold yet, which must be the last ones.
fn decide(episode: &Episode) -> Vec<pb::OrchestratorAction> {
    let all = [episode.request.past_events.clone(), episode.request.new_events.clone()].concat();
    let mut actions = replay(&all);
    let recorded: Vec<i32> = scheduled(&all);
    assert_eq!(
        actions[..recorded.len()].iter().map(|a| a.id).collect::<Vec<_>>(),
        recorded,
        "the replay fits the history"
    );
    actions.split_off(recorded.len())
}

/// The ids of the calls that a history holds.
fn scheduled(history: &[pb::HistoryEvent]) -> Vec<i32> {
    history.iter().filter(|e| matches!(e.event_type, Some(EventType::TaskScheduled(_)))).map(|e| e.event_id).collect()
}

/// Works on whatever comes until the stream ends.
async fn work(mut worker: Worker) {
    loop {
        match worker.next().await {
            Ok(Some(Item::Episode(episode))) => drop(episode.send(episode.response(decide(&episode))).await),
            Ok(Some(Item::Call(call))) => {
                let result = call.request.input.clone();
                drop(call.send(pb::ActivityResponse { result, ..call.response() }).await);
            }
            Ok(Some(Item::Batch(batch))) => drop(batch.send(batch.response(&[], None)).await),
            Ok(Some(Item::Ping(_))) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

/// Whether a history is whole: each event once, each call answered once, time that moves on, ids where they belong.
#[track_caller]
fn check(history: &[pb::HistoryEvent]) {
    let (mut calls, mut answers, mut clock) = (HashSet::new(), HashSet::new(), i64::MIN);
    for event in history {
        let at = micros(event.timestamp.as_ref());
        let is_action = match event.event_type.as_ref().unwrap() {
            EventType::OrchestratorStarted(_) => {
                assert!(at > clock, "orchestratorStarted must strictly increase");
                clock = at;
                false
            }
            EventType::TaskScheduled(_) => calls.insert(event.event_id),
            EventType::TaskCompleted(done) => {
                assert!(calls.contains(&done.task_scheduled_id) && answers.insert(done.task_scheduled_id));
                false
            }
            EventType::TimerCreated(_) | EventType::SubOrchestrationInstanceCreated(_) | EventType::EventSent(_) => {
                true
            }
            EventType::ExecutionCompleted(_) => continue,
            _ => false,
        };
        assert_eq!(event.event_id != -1, is_action, "{event:?}");
    }
    assert!(brief_event(&history[0]) == "orchestratorStarted");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_1_a_server_that_fails_at_any_write_loses_nothing_that_was_accepted_and_applies_nothing_twice() {
    for good_writes in 0..14 {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::with(|o| {
            o.data = Some(folder.path().to_owned());
            o.fail_after = Some(good_writes);
        })
        .await;
        let client = server.client();
        let worker = tokio::spawn(work(Worker::connect(&client).await));
        // Until it fails: what is accepted is remembered.
        let mut accepted = Vec::new();
        let started = client.start_with("a", "o", |_| {}).await.is_ok();
        for n in 0.. {
            match client.raise("a", "go", Some(&n.to_string())).await {
                Ok(()) => accepted.push(n.to_string()),
                Err(status) if status.code() == Code::NotFound && !started => break,
                Err(_) => break,
            }
        }
        let _ = server.failed().await;
        soon("the worker's end", worker).await.unwrap();

        let server = Server::on_disk(folder.path()).await;
        let client = server.client();
        assert!(!started || client.find("a").await.is_some(), "an accepted start is lost after {good_writes} writes");
        if !started {
            let _ = client.start_with("a", "o", |_| {}).await;
        }
        let worker = tokio::spawn(work(Worker::connect(&client).await));
        client.raise("a", "end", None).await.unwrap();
        let state = client.end("a").await;
        assert_eq!(state.orchestration_status(), Status::Completed, "{:?}", state.failure_details);
        let history = client.history("a").await;
        check(&history);
        let mut raised = HashMap::new();
        for event in &history {
            if let Some(EventType::EventRaised(event)) = &event.event_type {
                *raised.entry(event.input.clone().unwrap_or_default()).or_insert(0) += 1;
            }
        }
        assert!(raised.values().all(|times| *times == 1), "{raised:?}");
        assert!(accepted.iter().all(|n| raised.contains_key(n)), "lost of {accepted:?}: {raised:?}");
        worker.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_2_of_two_workers_one_dies_in_the_middle_of_a_turn_and_the_other_goes_on_without_doubled_events() {
    let server = Server::start().await;
    let client = server.client();
    for round in 0..5 {
        let id = format!("i{round}");
        let mut dies = Worker::connect(&client).await;
        client.start(&id, "o").await;
        dies.episode_of(&id).await.answer(vec![]).await;
        client.raise(&id, "go", Some("1")).await.unwrap();
        let episode = dies.episode_of(&id).await;
        if round % 2 == 1 {
            // It dies after a part of its answer.
            let mut part = episode.response(decide(&episode));
            (part.is_partial, part.chunk_index) = (true, Some(0));
            episode.send(part).await.unwrap();
        }
        let survivor = tokio::spawn(work(Worker::connect(&client).await));
        drop(dies);
        while !brief(&client.history(&id).await).contains(&"taskCompleted->2 1".to_owned()) {
            tokio::task::yield_now().await;
        }
        client.raise(&id, "end", None).await.unwrap();
        assert_eq!(client.end(&id).await.output.as_deref(), Some("event 1,result 1"));
        let history = client.history(&id).await;
        check(&history);
        assert_eq!(scheduled(&history), [2]);
        survivor.abort();
        let _ = survivor.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_3_a_late_answer_with_an_old_token_is_ok_and_changes_nothing() {
    let server = Server::start().await;
    let client = server.client();
    let mut first = Worker::connect(&client).await;
    client.start("a", "o").await;
    let late = first.episode_of("a").await;
    drop(first);
    let mut second = Worker::connect(&client).await;
    let again = second.episode_of("a").await;
    let lie = || late.response(vec![call(1, "of the past"), complete(2, "of the past")]);
    late.send(lie()).await.expect("OK while the item is with another worker");
    late.abandon().await.expect("OK");
    again.answer(vec![timer(1, 0)]).await;
    let before = client.history("a").await;
    late.send(lie()).await.expect("OK after the commit");
    late.abandon().await.expect("OK");
    assert_eq!(client.history("a").await, before);
    second.episode_of("a").await.answer(vec![complete(3, "end")]).await;
    let before = client.history("a").await;
    late.send(lie()).await.expect("OK after the end");
    assert_eq!(client.history("a").await, before);
    let purge = pb::purge_instances_request::Request::InstanceId("a".into());
    client
        .rpc()
        .purge_instances(pb::PurgeInstancesRequest { request: Some(purge), ..Default::default() })
        .await
        .unwrap();
    late.send(lie()).await.expect("OK when nothing is left");
    assert!(client.find("a").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_4_a_replay_of_the_stored_history_gives_the_actions_that_are_recorded() {
    let server = Server::start().await;
    let client = server.client();
    let worker = tokio::spawn(work(Worker::connect(&client).await));
    for n in 0..20 {
        let id = format!("i{n}");
        client.start(&id, "o").await;
        for event in 0..n {
            client.raise(&id, "go", Some(&event.to_string())).await.unwrap();
        }
        client.raise(&id, "end", None).await.unwrap();
    }
    for n in 0..20 {
        let id = format!("i{n}");
        client.end(&id).await;
        let history = client.history(&id).await;
        let actions = replay(&history);
        let (end, calls) = actions.split_last().unwrap();
        assert_eq!(calls.iter().map(|a| a.id).collect::<Vec<_>>(), scheduled(&history));
        assert_eq!(end.id, calls.last().map_or(0, |a| a.id) + 1);
        let last = brief(&history).pop().unwrap();
        let Some(pb::orchestrator_action::OrchestratorActionType::CompleteOrchestration(end)) =
            &end.orchestrator_action_type
        else {
            panic!()
        };
        assert!(last.ends_with(&format!("COMPLETED {}", end.result.as_deref().unwrap())), "{last}");
    }
    worker.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_5_new_events_begin_with_orchestrator_started_whose_times_strictly_increase_and_ids_are_in_place() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let mut clock = 0;
    for turn in 0..60 {
        let episode = worker.episode_of("a").await;
        assert_eq!(episode.new_events()[0], "orchestratorStarted");
        assert!(!episode.new_events()[1..].contains(&"orchestratorStarted".to_owned()), "once");
        assert!(episode.now() > clock);
        clock = episode.now();
        check(&[episode.request.past_events.clone(), episode.request.new_events.clone()].concat());
        client.raise("a", "go", None).await.unwrap();
        match turn % 10 {
            // The order holds over generations too.
            9 => episode.answer(vec![continue_as_new(1, "next")]).await,
            _ => episode.answer(vec![timer(1 + 2 * turn, 0), call(2 + 2 * turn, "w")]).await,
        }
        if turn % 10 != 9 {
            worker.call().await.complete("").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_6_ten_thousand_events_reach_streaming_workers_below_four_mebibytes_and_plain_ones_inline() {
    let server = Server::with(|o| o.dev = true).await;
    for streams in [true, false] {
        let client = server.hub(if streams { "streaming" } else { "plain" });
        let mut worker = Worker::with(&client, |r| {
            r.capabilities = if streams { vec![pb::WorkerCapability::HistoryStreaming.into()] } else { Vec::new() };
        })
        .await;
        client.start("long", "o").await;
        // 10,000 events of half a kibibyte: more than 4 MiB.
        let text = "x".repeat(500);
        let actions = (1..=10_000).map(|id| send(id, "nobody", "e", &text)).collect();
        worker.episode_of("long").await.answer(actions).await;
        client.raise("long", "go", None).await.unwrap();
        let episode = worker.episode_of("long").await;
        let past = if streams {
            assert!(episode.request.requires_history_streaming && episode.past().is_empty());
            assert!(prost::Message::encoded_len(&episode.request) < 4 << 20);
            let request = pb::StreamInstanceHistoryRequest {
                instance_id: "long".into(),
                execution_id: Some(episode.execution().into()),
                for_work_item_processing: true,
            };
            // The client accepts 4 MiB a message.
            client.chunks(request).await.unwrap().into_iter().flat_map(|c| c.events).collect()
        } else {
            episode.request.past_events.clone()
        };
        assert_eq!(past.len(), 10_002);
        check(&past);
        assert!((0..).zip(&past[2..]).all(|(n, e): (i32, _)| e.event_id == n + 1), "in order");
        episode.answer(vec![complete(1, "done")]).await;
        assert_eq!(client.end("long").await.output.as_deref(), Some("done"));
    }
}

/// Lets an instance live for so many generations, each of which gets an event that the one before did not see any more. Returns the
/// size of the store once it is closed.
async fn generations(count: usize) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    client.start("eternal", "o").await;
    let mut seen = Vec::new();
    for generation in 0..=count {
        let episode = worker.episode_of("eternal").await;
        let all = [episode.request.past_events.clone(), episode.request.new_events.clone()].concat();
        assert!(all.len() < 10, "the history is short");
        seen.extend(brief(&all).into_iter().filter_map(|e| Some(e.strip_prefix("eventRaised go(")?.to_owned())));
        if generation < count {
            client.raise("eternal", "go", Some(&generation.to_string())).await.unwrap();
            episode.answer(vec![continue_as_new(1, &generation.to_string())]).await;
        }
    }
    assert_eq!(seen.len(), count);
    assert!(seen.iter().enumerate().all(|(n, event)| *event == format!("{n})")), "each once, in order");
    let rest = client.describe("eternal").await;
    assert!(rest.history_events == 0 && rest.inbox_events < 5, "{rest:?}");
    drop(worker);
    server.stop().await;
    // Opened and closed once more, so that all is in the one file.
    Server::on_disk(folder.path()).await.stop().await;
    std::fs::metadata(folder.path().join("default.db")).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_7_a_thousand_generations_lose_no_event_and_neither_history_nor_storage_grows() {
    let (few, many) = (generations(20).await, generations(1_000).await);
    assert!(many <= few + (256 << 10), "{few} bytes after 20 generations, {many} after 1,000");
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_9_a_fan_out_of_a_thousand_is_done_by_two_workers_that_never_have_more_than_ten_open() {
    let server = Server::start().await;
    let client = server.client();
    let mut orchestrator = Worker::only(&client, &["o"]).await;
    client.start("wide", "o").await;
    orchestrator.episode_of("wide").await.answer((1..=1_000).map(|id| call(id, "w")).collect()).await;
    let limited = |r: &mut pb::GetWorkItemsRequest| r.max_concurrent_activity_work_items = 10;
    let (mut left, mut right) = (Worker::with(&client, limited).await, Worker::with(&client, limited).await);
    // Each fills its hands before it answers anything.
    let mut open: [Vec<Call>; 2] = Default::default();
    for _ in 0..10 {
        open[0].push(left.call().await);
        open[1].push(right.call().await);
    }
    let mut done = HashSet::new();
    while done.len() < 1_000 {
        for hands in &mut open {
            for call in hands.drain(..) {
                assert!(done.insert(call.request.task_id), "each once");
                call.complete("").await;
            }
        }
        let expected = 1_000 - done.len();
        while open.iter().map(Vec::len).sum::<usize>() < expected.min(2) {
            tokio::select! {
                call = left.call() => open[0].push(call),
                call = right.call() => open[1].push(call),
            }
        }
        // What else has come by now. More than ten would be too many.
        for (worker, hands) in [&mut left, &mut right].into_iter().zip(&mut open) {
            while let Ok(call) = tokio::time::timeout(Duration::from_millis(1), worker.call()).await {
                hands.push(call);
            }
            assert!(hands.len() <= 10, "{} open at once", hands.len());
        }
    }
    let mut results = 0;
    while results < 1_000 {
        let episode = orchestrator.episode_of("wide").await;
        results += episode.new_events().iter().filter(|e| e.starts_with("taskCompleted")).count();
        episode.answer(vec![]).await;
    }
    assert_eq!(results, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_a_filtered_out_item_waits_and_runs_when_a_matching_worker_connects() {
    // That it waits for hours is shown on a clock of its own in `virtual_clock`.
    let server = Server::start().await;
    let client = server.client();
    let mut other = Worker::only(&client, &["other"]).await;
    client.start("waits", "wanted").await;
    for n in 0..100 {
        let id = format!("i{n}");
        client.start(&id, "other").await;
        other.episode_of(&id).await.answer(vec![complete(1, "")]).await;
    }
    assert_eq!(client.status("waits").await, Status::Pending);
    let mut wanted = Worker::only(&client, &["wanted"]).await;
    wanted.episode_of("waits").await.answer(vec![complete(1, "at last")]).await;
    assert_eq!(client.get("waits").await.output.as_deref(), Some("at last"));
}

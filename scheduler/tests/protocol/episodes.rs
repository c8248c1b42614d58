//! Orchestration work items, and how their answers become history.

use std::time::Duration;

use crate::stand::*;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn the_first_item_has_no_past_and_begins_with_orchestrator_started_and_execution_started() {
    let server = Server::start().await;
    let client = server.client();
    client.start_with("a", "o", |r| r.input = Some("in".into())).await.unwrap();
    client.raise("a", "go", Some("1")).await.unwrap();
    let mut worker = Worker::connect(&client).await;
    let episode = worker.episode_of("a").await;
    assert!(episode.past().is_empty());
    assert_eq!(episode.new_events(), ["orchestratorStarted", "executionStarted o(in)", "eventRaised go(1)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn execution_started_comes_once_and_names_the_instance_and_nothing_that_is_absent() {
    let (_server, client, mut worker) = stand().await;
    client.start("bare", "o").await;
    let episode = worker.episode_of("bare").await;
    let instance =
        pb::OrchestrationInstance { instance_id: "bare".into(), execution_id: Some(episode.execution().to_owned()) };
    let expected =
        pb::ExecutionStartedEvent { name: "o".into(), orchestration_instance: Some(instance), ..Default::default() };
    assert_eq!(*episode.started(), expected, "what is absent stays absent: no empty version, input, parent, trace");
    episode.answer(vec![]).await;
    client.raise("bare", "go", None).await.unwrap();
    worker.episode_of("bare").await.started();
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_absent_wrappers_stay_apart_in_both_directions() {
    let (_server, client, mut worker) = stand().await;
    let empty = |r: &mut pb::CreateInstanceRequest| (r.version, r.input) = (Some("".into()), Some("".into()));
    client.start_with("empty", "o", empty).await.unwrap();
    let episode = worker.episode_of("empty").await;
    assert_eq!((episode.started().version.as_deref(), episode.started().input.as_deref()), (Some(""), Some("")));
    let calls =
        vec![call(1, "absent"), call_with(2, "empty", |c| (c.version, c.input) = (Some("".into()), Some("".into())))];
    episode.answer(calls).await;
    let (absent, empty) = (worker.call().await, worker.call().await);
    assert_eq!((&absent.request.version, &absent.request.input), (&None, &None));
    assert_eq!((empty.request.version.as_deref(), empty.request.input.as_deref()), (Some(""), Some("")));
    absent.send(absent.response()).await.unwrap();
    worker.episode().await.answer(vec![]).await;
    empty.complete("").await;
    let last = worker.episode_of("empty").await;
    let results = last.request.past_events.iter().chain(&last.request.new_events);
    let results: Vec<_> = results
        .filter_map(|e| match &e.event_type {
            Some(EventType::TaskCompleted(done)) => Some(done.result.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(results, [None, Some(String::new())]);
    last.answer(vec![complete(3, "")]).await;
    let state = client.get("empty").await;
    assert_eq!(
        (state.version.as_deref(), state.input.as_deref(), state.output.as_deref()),
        (Some(""), Some(""), Some(""))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_episodes_time_is_kept_exactly_and_never_goes_back() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let mut begun = Vec::new();
    for n in 0..20 {
        let episode = worker.episode_of("a").await;
        let times = |events: &[pb::HistoryEvent]| -> Vec<Option<prost_types::Timestamp>> {
            let started = events.iter().filter(|e| matches!(e.event_type, Some(EventType::OrchestratorStarted(_))));
            started.map(|e| e.timestamp).collect()
        };
        assert_eq!(times(&episode.request.past_events), begun, "replayed unchanged");
        begun.extend(times(&episode.request.new_events));
        assert_eq!(begun.len(), n + 1, "one an episode");
        client.raise("a", "go", None).await.unwrap();
        episode.answer(vec![]).await;
    }
    assert!(begun.windows(2).all(|w| micros(w[0].as_ref()) < micros(w[1].as_ref())), "{begun:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_is_the_committed_history_and_the_same_for_who_streams_it() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "work"), timer(2, from_now(HOUR))]).await;
    worker.call().await.complete("done").await;
    let episode = worker.episode_of("a").await;
    // What came since is not part of it.
    client.raise("a", "later", None).await.unwrap();
    let request = pb::StreamInstanceHistoryRequest {
        instance_id: "a".into(),
        execution_id: Some(episode.execution().into()),
        for_work_item_processing: true,
    };
    let streamed: Vec<_> = client.chunks(request).await.unwrap().into_iter().flat_map(|c| c.events).collect();
    assert_eq!(streamed, episode.request.past_events);
    assert_eq!(client.history("a").await, episode.request.past_events);
    let expected = ["orchestratorStarted", "executionStarted o(-)", "taskScheduled#1 work(-)", "timerCreated#2"];
    assert_eq!(episode.past(), expected);
    assert_eq!(episode.new_events(), ["orchestratorStarted", "taskCompleted->1 done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_has_a_time_and_the_id_of_its_action_or_minus_one() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let actions = vec![call(11, "work"), timer(12, 0), child(13, "kid", "c"), send(14, "nobody", "go", "1")];
    worker.episode_of("a").await.answer(actions).await;
    worker.call().await.complete("").await;
    let mut ends = 0;
    while client.history("a").await.len() < 10 {
        let episode = worker.episode().await;
        let done = episode.past().iter().chain(&episode.new_events()).filter(|e| e.contains("->")).count() == 3;
        match (episode.id(), done) {
            ("kid", _) => episode.answer(vec![complete(1, "")]).await,
            (_, false) => episode.answer(vec![]).await,
            (_, true) => {
                ends += 1;
                episode.answer(vec![complete(15, "")]).await;
                break;
            }
        }
    }
    assert_eq!(ends, 1);
    let history = client.history("a").await;
    for event in &history {
        assert!(event.timestamp.is_some(), "{event:?}");
        let of_action = match event.event_type.as_ref().unwrap() {
            EventType::TaskScheduled(_) => Some(11),
            EventType::TimerCreated(_) => Some(12),
            EventType::SubOrchestrationInstanceCreated(_) => Some(13),
            EventType::EventSent(_) => Some(14),
            // -1 or the action's id.
            EventType::ExecutionCompleted(_) => Some(event.event_id),
            _ => None,
        };
        assert_eq!(event.event_id, of_action.unwrap_or(-1), "{event:?}");
    }
    let last = history.last().unwrap();
    assert!(last.event_id == 15 || last.event_id == -1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_an_activity_a_timer_and_a_child_is_exactly_the_known_sequence() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "work")]).await;
    worker.call().await.complete("1").await;
    worker.episode_of("a").await.answer(vec![timer(2, from_now(Duration::from_millis(1)))]).await;
    worker.episode_of("a").await.answer(vec![child(3, "kid", "c")]).await;
    worker.episode_of("kid").await.answer(vec![complete(1, "3")]).await;
    worker.episode_of("a").await.answer(vec![complete(4, "end")]).await;
    let history = client.history("a").await;
    let expected = [
        "orchestratorStarted",
        "executionStarted o(-)",
        "taskScheduled#1 work(-)",
        "orchestratorStarted",
        "taskCompleted->1 1",
        "timerCreated#2",
        "orchestratorStarted",
        "timerFired->2",
        "childCreated#3 kid c",
        "orchestratorStarted",
        "childCompleted->3 3",
    ];
    let brief = brief(&history);
    assert_eq!(brief[..11], expected);
    assert_eq!(history.len(), 12, "one orchestratorStarted at the head of each episode, no orchestratorCompleted");
    let end = brief[11].split_once(" ").unwrap();
    assert!(end.0.starts_with("executionCompleted") && end.1 == "COMPLETED end", "{brief:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_become_events_in_their_order_and_the_end_comes_last() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let actions = vec![complete(1, "end"), send(2, "x", "e", "d"), timer(3, 0), call(4, "w"), child(5, "k", "c")];
    worker.episode_of("a").await.answer(actions).await;
    let history = brief(&client.history("a").await);
    let expected = ["eventSent#2 x e(d)", "timerCreated#3", "taskScheduled#4 w(-)", "childCreated#5 k c"];
    assert_eq!(history[2..6], expected);
    assert!(history[6].starts_with("executionCompleted") && history.len() == 7, "{history:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_pending_until_its_first_commit_and_then_running() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let episode = worker.episode_of("a").await;
    assert_eq!(client.status("a").await, Status::Pending);
    episode.answer(vec![]).await;
    assert_eq!(client.status("a").await, Status::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_while_an_item_is_in_flight_comes_in_the_next_turn_right_after_the_commit() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let episode = worker.episode_of("a").await;
    client.raise("a", "meanwhile", None).await.unwrap();
    client.start("marker", "o").await;
    worker.episode_of("marker").await;
    assert_eq!(worker.kept(), 0);
    episode.answer(vec![]).await;
    let next = worker.episode_of("a").await;
    assert_eq!(next.new_events(), ["orchestratorStarted", "eventRaised meanwhile(-)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_num_events_processed_only_the_first_are_taken_and_the_rest_comes_again() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    for n in 0..3 {
        client.raise("a", "go", Some(&n.to_string())).await.unwrap();
    }
    let mut worker = Worker::connect(&client).await;
    let episode = worker.episode_of("a").await;
    let mut response = episode.response(vec![call(1, "work")]);
    response.num_events_processed = Some(3);
    episode.send(response).await.unwrap();
    let next = worker.episode_of("a").await;
    let expected = ["orchestratorStarted", "executionStarted o(-)", "eventRaised go(0)", "taskScheduled#1 work(-)"];
    assert_eq!(next.past(), expected);
    assert_eq!(next.new_events(), ["orchestratorStarted", "eventRaised go(1)", "eventRaised go(2)"]);
    // Without it all are taken.
    next.answer(vec![]).await;
    client.raise("a", "last", None).await.unwrap();
    assert_eq!(worker.episode_of("a").await.new_events(), ["orchestratorStarted", "eventRaised last(-)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_parts_is_committed_with_the_last_one_and_parts_that_come_twice_count_once() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let episode = worker.episode_of("a").await;
    let part = |index: i32, last: bool| {
        let mut response = episode.response(vec![call(index + 1, "work")]);
        response.is_partial = !last;
        response.chunk_index = Some(index);
        response.custom_status = Some("\"set in each\"".into());
        response.num_events_processed = if index == 0 { None } else { Some(0) };
        let span = pb::OrchestrationTraceContext { span_id: Some("span".into()), span_start_time: None };
        response.orchestration_trace_context = (index == 0).then_some(span);
        response
    };
    for response in [part(0, false), part(1, false), part(1, false), part(0, false), part(2, false)] {
        episode.send(response).await.unwrap();
        assert!(client.history("a").await.is_empty(), "nothing is committed before the last part");
    }
    episode.send(part(3, true)).await.unwrap();
    // The last one may be resent too.
    episode.send(part(3, true)).await.unwrap();
    for id in 1..=4 {
        assert_eq!(worker.call().await.request.task_id, id);
    }
    let history = brief(&client.history("a").await);
    assert_eq!(history.len(), 6, "{history:?}");
    assert_eq!(client.get("a").await.custom_status.as_deref(), Some("\"set in each\""));
    client.raise("a", "go", None).await.unwrap();
    let next = worker.episode_of("a").await;
    assert_eq!(next.new_events(), ["orchestratorStarted", "eventRaised go(-)"], "all events were taken");
    assert_eq!(next.request.orchestration_trace_context.unwrap().span_id.as_deref(), Some("span"));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_delivery_that_is_over_are_not_mixed_into_the_next() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let first = worker.episode_of("a").await;
    let mut part = first.response(vec![call(1, "of the first")]);
    (part.is_partial, part.chunk_index) = (true, Some(0));
    first.send(part.clone()).await.unwrap();
    first.abandon().await.unwrap();
    let second = worker.episode_of("a").await;
    first.send(part).await.expect("ignored");
    second.answer(vec![call(2, "of the second")]).await;
    assert_eq!(worker.call().await.request.name, "of the second");
    let expected = ["orchestratorStarted", "executionStarted o(-)", "taskScheduled#2 of the second(-)"];
    assert_eq!(brief(&client.history("a").await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_custom_status_of_an_answer_replaces_the_stored_one_and_an_absent_one_clears_it() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    for status in [Some("\"one\""), Some("\"two\""), None, Some("")] {
        let episode = worker.episode_of("a").await;
        let mut response = episode.response(vec![]);
        response.custom_status = status.map(Into::into);
        client.raise("a", "go", None).await.unwrap();
        episode.send(response).await.unwrap();
        assert_eq!(client.get("a").await.custom_status.as_deref(), status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_context_of_an_answer_comes_back_with_the_next_item() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let first = worker.episode_of("a").await;
    assert_eq!(first.request.orchestration_trace_context, None);
    let mut response = first.response(vec![]);
    let span = pb::OrchestrationTraceContext { span_id: Some("abc".into()), span_start_time: Some(at(123_456)) };
    response.orchestration_trace_context = Some(span.clone());
    first.send(response).await.unwrap();
    client.raise("a", "go", None).await.unwrap();
    assert_eq!(worker.episode_of("a").await.request.orchestration_trace_context, Some(span));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lacks_the_history_gets_the_same_events_again_with_all_of_it() {
    let server = Server::start().await;
    let client = server.client().saying("durawasm-api", "1").saying("workerid", "warm");
    let mut worker = Worker::connect(&client).await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![timer(1, 0)]).await;
    let short = worker.episode_of("a").await;
    assert!(short.past().is_empty(), "this worker may have it");
    let mut response = short.response(vec![]);
    response.requires_history = true;
    short.send(response).await.unwrap();
    let full = worker.episode_of("a").await;
    assert_eq!(full.past(), ["orchestratorStarted", "executionStarted o(-)", "timerCreated#1"]);
    assert_eq!(full.new_events()[1..], short.new_events()[1..]);
    assert_ne!(full.token, short.token);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_workers_that_stream_histories_get_items_without_their_long_past() {
    let server = Server::with(|o| o.dev = true).await;
    let payload = "x".repeat(900 << 10);
    let stage = |id: &'static str, streams: bool| {
        let (client, payload) = (server.hub(id), payload.clone());
        async move {
            let mut worker = Worker::with(&client, |r| {
                let capability = pb::WorkerCapability::HistoryStreaming.into();
                r.capabilities = if streams { vec![capability] } else { Vec::new() };
            })
            .await;
            client.start(id, "o").await;
            worker.episode_of(id).await.answer(vec![timer(1, 0)]).await;
            let small = worker.episode_of(id).await;
            assert!(!small.request.requires_history_streaming && !small.past().is_empty(), "a short past is inline");
            let calls = (2..=3).map(|n| call_with(n, "w", |c| c.input = Some(payload.clone()))).collect();
            small.answer(calls).await;
            client.raise(id, "go", None).await.unwrap();
            let episode = worker.episode_of(id).await;
            (episode, worker)
        }
    };
    let (plain, _worker) = stage("plain", false).await;
    assert!(!plain.request.requires_history_streaming);
    assert_eq!(plain.request.past_events, server.hub("plain").history("plain").await);
    let (streamed, _worker) = stage("streamed", true).await;
    assert!(streamed.request.requires_history_streaming && streamed.past().is_empty());
    let expected = ["orchestratorStarted", "eventRaised go(-)"];
    assert_eq!(streamed.new_events(), expected);
    let request = pb::StreamInstanceHistoryRequest {
        instance_id: "streamed".into(),
        execution_id: Some(streamed.execution().into()),
        for_work_item_processing: true,
    };
    let client = server.hub("streamed");
    let past: Vec<_> = client.chunks(request).await.unwrap().into_iter().flat_map(|c| c.events).collect();
    assert_eq!(past.len(), 7, "{:?}", past.iter().map(|e| e.event_id).collect::<Vec<_>>());
    streamed.answer(vec![complete(9, "end")]).await;
    assert_eq!(client.status("streamed").await, Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_brings_at_most_so_many_new_events_and_the_rest_comes_next() {
    let server = Server::with(|o| o.limits.new_events = 10).await;
    let client = server.client();
    client.start("a", "o").await;
    for n in 0..25 {
        client.raise("a", "go", Some(&n.to_string())).await.unwrap();
    }
    let mut worker = Worker::connect(&client).await;
    let mut seen = Vec::new();
    while seen.len() < 26 {
        let episode = worker.episode_of("a").await;
        let events = episode.new_events();
        assert!(events[0] == "orchestratorStarted" && events.len() <= 11, "{events:?}");
        seen.extend(events[1..].to_vec());
        episode.answer(vec![]).await;
    }
    assert_eq!(seen[0], "executionStarted o(-)");
    assert!(seen[1..].iter().enumerate().all(|(n, event)| *event == format!("eventRaised go({n})")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_events_are_capped_by_their_bytes_so_that_an_item_fits_into_four_mebibytes() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    let payload = "x".repeat(900 << 10);
    for _ in 0..6 {
        client.raise("a", "go", Some(&payload)).await.unwrap();
    }
    let mut worker = Worker::connect(&client).await;
    let mut seen = 0;
    while seen < 6 {
        let episode = worker.episode_of("a").await;
        let size: usize = episode.request.new_events.iter().map(prost::Message::encoded_len).sum();
        assert!(size < 4 << 20, "{size}");
        seen += episode.new_events().iter().filter(|e| e.starts_with("eventRaised")).count();
        episode.answer(vec![]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_item_holds_an_event_that_some_worker_does_not_know() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![continue_as_new(1, "2")]).await;
    worker.episode_of("a").await.answer(vec![timer(1, 0)]).await;
    let episode = worker.episode_of("a").await;
    for event in episode.request.past_events.iter().chain(&episode.request.new_events) {
        let unknown = matches!(
            event.event_type,
            Some(
                EventType::ExecutionCompleted(_)
                    | EventType::ExecutionRewound(_)
                    | EventType::GenericEvent(_)
                    | EventType::HistoryState(_)
                    | EventType::ContinueAsNew(_)
                    | EventType::OrchestratorCompleted(_)
            )
        );
        assert!(!unknown, "{event:?}");
    }
}

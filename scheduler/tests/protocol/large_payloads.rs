//! Large payloads: kept beside the hub, seen by nobody, and gone when nothing needs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use durawasm_scheduler::payload::PayloadOptions;

use crate::stand::*;

/// A server with a folder, which keeps everything above 100 bytes beside the hub and lets nothing linger.
async fn server(folder: &Path) -> Server {
    Server::with(|options| {
        options.data = Some(folder.to_owned());
        options.payloads = PayloadOptions { threshold: 100, linger: Duration::ZERO, ..PayloadOptions::default() };
        options.limits.payload_bytes = 16 << 20;
    })
    .await
}

/// A text of that many bytes that begins with a name.
fn text(name: &str, bytes: usize) -> String {
    format!("{name}:{}", "x".repeat(bytes - name.len() - 1))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| {
        fs::read_dir(path).map(|all| all.map(|e| e.unwrap().path()).collect::<Vec<_>>()).unwrap_or_default()
    };
    entries(&folder.join("default.db.payloads")).iter().flat_map(|shard| entries(shard)).collect()
}

/// Waits until so many payloads are left.
async fn left(folder: &Path, count: usize) {
    let wait = async {
        while files(folder).len() != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(20), wait).await.is_err() {
        panic!("{} payloads are left instead of {count}", files(folder).len());
    }
}

async fn purge(client: &Client, id: &str) {
    let request = pb::PurgeInstancesRequest {
        request: Some(pb::purge_instances_request::Request::InstanceId(id.into())),
        ..Default::default()
    };
    soon("a purge", client.rpc().purge_instances(request)).await.expect("it is purged");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_texts_arrive_as_they_were_sent_and_are_gone_with_their_instance() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    let [input, status, argument, result, event, sent, output] =
        ["input", "status", "argument", "result", "event", "sent", "output"].map(|name| text(name, 200_000));
    client.start_with("i", "o", |r| r.input = Some(input.clone())).await.unwrap();
    let first = worker.episode_of("i").await;
    assert_eq!(first.started().input.as_ref(), Some(&input));
    let actions = vec![call_with(1, "a", |c| c.input = Some(argument.clone())), send(2, "i", "echo", &sent)];
    let mut response = first.response(actions);
    response.custom_status = Some(status.clone());
    first.send(response).await.unwrap();
    let call = worker.call().await;
    assert_eq!(call.request.input.as_ref(), Some(&argument));
    assert_eq!(client.get("i").await.custom_status.as_ref(), Some(&status));
    call.complete(&result).await;
    client.raise("i", "e", Some(&event)).await.unwrap();
    loop {
        let episode = worker.episode_of("i").await;
        let all = brief(&[episode.request.past_events.clone(), episode.request.new_events.clone()].concat()).concat();
        if [&result, &event, &sent].iter().all(|text| all.contains(*text)) {
            assert!(all.contains(&argument), "{all}");
            episode.answer(vec![complete(3, &output)]).await;
            break;
        }
        let mut response = episode.response(vec![]);
        response.custom_status = Some(status.clone());
        episode.send(response).await.unwrap();
    }
    let state = client.end("i").await;
    assert_eq!((state.input.as_ref(), state.output.as_ref()), (Some(&input), Some(&output)));
    let history = brief(&client.history("i").await).concat();
    for text in [&input, &argument, &result, &event, &sent, &output] {
        assert!(history.contains(text.as_str()), "{}", &text[..10]);
    }
    // The last status was not said again, so that it is not there any more.
    left(folder.path(), 6).await;
    purge(&client, "i").await;
    left(folder.path(), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generations_let_go_what_they_do_not_pass_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    client.start_with("i", "o", |r| r.input = Some(text("0", 500))).await.unwrap();
    for round in 1..20 {
        let episode = worker.episode_of("i").await;
        assert_eq!(episode.started().input, Some(text(&(round - 1).to_string(), 500)));
        episode.answer(vec![continue_as_new(1, &text(&round.to_string(), 500))]).await;
    }
    worker.episode_of("i").await;
    left(folder.path(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_replaced_or_deleted_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    let mut before: Option<String> = None;
    for round in 0..5 {
        client.signal("@e@k", "set", Some(&text(&format!("input{round}"), 300))).await;
        let batch = worker.batch_of("@e@k").await;
        assert_eq!(batch.state(), before.as_deref());
        assert_eq!(batch.operations(), [format!("set({})", text(&format!("input{round}"), 300))]);
        let state = text(&format!("state{round}"), 300);
        batch.run(Some(&state)).await;
        assert_eq!(client.state("@e@k").await.as_ref(), Some(&state));
        before = Some(state);
    }
    left(folder.path(), 1).await;
    client.signal("@e@k", "delete", None).await;
    worker.batch_of("@e@k").await.run(None).await;
    left(folder.path(), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_instances_share_stays_until_both_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    let shared = text("shared", 1_000);
    for id in ["a", "b"] {
        client.start_with(id, "o", |r| r.input = Some(shared.clone())).await.unwrap();
        worker.episode_of(id).await.answer(vec![complete(1, "done")]).await;
    }
    left(folder.path(), 1).await;
    purge(&client, "a").await;
    // Whatever was let go with `a` has been looked at when this one, let go later, is gone.
    client.start_with("c", "o", |r| r.input = Some(text("other", 1_000))).await.unwrap();
    worker.episode_of("c").await.answer(vec![complete(1, "done")]).await;
    purge(&client, "c").await;
    left(folder.path(), 1).await;
    assert_eq!(client.get("b").await.input.as_ref(), Some(&shared));
    purge(&client, "b").await;
    left(folder.path(), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    assert!(client.raise("nobody", "e", Some(&text("event", 1_000))).await.is_err());
    client.start_with("i", "o", |r| r.input = Some(text("input", 1_000))).await.unwrap();
    assert!(client.start_with("i", "o", |r| r.input = Some(text("again", 1_000))).await.is_err());
    left(folder.path(), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_of_an_answer_keep_their_texts_until_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    client.start("i", "o").await;
    let episode = worker.episode_of("i").await;
    for part in 0..2 {
        let argument = text(&format!("argument{part}"), 1_000);
        let mut response = episode.response(vec![call_with(part + 1, "a", |c| c.input = Some(argument))]);
        (response.is_partial, response.chunk_index) = (true, Some(part));
        episode.send(response).await.unwrap();
    }
    // Time for the collector to make a mistake: it has taken away what came later and was refused.
    assert!(client.raise("nobody", "e", Some(&text("event", 1_000))).await.is_err());
    left(folder.path(), 2).await;
    let mut response = episode.response(vec![]);
    response.chunk_index = Some(2);
    episode.send(response).await.unwrap();
    let mut inputs = vec![worker.call().await.request.input.unwrap(), worker.call().await.request.input.unwrap()];
    inputs.sort();
    assert_eq!(inputs, [text("argument0", 1_000), text("argument1", 1_000)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_what_is_needed_is_there_and_what_a_crash_left_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let server_before = server(folder.path()).await;
    let input = text("input", 1_000);
    server_before.client().start_with("i", "o", |r| r.input = Some(input.clone())).await.unwrap();
    server_before.stop().await;
    // A text whose process ended before anything referred to it, and one that was not written to its end.
    let shard = folder.path().join("default.db.payloads/ab");
    fs::create_dir_all(&shard).unwrap();
    fs::write(shard.join(format!("{}.zst", "ab".repeat(32))), "orphan").unwrap();
    fs::write(shard.join(format!("{}.new", "ab".repeat(31) + "cd")), "half").unwrap();
    assert_eq!(files(folder.path()).len(), 3);
    let server = server(folder.path()).await;
    left(folder.path(), 1).await;
    let mut worker = Worker::connect(&server.client()).await;
    assert_eq!(worker.episode_of("i").await.started().input.as_ref(), Some(&input));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_reads_no_payload_that_it_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    for id in ["a", "b"] {
        client.start_with(id, "o", |r| r.input = Some(text(id, 3 << 20))).await.unwrap();
        worker.episode_of(id).await.answer(vec![complete(1, &text("output", 1_000))]).await;
    }
    let list = |inputs: bool| {
        let query = pb::InstanceQuery { fetch_inputs_and_outputs: inputs, ..Default::default() };
        let mut rpc = client.rpc();
        async move { rpc.query_instances(pb::QueryInstancesRequest { query: Some(query) }).await }
    };
    // Two of them do not fit into a message: a page ends before that.
    let page = list(true).await.unwrap().into_inner();
    assert_eq!(page.orchestration_state.len(), 1);
    assert_eq!(page.orchestration_state[0].input, Some(text("a", 3 << 20)));
    assert_eq!(page.orchestration_state[0].output, Some(text("output", 1_000)));
    fs::remove_dir_all(folder.path().join("default.db.payloads")).unwrap();
    let page = list(false).await.unwrap().into_inner();
    assert_eq!(page.orchestration_state.len(), 2);
    let lost = list(true).await.expect_err("it is lost");
    assert_eq!(lost.code(), tonic::Code::DataLoss, "{lost}");
}

/// Destroys the file of the only payload. Returns how to put it back.
fn destroy(folder: &Path, delete: bool) -> impl FnOnce() {
    let [file] = files(folder).try_into().expect("one payload");
    let bytes = fs::read(&file).unwrap();
    if delete {
        fs::remove_file(&file).unwrap();
    } else {
        let mut flipped = bytes.clone();
        let last = flipped.len() - 1;
        flipped[last] ^= 1;
        fs::write(&file, flipped).unwrap();
    }
    move || fs::write(file, bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_payload_is_lost_is_parked_and_goes_on_when_it_is_back() {
    for delete in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let server = server(folder.path()).await;
        let client = server.client();
        let input = text("input", 1_000);
        client.start_with("i", "o", |r| r.input = Some(input.clone())).await.unwrap();
        let restore = destroy(folder.path(), delete);
        let mut worker = Worker::connect(&client).await;
        let parked = loop {
            if let Some(parked) = client.describe("i").await.parked {
                break parked;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(parked.reason, "payload-lost");
        let request = durawasm_proto::v1::DescribeInstanceRequest { instance_id: "i".into(), inputs_and_outputs: true };
        let described = client.own().describe_instance(request).await.expect("its texts are left out").into_inner();
        assert!(described.parked.is_some() && described.state.is_some_and(|state| state.input.is_none()));
        assert!(parked.message.contains("instance `i`: payload ") && parked.message.contains(".zst"), "{parked:?}");
        let request = pb::GetInstanceRequest { instance_id: "i".into(), get_inputs_and_outputs: true };
        let lost = client.rpc().get_instance(request).await.expect_err("it is lost");
        assert_eq!(lost.code(), tonic::Code::DataLoss);
        assert!(lost.message().contains("instance `i`: payload "), "{lost}");
        // Others go on.
        client.start("other", "o").await;
        worker.episode_of("other").await.answer(vec![complete(1, "done")]).await;
        restore();
        let episode = worker.episode_of("i").await;
        assert_eq!(episode.started().input.as_ref(), Some(&input));
        episode.answer(vec![complete(1, "done")]).await;
        assert_eq!(client.status("i").await, pb::OrchestrationStatus::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_whose_input_is_lost_fails_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    let only = |orchestration: &str, activity: &str| {
        let orchestration = pb::OrchestrationFilter { name: orchestration.into(), versions: vec![] };
        let activity = pb::ActivityFilter { name: activity.into(), versions: vec![] };
        let filters = pb::WorkItemFilters {
            orchestrations: vec![orchestration],
            activities: vec![activity],
            ..Default::default()
        };
        move |r: &mut pb::GetWorkItemsRequest| r.work_item_filters = Some(filters)
    };
    let mut worker = Worker::with(&client, only("o", "another")).await;
    client.start("i", "o").await;
    let argument = text("argument", 1_000);
    worker.episode_of("i").await.answer(vec![call_with(1, "a", |c| c.input = Some(argument))]).await;
    let restore = destroy(folder.path(), true);
    let _activities = Worker::with(&client, only("another", "a")).await;
    // The call has failed. What it was called with is a part of the history, which this worker cannot get as long as it is lost.
    let parked = async {
        while client.describe("i").await.parked.is_none_or(|parked| parked.reason != "payload-lost") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the parking", parked).await;
    restore();
    let episode = worker.episode_of("i").await;
    let failure = episode.request.new_events.iter().find_map(|event| match &event.event_type {
        Some(pb::history_event::EventType::TaskFailed(failed)) => failed.failure_details.clone(),
        _ => None,
    });
    let failure = failure.expect("the activity failed");
    assert_eq!(failure.error_type, "PayloadLost");
    assert!(failure.error_message.contains("instance `i`: payload "), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_fail_while_the_state_is_lost_and_the_state_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    let state = text("state", 1_000);
    client.signal("@e@k", "set", None).await;
    worker.batch_of("@e@k").await.run(Some(&state)).await;
    let restore = destroy(folder.path(), false);
    client.start("i", "o").await;
    worker.episode_of("i").await.answer(vec![call_entity(1, "@e@k", "get", "r1")]).await;
    let episode = worker.episode_of("i").await;
    let failed = episode.request.new_events.iter().any(|event| match &event.event_type {
        Some(pb::history_event::EventType::EntityOperationFailed(failed)) => {
            failed.failure_details.as_ref().is_some_and(|f| f.error_type == "PayloadLost")
        }
        _ => false,
    });
    assert!(failed, "{:?}", episode.request.new_events);
    restore();
    client.signal("@e@k", "get", None).await;
    assert_eq!(worker.batch_of("@e@k").await.state(), Some(state.as_str()));
}

/// Connects again and again, as the workers of the SDKs do when their stream breaks.
async fn failure_of_what_is_too_large(client: &Client, id: &str) -> pb::TaskFailureDetails {
    loop {
        // Without the input, which is too large for this client.
        let request = pb::GetInstanceRequest { instance_id: id.into(), get_inputs_and_outputs: false };
        let state = client.rpc().get_instance(request).await.unwrap().into_inner().orchestration_state.unwrap();
        if state.orchestration_status() == pb::OrchestrationStatus::Failed {
            return state.failure_details.expect("it failed");
        }
        let items = client.rpc().get_work_items(pb::GetWorkItemsRequest::default()).await;
        match tokio::time::timeout(Duration::from_millis(300), items.unwrap().into_inner().message()).await {
            Ok(Err(status)) => assert_eq!(status.code(), tonic::Code::OutOfRange, "{status}"),
            Ok(Ok(item)) => assert!(item.is_some(), "the stream goes on"),
            Err(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_workers_of_the_sdks_fails_in_the_end_instead_of_breaking_their_streams_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    let large = text("large", 5 << 20);
    client.start_with("i", "o", |r| r.input = Some(large.clone())).await.unwrap();
    let failure = soon("the failure", failure_of_what_is_too_large(&client, "i")).await;
    assert_eq!(failure.error_type, "PayloadTooLarge");
    assert!(failure.error_message.contains("LARGE_PAYLOADS"), "{failure:?}");

    client.start("j", "o").await;
    let mut worker = Worker::connect(&client).await;
    worker.episode_of("j").await.answer(vec![call_with(1, "a", |c| c.input = Some(large))]).await;
    drop(worker);
    let failure = soon("the failure", failure_of_what_is_too_large(&client, "j")).await;
    assert_eq!(failure.error_type, "PayloadTooLarge");
}

/// Starts, answers, continues, ends, purges and restarts at random: whatever happens, all that is needed can be read, and when the collector
/// has had its time there is nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_what_is_needed_is_there_and_nothing_else_stays() {
    use rand::{RngExt as _, SeedableRng as _};
    use std::collections::{BTreeMap, BTreeSet};

    for seed in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        // Some are the same, so that they share what is kept.
        let payload = |rng: &mut rand_chacha::ChaCha8Rng| text(&format!("p{}", rng.random_range(0..8)), 400);
        // Input, output if it has ended.
        let mut model: BTreeMap<String, (String, Option<String>)> = BTreeMap::new();
        for life in 0..4 {
            let server = server(folder.path()).await;
            let client = server.client();
            let mut worker = Worker::connect(&client).await;
            for step in 0..12 {
                let running = model.values().any(|(_, output)| output.is_none());
                match rng.random_range(0..5) {
                    0 | 1 => {
                        let (id, input) = (format!("i{life}-{step}"), payload(&mut rng));
                        client.start_with(&id, "o", |r| r.input = Some(input.clone())).await.unwrap();
                        model.insert(id, (input, None));
                    }
                    2 if running => {
                        let episode = worker.episode().await;
                        let (id, next) = (episode.id().to_owned(), payload(&mut rng));
                        assert_eq!(episode.started().input.as_ref(), Some(&model[&id].0), "seed {seed}, {id}");
                        episode.answer(vec![continue_as_new(1, &next)]).await;
                        model.insert(id, (next, None));
                    }
                    3 if running => {
                        let episode = worker.episode().await;
                        let (id, output) = (episode.id().to_owned(), payload(&mut rng));
                        episode.answer(vec![complete(1, &output)]).await;
                        model.get_mut(&id).unwrap().1 = Some(output);
                    }
                    _ => {
                        let ended = model.iter().find(|(_, (_, output))| output.is_some()).map(|(id, _)| id.clone());
                        if let Some(id) = ended {
                            purge(&client, &id).await;
                            model.remove(&id);
                        }
                    }
                }
            }
            for (id, (input, output)) in &model {
                let state = client.get(id).await;
                assert_eq!((state.input.as_ref(), &state.output), (Some(input), output), "seed {seed}, {id}");
            }
            let needed: BTreeSet<&String> = model.values().flat_map(|(i, o)| [Some(i), o.as_ref()]).flatten().collect();
            left(folder.path(), needed.len()).await;
            drop(worker);
            server.stop().await;
        }
    }
}

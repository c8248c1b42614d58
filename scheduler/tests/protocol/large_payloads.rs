//! Large payloads: kept beside the hub, seen by nobody, and gone when nothing needs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use durawasm_scheduler::payload::PayloadOptions;

use crate::stand::*;

/// A server with a folder, which keeps everything above 100 bytes beside the hub and lets nothing linger.
pub(crate) async fn server(folder: &Path) -> Server {
    Server::with(|options| {
        options.data = Some(folder.to_owned());
        options.payloads = PayloadOptions { threshold: 100, linger: Duration::ZERO, ..PayloadOptions::default() };
        options.limits.payload_bytes = 16 << 20;
    })
    .await
}

/// A text of that many bytes that begins with a name.
pub(crate) fn text(name: &str, bytes: usize) -> String {
    format!("{name}:{}", "x".repeat(bytes - name.len() - 1))
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
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

/// A part of an answer that calls an activity with a text of that name.
fn part(episode: &Episode, index: i32, name: &str) -> pb::OrchestratorResponse {
    let argument = text(name, 1_000);
    let mut response = episode.response(vec![call_with(index + 1, "a", |c| c.input = Some(argument))]);
    (response.is_partial, response.chunk_index) = (true, Some(index));
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_an_answer_that_never_becomes_whole_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    client.start("i", "o").await;
    let first = worker.episode_of("i").await;
    first.send(part(&first, 0, "replaced")).await.unwrap();
    left(folder.path(), 1).await;
    // A part that comes again takes the place of the one before.
    first.send(part(&first, 0, "again")).await.unwrap();
    first.send(part(&first, 1, "another")).await.unwrap();
    left(folder.path(), 2).await;
    // The worker is lost, and the next attempt says something else.
    drop(worker);
    let mut worker = Worker::connect(&client).await;
    let second = worker.episode_of("i").await;
    left(folder.path(), 0).await;
    // A part of what is void brings nothing.
    first.send(part(&first, 0, "void")).await.unwrap();
    left(folder.path(), 0).await;
    second.send(part(&second, 0, "given back")).await.unwrap();
    second.abandon().await.unwrap();
    let third = worker.episode_of("i").await;
    left(folder.path(), 0).await;
    // Whoever takes the instance away takes them away too.
    third.send(part(&third, 0, "taken away")).await.unwrap();
    left(folder.path(), 1).await;
    let request = pb::TerminateRequest { instance_id: "i".into(), ..Default::default() };
    client.rpc().terminate_instance(request).await.unwrap();
    drop(worker);
    client.end("i").await;
    left(folder.path(), 0).await;
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

//! Headers, task hubs, message sizes, and what a stream is like.

use crate::stand::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_reached_without_tls_under_a_path_without_a_package() {
    let server = Server::start().await;
    let mut grpc = tonic::client::Grpc::new(server.channel());
    grpc.ready().await.unwrap();
    let path = "/TaskHubSidecarService/Hello".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    grpc.unary(tonic::Request::new(()), path, codec).await.expect("it answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_hub_header_or_with_an_empty_one_the_hub_is_the_default_one() {
    let server = Server::start().await;
    server.client().start("a", "o").await;
    assert_eq!(server.hub("default").get("a").await.name, "o");
    assert_eq!(server.hub("").get("a").await.name, "o");
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_are_isolated_and_one_id_is_two_instances_in_two_of_them() {
    let server = Server::with(|o| o.hubs = vec!["left".into(), "right".into()]).await;
    let (left, right) = (server.hub("left"), server.hub("right"));
    let (mut at_left, mut at_right) = (Worker::connect(&left).await, Worker::connect(&right).await);
    right.start("same", "of-right").await;
    left.start("same", "of-left").await;
    left.start("marker", "of-left").await;
    let first = at_left.episode().await;
    assert_eq!((first.id(), first.started().name.as_str()), ("same", "of-left"));
    assert_eq!(at_left.episode().await.id(), "marker", "what is in the other hub does not come between");
    let theirs = at_right.episode().await;
    assert_eq!((theirs.id(), theirs.started().name.as_str()), ("same", "of-right"));
    first.answer(vec![complete(1, "left's")]).await;
    theirs.answer(vec![complete(1, "right's")]).await;
    assert_eq!(left.get("same").await.output.unwrap(), "left's");
    assert_eq!(right.get("same").await.output.unwrap(), "right's");
    assert!(server.client().find("same").await.is_none());
    // A token names its hub: in another one it means nothing.
    left.start("again", "o").await;
    let episode = at_left.episode().await;
    let response = episode.response(vec![complete(1, "from the wrong side")]);
    right.rpc().complete_orchestrator_task(response).await.expect("it is ignored");
    assert_eq!(left.status("again").await, Status::Pending);
    episode.answer(vec![complete(1, "fine")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_hub_is_not_found_for_clients_and_workers() {
    let server = Server::start().await;
    let nowhere = server.hub("nowhere");
    refused(nowhere.rpc().hello(()).await, Code::NotFound);
    refused(nowhere.start_with("a", "o", |_| {}).await, Code::NotFound);
    refused(nowhere.rpc().get_instance(pb::GetInstanceRequest::default()).await, Code::NotFound);
    let stream = Worker::stream(&nowhere, Default::default()).await;
    assert_eq!(stream.expect_err("no stream opens").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_development_a_hub_comes_into_being_on_first_use() {
    let server = Server::with(|o| o.dev = true).await;
    server.hub("fresh").start("a", "o").await;
    assert_eq!(server.hub("fresh").status("a").await, Status::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_that_the_options_name_are_there_from_the_start() {
    let server = Server::with(|o| o.hubs = vec!["mine".into()]).await;
    server.hub("mine").rpc().hello(()).await.expect("it is there");
    server.client().rpc().hello(()).await.expect("and so is the default one");
}

#[tokio::test(flavor = "multi_thread")]
async fn create_task_hub_makes_a_hub_and_leaves_one_that_is_there_as_it_is() {
    let server = Server::start().await;
    let hub = server.hub("made");
    for _ in 0..2 {
        hub.rpc().create_task_hub(pb::CreateTaskHubRequest { recreate_if_exists: false }).await.expect("it is made");
        let _ = hub.start_with("a", "o", |_| {}).await;
        assert_eq!(hub.status("a").await, Status::Pending);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn create_task_hub_empties_a_hub_that_is_to_be_made_again() {
    let server = Server::start().await;
    let hub = server.hub("made");
    let again = || pb::CreateTaskHubRequest { recreate_if_exists: true };
    hub.rpc().create_task_hub(again()).await.expect("it is made");
    hub.start("a", "o").await;
    hub.rpc().create_task_hub(again()).await.expect("it is made again");
    assert!(hub.find("a").await.is_none());
    hub.start("a", "o").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_task_hub_takes_the_hub_away_and_ends_its_streams() {
    let server = Server::with(|o| o.hubs = vec!["doomed".into()]).await;
    let hub = server.hub("doomed");
    hub.start("a", "o").await;
    let mut worker = Worker::only(&hub, &["other"]).await;
    hub.rpc().delete_task_hub(pb::DeleteTaskHubRequest {}).await.expect("it is deleted");
    let end = soon("the stream's end", worker.next()).await.expect_err("the stream ends");
    assert_eq!(end.code(), Code::Unavailable);
    refused(hub.rpc().hello(()).await, Code::NotFound);
    refused(hub.rpc().delete_task_hub(pb::DeleteTaskHubRequest {}).await, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_hub_is_emptied_when_it_is_deleted() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    client.rpc().delete_task_hub(pb::DeleteTaskHubRequest {}).await.expect("it is emptied");
    assert!(client.find("a").await.is_none());
    client.start("a", "o").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_a_hubs_is_refused() {
    let server = Server::with(|o| o.dev = true).await;
    for name in ["a/b", "../up", "with space", &"x".repeat(65)] {
        let made = server.hub(name).rpc().create_task_hub(pb::CreateTaskHubRequest::default()).await;
        refused(made, Code::InvalidArgument);
        refused(server.hub(name).start_with("a", "o", |_| {}).await, Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_the_managed_sdks_are_accepted() {
    let server = Server::start().await;
    let client = server.hub("default").saying("x-user-agent", "durabletask-python/1.0");
    let client = client.saying("authorization", "Bearer nobody.checks.it").saying("workerid", "host:1:uuid");
    client.start("a", "o").await;
    let mut worker = Worker::connect(&client).await;
    worker.episode_of("a").await.answer(vec![complete(1, "1")]).await;
    assert_eq!(client.end("a").await.orchestration_status(), Status::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_gets_no_work_stays_open_until_some_comes() {
    let (_server, client, mut worker) = stand().await;
    for _ in 0..100 {
        client.rpc().hello(()).await.unwrap();
    }
    client.start("late", "o").await;
    assert_eq!(worker.episode().await.id(), "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_is_answered_and_not_needed_before_work_items() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await;
    client.rpc().hello(()).await.expect("it answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_carries_a_health_ping_within_half_a_minute() {
    let server = Server::start().await;
    let mut worker = Worker::connect(&server.client()).await;
    match soon("a ping", worker.next()).await.unwrap().unwrap() {
        Item::Ping(ping) => assert_eq!(ping.completion_token, "", "a ping wants no answer"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_several_mebibytes_are_accepted_and_histories_come_in_small_chunks() {
    let (_server, client, mut worker) = stand().await;
    client.start("large", "o").await;
    let payload = "x".repeat(900 << 10);
    // Above the 3.9 MB that SDKs fill, and above the 4 MiB that clients accept.
    let calls = (1..=8).map(|id| call_with(id, "work", |c| c.input = Some(payload.clone())));
    worker.episode_of("large").await.answer(calls.collect()).await;
    for _ in 0..8 {
        let call = worker.call().await;
        assert_eq!(call.request.input.as_deref(), Some(payload.as_str()));
        call.complete(&payload).await;
    }
    let request = pb::StreamInstanceHistoryRequest { instance_id: "large".into(), ..Default::default() };
    let chunks = client.chunks(request).await.expect("each fits into 4 MiB");
    assert!(chunks.len() >= 8, "{}", chunks.len());
    for chunk in &chunks {
        assert!(prost::Message::encoded_len(chunk) < 2 << 20);
    }
    let scheduled = chunks.iter().flat_map(|c| &c.events).filter(|e| brief_event(e).starts_with("taskScheduled"));
    assert_eq!(scheduled.count(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_scheduler_stops_its_streams_and_waits_end_with_a_code_that_is_tried_again() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    let mut worker = Worker::only(&client, &["other"]).await;
    let mut rpc = client.rpc();
    let request = pb::GetInstanceRequest { instance_id: "a".into(), ..Default::default() };
    let wait = tokio::spawn(async move { rpc.wait_for_instance_completion(request).await });
    client.rpc().hello(()).await.unwrap();
    server.stop().await;
    let stream = soon("the stream's end", worker.next()).await.expect_err("the stream ends");
    assert_eq!(stream.code(), Code::Unavailable);
    let wait = soon("the wait's end", wait).await.unwrap().expect_err("the wait ends");
    assert_eq!(wait.code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_no_text_is_refused() {
    let server = Server::start().await;
    let mut grpc = tonic::client::Grpc::new(server.channel());
    grpc.ready().await.unwrap();
    let mut request = tonic::Request::new(());
    let value = tonic::metadata::AsciiMetadataValue::try_from(&b"caf\xe9"[..]).unwrap();
    request.metadata_mut().insert("taskhub", value);
    let path = "/TaskHubSidecarService/Hello".parse().unwrap();
    let answer = grpc.unary(request, path, tonic_prost::ProstCodec::<(), ()>::default()).await;
    refused(answer, Code::InvalidArgument);
}

//! GetInstance and the two waits.

use std::time::Duration;

use crate::stand::*;

fn request(id: &str, payloads: bool) -> pb::GetInstanceRequest {
    pb::GetInstanceRequest { instance_id: id.into(), get_inputs_and_outputs: payloads }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_and_output_are_shown_on_request_and_custom_status_and_failure_always() {
    let (_server, client, mut worker) = stand().await;
    client.start_with("a", "o", |r| r.input = Some("in".into())).await.unwrap();
    let episode = worker.episode_of("a").await;
    let mut response = episode.response(vec![end_with(1, Status::Failed, |c| {
        c.result = Some("out".into());
        c.failure_details = Some(failure("why"));
    })]);
    response.custom_status = Some("custom".into());
    episode.send(response).await.unwrap();
    let mut rpc = client.rpc();
    for payloads in [false, true] {
        let answers = [
            rpc.get_instance(request("a", payloads)).await.unwrap().into_inner(),
            rpc.wait_for_instance_start(request("a", payloads)).await.unwrap().into_inner(),
            rpc.wait_for_instance_completion(request("a", payloads)).await.unwrap().into_inner(),
        ];
        for answer in answers {
            let state = answer.orchestration_state.unwrap();
            assert_eq!(state.input.is_some(), payloads);
            assert_eq!(state.output.is_some(), payloads);
            assert_eq!(state.custom_status.as_deref(), Some("custom"));
            assert_eq!(state.failure_details, Some(failure("why")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_complete() {
    let (_server, client, mut worker) = stand().await;
    client.start_with("parent", "P", |r| r.version = Some("1".into())).await.unwrap();
    let kid = child_with(1, "kid", "K", |c| {
        c.version = Some("2".into());
        c.input = Some("in".into());
        c.tags = [("k".to_owned(), "v".to_owned())].into();
    });
    worker.episode_of("parent").await.answer(vec![kid]).await;
    let episode = worker.episode_of("kid").await;
    let mut response = episode.response(vec![complete(1, "out")]);
    response.custom_status = Some("half".into());
    episode.send(response).await.unwrap();
    let state = client.end("kid").await;
    let times = [state.created_timestamp, state.last_updated_timestamp, state.completed_timestamp];
    assert!(times.iter().all(|t| micros(t.as_ref()) > 0));
    let expected = pb::OrchestrationState {
        instance_id: "kid".into(),
        name: "K".into(),
        version: Some("2".into()),
        orchestration_status: Status::Completed.into(),
        scheduled_start_timestamp: None,
        created_timestamp: times[0],
        last_updated_timestamp: times[1],
        completed_timestamp: times[2],
        input: Some("in".into()),
        output: Some("out".into()),
        custom_status: Some("half".into()),
        failure_details: None,
        execution_id: Some(episode.execution().into()),
        parent_instance_id: Some("parent".into()),
        tags: [("k".to_owned(), "v".to_owned())].into(),
    };
    assert_eq!(state, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_the_start_ends_with_the_first_commit() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let episode = worker.episode_of("a").await;
    let mut rpc = client.rpc();
    let mut wait = tokio::spawn(async move { rpc.wait_for_instance_start(request("a", false)).await });
    client.start("marker", "o").await;
    worker.episode_of("marker").await;
    tokio::select! {
        biased;
        early = &mut wait => panic!("it has not begun: {early:?}"),
        () = std::future::ready(()) => {}
    }
    episode.answer(vec![]).await;
    let state = soon("the wait", wait).await.unwrap().unwrap().into_inner().orchestration_state.unwrap();
    assert_eq!(state.orchestration_status(), Status::Running);
    // If it is so already: at once.
    soon("an answer", client.rpc().wait_for_instance_start(request("a", false))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_the_end_ends_with_each_terminal_status() {
    let (_server, client, mut worker) = stand().await;
    for status in [Status::Completed, Status::Failed, Status::Terminated, Status::Canceled] {
        let id = status.as_str_name();
        client.start(id, "o").await;
        let wait = {
            let client = client.clone();
            tokio::spawn(async move { client.end(id).await })
        };
        worker.episode_of(id).await.answer(vec![end_with(1, status, |_| {})]).await;
        assert_eq!(soon("the wait", wait).await.unwrap().orchestration_status(), status);
        assert_eq!(client.end(id).await.orchestration_status(), status, "and at once from then on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_waits_at_once_are_all_answered() {
    let (_server, client, mut worker) = stand().await;
    for n in 0..10 {
        client.start(&format!("i{n}"), "o").await;
    }
    let mut waits = tokio::task::JoinSet::new();
    for n in 0..1_000 {
        let client = client.clone();
        waits.spawn(async move { client.end(&format!("i{}", n % 10)).await });
    }
    for _ in 0..10 {
        worker.episode().await.answer(vec![complete(1, "")]).await;
    }
    let answers = soon("all waits", waits.join_all()).await;
    assert!(answers.len() == 1_000 && answers.iter().all(|s| s.orchestration_status() == Status::Completed));
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_instances_leave_no_waiter_hanging() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    let mut waits = tokio::task::JoinSet::new();
    for n in 0..20 {
        let mut rpc = client.rpc();
        waits.spawn(async move {
            match n % 2 {
                0 => rpc.wait_for_instance_start(request("a", false)).await,
                _ => rpc.wait_for_instance_completion(request("a", false)).await,
            }
        });
    }
    client.rpc().hello(()).await.unwrap();
    client.terminate("a", None, false).await.unwrap();
    let purge = pb::PurgeInstancesRequest {
        request: Some(pb::purge_instances_request::Request::InstanceId("a".into())),
        ..Default::default()
    };
    let purged = client.rpc().purge_instances(purge).await.unwrap().into_inner();
    assert_eq!(purged.deleted_instance_count, 1);
    for answer in soon("all waits", waits.join_all()).await {
        answer.expect("a wait is answered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_an_instance_that_is_restarted_under_its_id_waits_for_the_new_one() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![complete(1, "first")]).await;
    let restart = pb::RestartInstanceRequest { instance_id: "a".into(), restart_with_new_instance_id: false };
    client.rpc().restart_instance(restart).await.unwrap();
    let wait = {
        let client = client.clone();
        tokio::spawn(async move { client.end("a").await })
    };
    worker.episode_of("a").await.answer(vec![complete(1, "second")]).await;
    assert_eq!(soon("the wait", wait).await.unwrap().output.as_deref(), Some("second"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_deadline_is_held_open() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    let wait = {
        let client = client.clone();
        tokio::spawn(async move { client.end("a").await })
    };
    for _ in 0..50 {
        client.raise("a", "go", None).await.unwrap();
    }
    assert!(!wait.is_finished());
    client.terminate("a", None, false).await.unwrap();
    assert_eq!(soon("the wait", wait).await.unwrap().orchestration_status(), Status::Terminated);
}

/// The code that the server itself ends a call with: one frame sent by hand, because every client ends its own calls first.
async fn code_at_deadline(server: &Server, method: &str, deadline: Duration) -> (u16, Duration) {
    let tcp = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let (h2, connection) = h2::client::handshake(tcp).await.unwrap();
    let connection = tokio::spawn(connection);
    let call = http::Request::post(format!("http://{}/TaskHubSidecarService/{method}", server.address()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", format!("{}m", deadline.as_millis()))
        .body(())
        .unwrap();
    let begun = std::time::Instant::now();
    let (answer, mut body) = h2.ready().await.unwrap().send_request(call, false).unwrap();
    let message = prost::Message::encode_to_vec(&request("a", false));
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    body.send_data(frame.into(), true).unwrap();
    let answer = soon("the end of the call", answer).await.unwrap();
    let code = match answer.headers().get("grpc-status") {
        Some(code) => code.clone(),
        None => {
            let trailers = soon("trailers", answer.into_body().trailers()).await.unwrap();
            trailers.expect("a gRPC call ends with trailers")["grpc-status"].clone()
        }
    };
    connection.abort();
    (code.to_str().unwrap().parse().unwrap(), begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_deadline_exceeded_at_the_clients_deadline() {
    let server = Server::start().await;
    server.client().start("a", "o").await;
    for method in ["WaitForInstanceStart", "WaitForInstanceCompletion"] {
        let (code, took) = code_at_deadline(&server, method, Duration::from_millis(300)).await;
        assert_eq!(code, Code::DeadlineExceeded as u16, "{method}");
        assert!(took >= Duration::from_millis(200), "{method} ended after {took:?}");
    }
}

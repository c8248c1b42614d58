//! The codes that SDKs turn into typed errors; one test a situation.

use crate::stand::*;

#[tokio::test(flavor = "multi_thread")]
async fn starting_an_id_that_is_taken_is_already_exists() {
    let server = Server::start().await;
    server.client().start("a", "o").await;
    refused(server.client().start_with("a", "o", |_| {}).await, Code::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_with_an_empty_name_or_an_entitys_id_is_invalid_argument() {
    let server = Server::start().await;
    refused(server.client().start_with("a", "", |_| {}).await, Code::InvalidArgument);
    refused(server.client().start_with("@e@k", "o", |_| {}).await, Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn raising_suspending_resuming_and_terminating_what_is_not_there_is_not_found() {
    let server = Server::start().await;
    let client = server.client();
    refused(client.raise("none", "go", None).await, Code::NotFound);
    refused(client.suspend("none", None).await, Code::NotFound);
    refused(client.resume("none", None).await, Code::NotFound);
    refused(client.terminate("none", None, true).await, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_what_is_not_there_is_not_found() {
    let server = Server::start().await;
    let request = pb::StreamInstanceHistoryRequest { instance_id: "none".into(), ..Default::default() };
    refused(server.client().chunks(request).await, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_or_waiting_for_what_is_not_there_is_ok_and_says_so_at_once() {
    let server = Server::start().await;
    let mut rpc = server.client().rpc();
    let request = || pb::GetInstanceRequest { instance_id: "none".into(), get_inputs_and_outputs: true };
    let answers = [
        rpc.get_instance(request()).await.expect("it is no error").into_inner(),
        soon("an answer", rpc.wait_for_instance_start(request())).await.expect("it is no error").into_inner(),
        soon("an answer", rpc.wait_for_instance_completion(request())).await.expect("it is no error").into_inner(),
    ];
    for answer in answers {
        assert_eq!(answer, pb::GetInstanceResponse { exists: false, orchestration_state: None });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_is_not_there_is_unimplemented() {
    let server = Server::start().await;
    let mut grpc = tonic::client::Grpc::new(server.channel());
    grpc.ready().await.unwrap();
    let path = "/TaskHubSidecarService/InventedMethod".parse().unwrap();
    let answer = grpc.unary(tonic::Request::new(()), path, tonic_prost::ProstCodec::<(), ()>::default()).await;
    assert_eq!(answer.expect_err("there is no such method").code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_with_stale_or_unknown_tokens_are_ok_and_ignored() {
    let server = Server::start().await;
    let client = server.client();
    let mut rpc = client.rpc();
    for token in ["", "nonsense", "o.1.1.1.0.default/none", "a.1.1.1.1.default/none", "e.1.1.1.1.default/@e@k"] {
        let completion_token = token.to_owned();
        let orchestrator = pb::OrchestratorResponse { completion_token, ..Default::default() };
        rpc.complete_orchestrator_task(orchestrator).await.expect("ignored");
        let completion_token = token.to_owned();
        rpc.complete_activity_task(pb::ActivityResponse { completion_token, ..Default::default() })
            .await
            .expect("ignored");
        let completion_token = token.to_owned();
        rpc.abandon_task_orchestrator_work_item(pb::AbandonOrchestrationTaskRequest { completion_token })
            .await
            .expect("ignored");
        let completion_token = token.to_owned();
        rpc.abandon_task_activity_work_item(pb::AbandonActivityTaskRequest { completion_token })
            .await
            .expect("ignored");
    }
}

//! What makes no sense to entities: each has an answer that says so.

use crate::stand::*;

/// An orchestration that does this in its first turn fails, for this reason.
async fn fails(actions: Vec<pb::OrchestratorAction>, error_type: &str, text: &str) {
    let server = Server::with(|options| options.limits.payload_bytes = 1_000).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    client.start("o", "wrong").await;
    worker.episode().await.answer(actions).await;
    let failure = client.end("o").await.failure_details.expect("it failed");
    assert_eq!(failure.error_type, error_type, "{failure:?}");
    assert!(failure.error_message.contains(text), "{failure:?}");
    assert_eq!(worker.kept(), 0, "and nothing else has happened");
    assert_eq!(client.entity("@e@a").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_to_what_is_no_entity_fail_their_orchestration() {
    for target in ["", "e", "@e", "@@k", "o"] {
        fails(vec![call_entity(1, target, "x", "")], "InvalidEntityId", "is not the id of an entity").await;
    }
    fails(vec![signal_entity(1, "@e", "x", None)], "InvalidEntityId", "the signal `x`").await;
    fails(vec![lock(1, "s", &["@e@a", "b"])], "InvalidEntityId", "`b`").await;
    let long = format!("@e@{}", "k".repeat(98));
    fails(vec![call_entity(1, &long, "x", "")], "InvalidEntityId", "at most 100 characters").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_inside_a_critical_section_fails_the_orchestration_and_releases_what_it_had() {
    let nested = vec![lock(1, "s", &["@e@a"]), lock(2, "t", &["@e@b"])];
    fails(nested, "NestedCriticalSection", "critical section `s`").await;
    let (_server, client, mut worker) = stand().await;
    client.start("o", "wrong").await;
    worker.episode().await.answer(vec![lock(1, "s", &["@e@a"])]).await;
    worker.episode().await.answer(vec![lock(2, "t", &["@e@b"])]).await;
    assert_eq!(client.end("o").await.failure_details.expect("it failed").error_type, "NestedCriticalSection");
    assert_eq!((client.entity("@e@a").await, client.entity("@e@b").await), (None, None));
    // After the release the next one is fine, also in the same turn.
    client.start("p", "right").await;
    worker.episode().await.answer(vec![lock(1, "s", &["@e@a"])]).await;
    worker.episode().await.answer(vec![unlock(2, "s", "@e@a"), lock(3, "t", &["@e@a"])]).await;
    assert_eq!(worker.episode().await.new_events()[1..], ["lockGranted t"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_nothing_or_of_too_much_fails_the_orchestration() {
    fails(vec![lock(1, "s", &[])], "InvalidLockSet", "0 entities").await;
    let many: Vec<String> = (0..1_001).map(|n| format!("@e@{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    fails(vec![lock(1, "s", &many)], "InvalidLockSet", "1001 entities").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_outside_the_lock_set_or_before_the_grant_fail_the_orchestration() {
    let early = vec![lock(1, "s", &["@e@a"]), call_entity(2, "@e@a", "x", "")];
    fails(early, "CallOutsideCriticalSection", "while it waits for locks").await;
    let (_server, client, mut worker) = stand().await;
    client.start("o", "wrong").await;
    worker.episode().await.answer(vec![lock(1, "s", &["@e@a"])]).await;
    worker.episode().await.answer(vec![call_entity(2, "@e@b", "x", "")]).await;
    let failure = client.end("o").await.failure_details.expect("it failed");
    assert_eq!(failure.error_type, "CallOutsideCriticalSection");
    assert!(failure.error_message.contains("`@e@b`, which it has not locked"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_over_the_limit_are_refused_to_clients_and_fail_orchestrations() {
    let large = "x".repeat(1_001);
    fails(vec![call_entity(1, "@e@a", "x", &large)], "PayloadTooLarge", "the input of the call `x`").await;
    let server = Server::with(|options| options.limits.payload_bytes = 1_000).await;
    let client = server.client();
    let refusal = client.signal_with("@e@a", "x", |signal| signal.input = Some(large)).await;
    refused(refusal, Code::InvalidArgument);
    assert_eq!(client.entity("@e@a").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_what_is_no_entity_and_what_is_no_operation() {
    let server = Server::start().await;
    let client = server.client();
    for id in ["", "e", "@e", "@@k"] {
        refused(client.signal_with(id, "o", |_| {}).await, Code::InvalidArgument);
        let look = pb::GetEntityRequest { instance_id: id.into(), include_state: true };
        refused(client.rpc().get_entity(look).await, Code::InvalidArgument);
    }
    refused(client.signal_with("@e@k", "", |_| {}).await, Code::InvalidArgument);
    let query = pb::EntityQuery { continuation_token: Some("0".into()), ..Default::default() };
    let query = pb::QueryEntitiesRequest { query: Some(query) };
    refused(client.rpc().query_entities(query).await, Code::InvalidArgument);
    refused(client.raise("@e@k", "event", None).await, Code::NotFound);
    refused(client.terminate("@e@k", None, false).await, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_without_a_message_is_refused_and_the_turn_comes_again() {
    let (_server, client, mut worker) = stand().await;
    client.start("o", "wrong").await;
    let episode = worker.episode().await;
    let kind = pb::orchestrator_action::OrchestratorActionType::SendEntityMessage(Default::default());
    let action = pb::OrchestratorAction { id: 1, orchestrator_action_type: Some(kind) };
    refused(episode.send(episode.response(vec![action])).await, Code::InvalidArgument);
    worker.episode().await.answer(vec![complete(1, "")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_entity_sends_to_nowhere_is_dropped_and_the_batch_is_committed() {
    let (_server, client, mut worker) = stand().await;
    client.start("taken", "o").await;
    worker.episode().await;
    client.signal("@e@k", "go", None).await;
    let batch = worker.batch().await;
    let mut response = batch.response(&[""], Some("s"));
    let signal = pb::SendSignalAction { instance_id: "nowhere".into(), name: "x".into(), ..Default::default() };
    let start = pb::StartNewOrchestrationAction { instance_id: "taken".into(), name: "o".into(), ..Default::default() };
    let entity = pb::StartNewOrchestrationAction { instance_id: "@e@x".into(), name: "o".into(), ..Default::default() };
    let kinds = [
        pb::operation_action::OperationActionType::SendSignal(signal),
        pb::operation_action::OperationActionType::StartNewOrchestration(start),
        pb::operation_action::OperationActionType::StartNewOrchestration(entity),
    ];
    response.actions =
        (1..).zip(kinds).map(|(id, kind)| pb::OperationAction { id, operation_action_type: Some(kind) }).collect();
    batch.send(response).await.expect("it is accepted");
    assert_eq!(client.state("@e@k").await.as_deref(), Some("s"));
}

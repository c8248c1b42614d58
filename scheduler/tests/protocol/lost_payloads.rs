//! Large payloads that are missing or damaged: who needs them waits or fails, and nobody else.

use std::fs;
use std::path::Path;
use std::time::Duration;

use pb::orchestrator_action::OrchestratorActionType as Action;
use pb::send_entity_message_action::EntityMessageType as Message;

use crate::large_payloads::{files, server, text};
use crate::stand::*;

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

#[tokio::test(flavor = "multi_thread")]
async fn the_operation_whose_input_is_lost_fails_and_none_of_those_before_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    client.signal("@e@k", "first", None).await;
    let mut worker = Worker::connect(&client).await;
    let first = worker.batch_of("@e@k").await;
    // While a worker has the first one, these become a batch. Only the last but one has an input.
    client.start("i", "o").await;
    let calls = [("get", None), ("reset", None), ("set", Some(text("lost", 1_000))), ("look", None)];
    let calls = calls.into_iter().enumerate().map(|(at, (name, input))| {
        let mut action = call_entity(i32::try_from(at).unwrap() + 1, "@e@k", name, "");
        if let Some(Action::SendEntityMessage(message)) = &mut action.orchestrator_action_type
            && let Some(Message::EntityOperationCalled(call)) = &mut message.entity_message_type
        {
            call.input = input;
        }
        action
    });
    worker.episode_of("i").await.answer(calls.collect()).await;
    while client.entity("@e@k").await.is_none_or(|entity| entity.backlog_queue_size < 5) {
        tokio::task::yield_now().await;
    }
    let restore = destroy(folder.path(), true);
    first.run(Some("s")).await;
    let before = worker.batch_of("@e@k").await;
    assert_eq!((before.operations(), before.state()), (vec!["get(-)!".to_owned(), "reset(-)!".to_owned()], Some("s")));
    before.answer(&["got", "done"], Some("t")).await;
    let after = worker.batch_of("@e@k").await;
    assert_eq!((after.operations(), after.state()), (vec!["look(-)!".to_owned()], Some("t")));
    after.answer(&["seen"], Some("t")).await;
    // The caller's history has the input too: it is parked until that is back, and tried again when a worker comes.
    restore();
    drop(worker);
    let mut worker = Worker::connect(&client).await;
    let mut outcomes = std::collections::BTreeMap::new();
    while outcomes.len() < 4 {
        let episode = worker.episode_of("i").await;
        for event in &episode.request.new_events {
            match &event.event_type {
                Some(EventType::EntityOperationCompleted(done)) => {
                    outcomes.insert(done.request_id.clone(), done.output.clone().unwrap());
                }
                Some(EventType::EntityOperationFailed(failed)) => {
                    let failure = failed.failure_details.clone().unwrap();
                    outcomes.insert(failed.request_id.clone(), failure.error_type);
                }
                _ => {}
            }
        }
        if outcomes.len() < 4 {
            episode.answer(vec![timer(9, from_now(Duration::from_secs(3_600)))]).await;
        }
    }
    let outcomes: Vec<(i32, String)> =
        outcomes.into_iter().map(|(id, said)| ((1..5).find(|at| request(*at) == id).unwrap(), said)).collect();
    let said: Vec<&str> = (1..5).map(|at| outcomes.iter().find(|(of, _)| *of == at).unwrap().1.as_str()).collect();
    assert_eq!(said, ["got", "done", "PayloadLost", "seen"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_and_was_parked_or_given_back_is_not_taken_for_what_broke_its_streams() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    let client = server.client();
    let large = text("large", 5 << 20);
    client.start_with("i", "o", |r| r.input = Some(large.clone())).await.unwrap();
    let restore = destroy(folder.path(), true);
    // Each worker that comes makes the parked instance be tried again.
    let mut workers = Vec::new();
    while client.describe("i").await.parked.is_none_or(|parked| parked.attempts < 3) {
        workers.push(Worker::connect(&client).await);
    }
    restore();
    drop(workers);
    let mut worker = Worker::connect(&client).await;
    for _ in 0..3 {
        worker.episode_of("i").await.abandon().await.unwrap();
    }
    let episode = worker.episode_of("i").await;
    assert_eq!(episode.started().input.as_ref(), Some(&large));
    episode.answer(vec![complete(1, "done")]).await;
    // (A look with the input is too large for this client.)
    let state = client.describe("i").await.state.unwrap();
    assert_eq!(state.orchestration_status(), pb::OrchestrationStatus::Completed);
}

//! Calls of entities from outside: run once, answered when the result is on disk, and answered again to who asks again.

use std::time::Duration;

use durawasm_proto::v1;
use durawasm_scheduler::core::ids::{InstanceId, RequestId};
use durawasm_scheduler::core::message::{EntityCallRequest, Input, Reply};

use crate::stand::virtual_hub::Hub;
use crate::stand::*;

fn add(request_id: &str) -> v1::CallEntityRequest {
    v1::CallEntityRequest {
        instance_id: "@Counter@a".into(),
        operation: "add".into(),
        input: Some("5".into()),
        request_id: request_id.into(),
    }
}

type Answer = tokio::task::JoinHandle<Result<v1::CallEntityResponse, tonic::Status>>;

/// Calls, and goes on.
fn begin(client: &Client, request: v1::CallEntityRequest) -> Answer {
    let mut own = client.own();
    tokio::spawn(async move { own.call_entity(request).await.map(tonic::Response::into_inner) })
}

async fn output(answer: Answer) -> String {
    let answer = soon("an answer", answer).await.expect("no panic").expect("it is answered");
    assert_eq!(answer.failure, None);
    answer.output.expect("it says something")
}

async fn acknowledge(client: &Client, request_id: &str) {
    let call = v1::EntityCall { instance_id: "@counter@a".into(), request_id: request_id.into() };
    let request = v1::AcknowledgeEntityCallsRequest { calls: vec![call] };
    soon("thanks", client.own().acknowledge_entity_calls(request)).await.expect("it is accepted");
}

/// The batch in which this entity's next operations come.
async fn batch(worker: &mut Worker) -> Batch {
    worker.batch_of("@counter@a").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_from_outside_is_a_call_to_its_worker_and_is_answered_when_its_result_is_committed() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    let answer = begin(&client, add("one"));
    let first = batch(&mut worker).await;
    assert_eq!(first.operations(), ["add(5)!"]);
    let event = &first.request.operation_requests[0];
    let Some(EventType::EntityOperationCalled(called)) = &event.event_type else { panic!("{event:?}") };
    assert_eq!(called.request_id, "one");
    assert!(
        called.parent_instance_id.as_ref().is_some_and(|id| !id.is_empty()) && called.parent_execution_id.is_some(),
        "workers of some SDKs cannot do without"
    );
    assert!(!answer.is_finished());
    first.answer(&["15"], Some("15")).await;
    assert_eq!(output(answer).await, "15");
    assert_eq!(client.state("@counter@a").await.as_deref(), Some("15"));
    // Nobody is told twice.
    first.answer(&["16"], Some("16")).await;
    assert_eq!(client.state("@counter@a").await.as_deref(), Some("15"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_fails_is_the_answer_with_its_details() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    let answer = begin(&client, add("one"));
    let first = batch(&mut worker).await;
    let mut response = first.response(&[""], Some("s"));
    let failed = pb::OperationResultFailure { failure_details: Some(failure("it is bad")), ..Default::default() };
    response.results[0].result_type = Some(pb::operation_result::ResultType::Failure(failed));
    first.send(response).await.expect("it is accepted");
    let answer = soon("an answer", answer).await.expect("no panic").expect("it is answered");
    assert_eq!((answer.output, answer.failure), (None, Some(failure("it is bad"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_again_under_the_same_id_gets_the_same_result_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let lost = begin(&client, add("one"));
    let mut worker = Worker::connect(&client).await;
    let void = batch(&mut worker).await;
    server.stop().await;
    let status = soon("an end", lost).await.expect("no panic").expect_err("the scheduler is gone");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    drop(void);

    // The call was on disk before anybody worked on it.
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    let again = begin(&client, add("one"));
    batch(&mut worker).await.answer(&["5"], Some("5")).await;
    assert_eq!(output(again).await, "5");
    assert_eq!(output(begin(&client, add("one"))).await, "5");
    server.stop().await;

    // And so is its answer.
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    assert_eq!(output(begin(&client, add("one"))).await, "5");
    let other = begin(&client, add("two"));
    let next = batch(&mut worker).await;
    assert_eq!((next.operations().len(), next.state()), (1, Some("5")), "the first one never runs again");
    next.answer(&["10"], Some("10")).await;
    assert_eq!(output(other).await, "10");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_acknowledged_is_forgotten_and_leaves_no_entity_behind() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    let answer = begin(&client, add("one"));
    acknowledge(&client, "one").await;
    let first = batch(&mut worker).await;
    first.answer(&["0"], None).await;
    assert_eq!(output(answer).await, "0", "what has not run cannot be acknowledged");
    assert_eq!(client.entity("@counter@a").await, None, "clients see no entity that has an answer and nothing else");
    assert_eq!(output(begin(&client, add("one"))).await, "0");
    acknowledge(&client, "one").await;
    acknowledge(&client, "never made").await;
    let anew = begin(&client, add("one"));
    assert_eq!(batch(&mut worker).await.operations().len(), 1);
    anew.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_from_outside_waits_for_the_end_of_a_critical_section() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    client.start("o", "holder").await;
    worker.episode().await.answer(vec![lock(1, "s", &["@counter@a"])]).await;
    let granted = worker.episode().await;
    let answer = begin(&client, add("one"));
    while client.entity("@counter@a").await.is_none_or(|entity| entity.backlog_queue_size == 0) {
        tokio::task::yield_now().await;
    }
    granted.answer(vec![call_entity(2, "@counter@a", "mine", "1")]).await;
    let mine = batch(&mut worker).await;
    assert_eq!(mine.operations(), ["mine(1)!"]);
    mine.run(Some("1")).await;
    worker.episode().await.answer(vec![unlock(3, "s", "@counter@a"), complete(4, "")]).await;
    let theirs = batch(&mut worker).await;
    assert_eq!(theirs.operations(), ["add(5)!"]);
    theirs.answer(&["6"], Some("6")).await;
    assert_eq!(output(answer).await, "6");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_wait_for_the_same_call_the_later_one_is_answered() {
    let server = Server::start().await;
    let client = server.client();
    let earlier = begin(&client, add("one"));
    while client.entity("@counter@a").await.is_none() {
        tokio::task::yield_now().await;
    }
    let later = begin(&client, add("one"));
    let status = soon("an end", earlier).await.expect("no panic").expect_err("somebody else waits");
    assert_eq!(status.code(), Code::Aborted, "{status:?}");
    let mut worker = Worker::connect(&client).await;
    let first = batch(&mut worker).await;
    assert_eq!(first.operations().len(), 1);
    first.answer(&["5"], Some("5")).await;
    assert_eq!(output(later).await, "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_make_no_sense_are_refused_and_a_deadline_is_kept() {
    let server = Server::with(|options| options.limits.payload_bytes = 1_000).await;
    let client = server.client();
    type Change = fn(&mut v1::CallEntityRequest);
    let wrong: [(&str, Change); 6] = [
        ("no entity", |call| call.instance_id = "counter".into()),
        ("too long", |call| call.instance_id = format!("@counter@{}", "k".repeat(100))),
        ("no operation", |call| call.operation.clear()),
        ("no id", |call| call.request_id.clear()),
        ("a long id", |call| call.request_id = "i".repeat(101)),
        ("too large", |call| call.input = Some("x".repeat(1_001))),
    ];
    for (what, change) in wrong {
        let mut call = add("one");
        change(&mut call);
        let status = soon(what, begin(&client, call)).await.expect("no panic").expect_err(what);
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
    }
    assert_eq!(client.entity("@counter@a").await, None);
    let mut late = tonic::Request::new(add("one"));
    late.set_timeout(Duration::from_millis(50));
    let status = soon("the deadline", client.own().call_entity(late)).await.expect_err("nobody runs it");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert_eq!(client.entity("@counter@a").await.expect("it is queued").backlog_queue_size, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_calls_are_acknowledged_at_once_and_no_more() {
    let server = Server::start().await;
    let client = server.client();
    let acknowledge = async |count: usize| {
        let call = |n: usize| v1::EntityCall { instance_id: "@counter@a".into(), request_id: n.to_string() };
        let request = v1::AcknowledgeEntityCallsRequest { calls: (0..count).map(call).collect() };
        soon("thanks", client.own().acknowledge_entity_calls(request)).await.map(drop)
    };
    acknowledge(1_000).await.expect("it is accepted");
    let status = acknowledge(1_001).await.expect_err("it is too much at once");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

/// Calls in the virtual hub, and returns the answer if there is one at once.
fn call(hub: &mut Hub, number: u64, request_id: &str) {
    let call = EntityCallRequest {
        entity: InstanceId::trusted("@e@k"),
        operation: "o".into(),
        input: None,
        request_id: request_id.into(),
    };
    hub.input(Input::CallEntity(RequestId(1_000_000 + number), Box::new(call)));
}

#[test]
fn an_answer_that_nobody_acknowledges_is_kept_for_ten_minutes_also_over_restarts() {
    let mut hub = Hub::new();
    hub.connect(1, None);
    call(&mut hub, 1, "one");
    let item = hub.only();
    assert_eq!(hub.run(&item, ""), Reply::Done);
    hub.restart_after(Duration::from_secs(400));
    hub.connect(2, None);
    call(&mut hub, 2, "one");
    assert!(matches!(hub.answered(), Some(Ok(Reply::Answered(outcome))) if outcome.is_ok()));
    assert!(hub.items().is_empty(), "it does not run again");
    hub.pass(Duration::from_secs(199));
    assert_eq!(hub.pipeline.partition().census().entities, 1);
    hub.pass(Duration::from_secs(1));
    assert_eq!(hub.pipeline.partition().census().entities, 0, "nothing is left of it");
    call(&mut hub, 3, "one");
    assert_eq!(hub.only().operations(), ["o(-)!"], "that was long ago: it is another call");
}

#[test]
fn an_entity_whose_answers_nobody_acknowledges_takes_no_more_calls_until_they_are_gone() {
    let mut hub = Hub::new();
    hub.connect(1, None);
    for number in 0..10_000 {
        call(&mut hub, number, &number.to_string());
        while let Some(item) = hub.items().pop() {
            hub.run(&item, "s");
        }
    }
    hub.answered();
    call(&mut hub, 10_000, "one too many");
    let refusal = hub.answered().expect("it is refused").expect_err("it is refused");
    assert!(refusal.to_string().contains("10000 calls from outside that are not acknowledged"), "{refusal}");
    call(&mut hub, 10_001, "77");
    assert!(matches!(hub.answered(), Some(Ok(Reply::Answered(_)))), "those that are there are told as before");
    hub.signal("@e@k", "signals are no calls", None);
    let item = hub.only();
    hub.run(&item, "s");
    let seen = vec![(InstanceId::trusted("@e@k"), "77".to_owned())];
    assert_eq!(hub.call(|request| Input::ForgetAnswers(request, seen)), Reply::Done);
    call(&mut hub, 10_002, "one too many");
    assert_eq!(hub.only().operations(), ["o(-)!"]);
}

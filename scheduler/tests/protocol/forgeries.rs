//! Workers that lie about whose item they answer.

use durawasm_proto::v1;

use crate::stand::*;

/// An episode of a new instance `a`.
async fn episode(client: &Client, worker: &mut Worker) -> Episode {
    client.start("a", "o").await;
    worker.episode_of("a").await
}

/// The token with one of its parts exchanged (see `docs/wire.md`).
fn forged(token: &str, part: usize, with: &str) -> String {
    let mut parts: Vec<&str> = token.splitn(6, '.').collect();
    parts[part] = with;
    parts.join(".")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_a_token_that_lies_about_the_instance_or_the_execution_is_ignored_and_costs_no_slot() {
    let (_server, client, mut worker) = stand().await;
    client.start("victim", "o").await;
    let victim = worker.episode_of("victim").await;
    let mine = episode(&client, &mut worker).await;
    let lies = [
        forged(&mine.token, 5, "default/victim"),
        forged(&mine.token, 5, "default/nobody"),
        forged(&mine.token, 5, "other/a"),
        forged(&mine.token, 3, "1"),
        forged(&mine.token, 2, "ffff"),
        forged(&mine.token, 1, "7fffffff"),
        forged(&mine.token, 0, "a"),
    ];
    for lie in &lies {
        let mut response = mine.response(vec![complete(1, "a lie")]);
        response.completion_token.clone_from(lie);
        response.instance_id.clear();
        mine.send(response).await.expect("ignored");
        let abandon = pb::AbandonOrchestrationTaskRequest { completion_token: lie.clone() };
        client.rpc().abandon_task_orchestrator_work_item(abandon).await.expect("ignored");
        let activity = pb::ActivityResponse { completion_token: lie.clone(), ..Default::default() };
        client.rpc().complete_activity_task(activity).await.expect("ignored");
    }
    assert_eq!((client.status("a").await, client.status("victim").await), (Status::Pending, Status::Pending));
    // The items are still known to be with that worker: when its stream breaks, they go to the next.
    drop(worker);
    let mut next = Worker::connect(&client).await;
    let mut again = [next.episode().await, next.episode().await];
    again.sort_by_key(|e| e.id().to_owned());
    assert_eq!([again[0].id(), again[1].id()], ["a", "victim"]);
    for (episode, lost) in again.iter().zip([&mine, &victim]) {
        assert_eq!(episode.request.new_events[1..], lost.request.new_events[1..]);
        episode.answer(vec![complete(1, "well")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_in_the_name_of_another_instance_or_call_is_refused_or_ignored() {
    let (_server, client, mut worker) = stand().await;
    client.start("victim", "o").await;
    worker.episode_of("victim").await.answer(vec![call(1, "w")]).await;
    let theirs = worker.call().await;
    episode(&client, &mut worker).await.answer(vec![call(1, "w")]).await;
    let mine = worker.call().await;
    let lie = pb::ActivityResponse { instance_id: "victim".into(), result: Some("a lie".into()), ..mine.response() };
    refused(mine.send(lie).await, Code::InvalidArgument);
    for part in [(5, "default/nobody"), (4, "77"), (3, "1"), (0, "o")] {
        let completion_token = forged(&mine.token, part.0, part.1);
        let lie = pb::ActivityResponse { completion_token, result: Some("a lie".into()), ..Default::default() };
        mine.send(lie).await.expect("ignored");
    }
    mine.complete("mine").await;
    theirs.complete("theirs").await;
    for _ in 0..2 {
        let episode = worker.episode().await;
        let expected = if episode.id() == "a" { "taskCompleted->1 mine" } else { "taskCompleted->1 theirs" };
        assert_eq!(episode.new_events(), ["orchestratorStarted", expected]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_with_a_refused_result_is_still_open_and_is_delivered_again_when_its_stream_breaks() {
    let (_server, client, mut worker) = stand().await;
    episode(&client, &mut worker).await.answer(vec![call(1, "w")]).await;
    let first = worker.call().await;
    let lie = pb::ActivityResponse { instance_id: "somebody".into(), ..first.response() };
    refused(first.send(lie).await, Code::InvalidArgument);
    drop(worker);
    let mut next = Worker::connect(&client).await;
    next.call().await.complete("1").await;
    assert_eq!(next.episode_of("a").await.new_events(), ["orchestratorStarted", "taskCompleted->1 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_session_lies_are_refused_by_their_number_and_the_session_goes_on() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    let (frames, received) = tokio::sync::mpsc::unbounded_channel();
    let open = v1::Open { work: Some(pb::GetWorkItemsRequest::default()), ..Default::default() };
    frames.send(v1::WorkerFrame { open: Some(open), ..Default::default() }).unwrap();
    let stream = tokio_stream::wrappers::UnboundedReceiverStream::new(received);
    let mut session = soon("a session", client.own().session(stream)).await.unwrap().into_inner();
    let answer = |sequence, kind| {
        let answers = vec![v1::Answer { sequence, kind: Some(kind), fuel: None }];
        frames.send(v1::WorkerFrame { answers, ..Default::default() }).unwrap();
    };
    let (mut acknowledged, mut refused, mut first) = (Vec::new(), Vec::new(), true);
    while acknowledged.len() + refused.len() < 4 {
        let frame = soon("a frame", session.message()).await.unwrap().expect("it goes on");
        acknowledged.extend(frame.acknowledged);
        refused.extend(frame.refusals.into_iter().map(|r| (r.sequence, Code::from_i32(r.code))));
        for item in frame.items {
            let completion_token = item.completion_token;
            match item.request {
                Some(pb::work_item::Request::OrchestratorRequest(request))
                    if request.new_events.len() == 2 && first =>
                {
                    first = false;
                    let response = pb::OrchestratorResponse {
                        completion_token,
                        actions: vec![call(1, "w")],
                        ..Default::default()
                    };
                    let lie = pb::OrchestratorResponse { completion_token: "nonsense".into(), ..response.clone() };
                    answer(1, v1::answer::Kind::Orchestration(lie));
                    answer(2, v1::answer::Kind::Orchestration(response));
                }
                Some(pb::work_item::Request::ActivityRequest(_)) => {
                    let mine = pb::ActivityResponse { completion_token, ..Default::default() };
                    let lie = pb::ActivityResponse { instance_id: "somebody".into(), ..mine.clone() };
                    answer(3, v1::answer::Kind::Activity(lie));
                    answer(4, v1::answer::Kind::Activity(mine));
                }
                _ => {}
            }
        }
    }
    acknowledged.sort_unstable();
    assert_eq!((acknowledged, refused), (vec![1, 2, 4], vec![(3, Code::InvalidArgument)]));
    assert_eq!(client.describe("a").await.open_activities, 0);
}

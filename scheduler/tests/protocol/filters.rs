//! Work-item filters: who may get what.

use crate::stand::*;

fn orchestrations(list: &[(&str, &[&str])]) -> Vec<pb::OrchestrationFilter> {
    let filter = |(name, versions): &(&str, &[&str])| pb::OrchestrationFilter {
        name: (*name).into(),
        versions: versions.iter().map(|v| (*v).into()).collect(),
    };
    list.iter().map(filter).collect()
}

fn activities(list: &[(&str, &[&str])]) -> Vec<pb::ActivityFilter> {
    let both = orchestrations(list).into_iter();
    both.map(|f| pb::ActivityFilter { name: f.name, versions: f.versions }).collect()
}

async fn filtered(client: &Client, o: &[(&str, &[&str])], a: &[(&str, &[&str])]) -> Worker {
    let filters =
        pb::WorkItemFilters { orchestrations: orchestrations(o), activities: activities(a), entities: Vec::new() };
    Worker::with(client, |r| r.work_item_filters = Some(filters)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_filters_a_worker_gets_everything() {
    let (_server, client, mut worker) = stand().await;
    client.start_with("a", "anything", |r| r.version = Some("7".into())).await.unwrap();
    worker.episode_of("a").await.answer(vec![call(1, "whatever")]).await;
    worker.call().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_filters_a_worker_gets_only_what_is_listed_and_the_rest_waits_and_blocks_nobody() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = filtered(&client, &[("known", &[])], &[("listed", &[])]).await;
    client.start("waits", "unknown").await;
    client.start("goes", "known").await;
    worker.episode_of("goes").await.answer(vec![call(1, "unlisted"), call(2, "listed")]).await;
    assert_eq!(worker.call().await.request.name, "listed");
    assert_eq!(client.status("waits").await, Status::Pending, "neither failed nor dropped");
    assert_eq!(client.describe("goes").await.open_activities, 2);
    let mut other = filtered(&client, &[("unknown", &[])], &[("unlisted", &[])]).await;
    other.episode_of("waits").await;
    assert_eq!(other.call().await.request.name, "unlisted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_without_a_kind_takes_nothing_of_that_kind() {
    let server = Server::start().await;
    let client = server.client();
    let mut orchestrator = filtered(&client, &[("o", &[])], &[]).await;
    client.start("a", "o").await;
    orchestrator.episode_of("a").await.answer(vec![call(1, "w")]).await;
    client.start("marker", "o").await;
    orchestrator.episode_of("marker").await;
    assert_eq!(orchestrator.kept(), 0, "no activity came before the marker");
    let mut nothing = Worker::with(&client, |r| r.work_item_filters = Some(Default::default())).await;
    let mut activity = filtered(&client, &[], &[("w", &[])]).await;
    activity.call().await.complete("").await;
    orchestrator.episode_of("a").await;
    tokio::select! {
        biased;
        item = nothing.next() => panic!("a worker that lists nothing gets nothing: {item:?}"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_match_exactly_none_listed_means_any_and_an_absent_one_is_the_empty_one() {
    let server = Server::start().await;
    let client = server.client();
    let mut one = filtered(&client, &[("o", &["1.0"])], &[]).await;
    let mut none = filtered(&client, &[("o", &[""])], &[]).await;
    let start = async |id: &str, version: Option<&str>| {
        client.start_with(id, "o", |r| r.version = version.map(Into::into)).await.unwrap();
    };
    start("v1.0.0", Some("1.0.0")).await;
    start("absent", None).await;
    start("empty", Some("")).await;
    start("v1.0", Some("1.0")).await;
    one.episode_of("v1.0").await;
    none.episode_of("absent").await;
    none.episode_of("empty").await;
    let mut any = filtered(&client, &[("o", &[])], &[]).await;
    any.episode_of("v1.0.0").await;
    start("v9", Some("9")).await;
    any.episode_of("v9").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_listed_several_times_are_merged() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = filtered(&client, &[("o", &["1"]), ("o", &["2"])], &[("w", &["1"]), ("w", &["2"])]).await;
    for version in ["1", "2"] {
        client.start_with(version, "o", |r| r.version = Some(version.into())).await.unwrap();
        worker.episode_of(version).await.answer(vec![call(1, "w")]).await;
        worker.call().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_without_a_version_counts_as_having_its_orchestrations() {
    let server = Server::start().await;
    let client = server.client();
    let mut orchestrator = filtered(&client, &[("o", &[])], &[]).await;
    let mut first = filtered(&client, &[], &[("w", &["1"])]).await;
    let mut second = filtered(&client, &[], &[("w", &["2"])]).await;
    client.start_with("a", "o", |r| r.version = Some("2".into())).await.unwrap();
    let own = call_with(2, "w", |c| c.version = Some("1".into()));
    orchestrator.episode_of("a").await.answer(vec![call(1, "w"), own]).await;
    let inherited = second.call().await;
    assert_eq!((inherited.request.task_id, inherited.request.version.as_deref()), (1, None), "nothing is put into it");
    assert_eq!(first.call().await.request.task_id, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_compared_exactly() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = filtered(&client, &[("Order", &[])], &[]).await;
    client.start("lower", "order").await;
    client.start("longer", "Orders").await;
    client.start("same", "Order").await;
    worker.episode_of("same").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_names_the_orchestrator_goes_before_one_that_takes_everything() {
    let server = Server::start().await;
    let client = server.client();
    // The SDKs fail what they have not registered, so work must not go to whoever is there first.
    let mut all = Worker::connect(&client).await;
    let mut named = filtered(&client, &[("o", &[])], &[("w", &[])]).await;
    client.start("a", "o").await;
    client.start("b", "other").await;
    all.episode_of("b").await;
    named.episode_of("a").await.answer(vec![call(1, "w")]).await;
    named.call().await;
    drop(named);
    // Once nobody names them any more, they go to who takes everything.
    all.call().await.complete("").await;
    all.episode_of("a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_without_a_version_that_nobody_has_in_its_orchestrations_is_told_with_the_reason() {
    let (_server, client, _) = stand().await;
    let mut worker =
        filtered(&client, &[("o", &["1.0"])], &[("own", &["1.0"]), ("another component's", &["3.0"])]).await;
    client.start_with("a", "o", |r| r.version = Some("1.0".into())).await.unwrap();
    // The first one is served: it is not what keeps the instance.
    let calls = vec![call(1, "own"), call(2, "another component's")];
    worker.episode_of("a").await.answer(calls).await;
    let call = worker.call().await;
    assert_eq!(call.request.name, "own");
    let told = client.describe("a").await.waiting_for;
    assert!(told.contains("`another component's` version `1.0`") && told.contains("names no version"), "{told}");
    client.start_with("b", "p", |r| r.version = Some("1.0".into())).await.unwrap();
    assert!(!client.describe("b").await.waiting_for.contains("names no version"));
}

//! Versions: what instances begin on that were started without one, and what is deployed.

use durawasm_proto::v1;

use crate::stand::*;

async fn parked_ids(client: &Client) -> Vec<String> {
    let mut stream = client.own().list_parked(v1::ListParkedRequest {}).await.unwrap().into_inner();
    let mut ids = Vec::new();
    while let Some(instance) = stream.message().await.unwrap() {
        assert!(instance.parked.is_some_and(|parked| parked.reason == "divergence"));
        ids.push(instance.instance_id);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_without_a_version_gets_the_one_that_its_worker_announced_and_keeps_it() {
    let server = Server::start().await;
    let client = server.client();
    let mut host = Host::new(&client, &["1.0", "1.1"]).await;
    assert_eq!(host.version_of("a").await.as_deref(), Some("1.1"));
    // One that has begun stays what it is, whatever comes.
    client.start("b", "o").await;
    let (completion_token, request) = host.episode().await;
    assert_eq!(started(&request.new_events).version.as_deref(), Some("1.1"));
    // It waits for something from outside.
    host.answer(v1::answer::Kind::Orchestration(pb::OrchestratorResponse { completion_token, ..Default::default() }));
    host.offer(&["1.0", "1.1", "2.0"]);
    // The offer and a start come on different streams: which is taken in first is open.
    let offered = async {
        let mut number = 0;
        while host.version_of(&format!("c{number}")).await.as_deref() != Some("2.0") {
            number += 1;
        }
    };
    soon("an instance that begins on what was offered", offered).await;
    client.raise("b", "go", None).await.unwrap();
    host.run_later("b", Some("1.1")).await;
    // What was started with a version has that one.
    client.start_with("d", "o", |request| request.version = Some("1.0".to_owned())).await.unwrap();
    assert_eq!(host.run().await, ("d".to_owned(), Some("1.0".to_owned())));
}

impl Host {
    /// Lets a later episode end its instance, which is of that version.
    async fn run_later(&mut self, id: &str, version: Option<&str>) {
        let (completion_token, request) = self.episode().await;
        assert_eq!(request.instance_id, id);
        let response =
            pb::OrchestratorResponse { completion_token, actions: vec![complete(2, "1")], ..Default::default() };
        self.answer(v1::answer::Kind::Orchestration(response));
        assert_eq!(self.client.end(id).await.version.as_deref(), version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_without_a_version_that_have_no_default_stay_without_one_at_workers_of_other_sdks() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    client.start("a", "o").await;
    let episode = worker.episode_of("a").await;
    assert_eq!(episode.started().version, None);
    episode.answer(vec![complete(1, "1")]).await;
    // A name that has a default in the hub gets its version, whoever runs it.
    deploy(&client, "1.0", ALL).await;
    client.start("b", "o").await;
    let episode = worker.episode_of("b").await;
    assert_eq!(episode.started().version.as_deref(), Some("1.0"));
    assert_eq!(client.get("b").await.version.as_deref(), Some("1.0"));
    client.start("c", "of another SDK").await;
    assert_eq!(worker.episode_of("c").await.started().version, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_another_sdk_gets_what_begins_on_the_default_if_it_asks_for_that_version() {
    let server = Server::start().await;
    let client = server.client();
    deploy(&client, "1.0", ALL).await;
    let filtered = async |version: &str| {
        let filter = pb::OrchestrationFilter { name: "o".to_owned(), versions: vec![version.to_owned()] };
        let filters = pb::WorkItemFilters { orchestrations: vec![filter], ..Default::default() };
        Worker::with(&client, |request| request.work_item_filters = Some(filters)).await
    };
    let _without = filtered("").await;
    let _other = filtered("2.0").await;
    client.start("a", "o").await;
    assert!(client.describe("a").await.waiting_for.contains("1.0"));
    let mut worker = filtered("1.0").await;
    assert_eq!(worker.episode_of("a").await.started().version.as_deref(), Some("1.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_offers_changes_without_a_new_stream_and_voids_no_token() {
    let server = Server::start().await;
    let client = server.client();
    let mut host = Host::new(&client, &["1.0"]).await;
    client.start_with("old", "o", |request| request.version = Some("1.0".to_owned())).await.unwrap();
    let (token, _) = host.episode().await;
    client.start_with("new", "o", |request| request.version = Some("2.0".to_owned())).await.unwrap();
    assert!(client.describe("new").await.waiting_for.contains("2.0"));
    host.offer(&["2.0"]);
    let (new, request) = host.episode().await;
    assert_eq!(request.instance_id, "new");
    // What it took before it still answers.
    for (completion_token, id) in [(token, "old"), (new, "new")] {
        let response =
            pb::OrchestratorResponse { completion_token, actions: vec![complete(1, "7")], ..Default::default() };
        host.answer(v1::answer::Kind::Orchestration(response));
        assert_eq!(client.end(id).await.output.as_deref(), Some("7"));
    }
    client.start_with("gone", "o", |request| request.version = Some("1.0".to_owned())).await.unwrap();
    assert!(client.describe("gone").await.waiting_for.contains("1.0"), "the old offer counts no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_instance_is_tried_again_when_its_worker_offers_something_else() {
    let server = Server::start().await;
    let client = server.client();
    let mut host = Host::new(&client, &["1.0"]).await;
    client.start("a", "o").await;
    // Often enough that the next try by itself is far away.
    for _ in 0..3 {
        let (completion_token, _) = host.episode().await;
        let park = v1::Park { completion_token, reason: "divergence".to_owned(), ..Default::default() };
        host.answer(v1::answer::Kind::Park(park));
        let parked = async || client.describe("a").await.parked.is_some();
        while !parked().await {
            tokio::task::yield_now().await;
        }
        assert_eq!(parked_ids(&client).await, ["a"]);
        host.offer(&["1.0"]);
    }
    assert_eq!(host.run().await.0, "a");
    assert!(parked_ids(&client).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hubs_default_goes_before_what_a_worker_announces_and_a_canary_gets_its_share() {
    let server = Server::start().await;
    let client = server.client();
    let mut host = Host::new(&client, &["1.0", "1.1", "3.0"]).await;
    deploy(&client, "1.0", ALL).await;
    assert_eq!(host.version_of("a").await.as_deref(), Some("1.0"));
    deploy(&client, "1.1", 0).await;
    assert_eq!(host.version_of("b").await.as_deref(), Some("1.0"), "kept, and no default");
    deploy(&client, "1.1", ALL / 2).await;
    let mut canaries = 0;
    for number in 0..60 {
        match host.version_of(&format!("order-{number}")).await.as_deref() {
            Some("1.1") => canaries += 1,
            version => assert_eq!(version, Some("1.0")),
        }
    }
    assert!((10..50).contains(&canaries), "{canaries}");
    let back = v1::RollBackRequest { name: "shop".to_owned(), revision: None };
    client.own().roll_back(back).await.unwrap();
    for number in 60..70 {
        assert_eq!(host.version_of(&format!("order-{number}")).await.as_deref(), Some("1.0"));
    }
    let request =
        v1::ActivateVersionRequest { name: "shop".to_owned(), version: "1.1".to_owned(), share: ALL, revision: None };
    client.own().activate_version(request).await.unwrap();
    assert_eq!(host.version_of("c").await.as_deref(), Some("1.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_default_that_nobody_runs_follows_when_the_default_changes() {
    let server = Server::start().await;
    let client = server.client();
    deploy(&client, "1.0", ALL).await;
    deploy(&client, "2.0", ALL).await;
    client.start("a", "o").await;
    let mut host = Host::new(&client, &["1.0"]).await;
    assert!(client.describe("a").await.waiting_for.contains("2.0"), "{:?}", client.describe("a").await);
    assert_eq!(client.get("a").await.version, None, "it has not begun");
    client.own().roll_back(v1::RollBackRequest { name: "shop".to_owned(), revision: None }).await.unwrap();
    assert_eq!(host.run().await, ("a".to_owned(), Some("1.0".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deployed_and_what_instances_got_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let deployed = deploy(&client, "1.0", ALL).await;
    let mut host = Host::new(&client, &["0.9", "1.0"]).await;
    client.start("a", "o").await;
    let (_, request) = host.episode().await;
    assert_eq!(started(&request.new_events).version.as_deref(), Some("1.0"));
    drop(host);
    server.stop().await;

    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let list = client
        .own()
        .list_deployments(v1::ListDeploymentsRequest { usage: true, hosts: true })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.deployments.as_ref(), Some(&deployed));
    assert_eq!(list.usage.len(), 1);
    assert_eq!((list.usage[0].version.as_str(), list.usage[0].pending), ("1.0", 1));
    assert_eq!((list.hosts, list.connected_hosts), (vec![0], 0));
    assert_eq!(fetch(&client, &deployed.versions[0].digest).await.unwrap(), b"bytes of 1.0");
    let mut host = Host::new(&client, &["0.9", "1.0"]).await;
    assert_eq!(host.run().await, ("a".to_owned(), Some("1.0".to_owned())));
    assert_eq!(host.version_of("b").await.as_deref(), Some("1.0"));
    // Who runs it, of those who are there: workers of other SDKs are no hosts.
    let _worker = Worker::connect(&client).await;
    let _other = Host::new(&client, &["0.9"]).await;
    let request = v1::ListDeploymentsRequest { usage: false, hosts: true };
    let list = client.own().list_deployments(request).await.unwrap().into_inner();
    assert_eq!((list.hosts, list.connected_hosts), (vec![1], 2));
}

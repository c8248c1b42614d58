//! Instances that are moved to another version in the middle of their execution.

use durawasm_proto::{property, tag, v1};
use prost_types::value::Kind;
use v1::migrate_instance_response::Outcome;

use crate::stand::*;

async fn migrate(client: &Client, id: &str, events: u64, version: &str) -> Result<Outcome, tonic::Status> {
    let state = client.find(id).await;
    let request = v1::MigrateInstanceRequest {
        instance_id: id.to_owned(),
        execution_id: state.and_then(|state| state.execution_id).unwrap_or_default(),
        history_events: events,
        version: version.to_owned(),
    };
    Ok(client.own().migrate_instance(request).await?.into_inner().outcome())
}

/// The version that a worker is told to run an episode on, beside what its beginning says.
fn told(request: &pb::OrchestratorRequest) -> Option<&str> {
    match request.properties.get(property::VERSION)?.kind.as_ref()? {
        Kind::StringValue(version) => Some(version),
        _ => None,
    }
}

fn notes(events: &[pb::HistoryEvent]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| match &event.event_type {
            Some(EventType::GenericEvent(note)) => note.data.as_deref(),
            _ => None,
        })
        .collect()
}

impl Host {
    /// Starts an instance of this version, and lets it wait for something from outside. Its history has so many events then.
    async fn waiting(&mut self, id: &str, version: &str) -> u64 {
        self.client.start_with(id, "o", |request| request.version = Some(version.to_owned())).await.unwrap();
        let (token, request) = self.episode().await;
        assert_eq!((request.instance_id.as_str(), told(&request)), (id, None));
        self.step(token, vec![], id).await
    }

    /// Answers an episode, and returns how many events the history has when that is on disk.
    async fn step(&mut self, completion_token: String, actions: Vec<pb::OrchestratorAction>, id: &str) -> u64 {
        let before = self.client.describe(id).await.history_events;
        let response = pb::OrchestratorResponse { completion_token, actions, ..Default::default() };
        self.answer(v1::answer::Kind::Orchestration(response));
        let grown = async {
            loop {
                let events = self.client.describe(id).await.history_events;
                if events > before {
                    return events;
                }
                tokio::task::yield_now().await;
            }
        };
        soon("the turn is on disk", grown).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_moved_goes_on_at_once_on_that_version_and_its_beginning_stays_what_it_was() {
    let server = Server::start().await;
    let client = server.client();
    let mut host = Host::new(&client, &["1.0", "2.0"]).await;
    let events = host.waiting("a", "1.0").await;
    assert_eq!(migrate(&client, "a", events, "2.0").await.unwrap(), Outcome::Moved);
    assert_eq!(migrate(&client, "a", events, "2.0").await.unwrap(), Outcome::Moved, "twice is as once");
    let (token, request) = host.episode().await;
    assert_eq!(told(&request), Some("2.0"));
    assert_eq!(
        started(&request.past_events).version.as_deref(),
        Some("1.0"),
        "code that asks is told what it was told"
    );
    assert_eq!(notes(&request.new_events), ["moved from version 1.0 to 2.0"]);
    let state = client.get("a").await;
    assert_eq!(state.version.as_deref(), Some("2.0"));
    assert_eq!(state.tags.get(tag::MOVED_FROM).map(String::as_str), Some("1.0"));
    // And on; and back.
    let events = host.step(token, vec![], "a").await;
    assert_eq!(migrate(&client, "a", events, "3.0").await.unwrap(), Outcome::Moved);
    assert!(client.describe("a").await.waiting_for.contains("3.0"), "only a worker that has it gets it");
    host.offer(&["1.0", "3.0"]);
    let (token, request) = host.episode().await;
    assert_eq!(told(&request), Some("3.0"));
    let events = host.step(token, vec![], "a").await;
    assert_eq!(migrate(&client, "a", events, "1.0").await.unwrap(), Outcome::Moved);
    let (token, request) = host.episode().await;
    assert_eq!(told(&request), None, "it is on the version that its history says");
    assert!(!client.get("a").await.tags.contains_key(tag::MOVED_FROM));
    host.step(token, vec![complete(1, "7")], "a").await;
    assert_eq!(client.end("a").await.version.as_deref(), Some("1.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_has_gone_on_is_going_on_or_has_ended_is_left_as_it_is() {
    let server = Server::start().await;
    let client = server.client();
    let mut host = Host::new(&client, &["1.0"]).await;
    let events = host.waiting("a", "1.0").await;
    assert_eq!(migrate(&client, "a", events - 1, "2.0").await.unwrap(), Outcome::Changed);
    let request = v1::MigrateInstanceRequest {
        instance_id: "a".to_owned(),
        execution_id: "another".to_owned(),
        history_events: events,
        version: "2.0".to_owned(),
    };
    let answer = client.own().migrate_instance(request).await.unwrap().into_inner();
    assert_eq!(answer.outcome(), Outcome::Changed);
    client.raise("a", "go", None).await.unwrap();
    let (token, _) = host.episode().await;
    assert_eq!(migrate(&client, "a", events, "2.0").await.unwrap(), Outcome::Changed, "a worker has it");
    let events = host.step(token, vec![complete(1, "7")], "a").await;
    assert_eq!(client.end("a").await.version.as_deref(), Some("1.0"));
    assert_eq!(migrate(&client, "a", events, "2.0").await.unwrap(), Outcome::Ended);
    assert_eq!(migrate(&client, "nobody", 1, "2.0").await.unwrap_err().code(), tonic::Code::NotFound);
    assert_eq!(migrate(&client, "a", 1, "").await.unwrap_err().code(), tonic::Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_has_not_begun_begins_on_the_version_that_it_is_moved_to() {
    let server = Server::start().await;
    let client = server.client();
    client.start_with("a", "o", |request| request.version = Some("1.0".to_owned())).await.unwrap();
    assert_eq!(migrate(&client, "a", 0, "2.0").await.unwrap(), Outcome::Moved);
    let mut host = Host::new(&client, &["2.0"]).await;
    assert_eq!(host.run().await, ("a".to_owned(), Some("2.0".to_owned())));
    assert!(!client.get("a").await.tags.contains_key(tag::MOVED_FROM));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_instance_is_freed_by_a_move_that_outlives_the_scheduler_and_ends_when_it_continues_as_new() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let mut host = Host::new(&client, &["1.0"]).await;
    let events = host.waiting("a", "1.0").await;
    client.raise("a", "go", None).await.unwrap();
    let (completion_token, _) = host.episode().await;
    let park = v1::Park { completion_token, reason: "divergence".to_owned(), ..Default::default() };
    host.answer(v1::answer::Kind::Park(park));
    let is_parked = async || client.describe("a").await.parked.is_some();
    let parked = async {
        while !is_parked().await {
            tokio::task::yield_now().await;
        }
    };
    soon("it is parked", parked).await;
    assert_eq!(migrate(&client, "a", events, "2.0").await.unwrap(), Outcome::Moved);
    assert!(!is_parked().await);
    drop(host);
    server.stop().await;

    let server = Server::on_disk(folder.path()).await;
    let client = server.client();
    let mut host = Host::new(&client, &["1.0", "2.0"]).await;
    let (token, request) = host.episode().await;
    assert_eq!((told(&request), started(&request.past_events).version.as_deref()), (Some("2.0"), Some("1.0")));
    let actions = vec![continue_as_new(1, "2")];
    let response = pb::OrchestratorResponse { completion_token: token, actions, ..Default::default() };
    host.answer(v1::answer::Kind::Orchestration(response));
    let (token, request) = host.episode().await;
    assert_eq!((told(&request), started(&request.new_events).version.as_deref()), (None, Some("2.0")));
    host.step(token, vec![complete(1, "7")], "a").await;
    assert!(client.end("a").await.tags.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_one_that_was_moved_is_on_its_version_and_one_that_begins_anew_is_so_from_the_beginning() {
    let server = Server::start().await;
    let client = server.client();
    let mut host = Host::new(&client, &["1.0", "2.0"]).await;
    let events = host.waiting("a", "1.0").await;
    migrate(&client, "a", events, "2.0").await.unwrap();
    let (token, _) = host.episode().await;
    let events = host.step(token, vec![], "a").await;
    for (id, at, version, expected) in [
        ("whole", events, None, (Some("2.0"), Some("1.0"))),
        ("anew", 0, None, (None, Some("2.0"))),
        ("other", events, Some("1.0"), (None, Some("1.0"))),
    ] {
        let request = v1::ForkInstanceRequest {
            instance_id: "a".to_owned(),
            at_event: at,
            new_instance_id: id.to_owned(),
            version: version.map(str::to_owned),
            ..Default::default()
        };
        client.own().fork_instance(request).await.unwrap();
        let (token, request) = host.episode().await;
        let all: Vec<_> = request.past_events.iter().chain(&request.new_events).cloned().collect();
        assert_eq!((told(&request), started(&all).version.as_deref()), expected, "{id}");
        host.step(token, vec![complete(9, "1")], id).await;
    }
}

//! QueryInstances and ListInstanceIds.

use std::collections::HashSet;

use crate::stand::*;

async fn page(client: &Client, query: pb::InstanceQuery) -> pb::QueryInstancesResponse {
    let request = pb::QueryInstancesRequest { query: Some(query) };
    soon("a page", client.rpc().query_instances(request)).await.expect("a query works").into_inner()
}

/// All pages, as a client reads them.
async fn ids(client: &Client, query: pb::InstanceQuery) -> Vec<String> {
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let answer = page(client, pb::InstanceQuery { continuation_token: token.clone(), ..query.clone() }).await;
        all.extend(answer.orchestration_state.into_iter().map(|s| s.instance_id));
        match answer.continuation_token {
            None => return all,
            next => {
                let text = next.clone().unwrap();
                assert!(!text.is_empty() && text != "0" && token != next, "Python would stop here: {text:?}");
                token = next;
            }
        }
    }
}

async fn list(client: &Client, request: pb::ListInstanceIdsRequest) -> pb::ListInstanceIdsResponse {
    soon("a list", client.rpc().list_instance_ids(request)).await.expect("a list works").into_inner()
}

/// One instance of each status but CANCELED and SUSPENDED, and the worker that made them.
async fn zoo(client: &Client) -> Worker {
    let mut worker = Worker::only(client, &["o"]).await;
    for id in ["a-completed", "a-failed", "b-running", "b-terminated"] {
        client.start_with(id, "o", |r| r.input = Some("in".into())).await.unwrap();
        let action = match id {
            "a-completed" => vec![complete(1, "out")],
            "a-failed" => vec![failed(1, failure("why"))],
            "b-terminated" => vec![terminated(1, "")],
            _ => vec![],
        };
        worker.episode_of(id).await.answer(action).await;
    }
    client.start("b-pending", "not served").await;
    worker
}

fn statuses(list: &[Status]) -> Vec<i32> {
    list.iter().map(|s| (*s).into()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_of_a_query_are_all_applied() {
    let server = Server::start().await;
    let client = server.client();
    let _worker = zoo(&client).await;
    let sorted = async |query| {
        let mut found = ids(&client, query).await;
        found.sort_unstable();
        found
    };
    let everything = sorted(pb::InstanceQuery::default()).await;
    assert_eq!(everything, ["a-completed", "a-failed", "b-pending", "b-running", "b-terminated"]);
    let of = |list: &[Status]| pb::InstanceQuery { runtime_status: statuses(list), ..Default::default() };
    assert_eq!(sorted(of(&[Status::Running, Status::Failed])).await, ["a-failed", "b-running"]);
    assert!(sorted(of(&[Status::ContinuedAsNew])).await.is_empty(), "nothing rests in that status");
    let prefix = |text: &str| pb::InstanceQuery { instance_id_prefix: Some(text.into()), ..Default::default() };
    assert_eq!(sorted(prefix("a-")).await, ["a-completed", "a-failed"]);
    assert_eq!(sorted(prefix("A-")).await, [""; 0]);
    assert_eq!(sorted(prefix("a%")).await, [""; 0], "a prefix is text and no pattern");
    assert_eq!(sorted(prefix("")).await.len(), 5);
    let both = pb::InstanceQuery { instance_id_prefix: Some("a-".into()), ..of(&[Status::Failed, Status::Running]) };
    assert_eq!(sorted(both).await, ["a-failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_created_range_includes_its_begin_and_excludes_its_end() {
    let server = Server::start().await;
    let client = server.client();
    for id in ["one", "two", "three"] {
        client.start(id, "o").await;
    }
    let created = async |id: &str| client.get(id).await.created_timestamp;
    let two = pb::InstanceQuery {
        created_time_from: created("two").await,
        created_time_to: created("three").await,
        ..Default::default()
    };
    assert_eq!(ids(&client, two).await, ["two"]);
    let until_two = pb::InstanceQuery { created_time_to: created("two").await, ..Default::default() };
    assert_eq!(ids(&client, until_two).await, ["one"]);
    let from_two = pb::InstanceQuery { created_time_from: created("two").await, ..Default::default() };
    assert_eq!(ids(&client, from_two).await, ["two", "three"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_task_hubs_in_a_query_are_ignored() {
    let server = Server::start().await;
    server.client().start("a", "o").await;
    let query = pb::InstanceQuery { task_hub_names: vec!["another".into()], ..Default::default() };
    assert_eq!(ids(&server.client(), query).await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_and_outputs_are_in_a_query_on_request() {
    let server = Server::start().await;
    let client = server.client();
    let _worker = zoo(&client).await;
    for wanted in [false, true] {
        let query = pb::InstanceQuery { fetch_inputs_and_outputs: wanted, ..Default::default() };
        for state in page(&client, query).await.orchestration_state {
            match state.instance_id.as_str() {
                "a-completed" => {
                    assert_eq!(state.input.as_deref(), wanted.then_some("in"));
                    assert_eq!(state.output.as_deref(), wanted.then_some("out"));
                }
                "a-failed" => assert_eq!(state.failure_details, Some(failure("why")), "always"),
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_what_was_asked_for_and_their_tokens_lead_through_all_in_a_stable_order() {
    let server = Server::start().await;
    let client = server.client();
    let expected: Vec<String> = (0..25).map(|n| format!("i{n:02}")).collect();
    for id in &expected {
        client.start(id, "o").await;
    }
    for size in [1, 7, 25, 26, i32::MAX] {
        let query = pb::InstanceQuery { max_instance_count: size, ..Default::default() };
        let first = page(&client, query.clone()).await;
        assert!(first.orchestration_state.len() <= usize::try_from(size).unwrap());
        assert_eq!(ids(&client, query).await, expected, "pages of {size}");
    }
    for query in [pb::InstanceQuery::default(), pb::InstanceQuery { max_instance_count: 0, ..Default::default() }] {
        assert_eq!(ids(&client, query).await, expected, "0 is the scheduler's own page size");
    }
    let prefixed =
        pb::InstanceQuery { instance_id_prefix: Some("i1".into()), max_instance_count: 3, ..Default::default() };
    assert_eq!(ids(&client, prefixed).await, expected[10..20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_stay_good_while_instances_come_go_and_change() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::only(&client, &["o"]).await;
    for n in 0..30 {
        client.start(&format!("i{n:02}"), "o").await;
        worker.episode().await.answer(vec![]).await;
    }
    let query = pb::InstanceQuery { max_instance_count: 10, ..Default::default() };
    let first = page(&client, query.clone()).await;
    let mut seen: Vec<String> = first.orchestration_state.into_iter().map(|s| s.instance_id).collect();
    // The instance that the token stands at is purged, others end, new ones come.
    for id in ["i09", "i05", "i15"] {
        client.raise(id, "end", None).await.unwrap();
        worker.episode_of(id).await.answer(vec![complete(1, "")]).await;
    }
    let purge = pb::purge_instances_request::Request::InstanceId("i09".into());
    let purge = pb::PurgeInstancesRequest { request: Some(purge), ..Default::default() };
    client.rpc().purge_instances(purge).await.unwrap();
    client.start("new", "o").await;
    let rest = pb::InstanceQuery { continuation_token: first.continuation_token, ..query };
    let mut token = rest;
    loop {
        let answer = page(&client, token.clone()).await;
        seen.extend(answer.orchestration_state.into_iter().map(|s| s.instance_id));
        match answer.continuation_token {
            None => break,
            next => token.continuation_token = next,
        }
    }
    let unique: HashSet<&String> = seen.iter().collect();
    assert_eq!(unique.len(), seen.len(), "none comes twice: {seen:?}");
    assert!((0..30).all(|n| seen.contains(&format!("i{n:02}"))), "none is left out: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_token_is_the_first_page_and_one_that_is_none_of_ours_is_invalid_argument() {
    let server = Server::start().await;
    let client = server.client();
    client.start("a", "o").await;
    let with = |token: &str| pb::InstanceQuery { continuation_token: Some(token.into()), ..Default::default() };
    assert_eq!(page(&client, with("")).await.orchestration_state.len(), 1);
    for token in ["0", "nonsense", "-1", "\u{0}"] {
        let request = pb::QueryInstancesRequest { query: Some(with(token)) };
        refused(client.rpc().query_instances(request).await, Code::InvalidArgument);
        let request = pb::ListInstanceIdsRequest { last_instance_key: Some(token.into()), ..Default::default() };
        refused(client.rpc().list_instance_ids(request).await, Code::InvalidArgument);
    }
    let request =
        pb::QueryInstancesRequest { query: Some(pb::InstanceQuery { runtime_status: vec![99], ..Default::default() }) };
    refused(client.rpc().query_instances(request).await, Code::InvalidArgument);
    client.rpc().query_instances(pb::QueryInstancesRequest { query: None }).await.expect("no filter is a filter");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_with_large_payloads_stay_below_four_mebibytes() {
    let server = Server::start().await;
    let client = server.client();
    let large = "x".repeat(1 << 20);
    for n in 0..8 {
        client.start_with(&format!("i{n}"), "o", |r| r.input = Some(large.clone())).await.unwrap();
    }
    // The client accepts 4 MiB and no more.
    let query =
        pb::InstanceQuery { fetch_inputs_and_outputs: true, max_instance_count: i32::MAX, ..Default::default() };
    assert_eq!(ids(&client, query).await.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_ids_holds_ended_instances_in_the_order_of_their_ends() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::only(&client, &["o"]).await;
    for id in ["c", "b", "a", "open"] {
        client.start(id, "o").await;
        worker.episode_of(id).await.answer(vec![]).await;
    }
    for (id, end) in [("b", complete(1, "")), ("c", failed(1, failure("no"))), ("a", terminated(1, ""))] {
        client.raise(id, "end", None).await.unwrap();
        worker.episode_of(id).await.answer(vec![end]).await;
    }
    let all = list(&client, Default::default()).await;
    assert_eq!(all.instance_ids, ["b", "c", "a"], "what has not ended is not in it");
    let failed = pb::ListInstanceIdsRequest { runtime_status: statuses(&[Status::Failed]), ..Default::default() };
    assert_eq!(list(&client, failed).await.instance_ids, ["c"]);
    let open = pb::ListInstanceIdsRequest { runtime_status: statuses(&[Status::Running]), ..Default::default() };
    assert!(list(&client, open).await.instance_ids.is_empty());
    let ended = async |id: &str| client.get(id).await.completed_timestamp;
    let range = pb::ListInstanceIdsRequest {
        completed_time_from: ended("c").await,
        completed_time_to: ended("a").await,
        ..Default::default()
    };
    assert_eq!(list(&client, range).await.instance_ids, ["c"], "from this time on, and before that one");
    // .NET sends an empty key with its first call.
    let (mut paged, mut key) = (Vec::new(), Some(String::new()));
    loop {
        let request = pb::ListInstanceIdsRequest { page_size: 1, last_instance_key: key, ..Default::default() };
        let answer = list(&client, request).await;
        assert!(answer.instance_ids.len() <= 1);
        paged.extend(answer.instance_ids);
        key = answer.last_instance_key;
        match &key {
            None => break,
            Some(key) => assert!(!key.is_empty() && key != "0"),
        }
    }
    assert_eq!(paged, ["b", "c", "a"]);
}

//! Batches of operations: who gets them, what answers do, and what becomes of those that come back.

use std::time::Duration;

use crate::stand::virtual_hub::Hub;
use crate::stand::*;

fn entities(names: &[&str], limit: i32) -> impl FnOnce(&mut pb::GetWorkItemsRequest) {
    let entities = names.iter().map(|name| pb::EntityFilter { name: (*name).into() }).collect();
    move |request| {
        request.max_concurrent_entity_work_items = limit;
        request.work_item_filters = Some(pb::WorkItemFilters { entities, ..Default::default() });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_go_to_workers_that_list_them_and_others_wait() {
    let server = Server::start().await;
    let client = server.client();
    let mut counters = Worker::with(&client, entities(&["Counter"], 0)).await;
    client.signal("@other@k", "o", None).await;
    client.signal("@counter@k", "o", None).await;
    counters.batch_of("@counter@k").await.run(Some("s")).await;
    assert_eq!(counters.kept(), 0, "an item that nobody takes stands in nobody's way");
    let mut others = Worker::with(&client, entities(&["other"], 0)).await;
    others.batch_of("@other@k").await.run(Some("s")).await;
    let mut none = Worker::only(&client, &["orchestrator"]).await;
    client.start("o", "orchestrator").await;
    client.signal("@third@k", "o", None).await;
    none.episode().await;
    assert_eq!(none.kept(), 0, "a present filter with no entities takes none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_never_has_more_batches_than_it_takes() {
    let server = Server::start().await;
    let client = server.client();
    for key in 0..6 {
        client.signal(&format!("@e@{key}"), "o", None).await;
    }
    let mut worker = Worker::with(&client, |request| request.max_concurrent_entity_work_items = 2).await;
    for _ in 0..3 {
        let (one, two) = (worker.batch().await, worker.batch().await);
        tokio::time::timeout(Duration::from_millis(50), worker.next()).await.expect_err("it has two");
        one.run(Some("s")).await;
        two.run(Some("s")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_without_a_result_stay_first() {
    let server = Server::start().await;
    let client = server.client();
    for number in 0..4 {
        client.signal("@e@k", "o", Some(&number.to_string())).await;
    }
    let mut worker = Worker::connect(&client).await;
    let batch = worker.batch().await;
    assert_eq!(batch.operations().len(), 4);
    client.signal("@e@k", "late", None).await;
    batch.answer(&["", ""], Some("two")).await;
    let batch = worker.batch().await;
    assert_eq!(
        (batch.state(), batch.operations()),
        (Some("two"), vec!["o(2)".into(), "o(3)".into(), "late(-)".into()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_failed_as_a_whole_or_was_given_back_has_changed_nothing_and_comes_again() {
    let server = Server::start().await;
    let client = server.client();
    client.signal("@e@k", "o", None).await;
    let mut worker = Worker::connect(&client).await;
    let batch = worker.batch().await;
    let failed = pb::EntityBatchResult { failure_details: Some(failure("no")), ..batch.response(&[""], Some("wrong")) };
    batch.send(failed).await.expect("it is accepted");
    let batch = worker.batch().await;
    assert_eq!((batch.state(), batch.operations()), (None, vec!["o(-)".to_owned()]));
    batch.abandon().await.expect("it is accepted");
    let old = batch;
    let batch = worker.batch().await;
    old.run(Some("void")).await;
    old.abandon().await.expect("void, and fine");
    let nothing = pb::EntityBatchResult { requires_state: true, ..batch.response(&[], Some("wrong")) };
    batch.send(nothing).await.expect("it is accepted");
    let batch = worker.batch().await;
    assert_eq!(batch.state(), None);
    batch.answer(&[], Some("wrong")).await;
    let batch = worker.batch().await;
    assert_eq!(batch.state(), None, "what has run nothing has changed nothing");
    batch.run(Some("s")).await;
    assert_eq!(client.state("@e@k").await.as_deref(), Some("s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_stream_breaks_goes_to_another_worker_and_the_old_token_is_void() {
    let server = Server::start().await;
    let client = server.client();
    client.signal("@e@k", "o", None).await;
    let mut one = Worker::connect(&client).await;
    let lost = one.batch().await;
    let mut two = Worker::connect(&client).await;
    drop(one);
    let batch = two.batch().await;
    lost.run(Some("lost")).await;
    assert_eq!(client.state("@e@k").await, None);
    batch.run(Some("s")).await;
    assert_eq!(client.state("@e@k").await.as_deref(), Some("s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_make_no_sense_are_refused_and_the_batch_comes_again() {
    let server = Server::start().await;
    let client = server.client();
    client.signal("@e@k", "o", None).await;
    let mut worker = Worker::connect(&client).await;
    let too_many = |b: &Batch| b.response(&["", ""], Some("s"));
    let no_result =
        |b: &Batch| pb::EntityBatchResult { results: vec![pb::OperationResult::default()], ..b.response(&[], None) };
    let no_action =
        |b: &Batch| pb::EntityBatchResult { actions: vec![pb::OperationAction::default()], ..b.response(&[""], None) };
    let wrong: [&dyn Fn(&Batch) -> pb::EntityBatchResult; 3] = [&too_many, &no_result, &no_action];
    for wrong in wrong {
        let batch = worker.batch().await;
        refused(batch.send(wrong(&batch)).await, Code::InvalidArgument);
    }
    worker.batch().await.run(Some("s")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_whose_answers_never_make_sense_fails_alone_and_lets_the_others_by() {
    let server = Server::start().await;
    let client = server.client();
    client.start("o", "caller").await;
    let mut worker = Worker::connect(&client).await;
    let calls = ["good", "bad", "good"].into_iter().zip(1..).map(|(name, id)| call_entity(id, "@e@k", name, ""));
    worker.episode().await.answer(calls.collect()).await;
    let mut news = Vec::new();
    let mut refusals = 0;
    while news.len() < 3 {
        match worker.next().await.expect("the stream goes on").expect("an item") {
            Item::Episode(episode) => {
                news.extend(episode.new_events().into_iter().skip(1));
                episode.answer(vec![]).await;
            }
            Item::Batch(batch) if batch.operations().iter().any(|name| name.starts_with("bad")) => {
                refusals += 1;
                assert!(refusals < 20, "it goes on for ever");
                let nonsense = vec![pb::OperationResult::default(); batch.operations().len()];
                let wrong = pb::EntityBatchResult { results: nonsense, ..batch.response(&[], Some("wrong")) };
                refused(batch.send(wrong).await, Code::InvalidArgument);
            }
            Item::Batch(batch) => batch.answer(&["fine"], Some("right")).await,
            Item::Call(call) => panic!("{call:?}"),
            Item::Ping(_) => {}
        }
    }
    let expected = format!("entityFailed->{} result 0 of entity `@e@k` is neither a success nor a failure", request(2));
    assert_eq!(news[1], expected);
    let fine = |id| format!("entityCompleted->{} fine", request(id));
    assert_eq!((&news[0], &news[2]), (&fine(1), &fine(3)));
    assert_eq!(client.state("@e@k").await.as_deref(), Some("right"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_goes_over_a_limit_fails_alone_and_changes_nothing() {
    let server = Server::with(|options| options.limits.payload_bytes = 100).await;
    let client = server.client();
    client.start("o", "caller").await;
    let mut worker = Worker::connect(&client).await;
    let calls = vec![
        call_entity(1, "@e@k", "small", ""),
        call_entity(2, "@e@k", "large", ""),
        call_entity(3, "@e@k", "small", ""),
    ];
    worker.episode().await.answer(calls).await;
    let all = worker.batch().await;
    assert_eq!(all.operations().len(), 3);
    all.answer(&["1", "2", "3"], Some(&"x".repeat(101))).await;
    for (results, state) in [(["1"], "one"), (["2"], "x"), (["3"], "three")] {
        let batch = worker.batch().await;
        assert_eq!(batch.operations().len(), 1, "one by one it shows which of them it is");
        let large = "x".repeat(101);
        let state = if batch.operations()[0].starts_with("large") { large.as_str() } else { state };
        batch.answer(&results, Some(state)).await;
    }
    assert_eq!(client.state("@e@k").await.as_deref(), Some("three"));
    let mut news = Vec::new();
    while news.len() < 3 {
        let episode = worker.episode().await;
        news.extend(episode.new_events().into_iter().skip(1));
        episode.answer(vec![]).await;
    }
    assert_eq!(news[0], format!("entityCompleted->{} 1", request(1)));
    assert!(
        news[1].starts_with(&format!("entityFailed->{} the state of the entity has 101 bytes", request(2))),
        "{news:?}"
    );
    assert_eq!(news[2], format!("entityCompleted->{} 3", request(3)));
}

#[test]
fn a_batch_that_comes_back_again_and_again_comes_at_growing_intervals_and_its_operations_one_by_one() {
    let mut hub = Hub::new();
    hub.connect(1, None);
    for name in ["a", "b", "c"] {
        hub.signal("@e@k", name, None);
    }
    let mut waits = Vec::new();
    hub.pass(Duration::from_millis(1));
    let mut item = hub.only();
    let mut sizes = vec![item.operations().len()];
    for _ in 0..12 {
        let before = hub.time();
        hub.abandon(&item);
        hub.signal("@e@other", "o", None);
        let other = hub.only();
        assert_eq!(other.token.instance.as_str(), "@e@other", "it holds up nobody");
        hub.run(&other, "s");
        while {
            hub.pass(Duration::from_millis(100));
            hub.pending() == 0
        } {}
        item = hub.only();
        waits.push((item.at - before).as_millis());
        sizes.push(item.operations().len());
    }
    assert!(waits.is_sorted() && waits[0] >= 100 && *waits.last().unwrap() == 30_000, "{waits:?}");
    assert_eq!(sizes[..5], [1, 3, 3, 1, 1], "the third return lets them come alone: {sizes:?}");
    hub.run(&item, "s");
    assert_eq!(hub.only().operations(), ["b(-)"], "the others still come one by one");
}

#[test]
fn a_signal_for_next_month_comes_then_and_not_before_also_after_restarts() {
    let month = Duration::from_secs(30 * 24 * 3_600);
    let mut hub = Hub::new();
    hub.connect(1, None);
    hub.signal("@e@k", "far", Some(month));
    hub.signal("@e@k", "near", Some(Duration::from_secs(60)));
    assert!(hub.items().is_empty());
    hub.pass(Duration::from_secs(61));
    let near = hub.only();
    assert_eq!((near.operations(), near.at), (vec!["near(-)".to_owned()], Duration::from_secs(60)));
    hub.run(&near, "s");
    hub.restart_after(Duration::from_secs(3_600));
    hub.connect(2, None);
    hub.pass(month - hub.time() - Duration::from_micros(1));
    assert!(hub.items().is_empty());
    hub.pass(Duration::from_micros(1));
    let far = hub.only();
    assert_eq!(far.operations(), ["far(-)"]);
    assert_eq!(far.batch.as_ref().unwrap().state.as_deref(), Some("s"), "it was read from the store");
}

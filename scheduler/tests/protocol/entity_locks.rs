//! Critical sections: requests, grants, who may do what meanwhile, and how locks are released.

use std::collections::{BTreeMap, BTreeSet};

use crate::stand::*;

/// An orchestration that has locked these entities.
async fn locked(client: &Client, worker: &mut Worker, id: &str, entities: &[&str]) -> Episode {
    client.start(id, "locks").await;
    let section = format!("section of {id}");
    worker.episode_of(id).await.answer(vec![lock(1, &section, entities)]).await;
    let episode = worker.episode_of(id).await;
    assert_eq!(episode.new_events()[1..], [format!("lockGranted {section}")]);
    episode
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_granted_once_when_all_its_entities_are_locked() {
    let (_server, client, mut worker) = stand().await;
    let episode = locked(&client, &mut worker, "o", &["@e@a", "@E@b", "@e@a"]).await;
    assert_eq!(
        episode.past()[2..],
        ["lockRequested#1 section of o @e@a @E@b @e@a"],
        "the history has the request as it was made"
    );
    assert_eq!(episode.request.new_events[1].event_id, -1);
    for entity in ["@e@a", "@e@b"] {
        let shown = client.entity(entity).await.expect("it is locked, so it is there");
        assert_eq!((shown.locked_by.as_deref(), shown.backlog_queue_size), (Some("o"), 0));
    }
    episode.answer(vec![unlock(2, "section of o", "@e@a"), unlock(3, "section of o", "@e@b"), complete(4, "")]).await;
    let history = brief(&client.history("o").await);
    assert_eq!(history[5..7], ["unlockSent#2 section of o @e@a", "unlockSent#3 section of o @e@b"]);
    assert_eq!(client.entity("@e@a").await, None, "nothing is left of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_before_a_request_run_first_and_those_after_it_wait_for_the_release() {
    let (_server, client, mut worker) = stand().await;
    client.signal("@e@k", "before", None).await;
    let before = worker.batch().await;
    client.start("o", "locks").await;
    worker.episode().await.answer(vec![lock(1, "s", &["@e@k"])]).await;
    client.signal("@e@k", "after", None).await;
    client.start("other", "calls").await;
    worker.episode_of("other").await.answer(vec![call_entity(1, "@e@k", "others", "")]).await;
    assert_eq!(client.locked_by("@e@k").await, None, "an operation runs");
    before.run(Some("1")).await;

    let granted = worker.episode_of("o").await;
    assert_eq!(granted.new_events()[1..], ["lockGranted s"]);
    granted.answer(vec![call_entity(2, "@e@k", "own", "")]).await;
    let own = worker.batch().await;
    assert_eq!((own.operations(), own.state()), (vec!["own()!".to_owned()], Some("1")), "only the holder's calls run");
    own.run(Some("2")).await;
    let episode = worker.episode_of("o").await;
    assert_eq!(worker.kept(), 0);
    episode.answer(vec![unlock(3, "s", "@e@k"), complete(4, "")]).await;
    let rest = worker.batch().await;
    assert_eq!((rest.operations(), rest.state()), (vec!["after(-)".into(), "others()!".into()], Some("2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_overlap_are_served_in_the_order_of_their_arrival() {
    let (_server, client, mut worker) = stand().await;
    let one = locked(&client, &mut worker, "one", &["@e@b"]).await;
    for (id, entities) in [("two", ["@e@a", "@e@b"]), ("three", ["@e@a", "@e@c"])] {
        client.start(id, "locks").await;
        worker.episode_of(id).await.answer(vec![lock(1, id, &entities)]).await;
    }
    // `three` could have both of its entities, but `two` was before it at one of them.
    assert_eq!((client.locked_by("@e@a").await, client.locked_by("@e@c").await), (None, None));
    one.answer(vec![unlock(2, "section of one", "@e@b"), complete(3, "")]).await;
    let two = worker.episode_of("two").await;
    assert_eq!(client.locked_by("@e@a").await.as_deref(), Some("two"));
    two.answer(vec![unlock(2, "two", "@e@a")]).await;
    let three = worker.episode_of("three").await;
    assert_eq!(three.new_events()[1..], ["lockGranted three"]);
    assert_eq!(client.locked_by("@e@b").await.as_deref(), Some("two"), "it holds the other one still");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_holder_releases_and_only_its_own_section() {
    let (_server, client, mut worker) = stand().await;
    let holder = locked(&client, &mut worker, "holder", &["@e@k"]).await;
    client.start("thief", "unlocks").await;
    let thief = worker.episode_of("thief").await;
    thief.answer(vec![unlock(1, "section of holder", "@e@k"), complete(2, "")]).await;
    assert_eq!(client.end("thief").await.orchestration_status(), Status::Completed, "it is recorded, and does nothing");
    holder.answer(vec![unlock(2, "another section", "@e@k"), unlock(3, "section of holder", "@e@other")]).await;
    assert_eq!(client.locked_by("@e@k").await.as_deref(), Some("holder"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_given_up_is_taken_out_of_all_queues() {
    let (_server, client, mut worker) = stand().await;
    let holder = locked(&client, &mut worker, "holder", &["@e@a"]).await;
    client.start("o", "waits").await;
    worker.episode_of("o").await.answer(vec![lock(1, "s", &["@e@a", "@e@b"])]).await;
    client.signal("@e@b", "behind", None).await;
    client.raise("o", "go", None).await.expect("it is there");
    let episode = worker.episode_of("o").await;
    episode.answer(vec![unlock(2, "s", "@e@a"), unlock(3, "s", "@e@b")]).await;
    worker.batch_of("@e@b").await.run(Some("1")).await;
    holder.answer(vec![complete(2, "")]).await;
    client.end("holder").await;
    assert_eq!(client.entity("@e@a").await, None);
    assert_eq!(client.status("o").await, Status::Running);
}

/// How an execution that holds a lock ends, and what the entity's queue sees of it.
async fn released_by(end: impl AsyncFnOnce(&Client, &mut Worker, Episode)) {
    let (_server, client, mut worker) = stand().await;
    let episode = locked(&client, &mut worker, "o", &["@e@a", "@e@b"]).await;
    client.signal("@e@a", "waits", None).await;
    assert_eq!(worker.kept(), 0);
    end(&client, &mut worker, episode).await;
    assert_eq!(worker.batch_of("@e@a").await.operations(), ["waits(-)"]);
    assert_eq!(client.locked_by("@e@a").await, None);
    assert_eq!(client.entity("@e@b").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_failure_and_continue_as_new_release_what_the_worker_forgot() {
    released_by(async |_, _, episode| episode.answer(vec![complete(2, "")]).await).await;
    released_by(async |_, _, episode| episode.answer(vec![failed(2, failure("no"))]).await).await;
    released_by(async |_, worker, episode| {
        episode.answer(vec![continue_as_new(2, "again")]).await;
        assert_eq!(worker.episode_of("o").await.new_events()[1..], ["executionStarted locks(again)"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn termination_releases_through_a_worker_and_without_one() {
    released_by(async |client, worker, episode| {
        client.terminate("o", None, false).await.expect("it is there");
        episode.answer(vec![]).await;
        worker.episode_of("o").await.answer(vec![terminated(2, "")]).await;
    })
    .await;
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::only(&client, &["locks"]).await;
    let episode = locked(&client, &mut worker, "o", &["@e@a"]).await;
    episode.answer(vec![]).await;
    drop(worker);
    client.terminate("o", None, false).await.expect("it is there");
    client.end("o").await;
    assert_eq!(client.entity("@e@a").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_releases() {
    released_by(async |client, worker, _| {
        let statuses = [Status::Running, Status::Terminated];
        client
            .start_with("o", "locks", |request| {
                let replaceable_status = statuses.map(Into::into).into();
                request.orchestration_id_reuse_policy = Some(pb::OrchestrationIdReusePolicy { replaceable_status });
            })
            .await
            .expect("it is replaced");
        worker.episode_of("o").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_ends_while_it_waits_leaves_no_request_behind() {
    let (_server, client, mut worker) = stand().await;
    let holder = locked(&client, &mut worker, "holder", &["@e@a"]).await;
    client.start("o", "waits").await;
    worker.episode_of("o").await.answer(vec![lock(1, "s", &["@e@a", "@e@b"])]).await;
    client.terminate("o", None, false).await.expect("it is there");
    worker.episode_of("o").await.answer(vec![terminated(2, "")]).await;
    client.end("o").await;
    assert_eq!(client.entity("@e@b").await, None);
    // A request and the end in one answer: nothing is ever locked.
    client.start("p", "waits").await;
    worker.episode_of("p").await.answer(vec![lock(1, "s", &["@e@a", "@e@b"]), complete(2, "")]).await;
    client.end("p").await;
    holder.answer(vec![complete(2, "")]).await;
    client.end("holder").await;
    assert_eq!((client.entity("@e@a").await, client.entity("@e@b").await), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_holds_locks_is_not_ended_by_force_and_what_failed_with_them_is_not_rewound() {
    let (_server, client, mut worker) = stand().await;
    let episode = locked(&client, &mut worker, "o", &["@e@a"]).await;
    let by_force = pb::SkipGracefulOrchestrationTerminationsRequest {
        instance_batch: Some(pb::InstanceBatch { instance_ids: vec!["o".into(), "@e@a".into()] }),
        reason: None,
    };
    let left = client.rpc().skip_graceful_orchestration_terminations(by_force).await.expect("it works").into_inner();
    assert_eq!(left.unterminated_instance_ids.iter().collect::<BTreeSet<_>>().len(), 2);
    episode.answer(vec![failed(2, failure("no"))]).await;
    client.end("o").await;
    let rewind = pb::RewindInstanceRequest { instance_id: "o".into(), reason: None };
    refused(client.rpc().rewind_instance(rewind).await, Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_called_something_in_a_critical_section_that_failed_is_not_rewound_into_it() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::connect(&client).await;
    for (id, within) in [("within", true), ("behind", false)] {
        let episode = locked(&client, &mut worker, id, &["@e@a"]).await;
        let section = format!("section of {id}");
        let unlocked = || unlock(3, &section, "@e@a");
        let activity = call(2, "fails");
        episode.answer(if within { vec![activity] } else { vec![unlocked(), activity] }).await;
        worker.call().await.fail(failure("no")).await;
        // It goes on for a while before it fails.
        let rest = if within { vec![unlocked(), timer(4, 0)] } else { vec![timer(4, 0)] };
        worker.episode_of(id).await.answer(rest).await;
        worker.episode_of(id).await.answer(vec![failed(5, failure("no"))]).await;
        client.end(id).await;
        let rewind = pb::RewindInstanceRequest { instance_id: id.into(), reason: None };
        let rewound = client.rpc().rewind_instance(rewind).await;
        if within {
            refused(rewound, Code::FailedPrecondition);
        } else {
            rewound.expect("what failed was called outside");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_begins_before_or_after_a_critical_section_and_releases_what_it_undoes() {
    let (_server, client, mut worker) = stand().await;
    let episode = locked(&client, &mut worker, "o", &["@e@a"]).await;
    episode.answer(vec![call_entity(2, "@e@a", "x", "")]).await;
    worker.batch().await.run(Some("s")).await;
    let episode = worker.episode_of("o").await;
    let reset =
        |at_event| durawasm_proto::v1::ResetInstanceRequest { instance_id: "o".into(), at_event, ..Default::default() };
    // The turn of event 5 is the second one: the request was made in the first.
    refused(client.own().reset_instance(reset(5)).await, Code::FailedPrecondition);
    assert_eq!(client.locked_by("@e@a").await.as_deref(), Some("o"));
    client.own().reset_instance(reset(1)).await.expect("nothing was locked then");
    assert_eq!(client.locked_by("@e@a").await, None);
    episode.answer(vec![complete(9, "void")]).await;
    let begun = worker.episode_of("o").await;
    assert!(begun.new_events().contains(&"executionStarted locks(-)".to_owned()), "{:?}", begun.new_events());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_not_answered_before_a_rewind_answers_the_new_execution() {
    let server = Server::start().await;
    let client = server.client();
    let mut worker = Worker::only(&client, &["calls"]).await;
    client.start("o", "calls").await;
    let episode = worker.episode().await;
    episode.answer(vec![call_entity(1, "@e@k", "slow", ""), call_entity(2, "@e@k", "lost", "")]).await;
    let mut entities = Worker::with(&client, |request| {
        request.work_item_filters =
            Some(pb::WorkItemFilters { entities: vec![pb::EntityFilter { name: "e".into() }], ..Default::default() });
    })
    .await;
    let batch = entities.batch().await;
    client.raise("o", "fail", None).await.expect("it is there");
    worker.episode().await.answer(vec![failed(3, failure("no"))]).await;
    client.end("o").await;
    let rewind = pb::RewindInstanceRequest { instance_id: "o".into(), reason: None };
    client.rpc().rewind_instance(rewind).await.expect("it failed");
    batch.answer(&["late", "also"], Some("s")).await;
    let mut news = Vec::new();
    while news.len() < 2 {
        let episode = worker.episode().await;
        news.extend(episode.new_events().into_iter().filter(|event| event.starts_with("entity")));
        episode.answer(vec![]).await;
    }
    assert_eq!(
        news,
        [format!("entityCompleted->{} late", request(1)), format!("entityCompleted->{} also", request(2))]
    );
    assert_eq!(client.entity("@e@k").await.expect("it is there").backlog_queue_size, 0, "each ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_holder_keeps_its_locks_and_hears_of_results_when_it_goes_on() {
    let (_server, client, mut worker) = stand().await;
    let episode = locked(&client, &mut worker, "o", &["@e@k"]).await;
    client.suspend("o", None).await.expect("it is there");
    episode.answer(vec![call_entity(2, "@e@k", "own", "")]).await;
    worker.batch().await.answer(&["r"], Some("1")).await;
    client.signal("@e@k", "waits", None).await;
    assert_eq!(client.locked_by("@e@k").await.as_deref(), Some("o"));
    assert_eq!(worker.kept(), 0);
    client.resume("o", None).await.expect("it is there");
    let episode = worker.episode_of("o").await;
    assert!(episode.new_events().contains(&format!("entityCompleted->{} r", request(2))), "{:?}", episode.new_events());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_orchestrations_with_overlapping_lock_sets_all_finish_and_nobody_gets_between() {
    const ORCHESTRATIONS: usize = 100;
    let (_server, client, mut worker) = stand().await;
    let set = |n: usize| -> Vec<String> {
        let mut keys = BTreeSet::from([n % 7, n * 3 % 5, n * 5 % 11]);
        if n.is_multiple_of(10) {
            keys.extend(0..11);
        }
        // In any order: the scheduler has its own.
        let mut set: Vec<String> = keys.into_iter().map(|key| format!("@e@{key}")).collect();
        set.rotate_left(n % 2);
        set
    };
    for n in 0..ORCHESTRATIONS {
        client.start(&format!("o{n}"), "locks").await;
        client.signal(&format!("@e@{}", n % 11), "tick", None).await;
    }
    // Each locks its entities, calls each of them twice, one after the other, and releases them.
    let mut holders: BTreeMap<String, String> = BTreeMap::new();
    let mut done = 0;
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    while done < ORCHESTRATIONS {
        match soon("an item", worker.next()).await.expect("the stream goes on").expect("the stream goes on") {
            Item::Episode(episode) => {
                let id = episode.id().to_owned();
                let set = set(id[1..].parse().expect("a number"));
                let made = calls.entry(id.clone()).or_default();
                if episode.past().is_empty() {
                    let set: Vec<&str> = set.iter().map(String::as_str).collect();
                    episode.answer(vec![lock(1, &id, &set)]).await;
                    continue;
                }
                if *made == 0 {
                    assert_eq!(episode.new_events()[1..], [format!("lockGranted {id}")]);
                    for entity in &set {
                        assert_eq!(holders.insert(entity.clone(), id.clone()), None, "{entity} has one holder");
                    }
                }
                if *made < 2 * set.len() {
                    let target = &set[*made % set.len()];
                    *made += 1;
                    episode.answer(vec![call_entity(i32::try_from(*made).unwrap() + 1, target, &id, "")]).await;
                } else {
                    for entity in &set {
                        holders.remove(entity);
                    }
                    let unlocks = (100..).zip(&set).map(|(n, entity)| unlock(n, &id, entity));
                    episode.answer(unlocks.chain([complete(200, "")]).collect()).await;
                    done += 1;
                }
            }
            Item::Batch(batch) => {
                if let Some(holder) = holders.get(batch.id()) {
                    assert_eq!(batch.operations(), [format!("{holder}()!")], "only the holder's calls run");
                }
                batch.run(Some("s")).await;
            }
            Item::Call(_) | Item::Ping(_) => {}
        }
    }
    for key in 0..11 {
        assert_eq!(client.locked_by(&format!("@e@{key}")).await, None);
    }
}

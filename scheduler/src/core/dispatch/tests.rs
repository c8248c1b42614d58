use super::*;

fn route(name: &str, version: &str) -> Route {
    Route { kind: WorkKind::Orchestration, name: name.into(), version: version.into() }
}

fn info(worker: &str, limit: usize, names: Option<&[(&str, &[&str])]>) -> StreamInfo {
    let filters = names.map(|names| {
        let list = names.iter().map(|(name, versions)| NameFilter {
            name: (*name).into(),
            versions: versions.iter().map(|v| (*v).into()).collect(),
        });
        Filters([list.collect(), Vec::new(), Vec::new()])
    });
    StreamInfo {
        worker: worker.into(),
        limits: [limit; 3],
        filters,
        extended: false,
        history_streaming: false,
        answers: false,
        defaults: Default::default(),
    }
}

fn episode(id: &str) -> Work {
    Work::Episode(InstanceId::trusted(id))
}

fn drain(dispatcher: &mut Dispatcher, attempt: &mut u64) -> Vec<(u64, String)> {
    let mut got = Vec::new();
    while let Some((stream, work)) = dispatcher.next(|_, _| true) {
        *attempt += 1;
        dispatcher.occupy(stream, WorkKind::Orchestration, *attempt, work.clone());
        if let Work::Episode(id) = work {
            got.push((stream.0, id.to_string()));
        }
    }
    got
}

#[test]
fn a_queue_that_nobody_serves_does_not_keep_what_left_it_by_another_door() {
    let mut dispatcher = Dispatcher::default();
    let mut current = std::collections::HashSet::new();
    for number in 0..100_000 {
        let ticket = dispatcher.enqueue(&route("nobody", ""), episode(&number.to_string()));
        current.insert(ticket);
        if number % 10 > 0 {
            current.remove(&ticket);
        }
        assert_eq!(dispatcher.next(|_, ticket| current.contains(&ticket)), None);
    }
    let kept = dispatcher.unserved().count();
    assert!((10_000..=2 * 10_000 + FIRST_SWEEP).contains(&kept), "{kept} entries are kept");
}

#[test]
fn work_that_nobody_accepts_waits_and_blocks_nobody() {
    let mut d = Dispatcher::default();
    let mut attempt = 0;
    d.connect(StreamId(1), info("w", 10, Some(&[("known", &[])])));
    d.enqueue(&route("unknown", ""), episode("a"));
    d.enqueue(&route("known", "2"), episode("b"));
    assert_eq!(drain(&mut d, &mut attempt), [(1, "b".to_owned())]);
    assert!(!d.is_served(&route("unknown", "")));
    assert_eq!(d.unserved().count(), 1);
    d.connect(StreamId(2), info("v", 10, None));
    assert_eq!(drain(&mut d, &mut attempt), [(2, "a".to_owned())]);
}

#[test]
fn limits_hold_and_room_is_used_at_once() {
    let mut d = Dispatcher::default();
    let mut attempt = 0;
    d.connect(StreamId(1), info("w", 2, None));
    for id in ["a", "b", "c", "d"] {
        d.enqueue(&route("o", ""), episode(id));
    }
    assert_eq!(drain(&mut d, &mut attempt).len(), 2);
    d.release(1);
    assert_eq!(drain(&mut d, &mut attempt), [(1, "c".to_owned())]);
    d.release(1);
    assert!(drain(&mut d, &mut attempt).is_empty(), "an attempt is released once");
}

#[test]
fn versions_match_exactly_and_an_absent_one_is_the_empty_one() {
    let mut d = Dispatcher::default();
    d.connect(StreamId(1), info("w", 9, Some(&[("o", &["1.0", ""])])));
    assert!(d.is_served(&route("o", "1.0")) && d.is_served(&route("o", "")) && !d.is_served(&route("o", "2.0")));
}

#[test]
fn a_worker_that_names_the_orchestrator_goes_before_one_that_takes_all() {
    let mut d = Dispatcher::default();
    d.connect(StreamId(1), info("all", 100, None));
    d.connect(StreamId(2), info("named", 1, Some(&[("o", &[])])));
    assert_eq!(d.place(&route("o", ""), None, None), Some(StreamId(2)));
    d.occupy(StreamId(2), WorkKind::Orchestration, 1, episode("x"));
    assert_eq!(d.place(&route("o", ""), None, None), None, "it waits for the worker that knows it");
    assert_eq!(d.disconnect(StreamId(2)), [(1, episode("x"))]);
    assert_eq!(d.place(&route("o", ""), None, None), Some(StreamId(1)));
}

#[test]
fn the_warm_worker_is_preferred_and_the_one_that_gave_back_avoided() {
    let mut d = Dispatcher::default();
    d.connect(StreamId(1), info("a", 5, None));
    d.connect(StreamId(2), info("b", 9, None));
    assert_eq!(d.place(&route("o", ""), Some("a"), None), Some(StreamId(1)));
    assert_eq!(d.place(&route("o", ""), None, None), Some(StreamId(2)));
    assert_eq!(d.place(&route("o", ""), Some("b"), Some(StreamId(2))), Some(StreamId(1)));
    d.disconnect(StreamId(1));
    assert_eq!(d.place(&route("o", ""), None, Some(StreamId(2))), Some(StreamId(2)));
}

#[test]
fn a_worker_that_is_about_to_end_gets_nothing_more_and_may_answer_what_it_has() {
    let mut d = Dispatcher::default();
    d.connect(StreamId(1), info("w", 9, None));
    assert_eq!(d.place(&route("o", ""), Some("w"), None), Some(StreamId(1)));
    d.occupy(StreamId(1), WorkKind::Orchestration, 1, episode("x"));
    d.drain(StreamId(1));
    assert_eq!(d.place(&route("o", ""), Some("w"), None), None);
    assert!(!d.is_served(&route("o", "")) && !d.is_served(&route("new", "")));
    d.release(1);
    assert_eq!(d.sent(), 0);
    assert!(d.disconnect(StreamId(1)).is_empty());
}

#[test]
fn routes_take_turns() {
    let mut d = Dispatcher::default();
    let mut attempt = 0;
    for n in 0..4 {
        d.enqueue(&route("busy", ""), episode(&format!("busy{n}")));
    }
    d.enqueue(&route("rare", ""), episode("rare"));
    d.connect(StreamId(1), info("w", 3, None));
    let got = drain(&mut d, &mut attempt);
    assert!(got.contains(&(1, "rare".to_owned())), "{got:?}");
}

#[test]
fn routes_that_nobody_uses_any_more_are_forgotten_and_those_where_work_waits_are_not() {
    let mut dispatcher = Dispatcher::default();
    dispatcher.connect(StreamId(1), info("everything", 10, None));
    let waits = dispatcher.enqueue(&route("rare", ""), episode("patient"));
    dispatcher.connect(StreamId(2), info("rare", 10, Some(&[("rare", &[])])));
    dispatcher.disconnect(StreamId(2));
    for number in 0..50_000 {
        assert_eq!(dispatcher.place(&route(&number.to_string(), ""), None, None), Some(StreamId(1)));
    }
    assert!(dispatcher.queues.len() <= 2 * FIRST_COLLECTION, "{} routes are kept", dispatcher.queues.len());
    assert_eq!(dispatcher.next(|_, ticket| ticket == waits), Some((StreamId(1), episode("patient"))));
    assert_eq!(dispatcher.place(&route("rare", ""), None, None), Some(StreamId(1)));
}

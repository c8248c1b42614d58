//! Rules that speak of seconds, hours and months: the core with a clock of its own.

use std::collections::HashMap;
use std::time::Duration;

use durawasm_scheduler::core::ids::{InstanceId, RequestId};
use durawasm_scheduler::core::message::{Effect, Input, Refusal, Repair, Reply};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::Store;
use durawasm_scheduler::store::committed::Committed;

use crate::stand::virtual_hub::{Hub, since_begin};
use crate::stand::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

#[test]
fn what_no_worker_accepts_waits_for_hours_and_goes_to_the_first_that_does() {
    let mut hub = Hub::new();
    hub.connect(1, Some(&["other"]));
    hub.start("waits", "wanted", None);
    hub.start("goes", "other", None);
    let other = hub.only();
    assert_eq!(other.token.instance.as_str(), "goes");
    hub.answer(&other, vec![complete(1, "")]);
    hub.pass(HOUR);
    assert!(hub.items().is_empty());
    hub.restart_after(HOUR);
    hub.connect(2, Some(&["wanted"]));
    let item = hub.only();
    assert_eq!((item.token.instance.as_str(), item.new_events().len()), ("waits", 2));
    assert_eq!(hub.answer(&item, vec![complete(1, "")]), Reply::Done);
}

#[test]
fn a_start_in_the_future_is_dispatched_at_its_time_and_not_a_microsecond_earlier() {
    let mut hub = Hub::new();
    hub.connect(1, None);
    hub.start("later", "o", Some(since_begin(3 * HOUR)));
    hub.pass(3 * HOUR - Duration::from_micros(1));
    assert!(hub.items().is_empty());
    hub.pass(Duration::from_micros(1));
    let item = hub.only();
    assert_eq!((item.at, item.clock()), (3 * HOUR, 3 * HOUR));
}

#[test]
fn a_start_in_the_future_survives_restarts_and_is_dispatched_at_once_if_its_time_passed_meanwhile() {
    let mut hub = Hub::new();
    hub.start("later", "o", Some(since_begin(2 * HOUR)));
    hub.restart_after(HOUR);
    hub.connect(1, None);
    hub.pass(HOUR / 2);
    assert!(hub.items().is_empty());
    hub.restart_after(HOUR);
    hub.connect(2, None);
    assert!(hub.only().clock() >= 2 * HOUR);
}

#[test]
fn timers_of_days_and_years_fire_at_their_time_and_never_early() {
    let (mut hub, first) = Hub::begun();
    let due = [DAY, 30 * DAY, 365 * DAY, 3_650 * DAY];
    hub.answer(&first, (1..).zip(due).map(|(id, due)| timer(id, since_begin(due))).collect());
    for (id, due) in (1..).zip(due) {
        hub.pass(due - hub.time() - Duration::from_micros(1));
        assert!(hub.items().is_empty(), "timer {id} is early");
        hub.pass(SECOND);
        let item = hub.only();
        assert_eq!(item.new_events(), ["orchestratorStarted", &format!("timerFired->{id}")]);
        assert_eq!((item.at, item.clock()), (due, due));
        hub.answer(&item, vec![]);
    }
}

#[test]
fn a_timer_that_came_due_while_the_scheduler_was_down_fires_when_it_is_back() {
    let (mut hub, first) = Hub::begun();
    hub.answer(&first, vec![timer(1, since_begin(HOUR)), timer(2, since_begin(5 * HOUR))]);
    hub.restart_after(2 * HOUR);
    hub.connect(1, None);
    let item = hub.only();
    assert_eq!(item.new_events(), ["orchestratorStarted", "timerFired->1"]);
    hub.answer(&item, vec![]);
    hub.pass(4 * HOUR);
    assert_eq!(hub.only().at, 5 * HOUR);
}

#[test]
fn the_orchestrators_clock_does_not_go_back_when_the_schedulers_does() {
    let (mut hub, first) = Hub::begun();
    hub.answer(&first, vec![timer(1, since_begin(HOUR))]);
    hub.pass(HOUR);
    let fired = hub.only();
    hub.answer(&fired, vec![call(2, "w")]);
    let work = hub.only();
    hub.now -= 3_000_000_000;
    hub.result(&work, "");
    let next = hub.only();
    assert!(next.clock() > fired.clock(), "{:?} {:?}", next.clock(), fired.clock());
    assert_eq!(next.new_events(), ["orchestratorStarted", "taskCompleted->2 "]);
}

#[test]
fn a_lost_activity_is_delivered_again_after_two_seconds_of_grace() {
    let (mut hub, lost) = Hub::calling();
    hub.connect(2, None);
    hub.disconnect(1);
    hub.pass(2 * SECOND - Duration::from_micros(1));
    assert!(hub.items().is_empty());
    hub.pass(Duration::from_micros(1));
    let again = hub.only();
    assert_eq!((again.stream, again.at), (2, 2 * SECOND));
    // The first delivery's worker comes back after all: its result is as good as any, and the second one's is void.
    assert_eq!(hub.result(&lost, "first"), Reply::Done);
    assert_eq!(hub.result(&again, "second"), Reply::Void);
    assert_eq!(hub.only().new_events(), ["orchestratorStarted", "taskCompleted->1 first"]);
}

#[test]
fn an_activity_that_is_answered_within_the_grace_is_not_delivered_again() {
    let (mut hub, lost) = Hub::calling();
    hub.disconnect(1);
    hub.pass(SECOND);
    assert_eq!(hub.result(&lost, "made it"), Reply::Done);
    hub.connect(2, None);
    hub.pass(HOUR);
    let next = hub.only();
    assert_eq!(next.new_events(), ["orchestratorStarted", "taskCompleted->1 made it"]);
}

#[test]
fn an_activity_may_take_days_and_is_accepted_also_after_a_restart() {
    let (mut hub, work) = Hub::calling();
    hub.pass(3 * DAY);
    assert!(hub.items().is_empty(), "nobody is given it a second time while its stream is there");
    hub.restart_after(DAY);
    assert_eq!(hub.result(&work, "at last"), Reply::Done);
    hub.connect(1, None);
    assert_eq!(hub.only().new_events(), ["orchestratorStarted", "taskCompleted->1 at last"]);
}

#[test]
fn an_episode_whose_token_a_restart_made_void_is_ignored() {
    let (mut hub, old) = Hub::begun();
    hub.restart_after(SECOND);
    hub.connect(1, None);
    let new = hub.only();
    assert_ne!(old.token, new.token);
    assert_eq!(hub.answer(&old, vec![complete(1, "old")]), Reply::Void);
    assert_eq!(hub.answer(&new, vec![complete(1, "new")]), Reply::Done);
    assert_eq!(hub.answer(&new, vec![complete(1, "again")]), Reply::Void);
}

#[test]
fn what_is_given_back_each_time_comes_back_less_and_less_often_and_is_counted() {
    let mut hub = Hub::new();
    hub.connect(1, None);
    hub.start("a", "o", None);
    let mut times = Vec::new();
    while hub.time() < HOUR {
        for item in hub.items() {
            times.push(item.at);
            hub.abandon(&item);
        }
        hub.pass(Duration::from_millis(50));
    }
    let waits: Vec<Duration> = times.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(waits[0] >= Duration::from_millis(100), "{waits:?}");
    assert!(waits.windows(2).all(|w| w[1] >= w[0] || w[1] >= 29 * SECOND), "{waits:?}");
    assert!(waits.iter().all(|w| *w <= 31 * SECOND), "it is tried for ever: {waits:?}");
    assert!(times.len() < 150, "{} times in an hour", times.len());
    let Reply::Described(Some(told)) = hub.call(|r| Input::Describe(r, InstanceId::trusted("a"))) else { panic!() };
    assert!(told.returned_episodes as usize >= times.len() - 1);
}

#[test]
fn an_item_whose_worker_dies_each_time_backs_off_is_visible_and_blocks_nobody() {
    let mut hub = Hub::new();
    hub.start("poison", "o", None);
    let mut deaths = 0;
    let mut stream = 0;
    let mut others = 0;
    while hub.time() < HOUR {
        stream += 1;
        hub.connect(stream, None);
        let id = format!("good{stream}");
        hub.start(&id, "o", None);
        let items = hub.items();
        for item in &items {
            if item.token.instance.as_str() == id {
                hub.answer(item, vec![complete(1, "")]);
                others += 1;
            }
        }
        deaths += items.iter().filter(|i| i.token.instance.as_str() == "poison").count();
        // Whether it had the poison or not, this worker's time is over.
        hub.disconnect(stream);
        hub.pass(SECOND);
        let left: Vec<_> = hub.items();
        assert!(left.is_empty(), "{left:?}");
    }
    assert_eq!(others, stream, "each of the others was done at once");
    assert!((5..200).contains(&deaths), "{deaths} workers died of it in an hour");
    let Reply::Described(Some(told)) = hub.call(|r| Input::Describe(r, InstanceId::trusted("poison"))) else {
        panic!()
    };
    assert_eq!(told.returned_episodes as usize, deaths);
}

#[test]
fn an_instance_that_is_held_for_a_month_gets_nothing_until_it_is_resumed() {
    let (mut hub, first) = Hub::begun();
    hub.answer(&first, vec![timer(1, since_begin(DAY))]);
    let id = || InstanceId::trusted("a");
    hub.call(|r| Input::Suspend(r, id(), None));
    hub.pass(30 * DAY);
    hub.call(|r| Input::Raise(r, id(), "go".into(), None));
    assert!(hub.items().is_empty());
    hub.call(|r| Input::Resume(r, id(), None));
    let expected =
        ["orchestratorStarted", "executionSuspended -", "timerFired->1", "eventRaised go(-)", "executionResumed -"];
    assert_eq!(hub.only().new_events(), expected);
}

#[test]
fn an_event_waits_for_as_long_as_it_takes_in_an_instance_that_no_worker_runs() {
    let mut hub = Hub::new();
    hub.start("a", "o", None);
    hub.call(|r| Input::Raise(r, InstanceId::trusted("a"), "go".into(), Some("1".into())));
    hub.pass(365 * DAY);
    hub.restart_after(365 * DAY);
    hub.connect(1, None);
    assert_eq!(hub.only().new_events(), ["orchestratorStarted", "executionStarted o(-)", "eventRaised go(1)"]);
}

#[test]
fn what_is_purged_is_gone_for_calls_that_come_before_the_disk_has_heard_of_it() {
    let mut hub = Hub::new();
    hub.connect(1, None);
    for id in ["a", "b"] {
        hub.start(id, "o", None);
        let item = hub.only();
        hub.answer(&item, vec![failed(1, failure("no"))]);
    }
    let id = |text: &str| InstanceId::trusted(text);
    let now = Timestamp::from_micros(hub.now);
    // All of this goes into one write.
    let calls = [
        Input::Purge(RequestId(101), vec![id("a"), id("b"), id("a")]),
        Input::Purge(RequestId(102), vec![id("b")]),
        Input::Raise(RequestId(103), id("a"), "go".into(), None),
        Input::Repair(RequestId(104), Box::new(Repair::Rewind(id("a"), None))),
    ];
    let mut answers = HashMap::new();
    for call in calls {
        hub.pipeline.handle(call, now, &Committed::new(&hub.store));
    }
    while answers.len() < 4 {
        let mut effects = hub.pipeline.flush();
        if let Some((seq, batch)) = hub.pipeline.take_batch() {
            hub.store.commit(&batch).unwrap();
            effects.extend(hub.pipeline.committed(seq));
        }
        for effect in effects {
            if let Effect::Reply(request, answer) = effect {
                answers.insert(request.0, answer);
            }
        }
    }
    assert_eq!(answers[&101], Ok(Reply::Purged(2)), "an id that is named twice is purged once");
    assert_eq!(answers[&102], Ok(Reply::Purged(0)));
    assert_eq!(answers[&103], Err(Refusal::NotFound(id("a"))));
    assert_eq!(answers[&104], Err(Refusal::NotFound(id("a"))));
    assert!(hub.store.load(&id("a")).unwrap().is_none() && hub.store.load(&id("b")).unwrap().is_none());
    hub.start("a", "o", None);
    assert_eq!(hub.only().new_events(), ["orchestratorStarted", "executionStarted o(-)"]);
}

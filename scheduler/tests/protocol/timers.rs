//! Durable timers. What takes hours is in `virtual_clock`.

use std::time::Duration;

use crate::stand::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

fn fired(episode: &Episode) -> Vec<(i32, i64)> {
    let events = episode.request.new_events.iter();
    events
        .filter_map(|e| match &e.event_type {
            Some(EventType::TimerFired(fired)) => Some((fired.timer_id, micros(fired.fire_at.as_ref()))),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_fires_with_its_id_and_time_and_not_before_it_by_the_orchestrators_clock() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let due = from_now(Duration::from_millis(120));
    worker.episode_of("a").await.answer(vec![timer(4, due)]).await;
    let episode = worker.episode_of("a").await;
    assert_eq!(fired(&episode), [(4, due)]);
    assert!(episode.now() >= due, "{} µs early", due - episode.now());
    let Some(EventType::TimerCreated(created)) = &episode.request.past_events[2].event_type else { panic!() };
    assert_eq!((episode.request.past_events[2].event_id, micros(created.fire_at.as_ref())), (4, due));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_in_the_past_fires_now() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![timer(1, -5_000_000), timer(2, 0)]).await;
    let mut all = fired(&worker.episode_of("a").await);
    all.sort_unstable();
    assert_eq!(all, [(1, -5_000_000), (2, 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_fire_in_the_order_of_their_times() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let now = from_now(Duration::from_millis(20));
    worker.episode_of("a").await.answer(vec![timer(1, now + 40_000), timer(2, now), timer(3, now + 20_000)]).await;
    let mut order = Vec::new();
    while order.len() < 3 {
        let episode = worker.episode_of("a").await;
        order.extend(fired(&episode).into_iter().map(|(id, _)| id));
        episode.answer(vec![]).await;
    }
    assert_eq!(order, [2, 3, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_of_any_length_are_accepted_and_dropped_when_their_instance_ends() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let far = [from_now(100 * YEAR), from_now(5_000 * YEAR), i64::MAX];
    let timers = (1..).zip(far).map(|(id, due)| timer(id, due)).collect();
    worker.episode_of("a").await.answer(timers).await;
    assert_eq!(client.describe("a").await.open_timers, 3);
    client.raise("a", "end", None).await.unwrap();
    worker.episode_of("a").await.answer(vec![complete(4, "")]).await;
    assert_eq!(client.describe("a").await.open_timers, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_nobody_waits_for_any_longer_still_fires() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    worker.episode_of("a").await.answer(vec![call(1, "w"), timer(2, from_now(Duration::from_millis(60)))]).await;
    worker.call().await.complete("won the race").await;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let episode = worker.episode_of("a").await;
        seen.extend(episode.new_events()[1..].to_vec());
        episode.answer(vec![]).await;
    }
    assert_eq!(seen, ["taskCompleted->1 won the race", "timerFired->2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_without_a_time_fires_now() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let episode = worker.episode_of("a").await;
    let mut action = timer(1, 0);
    action.orchestrator_action_type =
        Some(pb::orchestrator_action::OrchestratorActionType::CreateTimer(Default::default()));
    episode.answer(vec![action]).await;
    assert_eq!(worker.episode_of("a").await.new_events(), ["orchestratorStarted", "timerFired->1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_finer_than_a_microsecond_is_never_early() {
    let (_server, client, mut worker) = stand().await;
    client.start("a", "o").await;
    let mut exact = at(from_now(Duration::from_millis(30)));
    exact.nanos += 999;
    let mut action = timer(1, 0);
    action.orchestrator_action_type =
        Some(pb::orchestrator_action::OrchestratorActionType::CreateTimer(pb::CreateTimerAction {
            fire_at: Some(exact),
        }));
    worker.episode_of("a").await.answer(vec![action]).await;
    let episode = worker.episode_of("a").await;
    let begun = episode.request.new_events[0].timestamp.unwrap();
    assert!((begun.seconds, begun.nanos) >= (exact.seconds, exact.nanos), "{begun:?} {exact:?}");
    let Some(EventType::TimerCreated(created)) = &episode.request.past_events[2].event_type else { panic!() };
    let Some(EventType::TimerFired(fired)) = &episode.request.new_events[1].event_type else { panic!() };
    assert_eq!(created.fire_at, fired.fire_at, "both say the same time");
}

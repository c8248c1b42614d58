//! The frozen rules of replay, each by itself, with a guest in plain Rust.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use durawasm_host::abi::{Command, NextGeneration, NextVersion, OpId, Request};
use durawasm_host::orchestration::{
    Completion, Decision, EventKind, GuestFault, HistoryEvent, Limit, Park, ParkReason, Recorded, RecordedKind,
    Session, Status, Time, Turn,
};
use support::journal::{Journal, failure, raised, resolved};
use support::script::{Script, activity, child, done, failed, fired, ok, retried, session, twice, wait};

/// Applies the first episode and then others, each live.
fn run(script: Script, first: Vec<EventKind>, episodes: Vec<Vec<EventKind>>) -> (Session<Script>, Vec<Turn>) {
    let mut journal = Journal::default();
    let mut session = session(script);
    let new = journal.begin("o", None, first);
    let mut turns = vec![session.apply([], new).unwrap()];
    for kinds in episodes {
        let new = journal.episode(kinds);
        turns.push(session.apply([], new).unwrap());
    }
    (session, turns)
}

fn replay(script: Script, past: Vec<HistoryEvent>) -> Result<Turn, Park> {
    session(script).apply(past, [])
}

fn ids(turn: &Turn) -> Vec<i32> {
    turn.actions.iter().map(|action| action.id).collect()
}

fn told(session: &Session<Script>) -> Vec<Vec<OpId>> {
    session.guest().told.iter().map(|list| list.iter().map(|resolution| resolution.op).collect()).collect()
}

fn completion(turn: &Turn) -> &Completion {
    match &turn.actions.last().unwrap().decision {
        Decision::Complete(completion) => completion,
        other => panic!("{other:?}"),
    }
}

#[test]
fn results_of_one_episode_are_handed_over_in_one_call() {
    let script = Script::new([vec![activity(1, "a"), activity(2, "b"), activity(3, "c")]]);
    let (session, _) = run(script, vec![], vec![vec![ok(2), ok(1), ok(3)]]);
    assert_eq!(told(&session), [vec![2, 1, 3]]);
}

#[test]
fn an_external_event_is_routed_after_what_came_before_it_had_its_effect() {
    // The result of op 1 cancels the waiter 2, so that the event goes to 3.
    let script =
        Script::new([vec![activity(1, "a"), wait(2, "go"), wait(3, "GO")], vec![Command::Cancel(2)], vec![done()]]);
    let (session, turns) = run(script, vec![], vec![vec![ok(1), raised("Go", "1")]]);
    assert_eq!(told(&session), [vec![1], vec![3]]);
    assert_eq!(completion(&turns[1]).status, Status::Completed);
}

#[test]
fn a_wait_for_an_event_that_is_there_resolves_in_the_same_episode() {
    let script = Script::new([vec![activity(1, "a")], vec![wait(2, "go")], vec![done()]]);
    let (session, turns) = run(script, vec![raised("go", "1")], vec![vec![ok(1)]]);
    assert_eq!(told(&session), [vec![1], vec![2]]);
    assert!(turns[1].ended);
}

#[test]
fn waits_cancels_and_custom_status_take_no_action_id() {
    let script = Script::new([vec![
        wait(1, "go"),
        Command::Cancel(1),
        Command::CustomStatus(Some("1".to_owned())),
        activity(2, "a"),
    ]]);
    let (_, turns) = run(script, vec![], vec![]);
    assert_eq!(ids(&turns[0]), [1]);
}

#[test]
fn the_custom_status_is_repeated_in_every_answer() {
    let script = Script::new([
        vec![Command::CustomStatus(Some("1".to_owned())), activity(1, "a")],
        vec![activity(2, "b")],
        vec![Command::CustomStatus(None)],
    ]);
    let (_, turns) = run(script, vec![], vec![vec![ok(1)], vec![ok(2)]]);
    let statuses: Vec<_> = turns.iter().map(|turn| turn.custom_status.as_deref()).collect();
    assert_eq!(statuses, [Some("1"), Some("1"), None]);
}

#[test]
fn a_result_that_comes_twice_or_for_nobody_is_ignored() {
    let script = Script::new([vec![activity(1, "a"), activity(2, "b")]]);
    let (session, _) = run(script, vec![], vec![vec![ok(1), ok(1), ok(99), fired(2)], vec![ok(1)]]);
    assert_eq!(told(&session), [vec![1]]);
}

#[test]
fn a_failed_call_is_tried_again_behind_a_timer_with_fresh_ids() {
    let script = Script::new([vec![retried(1, "a", twice())]]);
    let (session, turns) = run(
        script,
        vec![],
        vec![vec![failed(RecordedKind::Activity, 1)], vec![fired(2)], vec![failed(RecordedKind::Activity, 3)]],
    );
    assert!(
        matches!(turns[1].actions[..], [ref timer] if timer.id == 2 && matches!(timer.decision, Decision::Timer { .. }))
    );
    assert!(matches!(turns[2].actions[..], [ref call] if call.id == 3 && call.decision.name() == "a"));
    // The second failure is the last: the guest hears of that one alone.
    assert_eq!(told(&session), [vec![1]]);
    assert!(session.guest().told[0][0].outcome.is_err());
}

#[test]
fn a_child_that_is_tried_again_keeps_the_id_that_was_chosen_and_gets_a_fresh_derived_one() {
    let instance_ids = |chosen: Option<&'static str>| {
        let script = Script::new([vec![child(1, chosen, twice())]]);
        let (_, turns) = run(script, vec![], vec![vec![failed(RecordedKind::Child, 1)], vec![fired(2)]]);
        let of = |turn: &Turn| match &turn.actions[0].decision {
            Decision::Child { instance_id, .. } => instance_id.clone(),
            other => panic!("{other:?}"),
        };
        (of(&turns[0]), of(&turns[2]))
    };
    assert_eq!(instance_ids(Some("mine")), ("mine".to_owned(), "mine".to_owned()));
    let (first, second) = instance_ids(None);
    assert_ne!(first, second);
    for id in [first, second] {
        assert!(id.starts_with("parent:") && id.len() == "parent:".len() + 8, "{id}");
    }
}

#[test]
fn a_cancelled_call_is_not_tried_again() {
    let script = Script::new([vec![retried(1, "a", twice()), activity(2, "b")], vec![Command::Cancel(1)]]);
    let (_, turns) = run(script, vec![], vec![vec![ok(2), failed(RecordedKind::Activity, 1)]]);
    assert_eq!(turns[1].actions, []);
}

#[test]
fn while_suspended_everything_is_held_in_order_until_the_instance_is_resumed() {
    let script = Script::new([vec![activity(1, "a"), activity(2, "b"), wait(3, "go")]]);
    let (session, _) = run(
        script,
        vec![],
        vec![vec![EventKind::Suspended], vec![ok(2), raised("go", "1")], vec![ok(1)], vec![EventKind::Resumed]],
    );
    assert_eq!(told(&session), [vec![2], vec![3], vec![1]]);
}

#[test]
fn a_suspended_instance_can_be_terminated() {
    let script = Script::new([vec![activity(1, "a")]]);
    let terminated = EventKind::Terminated { output: Some("enough".to_owned()) };
    let (_, turns) = run(script, vec![], vec![vec![EventKind::Suspended], vec![terminated]]);
    assert_eq!(completion(&turns[2]), &Completion::new(Status::Terminated, Some("enough".to_owned())));
}

#[test]
fn continue_as_new_carries_the_events_that_nobody_waited_for_also_those_that_come_after_it() {
    let next = NextGeneration { input: Some("2".to_owned()), keep_events: true, version: NextVersion::Keep };
    let script = Script::new([vec![activity(1, "a"), wait(2, "b")], vec![Command::ContinueAsNew(next)]]);
    let (_, turns) = run(script, vec![raised("A", "1")], vec![vec![ok(1), raised("b", "2")]]);
    let completion = completion(&turns[1]);
    assert_eq!(completion.status, Status::ContinuedAsNew);
    assert_eq!(completion.next_version, Some(NextVersion::Exact("1.0.0".to_owned())));
    let carried: Vec<_> = completion.carryover.iter().map(|(name, input)| (name.as_str(), input.as_deref())).collect();
    assert_eq!(carried, [("A", Some("1")), ("b", Some("2"))]);
}

#[test]
fn time_never_goes_back() {
    let mut journal = Journal::default();
    let script = Script::new([vec![activity(1, "a"), activity(2, "b")]]);
    let mut session = session(script);
    let begin = journal.begin("o", None, vec![]);
    let earlier = HistoryEvent { id: -1, time: Time::default(), kind: EventKind::EpisodeStarted };
    session.apply([], begin.clone()).unwrap();
    session.apply([], [earlier, HistoryEvent { id: -1, time: Time::default(), kind: ok(1) }]).unwrap();
    assert_eq!(Time::from(session.guest().told[0][0].now), begin[0].time);
}

/// The history of an orchestration that called `a` (1) and then `b` (2).
fn history() -> Vec<HistoryEvent> {
    let mut journal = Journal::default();
    let mut session = session(Script::new([vec![activity(1, "a")], vec![activity(2, "b")]]));
    let new = journal.begin("o", None, vec![]);
    let turn = session.apply([], new.clone()).unwrap();
    journal.commit(new, &turn);
    let new = journal.episode(vec![ok(1)]);
    let turn = session.apply([], new.clone()).unwrap();
    journal.commit(new, &turn);
    journal.past
}

fn diverges(script: Script, parts: &[&str]) {
    let park = replay(script, history()).unwrap_err();
    assert_eq!(park.reason, ParkReason::Divergence);
    for part in parts {
        assert!(park.message.contains(part), "`{part}` is not in: {park}");
    }
}

#[test]
fn a_renamed_call_is_a_divergence_that_says_what_is_where() {
    let script = Script::new([vec![activity(1, "a")], vec![activity(2, "c")]]);
    diverges(script, &["event 5", "activity `b` (action 2)", "activity `c` (action 2)", "native 1.0.0"]);
}

#[test]
fn a_call_of_another_kind_is_a_divergence() {
    diverges(Script::new([vec![child(1, None, None)]]), &["activity `a`", "child orchestration `child`"]);
}

#[test]
fn a_call_that_is_gone_is_a_divergence() {
    diverges(Script::new([vec![]]), &["activity `a`", "did nothing there", "removed"]);
}

#[test]
fn a_call_that_is_new_is_a_divergence() {
    let script = Script::new([vec![activity(1, "a"), activity(2, "x")], vec![activity(3, "b")]]);
    diverges(script, &["no further action", "activity `x` (action 2)"]);
}

#[test]
fn an_end_that_comes_earlier_is_a_divergence() {
    diverges(Script::new([vec![activity(1, "a")], vec![done()]]), &["activity `b`", "the end of the orchestration"]);
}

#[test]
fn every_result_that_comes_twice_is_ignored_the_second_time() {
    let policy = None;
    let script = Script::new([vec![
        activity(1, "a"),
        activity(2, "b"),
        child(3, Some("x"), policy.clone()),
        child(4, Some("y"), policy),
        Command::Issue((5, Request::Timer(durawasm_host::abi::Timestamp { seconds: 5, nanos: 0 }))),
    ]]);
    let child_ok = || resolved(RecordedKind::Child, 3, Ok(None));
    let results = || [ok(1), failed(RecordedKind::Activity, 2), child_ok(), failed(RecordedKind::Child, 4), fired(5)];
    let twice = results().into_iter().zip(results()).flat_map(|(one, other)| [one, other]).collect();
    let (session, turns) = run(script, vec![], vec![twice, results().to_vec()]);
    assert_eq!(told(&session), [vec![1, 2, 3, 4, 5]]);
    assert!(turns[1..].iter().all(|turn| turn.actions.is_empty()));
}

#[test]
fn a_result_of_another_kind_than_the_action_is_ignored() {
    let script = Script::new([vec![activity(1, "a"), child(2, Some("x"), None)]]);
    let wrong = vec![fired(1), resolved(RecordedKind::Child, 1, Ok(None)), ok(2), fired(2)];
    let (session, _) = run(script, vec![], vec![wrong]);
    assert_eq!(told(&session), Vec::<Vec<OpId>>::new());
}

#[test]
fn the_completion_of_a_call_that_is_tried_again_is_matched_with_the_latest_attempt() {
    let script = Script::new([vec![retried(1, "a", twice())], vec![done()]]);
    let late = || resolved(RecordedKind::Activity, 1, Ok(Some("late".to_owned())));
    let (session, turns) = run(
        script,
        vec![],
        // The first attempt answers again, while its timer runs and while the second attempt does.
        vec![vec![failed(RecordedKind::Activity, 1), late()], vec![late(), fired(2)], vec![late()], vec![ok(3)]],
    );
    assert_eq!(told(&session), [vec![1]]);
    assert_eq!(session.guest().told[0][0].outcome, Ok(Some("1".to_owned())));
    assert_eq!(completion(&turns[4]).status, Status::Completed);
}

#[test]
fn ids_of_attempts_and_of_the_timers_between_them_are_dense() {
    let script = Script::new([vec![retried(1, "a", twice()), retried(2, "b", twice())], vec![], vec![done()]]);
    let (_, turns) = run(
        script,
        vec![],
        vec![
            vec![failed(RecordedKind::Activity, 2), failed(RecordedKind::Activity, 1)],
            vec![fired(3), fired(4)],
            vec![ok(5), ok(6)],
        ],
    );
    let ids: Vec<_> = turns.iter().flat_map(ids).collect();
    assert_eq!(ids, (1..=ids.len() as i32).collect::<Vec<_>>());
}

#[test]
fn terminating_does_not_run_the_guest() {
    let script = Script::new([vec![activity(1, "a")], vec![done()]]);
    let terminated = EventKind::Terminated { output: None };
    let (session, turns) = run(script, vec![], vec![vec![terminated, ok(1)]]);
    assert_eq!(told(&session), Vec::<Vec<OpId>>::new());
    assert_eq!(completion(&turns[1]).status, Status::Terminated);
}

#[test]
fn a_suspension_that_is_asked_for_twice_ends_with_one_resume_and_a_resume_without_one_does_nothing() {
    let script = Script::new([vec![activity(1, "a"), activity(2, "b")]]);
    let (session, _) = run(
        script,
        vec![],
        vec![
            vec![EventKind::Resumed],
            vec![EventKind::Suspended, EventKind::Suspended, ok(1)],
            vec![EventKind::Resumed],
            vec![ok(2)],
        ],
    );
    assert_eq!(told(&session), [vec![1], vec![2]]);
}

#[test]
fn an_event_that_comes_with_a_suspension_behind_the_end_of_the_execution_is_carried_over() {
    let next = || NextGeneration { input: None, keep_events: true, version: NextVersion::Keep };
    let script = Script::new([vec![activity(1, "a"), wait(2, "go")], vec![Command::ContinueAsNew(next())]]);
    let (_, turns) = run(script, vec![], vec![vec![ok(1), EventKind::Suspended, raised("go", "1")]]);
    assert_eq!(completion(&turns[1]).carryover.len(), 1);
}

#[test]
fn tags_of_durawasms_own_are_hidden_from_the_guest_and_a_fork_keeps_the_random_numbers_of_its_origin() {
    let seed = |instance: &str, tags: &[(&str, &str)]| {
        let mut journal = Journal::default();
        let mut new = journal.begin("o", None, vec![]);
        let EventKind::ExecutionStarted(started) = &mut new[1].kind else { unreachable!() };
        started.tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut session = support::script::session_of(instance, Script::new([]));
        session.apply([], new).unwrap();
        let context = session.guest().started.clone().unwrap();
        (context.seed.a, context.tags)
    };
    let (origin, _) = seed("origin", &[]);
    let (fork, tags) = seed("fork", &[(durawasm_proto::tag::SEED_OF, "origin"), ("z", "1")]);
    assert_eq!(fork, origin);
    assert_eq!(tags, [("z".to_owned(), "1".to_owned())]);
    assert_ne!(seed("fork", &[]).0, origin);
}

#[test]
fn in_a_rewound_history_what_is_missing_is_emitted_again_with_the_same_id() {
    let mut past = history();
    // The rewind took the call of `a` and its failure out, and kept `b`, which came later.
    past.retain(|event| event.id != 1);
    past.push(HistoryEvent { id: -1, time: past[0].time, kind: EventKind::Rewound });
    let mut session = session(Script::new([vec![activity(1, "a"), activity(2, "b")]]));
    let turn = session.apply(past, [HistoryEvent { id: -1, time: Time::default(), kind: EventKind::EpisodeStarted }]);
    assert_eq!(ids(&turn.unwrap()), [1]);
}

#[test]
fn events_of_unknown_types_are_skipped() {
    let mut past = history();
    for at in [5, 2, 1] {
        past.insert(at, HistoryEvent { id: -1, time: Time::default(), kind: EventKind::Skipped });
    }
    assert!(replay(Script::new([vec![activity(1, "a")], vec![activity(2, "b")]]), past).is_ok());
}

#[test]
fn what_the_host_computed_is_not_compared() {
    // The recorded timer says nothing of when it fires: a newer host may compute another time.
    let mut journal = Journal::default();
    let mut past = journal.begin("o", None, vec![]);
    let timer = Recorded::new(RecordedKind::Timer, "");
    past.push(HistoryEvent { id: 1, time: Time::default(), kind: EventKind::Recorded(timer) });
    let at = durawasm_host::abi::Timestamp { seconds: 5, nanos: 0 };
    assert!(replay(Script::new([vec![Command::Issue((1, Request::Timer(at)))]]), past).is_ok());
}

fn parks(commands: Vec<Command>, reason: ParkReason) {
    let mut journal = Journal::default();
    let park = session(Script::new([commands])).apply([], journal.begin("o", None, vec![])).unwrap_err();
    assert_eq!(park.reason, reason, "{park}");
}

#[test]
fn a_guest_that_breaks_the_contract_is_parked() {
    parks(vec![activity(1, "a"), activity(1, "a")], ParkReason::Contract);
    parks(vec![activity(2, "a"), activity(1, "a")], ParkReason::Contract);
    parks(vec![activity(1, "a"), Command::Cancel(2)], ParkReason::Contract);
    parks(vec![done(), done()], ParkReason::Contract);
    parks(vec![done(), activity(1, "a")], ParkReason::Contract);
    parks(vec![Command::Complete(Err(vec![]))], ParkReason::Contract);
}

#[test]
fn a_payload_over_the_limit_is_parked() {
    let large = Some("x".repeat((16 << 20) + 1));
    parks(vec![Command::CustomStatus(large.clone())], ParkReason::Limit(Limit::Payload));
    parks(vec![Command::Complete(Ok(large))], ParkReason::Limit(Limit::Payload));
}

#[test]
fn a_trap_in_new_events_fails_the_instance_and_keeps_what_was_decided_before() {
    let mut script = Script::new([vec![activity(1, "a")]]);
    script.answers.push_back(Err(GuestFault::Trap(failure("Panic"))));
    let (_, turns) = run(script, vec![], vec![vec![ok(1)]]);
    let completion = completion(&turns[1]);
    assert_eq!((completion.status, completion.failures[0].error_type.as_str()), (Status::Failed, "Panic"));
    assert!(turns[1].ended);
}

#[test]
fn a_trap_in_past_events_is_parked() {
    let mut script = Script::new([vec![activity(1, "a")]]);
    script.answers.push_back(Err(GuestFault::Trap(failure("Panic"))));
    let park = replay(script, history()).unwrap_err();
    assert_eq!(park.reason, ParkReason::ReplayTrap);
    assert!(park.message.contains("Panic"), "{park}");
}

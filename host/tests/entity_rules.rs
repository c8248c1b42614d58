//! The rules of entities and critical sections in an orchestration, each by itself, with a guest in plain Rust.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use durawasm_host::abi::{ChildCall, Command, EntityId, EntityOperation, OpId, Request, Timestamp};
use durawasm_host::orchestration::{
    Answered, Decision, EntityContent, EventKind, HistoryEvent, Limits, ParkReason, Recorded, RecordedKind, Session,
    Status, Turn, history_event, response,
};
use durawasm_proto::durabletask as pb;
use support::journal::{Journal, failure, program, request};
use support::script::{Script, activity, done, ok, session};

fn entity(key: &str) -> EntityId {
    EntityId { name: "Account".to_owned(), key: key.to_owned() }
}

fn operation(key: &str) -> EntityOperation {
    EntityOperation { entity: entity(key), operation: "add".to_owned(), input: Some("1".to_owned()), scheduled: None }
}

fn call(op: OpId, key: &str) -> Command {
    Command::Issue((op, Request::CallEntity(operation(key))))
}

fn lock(op: OpId, keys: &[&str]) -> Command {
    Command::Issue((op, Request::Lock(keys.iter().map(|key| entity(key)).collect())))
}

fn child(op: OpId) -> Command {
    let call = ChildCall {
        name: "kid".to_owned(),
        version: None,
        input: None,
        instance_id: None,
        retry: None,
        tags: Vec::new(),
    };
    Command::Issue((op, Request::Child(call)))
}

fn signal(key: &str) -> Command {
    Command::SignalEntity(operation(key))
}

/// An instance that is driven live; its whole history is at hand.
struct Run {
    journal: Journal,
    session: Session<Script>,
    turns: Vec<Turn>,
}

impl Run {
    fn start(answers: Vec<Vec<Command>>) -> Self {
        let mut journal = Journal::default();
        let mut session = session(Script::new(answers));
        let new = journal.begin("o", None, vec![]);
        let turn = session.apply([], new.clone()).unwrap();
        journal.commit(new, &turn);
        Self { journal, session, turns: vec![turn] }
    }

    fn episode(mut self, kinds: Vec<EventKind>) -> Self {
        let new = self.journal.episode(kinds);
        let turn = self.session.apply([], new.clone()).unwrap();
        self.journal.commit(new, &turn);
        self.turns.push(turn);
        self
    }

    /// The request of the n-th action.
    fn request(&self, action: i32) -> String {
        let mut actions = self.turns.iter().flat_map(|turn| &turn.actions);
        request(&actions.find(|one| one.id == action).unwrap().decision).unwrap()
    }

    fn granted(&self, action: i32) -> EventKind {
        EventKind::Answered { of: RecordedKind::EntityLock, request: self.request(action), outcome: Ok(None) }
    }

    fn answer(&self, action: i32) -> EventKind {
        let outcome = Ok(Some("7".to_owned()));
        EventKind::Answered { of: RecordedKind::EntityCall, request: self.request(action), outcome }
    }

    /// What the last turn decided, in short.
    fn last(&self) -> Vec<String> {
        let short = |decision: &Decision| match decision {
            Decision::Entity(message) => match &message.content {
                EntityContent::Call { entity, .. } => format!("call {entity}"),
                EntityContent::Signal { entity, .. } => format!("signal {entity}"),
                EntityContent::Lock { entities } => format!("lock {}", entities.join(" ")),
                EntityContent::Unlock { entity, .. } => format!("unlock {entity}"),
            },
            Decision::Complete(completion) => match completion.failures.first() {
                Some(failure) => format!("{:?} {}", completion.status, failure.error_type),
                None => format!("{:?}", completion.status),
            },
            other => other.describe(),
        };
        self.turns.last().unwrap().actions.iter().map(|action| short(&action.decision)).collect()
    }

    /// The same commands, replayed up to here by a session of another process, answer the events in the same way.
    fn replays(&self, answers: Vec<Vec<Command>>) {
        let past = self.journal.past.clone();
        let turn = session(Script::new(answers)).apply(past, []).unwrap();
        assert_eq!(turn.actions, [], "all is in the history");
    }
}

fn breach(answers: Vec<Vec<Command>>, error_type: &str, hint: &str) {
    let run = Run::start(answers.clone());
    // Where a section is needed, the first action asks for it.
    let run = if answers.len() > 1 {
        let granted = run.granted(1);
        run.episode(vec![granted])
    } else {
        run
    };
    let last = run.turns.last().unwrap();
    let Some(Decision::Complete(completion)) = last.actions.last().map(|action| &action.decision) else {
        panic!("{last:?}");
    };
    assert_eq!(completion.status, Status::Failed);
    assert_eq!(completion.failures[0].error_type, error_type);
    assert!(completion.failures[0].message.contains(hint), "{}", completion.failures[0].message);
    assert!(!completion.failures[0].retriable);
}

#[test]
fn an_answer_finds_its_call_by_its_request_live_and_in_a_replay() {
    let answers = || vec![vec![call(1, "a"), call(2, "B")], vec![], vec![activity(3, "x")]];
    let run = Run::start(answers());
    assert_eq!(run.last(), ["call @account@a", "call @account@B"]);
    let (first, second) = (run.answer(1), run.answer(2));
    let run = run.episode(vec![second.clone()]).episode(vec![second, first]);
    let told: Vec<_> = run.session.guest().told.iter().flatten().map(|resolution| resolution.op).collect();
    assert_eq!(told, [2, 1], "an answer that comes twice is ignored");
    run.replays(answers());
}

#[test]
fn a_failed_operation_is_the_failure_of_its_call() {
    let run = Run::start(vec![vec![call(1, "a")]]);
    let outcome = Err(vec![failure("Overdrawn")]);
    let failed =
        EventKind::Answered { of: RecordedKind::EntityCall, request: run.request(1), outcome: outcome.clone() };
    let run = run.episode(vec![failed]);
    assert_eq!(run.session.guest().told[0][0].outcome, outcome);
}

#[test]
fn an_answer_in_a_replay_is_matched_by_what_the_history_holds_and_not_by_what_this_host_would_make_up() {
    let run = Run::start(vec![vec![call(1, "a")]]);
    let mut past = run.journal.past.clone();
    for event in &mut past {
        if let EventKind::Recorded(recorded) = &mut event.kind {
            recorded.request = Some("of another host".to_owned());
        }
    }
    let mut session = session(Script::new([vec![call(1, "a")]]));
    let mut journal = run.journal;
    let answer =
        EventKind::Answered { of: RecordedKind::EntityCall, request: "of another host".to_owned(), outcome: Ok(None) };
    session.apply(past, journal.episode(vec![answer])).unwrap();
    assert_eq!(session.guest().told.len(), 1);
}

#[test]
fn a_lock_set_is_sorted_and_holds_each_entity_once() {
    let run = Run::start(vec![vec![lock(1, &["b", "a", "b"])]]);
    assert_eq!(run.last(), ["lock @account@a @account@b"]);
}

#[test]
fn a_critical_section_goes_from_the_grant_to_the_release_of_each_entity() {
    let answers = || {
        vec![
            vec![call(1, "outside"), lock(2, &["b", "a"])],
            vec![call(3, "a"), signal("outside")],
            vec![Command::Unlock(2), call(4, "outside"), signal("a"), lock(5, &["a"])],
        ]
    };
    let run = Run::start(answers());
    let granted = run.granted(2);
    let run = run.episode(vec![granted]);
    assert_eq!(run.last(), ["call @account@a", "signal @account@outside"]);
    let answer = run.answer(3);
    let run = run.episode(vec![answer]);
    let expected =
        ["unlock @account@a", "unlock @account@b", "call @account@outside", "signal @account@a", "lock @account@a"];
    assert_eq!(run.last(), expected);
    run.replays(answers());
}

#[test]
fn the_rules_of_a_critical_section_fail_who_breaks_them() {
    let section = |then| vec![vec![lock(1, &["a", "b"])], vec![then]];
    breach(section(call(2, "c")), "EntityNotLocked", "@account@a, @account@b");
    breach(section(signal("b")), "EntityLocked", "@account@b");
    breach(section(lock(2, &["c"])), "NestedLock", "at once");
    breach(section(child(2)), "ChildInSection", "`kid`");
    breach(vec![vec![lock(1, &["a"])], vec![call(2, "a"), call(3, "a")]], "ParallelCalls", "@account@a");
    breach(vec![vec![lock(1, &["a"]), call(2, "a")]], "EntityNotLocked", "waits for the lock of @account@a");
    breach(vec![vec![lock(1, &["a"]), lock(2, &["b"])]], "NestedLock", "waits for");
    breach(vec![vec![lock(1, &[])]], "InvalidLock", "no entities");
    breach(vec![vec![activity(1, "x"), Command::Unlock(1)]], "NotLocked", "op 1");
    breach(vec![vec![lock(1, &["a"]), Command::Unlock(1)]], "NotLocked", "op 1");
    let nameless = EntityId { name: String::new(), key: "k".to_owned() };
    breach(vec![vec![Command::Issue((1, Request::Lock(vec![nameless])))]], "InvalidEntityId", "empty");
    let long = EntityOperation { entity: entity(&"k".repeat(200)), ..operation("") };
    breach(vec![vec![Command::SignalEntity(long)]], "InvalidEntityId", "at most 100");
}

#[test]
fn calls_of_one_entity_may_follow_each_other_in_a_section_and_calls_of_two_may_overlap() {
    let answers = || {
        vec![
            vec![lock(1, &["a", "b"])],
            vec![call(2, "a"), call(3, "b")],
            vec![call(4, "a")],
            vec![Command::Cancel(4), call(5, "a")],
        ]
    };
    let run = Run::start(answers());
    let granted = run.granted(1);
    let run = run.episode(vec![granted]);
    let answer = run.answer(2);
    let run = run.episode(vec![answer]);
    assert_eq!(run.last(), ["call @account@a"]);
    let answer = run.answer(3);
    let run = run.episode(vec![answer]);
    assert_eq!(run.last(), ["call @account@a"], "nobody waits for the one before it any more");
    run.replays(answers());
}

/// The ways in which code ends its execution, and how the actions of its last turn show them.
fn ends() -> [(Command, &'static str); 3] {
    [
        (done(), "Completed"),
        (Command::Complete(Err(vec![failure("E")])), "Failed E"),
        (
            Command::ContinueAsNew(durawasm_host::abi::NextGeneration {
                input: None,
                keep_events: false,
                version: durawasm_host::abi::NextVersion::Keep,
            }),
            "ContinuedAsNew",
        ),
    ]
}

#[test]
fn what_is_locked_at_the_end_is_released_before_it() {
    // A breach of the rules is an end as well.
    let breach = (signal("a"), "Failed EntityLocked");
    for (end, expected) in ends().into_iter().chain([breach]) {
        let run = Run::start(vec![vec![lock(1, &["a", "b"])], vec![end]]);
        let granted = run.granted(1);
        let run = run.episode(vec![granted]);
        assert_eq!(run.last(), ["unlock @account@a", "unlock @account@b", expected]);
    }
}

#[test]
fn a_terminated_orchestration_leaves_its_locks_to_the_scheduler() {
    let run = Run::start(vec![vec![lock(1, &["a"])]]);
    let granted = run.granted(1);
    let run = run.episode(vec![granted]).episode(vec![EventKind::Terminated { output: None }]);
    assert_eq!(run.last(), ["Terminated"]);
}

#[test]
fn a_lock_that_nobody_wants_any_more_is_given_back_at_once_and_again_if_it_is_granted() {
    let answers = || vec![vec![lock(1, &["a"]), activity(2, "x")], vec![Command::Cancel(1), lock(3, &["b"])]];
    let run = Run::start(answers()).episode(vec![ok(2)]);
    assert_eq!(run.last(), ["unlock @account@a", "lock @account@b"], "it is given back at once");
    let granted = run.granted(1);
    let run = run.episode(vec![granted]);
    assert_eq!(run.last(), ["unlock @account@a"], "and again if it comes all the same");
    assert_eq!(run.session.guest().told.len(), 1, "the guest hears nothing of it");
    run.replays(answers());
}

#[test]
fn a_grant_that_comes_together_with_what_cancels_the_lock_is_released() {
    let run = Run::start(vec![vec![lock(1, &["a"]), activity(2, "x")], vec![Command::Cancel(1)]]);
    let granted = run.granted(1);
    // Given back when it is not wanted any more, and again when it is granted: together or one by one, the same is sent.
    assert_eq!(run.episode(vec![ok(2), granted]).last(), ["unlock @account@a", "unlock @account@a"]);
}

/// As another host would have recorded it, which makes up other ids.
fn of_another_host(events: Vec<HistoryEvent>) -> Vec<HistoryEvent> {
    let renamed = |kind| match kind {
        EventKind::Recorded(recorded) => EventKind::Recorded(Recorded {
            request: recorded.request.map(|id| format!("{id} of another host")),
            ..recorded
        }),
        EventKind::Answered { of, request, outcome } => {
            EventKind::Answered { of, request: format!("{request} of another host"), outcome }
        }
        other => other,
    };
    events.into_iter().map(|event| HistoryEvent { kind: renamed(event.kind), ..event }).collect()
}

#[test]
fn a_lock_that_is_given_up_in_the_turn_that_asks_for_it_is_known_by_the_request_that_the_history_holds() {
    let answers =
        || vec![vec![lock(1, &["a"]), Command::Cancel(1), activity(2, "x")], vec![lock(3, &["b"])], vec![done()]];
    let run = Run::start(answers());
    assert_eq!(run.last()[..2], ["lock @account@a", "unlock @account@a"]);
    let granted = run.granted(1);
    let run = run.episode(vec![granted.clone()]);
    assert_eq!(run.last(), ["unlock @account@a"]);
    let run = run.episode(vec![ok(3)]);
    assert_eq!(run.last(), ["lock @account@b"], "it does not count as a lock that is waited for");
    run.replays(answers());
    // A fork, and whatever another host began.
    let turn = session(Script::new(answers())).apply(of_another_host(run.journal.past.clone()), []).unwrap();
    assert_eq!(turn.actions, [], "all is in the history");
    // The grant is the next thing that happens.
    let mut run = Run::start(answers());
    let new = run.journal.episode(vec![granted]);
    let mut theirs = session(Script::new(answers()));
    let past = of_another_host(run.journal.past.clone());
    let turn = theirs.apply(past, of_another_host(new)).unwrap();
    let [Decision::Entity(message)] = turn.actions.iter().map(|action| &action.decision).collect::<Vec<_>>()[..] else {
        panic!("{turn:?}")
    };
    let EntityContent::Unlock { entity, section } = &message.content else { panic!("{message:?}") };
    assert_eq!(entity, "@account@a");
    assert!(section.ends_with(" of another host"), "{section}");
}

#[test]
fn a_lock_that_is_given_up_does_not_count_as_something_that_is_waited_for() {
    let give_up = |op| [lock(op, &["a"]), Command::Cancel(op), Command::Cancel(op)];
    let commands = [give_up(1).to_vec(), give_up(2).to_vec(), vec![activity(3, "x")]].concat();
    let limits = Limits { pending: 1, ..Limits::default() };
    let mut session = Session::new(Script::new([commands]), "parent", program(), limits);
    let new = Journal::default().begin("o", None, vec![]);
    let turn = session.apply([], new).unwrap();
    assert_eq!((turn.actions.len(), session.open_ops()), (5, 1));
}

#[test]
fn a_lock_that_is_waited_for_at_the_end_is_given_back_before_it() {
    let breach = (call(3, "a"), "Failed EntityNotLocked");
    for (end, expected) in ends().into_iter().chain([breach]) {
        let answers = || vec![vec![lock(1, &["a", "b"]), activity(2, "x")], vec![end.clone()]];
        let run = Run::start(answers());
        let granted = run.granted(1);
        let request = run.request(1);
        // A grant that comes behind the end changes nothing of that.
        for events in [vec![ok(2)], vec![ok(2), granted]] {
            let run = Run::start(answers()).episode(events);
            assert_eq!(run.last(), ["unlock @account@a", "unlock @account@b", expected]);
            for action in &run.turns.last().unwrap().actions[..2] {
                let Decision::Entity(message) = &action.decision else { panic!("{action:?}") };
                assert!(matches!(&message.content, EntityContent::Unlock { section, .. } if *section == request));
            }
            let mut past = run.journal.past.clone();
            past.push(HistoryEvent { id: 5, time: past[0].time, kind: EventKind::Completed });
            if expected != "Failed EntityNotLocked" {
                let turn = session(Script::new(answers())).apply(past, []).unwrap();
                assert_eq!(turn.actions, [], "all is in the history");
            }
        }
    }
}

#[test]
fn a_terminated_orchestration_leaves_what_it_waits_for_to_the_scheduler() {
    let run = Run::start(vec![vec![lock(1, &["a"])]]).episode(vec![EventKind::Terminated { output: None }]);
    assert_eq!(run.last(), ["Terminated"]);
}

#[test]
fn a_replay_that_calls_another_entity_says_so() {
    let run = Run::start(vec![vec![call(1, "a")]]);
    let park = session(Script::new([vec![call(1, "b")]])).apply(run.journal.past, []).unwrap_err();
    assert_eq!(park.reason, ParkReason::Divergence);
    assert!(park.message.contains("@account@a/add") && park.message.contains("@account@b/add"), "{park}");
}

#[test]
fn messages_cross_the_wire_and_come_back_from_the_history_as_they_were() {
    let at = Timestamp { seconds: 5, nanos: 0 };
    let scheduled = Command::SignalEntity(EntityOperation { scheduled: Some(at), ..operation("a") });
    let run = Run::start(vec![vec![call(1, "a"), scheduled, lock(2, &["a"])], vec![Command::Unlock(2)]]);
    let granted = run.granted(3);
    let run = run.episode(vec![granted]);
    let mut recorded = Vec::new();
    for turn in &run.turns {
        let answered = Answered { instance_id: "parent".to_owned(), ..Answered::default() };
        for action in response(answered, turn.clone(), None, || None).actions {
            use pb::history_event::EventType;
            use pb::send_entity_message_action::EntityMessageType;
            let Some(pb::orchestrator_action::OrchestratorActionType::SendEntityMessage(message)) =
                action.orchestrator_action_type
            else {
                panic!("{action:?}");
            };
            let event = match message.entity_message_type.unwrap() {
                EntityMessageType::EntityOperationSignaled(event) => {
                    assert_eq!(event.scheduled_time.unwrap().seconds, 5);
                    EventType::EntityOperationSignaled(event)
                }
                EntityMessageType::EntityOperationCalled(event) => {
                    assert_eq!(event.parent_instance_id.as_deref(), Some("parent"));
                    EventType::EntityOperationCalled(event)
                }
                EntityMessageType::EntityLockRequested(event) => {
                    assert_eq!((event.position, event.lock_set.len()), (0, 1));
                    EventType::EntityLockRequested(event)
                }
                EntityMessageType::EntityUnlockSent(event) => EventType::EntityUnlockSent(event),
            };
            let event = pb::HistoryEvent { event_id: action.id, timestamp: None, event_type: Some(event) };
            recorded.push((action.id, history_event(event).kind));
        }
    }
    let expected: Vec<_> = run.journal.past.iter().filter(|event| event.id > 0).collect();
    assert_eq!(recorded.len(), expected.len());
    for ((id, kind), event) in recorded.iter().zip(expected) {
        assert_eq!(*id, event.id);
        let (EventKind::Recorded(one), EventKind::Recorded(other)) = (kind, &event.kind) else { panic!("{kind:?}") };
        assert_eq!((one.kind, &one.name), (other.kind, &other.name));
        if one.kind.is_answered() {
            assert_eq!(one.request, other.request);
        }
    }
}

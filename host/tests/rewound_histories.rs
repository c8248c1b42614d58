//! How a history replays out of which a rewind has taken what failed.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use durawasm_host::abi::Command;
use durawasm_host::orchestration::{EventKind, HistoryEvent, Park, ParkReason, RecordedKind, Status, Turn};
use support::journal::{Journal, raised, resolved};
use support::script::{Script, activity, child, done, failed, fired, ok, retried, session, twice, wait};

/// Runs a script live, one episode after the other, then rewinds its history.
fn rewound(script: Script, episodes: Vec<Vec<EventKind>>) -> Journal {
    let mut journal = Journal::default();
    let mut session = session(script);
    let mut new = journal.begin("o", None, vec![]);
    let mut episodes = episodes.into_iter();
    loop {
        let turn = session.apply([], new.clone()).unwrap();
        journal.commit(new, &turn);
        let Some(kinds) = episodes.next() else { break };
        new = journal.episode(kinds);
    }
    journal.rewind();
    journal
}

/// The first episode after a rewind.
fn first(journal: &mut Journal, script: Script) -> Result<Turn, Park> {
    let new = journal.episode(vec![]);
    let turn = session(script).apply(journal.past.clone(), new.clone())?;
    journal.commit(new, &turn);
    Ok(turn)
}

fn calls(turn: &Turn) -> Vec<(i32, &str)> {
    turn.actions.iter().map(|action| (action.id, action.decision.name())).collect()
}

fn fail() -> Command {
    Command::Complete(Err(vec![support::journal::failure("E")]))
}

#[test]
fn an_activity_that_failed_is_called_again_with_its_id_and_what_succeeded_is_not() {
    let live = || [vec![activity(1, "a"), activity(2, "b"), activity(3, "c")]];
    let script = Script::new([live()[0].clone(), vec![], vec![fail()]]);
    let mut journal = rewound(script, vec![vec![ok(1), ok(3)], vec![failed(RecordedKind::Activity, 2)]]);
    let turn = first(&mut journal, Script::new(live())).unwrap();
    assert_eq!(calls(&turn), [(2, "b")]);
}

#[test]
fn a_child_that_failed_is_not_started_again_and_its_later_result_counts() {
    let script = Script::new([vec![child(1, Some("x"), None)], vec![fail()]]);
    let mut journal = rewound(script, vec![vec![failed(RecordedKind::Child, 1)]]);
    let turn = first(&mut journal, Script::new([vec![child(1, Some("x"), None)]])).unwrap();
    assert!(calls(&turn).is_empty());
    let new = journal.episode(vec![resolved(RecordedKind::Child, 1, Ok(None))]);
    let script = Script::new([vec![child(1, Some("x"), None)], vec![done()]]);
    let turn = session(script).apply(journal.past.clone(), new).unwrap();
    assert!(turn.ended);
}

#[test]
fn an_attempt_that_succeeded_answers_the_call_although_the_attempts_before_it_are_gone() {
    let script = Script::new([vec![retried(1, "a", twice())], vec![activity(2, "b")], vec![fail()]]);
    let failures = vec![
        vec![failed(RecordedKind::Activity, 1)],
        vec![fired(2)],
        vec![ok(3)],
        vec![failed(RecordedKind::Activity, 4)],
    ];
    let mut journal = rewound(script, failures);
    let script = Script::new([vec![retried(1, "a", twice())], vec![activity(2, "b")]]);
    let turn = first(&mut journal, script).unwrap();
    assert_eq!(calls(&turn), [(4, "b")], "only what failed last is called again, with its id");
}

#[test]
fn an_attempt_at_a_child_that_succeeded_answers_the_call_whatever_becomes_of_the_attempts_before_it() {
    let code = || [vec![child(1, Some("x"), twice())], vec![activity(2, "b")]];
    let script = Script::new([code()[0].clone(), code()[1].clone(), vec![fail()]]);
    let failures = vec![
        vec![failed(RecordedKind::Child, 1)],
        vec![fired(2)],
        vec![resolved(RecordedKind::Child, 3, Ok(None))],
        vec![failed(RecordedKind::Activity, 4)],
    ];
    let mut journal = rewound(script, failures);
    let turn = first(&mut journal, Script::new(code())).unwrap();
    assert_eq!(calls(&turn), [(4, "b")]);
    // The first attempt was rewound as well: nobody waits for it.
    let script = Script::new([code()[0].clone(), code()[1].clone(), vec![activity(3, "c")]]);
    let new = journal.episode(vec![resolved(RecordedKind::Child, 1, Ok(None))]);
    assert!(calls(&session(script).apply(journal.past.clone(), new).unwrap()).is_empty());
}

#[test]
fn what_came_with_the_failure_of_a_child_that_is_cancelled_by_now_is_left_alone() {
    // Live, the failure of the child led to `repair`; an event of the same episode cancels whatever is open.
    let script = Script::new([
        vec![child(1, Some("x"), None), wait(2, "stop"), wait(3, "end")],
        vec![activity(4, "repair")],
        vec![Command::Cancel(4)],
        vec![fail()],
    ]);
    let failures = vec![vec![failed(RecordedKind::Child, 1), raised("stop", "1")], vec![raised("end", "1")]];
    let mut journal = rewound(script, failures);
    let code = [
        vec![child(1, Some("x"), None), wait(2, "stop"), wait(3, "end")],
        vec![Command::Cancel(1)],
        vec![activity(4, "last")],
    ];
    let turn = first(&mut journal, Script::new(code)).unwrap();
    assert_eq!(calls(&turn), [(3, "last")]);
}

#[test]
fn timers_between_attempts_that_are_gone_are_left_alone_and_ids_stay_unique() {
    let script = Script::new([vec![retried(1, "a", twice())], vec![fail()]]);
    let failures =
        vec![vec![failed(RecordedKind::Activity, 1)], vec![fired(2)], vec![failed(RecordedKind::Activity, 3)]];
    let mut journal = rewound(script, failures);
    let script = || Script::new([vec![retried(1, "a", twice())], vec![done()]]);
    assert_eq!(calls(&first(&mut journal, script()).unwrap()), [(1, "a")]);
    // It fails again: the timer of the history that was rewound is number 2.
    let new = journal.episode(vec![failed(RecordedKind::Activity, 1)]);
    let turn = session(script()).apply(journal.past.clone(), new.clone()).unwrap();
    assert_eq!(calls(&turn), [(3, "")]);
    journal.commit(new, &turn);
    // The old timer's number means nothing, the new one's does.
    let new = journal.episode(vec![fired(2), fired(3)]);
    let turn = session(script()).apply(journal.past.clone(), new).unwrap();
    assert_eq!(calls(&turn), [(4, "a")]);
}

#[test]
fn what_the_code_did_because_of_a_failure_is_left_alone_with_its_results() {
    // Live, the failure of `a` led to `repair`, whose own failure was the end.
    let script =
        Script::new([vec![activity(1, "a")], vec![activity(2, "repair"), activity(3, "other")], vec![], vec![fail()]]);
    let failures = vec![vec![failed(RecordedKind::Activity, 1)], vec![ok(3)], vec![failed(RecordedKind::Activity, 2)]];
    let mut journal = rewound(script, failures);
    let script = || Script::new([vec![activity(1, "a")], vec![activity(2, "go on")]]);
    let turn = first(&mut journal, script()).unwrap();
    assert_eq!(calls(&turn), [(1, "a")]);
    let new = journal.episode(vec![ok(1)]);
    let turn = session(script()).apply(journal.past.clone(), new).unwrap();
    assert_eq!(calls(&turn), [(4, "go on")], "a number that nothing in the history has");
}

/// A history that was rewound and has gone on since.
fn mended() -> (Vec<HistoryEvent>, [Vec<Command>; 3]) {
    let code = [vec![activity(1, "a")], vec![activity(2, "b")], vec![activity(3, "c")]];
    let script = Script::new([code[0].clone(), code[1].clone(), vec![fail()]]);
    let mut journal = rewound(script, vec![vec![ok(1)], vec![failed(RecordedKind::Activity, 2)]]);
    first(&mut journal, Script::new(code.clone())).unwrap();
    let new = journal.episode(vec![ok(2)]);
    let turn = session(Script::new(code.clone())).apply(journal.past.clone(), new.clone()).unwrap();
    journal.commit(new, &turn);
    (journal.past, code)
}

fn diverges(past: Vec<HistoryEvent>, code: Vec<Vec<Command>>) {
    let park = session(Script::new(code)).apply(past, []).unwrap_err();
    assert_eq!(park.reason, ParkReason::Divergence, "{park}");
}

#[test]
fn behind_a_rewind_the_history_is_compared_as_strictly_as_ever() {
    let (past, code) = mended();
    assert!(session(Script::new(code.clone())).apply(past.clone(), []).is_ok());
    let [first, second, _] = code.clone();
    diverges(past.clone(), vec![first.clone(), second.clone(), vec![activity(3, "renamed")]]);
    diverges(past.clone(), vec![first.clone(), second.clone(), vec![]]);
    diverges(past.clone(), vec![first.clone(), vec![activity(2, "renamed")], code[2].clone()]);
    let more = vec![activity(3, "c"), activity(4, "more")];
    let mut longer = past;
    longer.push(HistoryEvent { id: -1, time: longer[0].time, kind: EventKind::EpisodeStarted });
    diverges(longer, vec![first, second, more]);
}

#[test]
fn before_a_rewind_where_nothing_is_missing_a_difference_is_still_a_divergence() {
    let (past, code) = mended();
    diverges(past, vec![vec![activity(1, "renamed")], code[1].clone(), code[2].clone()]);
}

#[test]
fn an_execution_that_failed_with_nothing_to_call_again_goes_on_when_something_comes() {
    // The code itself failed; the new code does not.
    let script = Script::new([vec![activity(1, "a"), activity(2, "b")], vec![fail()]]);
    let mut journal = rewound(script, vec![vec![ok(1)]]);
    let mended = || Script::new([vec![activity(1, "a"), activity(2, "b")], vec![], vec![done()]]);
    assert!(calls(&first(&mut journal, mended()).unwrap()).is_empty());
    let new = journal.episode(vec![ok(2)]);
    let turn = session(mended()).apply(journal.past.clone(), new).unwrap();
    assert!(turn.ended);
    assert!(matches!(&turn.actions[0].decision,
        durawasm_host::orchestration::Decision::Complete(completion) if completion.status == Status::Completed));
}

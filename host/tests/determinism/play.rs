//! Runs an execution live, with a scheduler in miniature, and again from its history.

use durawasm_host::abi::{Failure, Outcome};
use durawasm_host::orchestration::{
    Decision, EventKind, ExecutionStarted, HistoryEvent, ParentInstance, Park, RecordedKind, Turn,
};
use durawasm_host::registry::LoadedComponent;

use crate::memory;
use crate::support::journal::{Journal, raised, resolved};
use crate::support::session;
use crate::variant::{Variant, watching};

/// What happens to an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// All results that are open come together.
    Together,
    /// Results come one by one, the latest call's first.
    Alone,
    /// Events come early, late and in between, results twice, and the instance is suspended and resumed; the scheduler's clock goes back.
    Eventful,
}

/// Two executions that differ in all that may make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// One.
    Anna,
    /// The other.
    Bert,
}

impl Who {
    /// The instance's id.
    pub fn id(self) -> &'static str {
        match self {
            Self::Anna => "anna",
            Self::Bert => "bert",
        }
    }
}

/// What was seen of an execution from outside: a line for each episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript {
    /// Everything that an episode led to: actions, custom status, logs, whether it ended; or why it was parked.
    pub episodes: Vec<String>,
    /// After each episode, the digest of the memories, if they are watched.
    pub memories: Vec<String>,
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// With this output.
    Completed(String),
    /// With a failure of this type.
    Failed(String),
    /// Parked, for this reason.
    Parked(String),
}

/// An execution that was run live.
#[derive(Clone, Debug)]
pub struct Played {
    /// Its whole history: the last episode is at its end, also if it was parked.
    pub history: Vec<HistoryEvent>,
    /// What was seen of it.
    pub transcript: Transcript,
    /// How it ended.
    pub end: End,
}

/// Runs an execution live in one warm session. After each episode, `between` may do what it wants with its history.
pub fn play(
    component: &LoadedComponent,
    variant: Variant,
    case: &str,
    course: Course,
    who: Who,
    mut between: impl FnMut(&[HistoryEvent]),
) -> Played {
    let mut journal = Journal::default();
    journal.days = if who == Who::Anna { 0 } else { 77 };
    let mut session = session(component, who.id(), crate::BATCH);
    let mut transcript = Transcript::default();
    let mut memories = Vec::new();
    let mut new = journal.episode(beginning(case, course, who));
    for round in 0..100 {
        let (result, made) = watching(variant, || session.apply([], new.clone()));
        memories.extend(made);
        note(&mut transcript, &result, &memories);
        let end = match &result {
            Err(park) => Some(End::Parked(park.reason.word().to_owned())),
            Ok(turn) => end(turn),
        };
        let turn = result.unwrap_or_default();
        journal.commit(new, &turn);
        between(&journal.past);
        if let Some(end) = end {
            return Played { history: journal.past, transcript, end };
        }
        new = next(&mut journal, course, round);
    }
    panic!("`{case}` does not end")
}

fn end(turn: &Turn) -> Option<End> {
    let Decision::Complete(completion) = &turn.actions.last()?.decision else { return None };
    Some(match completion.failures.first() {
        Some(failure) => End::Failed(failure.error_type.clone()),
        None => End::Completed(completion.result.clone().unwrap_or_default()),
    })
}

fn note(transcript: &mut Transcript, result: &Result<Turn, Park>, memories: &[memory::Watched]) {
    transcript.episodes.push(format!("{result:?}"));
    // What a guest that was stopped in the middle of something leaves behind is thrown away.
    let stopped = match result {
        Err(_) => true,
        Ok(turn) => matches!(end(turn), Some(End::Failed(_))),
    };
    if !memories.is_empty() && !stopped {
        transcript.memories.push(memory::digest(memories));
    }
}

fn beginning(case: &str, course: Course, who: Who) -> Vec<EventKind> {
    let started = ExecutionStarted {
        name: case.to_owned(),
        version: Some("1.0.0".to_owned()),
        input: Some("\"look\"".to_owned()),
        parent: Some(ParentInstance { instance_id: "parent".to_owned(), name: "family".to_owned(), version: None }),
        tags: [("alpha", "1"), ("beta", "2"), ("durawasm.own", "3"), ("omega", "4"), ("zeta", who.id())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
    };
    let mut kinds = vec![EventKind::ExecutionStarted(Box::new(started))];
    if course == Course::Eventful {
        kinds.push(raised("Poke", "\"early\""));
        kinds.push(raised("other", "\"nobody waits for this one\""));
    }
    kinds
}

fn next(journal: &mut Journal, course: Course, round: usize) -> Vec<HistoryEvent> {
    let open = journal.open.clone();
    let result = |(id, kind, decision): &(i32, RecordedKind, Decision)| resolved(*kind, *id, outcome(decision));
    match course {
        Course::Together => journal.episode(open.iter().map(result).collect()),
        Course::Alone => journal.episode(open.last().map(result).into_iter().collect()),
        Course::Eventful => {
            let mut kinds: Vec<EventKind> = Vec::new();
            for (place, action) in open.iter().enumerate() {
                if place == round % 3 {
                    kinds.push(raised("POKE", &format!("\"{round}\"")));
                }
                // Something stays open until the next time, unless it is the last.
                if place > 0 && round.is_multiple_of(2) {
                    continue;
                }
                kinds.extend([result(action), result(action)]);
            }
            match round % 4 {
                1 => kinds.insert(kinds.len() / 2, EventKind::Suspended),
                2 => kinds.insert(kinds.len() / 2, EventKind::Resumed),
                3 => kinds.splice(0..0, [EventKind::Suspended, EventKind::Resumed]).for_each(drop),
                _ => {}
            }
            let mut events = journal.episode(kinds);
            if round % 3 == 2 {
                // A scheduler's clock that was set back.
                for event in &mut events {
                    event.time.seconds -= 3_600;
                }
            }
            events
        }
    }
}

/// How calls end: those of `fails` with causes and properties.
fn outcome(decision: &Decision) -> Outcome {
    match decision {
        Decision::Activity { name, .. } if name == "fails" => {
            let failure = |message: &str, stack: Option<&str>| Failure {
                error_type: "Expected".to_owned(),
                message: message.to_owned(),
                stack: stack.map(str::to_owned),
                retriable: true,
                properties: vec![
                    ("a".to_owned(), r#"{"x":[1,2.5,null],"y":true}"#.to_owned()),
                    ("b".to_owned(), "\"text\"".to_owned()),
                ],
            };
            Err(vec![failure("outer", Some("at 0x1234 of a machine long gone")), failure("inner", None)])
        }
        Decision::Activity { input, .. } => Ok(input.as_ref().map(|input| format!("\"{}\"", input.len()))),
        _ => Ok(None),
    }
}

/// Replays the history of an execution: in a new session for each episode, up to its beginning as past and then the episode as new.
pub fn replay(
    component: &LoadedComponent,
    variant: Variant,
    batch: usize,
    id: &str,
    history: &[HistoryEvent],
) -> Transcript {
    let mut transcript = Transcript::default();
    for (begin, end) in episodes(history) {
        let mut session = session(component, id, batch);
        let apply = || session.apply(history[..begin].to_vec(), history[begin..end].to_vec());
        let (result, memories) = watching(variant, apply);
        note(&mut transcript, &result, &memories);
    }
    transcript
}

/// Where the new events of each episode begin and end: behind them come the actions that they led to.
pub fn episodes(history: &[HistoryEvent]) -> Vec<(usize, usize)> {
    let begins = |event: &HistoryEvent| matches!(event.kind, EventKind::EpisodeStarted);
    let starts: Vec<usize> = (0..history.len()).filter(|at| begins(&history[*at])).collect();
    let new = |at: &usize| {
        let recorded = |event: &HistoryEvent| matches!(event.kind, EventKind::Recorded(_)) || begins(event);
        let length = history[at + 1..].iter().position(recorded).unwrap_or(history.len() - at - 1);
        (*at, at + 1 + length)
    };
    starts.iter().map(new).collect()
}

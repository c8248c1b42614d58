//! A scheduler's part in miniature: the history of one instance, and what can happen to it next.

use std::sync::Arc;

use durawasm_host::abi::{Failure, Outcome};
use durawasm_host::orchestration::{
    Decision, EventKind, ExecutionStarted, Guest, HistoryEvent, Park, Program, Recorded, RecordedKind, Session, Time,
    Turn,
};

/// The history of one instance.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    pub past: Vec<HistoryEvent>,
    /// Actions that wait for a result: their id, kind and decision.
    pub open: Vec<(i32, RecordedKind, Decision)>,
    /// Whether the instance may be suspended and resumed now and then.
    pub suspends: bool,
    /// How many days later than others its execution begins.
    pub days: u32,
    suspended: bool,
    micros: u32,
}

impl Journal {
    pub fn now(&mut self) -> Time {
        self.micros += 1;
        let begin = 1_700_000_000 + i64::from(self.days) * 86_400;
        Time { seconds: begin + i64::from(self.micros / 1_000_000), nanos: self.micros % 1_000_000 * 1_000 }
    }

    fn event(&mut self, id: i32, kind: EventKind) -> HistoryEvent {
        HistoryEvent { id, time: self.now(), kind }
    }

    /// The new events of the first episode.
    pub fn begin(&mut self, name: &str, input: Option<String>, more: Vec<EventKind>) -> Vec<HistoryEvent> {
        let started = ExecutionStarted { name: name.to_owned(), input, ..Default::default() };
        let mut kinds = vec![EventKind::ExecutionStarted(Box::new(started))];
        kinds.extend(more);
        self.episode(kinds)
    }

    /// The new events of an episode.
    pub fn episode(&mut self, kinds: Vec<EventKind>) -> Vec<HistoryEvent> {
        let mut events = vec![self.event(-1, EventKind::EpisodeStarted)];
        for kind in kinds {
            match &kind {
                EventKind::Resolved { action, .. } => self.open.retain(|(id, _, _)| id != action),
                EventKind::Answered { request: answered, .. } => {
                    self.open.retain(|(_, _, decision)| request(decision).as_ref() != Some(answered));
                }
                EventKind::Suspended => self.suspended = true,
                EventKind::Resumed => self.suspended = false,
                _ => {}
            }
            events.push(self.event(-1, kind));
        }
        events
    }

    /// Commits an episode and what it led to.
    pub fn commit(&mut self, new: Vec<HistoryEvent>, turn: &Turn) {
        self.past.extend(new);
        for action in &turn.actions {
            let Some(kind) = action.decision.kind() else { continue };
            let recorded =
                Recorded { request: request(&action.decision), ..Recorded::new(kind, action.decision.name()) };
            let event = self.event(action.id, EventKind::Recorded(recorded));
            self.past.push(event);
            if kind.is_answered() {
                self.open.push((action.id, kind, action.decision.clone()));
            }
        }
    }
}

impl Journal {
    /// What a rewind makes of the history: failures are gone, and the calls of the activities that failed. Children that failed run again.
    pub fn rewind(&mut self) {
        let failed = |event: &HistoryEvent, kind: RecordedKind| match &event.kind {
            EventKind::Resolved { of, action, outcome: Err(_) } if *of == kind => Some(*action),
            _ => None,
        };
        let activities: Vec<i32> = self.past.iter().filter_map(|e| failed(e, RecordedKind::Activity)).collect();
        let children: Vec<i32> = self.past.iter().filter_map(|e| failed(e, RecordedKind::Child)).collect();
        for event in &self.past {
            if let EventKind::Recorded(Recorded { kind: RecordedKind::Child, name, .. }) = &event.kind
                && children.contains(&event.id)
            {
                let decision = Decision::Child {
                    instance_id: String::new(),
                    name: name.clone(),
                    version: None,
                    input: None,
                    tags: Vec::new(),
                };
                self.open.push((event.id, RecordedKind::Child, decision));
            }
        }
        self.past.retain(|event| match &event.kind {
            EventKind::Resolved { of: RecordedKind::Activity | RecordedKind::Child, outcome: Err(_), .. } => false,
            EventKind::Recorded(Recorded { kind: RecordedKind::Activity, .. }) => !activities.contains(&event.id),
            EventKind::Completed => false,
            _ => true,
        });
        let rewound = self.event(-1, EventKind::Rewound);
        self.past.push(rewound);
    }
}

/// The id by which an entity answers.
pub fn request(decision: &Decision) -> Option<String> {
    match decision {
        Decision::Entity(message) => Some(message.request.clone()),
        _ => None,
    }
}

/// What happens when an action has its result.
fn happens(kind: RecordedKind, action: i32, decision: &Decision, outcome: Outcome) -> EventKind {
    match request(decision) {
        Some(request) => EventKind::Answered { of: kind, request, outcome },
        None => resolved(kind, action, outcome),
    }
}

/// A result of an action.
pub fn resolved(of: RecordedKind, action: i32, outcome: Outcome) -> EventKind {
    EventKind::Resolved { of, action, outcome }
}

/// An external event.
pub fn raised(name: &str, input: &str) -> EventKind {
    EventKind::EventRaised { name: name.to_owned(), input: Some(input.to_owned()) }
}

/// A failure that may be tried again.
pub fn failure(error_type: &str) -> Failure {
    Failure {
        error_type: error_type.to_owned(),
        message: "it failed".to_owned(),
        stack: None,
        retriable: true,
        properties: Vec::new(),
    }
}

/// The program of sessions whose guest is plain Rust.
pub fn program() -> Arc<Program> {
    Arc::new(Program { component: "native".to_owned(), version: "1.0.0".to_owned(), ..Default::default() })
}

/// One episode of a run: the history before it, its new events, and what it led to.
#[derive(Clone, Debug)]
pub struct Episode {
    pub before: usize,
    pub new: Vec<HistoryEvent>,
    pub turn: Turn,
}

/// What happens next: picks among what is open, or raises an event. Several choices make an episode.
pub type Choice = (u8, u8);

/// Runs an instance live, in one warm session, letting happen what the choices say, and then everything that is left.
pub fn live<G: Guest>(
    session: Session<G>,
    begin: impl FnOnce(&mut Journal) -> Vec<HistoryEvent>,
    choices: &[Vec<Choice>],
    outcome: impl Fn(&Decision) -> Outcome,
    events: &[&str],
) -> (Journal, Vec<Episode>) {
    let mut journal = Journal::default();
    let new = begin(&mut journal);
    go_on(session, journal, new, choices, outcome, events)
}

/// Runs an instance on from where its journal and session stand, beginning with these new events.
pub fn go_on<G: Guest>(
    mut session: Session<G>,
    mut journal: Journal,
    mut new: Vec<HistoryEvent>,
    choices: &[Vec<Choice>],
    outcome: impl Fn(&Decision) -> Outcome,
    events: &[&str],
) -> (Journal, Vec<Episode>) {
    let mut episodes = Vec::new();
    let mut choices = choices.iter();
    let mut past = journal.past.clone();
    loop {
        let turn = session.apply(std::mem::take(&mut past), new.clone()).expect("a live run goes on");
        episodes.push(Episode { before: journal.past.len(), new: new.clone(), turn: turn.clone() });
        journal.commit(new, &turn);
        if turn.ended {
            return (journal, episodes);
        }
        let kinds = match choices.next() {
            Some(choices) => choose(&journal, choices, &outcome, events),
            // The choices are used up: all that is open happens, then one event of each name.
            None if journal.suspended => vec![EventKind::Resumed],
            None if journal.open.is_empty() => return (journal, episodes),
            None => journal
                .open
                .iter()
                .map(|(id, kind, decision)| happens(*kind, *id, decision, outcome(decision)))
                .collect(),
        };
        new = journal.episode(kinds);
    }
}

fn choose(
    journal: &Journal,
    choices: &[Choice],
    outcome: &impl Fn(&Decision) -> Outcome,
    events: &[&str],
) -> Vec<EventKind> {
    let mut open = journal.open.clone();
    let mut kinds = Vec::new();
    for (what, which) in choices {
        if journal.suspends && what % 11 == 5 {
            kinds.push(if which % 2 == 0 { EventKind::Suspended } else { EventKind::Resumed });
        } else if what % 3 == 0 || open.is_empty() {
            let name = events[usize::from(*which) % events.len()];
            kinds.push(raised(name, &format!("\"{}-{which}\"", kinds.len())));
        } else {
            let (id, kind, decision) = open.remove(usize::from(*which) % open.len());
            kinds.push(happens(kind, id, &decision, outcome(&decision)));
            if what % 7 == 1 {
                // Schedulers may deliver a result twice.
                kinds.push(happens(kind, id, &decision, outcome(&decision)));
            }
        }
    }
    kinds
}

/// Checks that a session that is thrown away at each point does what the warm one did.
pub fn same_after_eviction<G: Guest>(
    make: impl Fn() -> Session<G>,
    journal: &Journal,
    episodes: &[Episode],
) -> Result<(), Park> {
    for episode in episodes {
        let mut session = make();
        let turn = session.apply(journal.past[..episode.before].to_vec(), episode.new.clone())?;
        assert_eq!(turn.actions, episode.turn.actions);
        assert_eq!(turn.custom_status, episode.turn.custom_status);
        assert_eq!(turn.ended, episode.turn.ended);
    }
    Ok(())
}

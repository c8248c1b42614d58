//! Histories: of instances that ran, with events changed, exchanged, repeated, left out and made up. A session acts or parks, and the tool
//! that replays histories says that they fit or why not.

use std::sync::Arc;

use durawasm_host::abi::Failure;
use durawasm_host::orchestration::{
    EventKind, ExecutionStarted, HistoryEvent, Limits, ParentInstance, Question, Recorded, RecordedKind, Session, Time,
    history_event,
};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::replay::{Recording, ReplayLimits, query, replay};
use durawasm_host::sandbox::{CodeCache, Engines, Orchestrator};
use durawasm_proto::durabletask::{self as wire, history_event::EventType};
use durawasm_test_components::command::{self, Call, Command, Request};
use durawasm_test_components::{ANSWER, echo, neighbour};
use prost::Message as _;

use super::chance::Chance;
use super::values::{Player, limits};
use crate::Target;

pub(super) struct Histories {
    components: [LoadedComponent; 2],
    histories: [Vec<HistoryEvent>; 2],
}

impl Histories {
    pub(super) fn new() -> Self {
        let engines = Engines::new().expect("engines can be made");
        let load = |bytes: Vec<u8>| {
            LoadedComponent::load(&bytes, &engines, &CodeCache::none(), limits()).expect("the guest is honest")
        };
        let components = [load(echo().component()), load(neighbour().component())];
        let honest: Vec<String> =
            [activities(1), activities(4), activities(7), vec![Command::Complete(Ok(Some("1".to_owned())))]]
                .iter()
                .map(|commands| hex::encode(command::image(ANSWER, commands).bytes()))
                .collect();
        let histories = [
            Player::new(&components[0], "attack").play(&honest, true).expect("an honest run"),
            Player::new(&components[1], "neighbour").play(&[], true).expect("an honest run"),
        ];
        Self { components, histories }
    }
}

fn activities(first: u64) -> Vec<Command> {
    let call = |name: &str| Call { name: name.to_owned(), ..Call::default() };
    vec![
        Command::Issue(first, Request::Activity(call("a"))),
        Command::Issue(first + 1, Request::WaitEvent("a".to_owned())),
        Command::Issue(first + 2, Request::Timer(1_800_000_000, 0)),
    ]
}

impl Target for Histories {
    fn name(&self) -> &'static str {
        "histories"
    }

    fn run(&mut self, input: &[u8]) -> Result<(), String> {
        let mut chance = Chance::new(input);
        let which = usize::from(chance.flag());
        let component = &self.components[which];
        let mut events = self.histories[which].clone();
        let changes = 1 + chance.below(6);
        for _ in 0..changes {
            change(&mut chance, &mut events);
        }
        let new = events.split_off(chance.below(u32::try_from(events.len()).unwrap_or(0) + 1) as usize);
        let code = component.orchestrator_code().expect("it has orchestrators");
        let mut session =
            Session::new(Orchestrator::new(Arc::clone(code)), "i", Arc::clone(component.program()), Limits::default());
        if let Err(park) = session.apply(events, new)
            && (park.message.is_empty() || park.advice.is_empty())
        {
            return Err(format!("it parks without a word: {park:?}"));
        }
        // The same bytes as events of the protocol.
        let events: Vec<wire::HistoryEvent> = match wire::HistoryChunk::decode(input) {
            Ok(chunk) => chunk.events,
            Err(_) => chance.several(12, wire_event),
        };
        for event in &events {
            let _ = history_event(event.clone());
        }
        let recording = Recording { instance_id: "i".to_owned(), events };
        if let Err(disagreement) = replay(component, recording.clone(), &ReplayLimits::default())
            && disagreement.to_string().len() < 20
        {
            return Err(format!("it says too little: {disagreement}"));
        }
        let question = Question { name: chance.text(), input: chance.maybe(Chance::text) };
        match query(component, recording, &question, &ReplayLimits::default()) {
            Err(failures) if failures.is_empty() => Err("a question fails without a failure".to_owned()),
            _ => Ok(()),
        }
    }
}

fn change(chance: &mut Chance<'_>, events: &mut Vec<HistoryEvent>) {
    let length = u32::try_from(events.len()).unwrap_or(0);
    if length == 0 {
        events.push(event(chance));
        return;
    }
    let (at, other) = (chance.below(length) as usize, chance.below(length) as usize);
    match chance.below(8) {
        0 => drop(events.remove(at)),
        1 => events.swap(at, other),
        2 => events.insert(at, events[other].clone()),
        3 => events.insert(at, event(chance)),
        4 => events[at] = event(chance),
        5 => events[at].id = i32::from(chance.byte()) - 2,
        6 => events[at].time = time(chance),
        _ => events.truncate(at),
    }
}

fn time(chance: &mut Chance<'_>) -> Time {
    Time { seconds: chance.long().cast_signed(), nanos: chance.below(1_000_000_000) }
}

fn event(chance: &mut Chance<'_>) -> HistoryEvent {
    let id = if chance.flag() { -1 } else { i32::from(chance.byte()) - 2 };
    HistoryEvent { id, time: time(chance), kind: kind(chance) }
}

fn recorded_kind(chance: &mut Chance<'_>) -> RecordedKind {
    const ALL: [RecordedKind; 8] = [
        RecordedKind::Activity,
        RecordedKind::Child,
        RecordedKind::Timer,
        RecordedKind::SentEvent,
        RecordedKind::EntityCall,
        RecordedKind::EntitySignal,
        RecordedKind::EntityLock,
        RecordedKind::EntityUnlock,
    ];
    ALL[chance.below(8) as usize]
}

fn kind(chance: &mut Chance<'_>) -> EventKind {
    match chance.below(13) {
        0 => EventKind::EpisodeStarted,
        1 => EventKind::ExecutionStarted(Box::new(ExecutionStarted {
            name: chance.text(),
            version: chance.maybe(Chance::text),
            input: chance.maybe(Chance::text),
            parent: chance.maybe(|chance| ParentInstance {
                instance_id: chance.text(),
                name: chance.text(),
                version: None,
            }),
            tags: chance.several(3, |chance| (chance.text(), chance.text())),
        })),
        2 => EventKind::Recorded(Recorded {
            kind: recorded_kind(chance),
            name: chance.text(),
            request: chance.maybe(Chance::text),
        }),
        3 | 4 => EventKind::Resolved {
            of: recorded_kind(chance),
            action: i32::from(chance.byte() % 12) - 1,
            outcome: match chance.flag() {
                true => Ok(chance.maybe(Chance::text)),
                false => Err(chance.several(2, |chance| Failure {
                    error_type: chance.text(),
                    message: chance.text(),
                    stack: chance.maybe(Chance::text),
                    retriable: chance.flag(),
                    properties: Vec::new(),
                })),
            },
        },
        5 => EventKind::EventRaised { name: chance.text(), input: chance.maybe(Chance::text) },
        6 => EventKind::Suspended,
        7 => EventKind::Resumed,
        8 => EventKind::Terminated { output: chance.maybe(Chance::text) },
        9 => EventKind::Completed,
        10 => EventKind::Rewound,
        11 => EventKind::Answered {
            of: recorded_kind(chance),
            request: chance.text(),
            outcome: Ok(chance.maybe(Chance::text)),
        },
        _ => EventKind::Skipped,
    }
}

/// An event of the protocol.
fn wire_event(chance: &mut Chance<'_>) -> wire::HistoryEvent {
    let event_type = match chance.below(8) {
        0 => Some(EventType::OrchestratorStarted(Default::default())),
        1 => Some(EventType::ExecutionStarted(Box::new(wire::ExecutionStartedEvent {
            name: if chance.flag() { "attack".to_owned() } else { chance.text() },
            input: chance.maybe(Chance::text),
            ..Default::default()
        }))),
        2 => Some(EventType::TaskScheduled(wire::TaskScheduledEvent { name: chance.text(), ..Default::default() })),
        3 => Some(EventType::TaskCompleted(wire::TaskCompletedEvent {
            task_scheduled_id: i32::from(chance.byte()) - 2,
            result: chance.maybe(Chance::text),
        })),
        4 => Some(EventType::ExecutionCompleted(wire::ExecutionCompletedEvent {
            orchestration_status: i32::from(chance.byte() % 10) - 1,
            ..Default::default()
        })),
        5 => Some(EventType::OrchestratorCompleted(Default::default())),
        6 => Some(EventType::TimerFired(wire::TimerFiredEvent {
            timer_id: i32::from(chance.byte()) - 2,
            ..Default::default()
        })),
        _ => None,
    };
    let timestamp = chance.maybe(|chance| prost_types::Timestamp {
        seconds: chance.long().cast_signed(),
        nanos: (chance.long() & 0xffff_ffff) as u32 as i32,
    });
    wire::HistoryEvent { event_id: i32::from(chance.byte()) - 2, timestamp, event_type }
}

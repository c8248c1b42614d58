//! What guests answer: any commands and outcomes, well-formed ones and such with bytes changed, through the sandbox and a session.
//!
//! The guest is `echo`: it answers the bytes that it is told. Whatever they are, the session acts or parks, and a session that begins anew
//! and replays what the first one has recorded decides the same.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use durawasm_host::abi::activity::Context;
use durawasm_host::abi::{EntityId, Timestamp, entity};
use durawasm_host::orchestration::{
    Decision, EventKind, ExecutionStarted, HistoryEvent, Limits, Recorded, RecordedKind, Session, Time, Turn,
};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, Engines, EntityBatch, Orchestrator, SandboxLimits};
use durawasm_test_components::command::{self, Action, Call, Change, Command, Operation, Request, Retry};
use durawasm_test_components::{ANSWER, Image, echo};

use super::chance::Chance;
use crate::Target;

pub(super) struct Values {
    component: LoadedComponent,
    runtime: tokio::runtime::Runtime,
}

/// Limits that are reached soon.
pub(super) fn limits() -> SandboxLimits {
    let mut limits = SandboxLimits::default();
    for guest in [&mut limits.orchestrator.guest, &mut limits.activity, &mut limits.entity] {
        guest.memory = 8 << 20;
        guest.deadline = Duration::from_millis(100);
    }
    limits
}

/// What an activity is told.
pub(super) fn call(name: &str) -> Context {
    Context {
        name: name.to_owned(),
        instance_id: "i".to_owned(),
        version: None,
        call_id: "i/e/1".to_owned(),
        tags: Vec::new(),
    }
}

/// An operation of an entity.
pub(super) fn operate(name: &str, input: Option<String>) -> entity::Operation {
    let now = Timestamp { seconds: 1, nanos: 0 };
    entity::Operation { name: name.to_owned(), input, signal: false, id: "@e@k/1".to_owned(), now }
}

impl Values {
    pub(super) fn new() -> Self {
        let engines = Engines::new().expect("engines can be made");
        let component = LoadedComponent::load(&echo().component(), &engines, &CodeCache::none(), limits());
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        Self { component: component.expect("the guest is honest"), runtime }
    }
}

impl Values {
    /// A batch of three operations. One that fails leaves the entity as it was.
    fn operate(&self, chance: &mut Chance<'_>) -> Result<(), String> {
        let code = self.component.entity_code().ok_or("echo has one")?;
        let mut expected = Some("1".to_owned());
        let mut batch = code.batch(EntityId { name: "attack".to_owned(), key: "k".to_owned() }, expected.clone());
        for _ in 0..3 {
            let change = change(chance);
            let actions = chance.several(3, action);
            let mut image = command::operation_image(ANSWER, &outcome(chance), &change, &actions);
            let is_honest = chance.flag();
            if !is_honest {
                damage(chance, &mut image);
            }
            let operation = operate("attack", Some(hex::encode(image.bytes())));
            let run = self.runtime.block_on(batch.run(&operation));
            match (run.outcome, change) {
                (Err(_), _) if !run.actions.is_empty() => {
                    return Err(format!("a failed operation acts: {:?}", run.actions));
                }
                (Err(_), _) => {}
                // What it changed is not known.
                (Ok(_), _) if !is_honest => return ended(batch, None),
                (Ok(_), _) if run.actions.len() != actions.len() => {
                    return Err(format!("{:?} of {actions:?}", run.actions));
                }
                (Ok(_), Change::Keep) => {}
                (Ok(_), Change::Replace(state)) => expected = Some(state),
                (Ok(_), Change::Delete) => expected = None,
            }
        }
        ended(batch, Some(expected))
    }
}

/// A state is JSON, and the one that is expected.
fn ended(batch: EntityBatch<'_>, expected: Option<Option<String>>) -> Result<(), String> {
    let (state, _) = batch.end();
    if let Some(state) = &state
        && serde_json::from_str::<serde_json::Value>(state).is_err()
    {
        return Err(format!("a state is not JSON: {state:?}"));
    }
    match expected {
        Some(expected) if expected != state => Err(format!("the state is {state:?} instead of {expected:?}")),
        _ => Ok(()),
    }
}

fn change(chance: &mut Chance<'_>) -> Change {
    match chance.below(4) {
        0 => Change::Keep,
        1 => Change::Delete,
        2 => Change::Replace(chance.text()),
        _ => Change::Replace(chance.below(1_000).to_string()),
    }
}

fn action(chance: &mut Chance<'_>) -> Action {
    if chance.flag() {
        return Action::Signal(operation(chance));
    }
    Action::Start(a_call(chance), chance.maybe(|chance| (chance.long(), chance.below(u32::MAX))))
}

impl Target for Values {
    fn name(&self) -> &'static str {
        "values"
    }

    fn run(&mut self, input: &[u8]) -> Result<(), String> {
        let mut chance = Chance::new(input);
        let mut op = 0;
        let answers: Vec<String> = (0..6)
            .map_while(|_| {
                (!chance.is_over()).then(|| {
                    let commands = chance.several(6, |chance| self::command(chance, &mut op));
                    let mut image = command::image(ANSWER, &commands);
                    damage(&mut chance, &mut image);
                    hex::encode(image.bytes())
                })
            })
            .collect();
        Player::new(&self.component, "attack").play(&answers, true)?;

        let outcome = outcome(&mut chance);
        let mut image = command::outcome_image(ANSWER, &outcome);
        damage(&mut chance, &mut image);
        let code = self.component.activity_code().expect("echo has one");
        let context = call("attack");
        let run = self.runtime.block_on(code.run(&context, "fuzz", Some(hex::encode(image.bytes()))));
        self.operate(&mut chance)?;
        match run.outcome {
            Err(failures)
                if failures.iter().any(|failure| {
                    failure.error_type.is_empty() && failure.message.is_empty() && !has_empty(&outcome)
                }) =>
            {
                Err(format!("a failure says nothing: {failures:?}"))
            }
            _ => Ok(()),
        }
    }
}

fn has_empty(outcome: &Result<Option<String>, Vec<command::Failure>>) -> bool {
    // What the guest itself says may be as empty as it likes.
    outcome.is_err()
}

/// Changes a few bytes, or none.
fn damage(chance: &mut Chance<'_>, image: &mut Image) {
    let changes = chance.below(4);
    for _ in 0..changes {
        let length = u32::try_from(image.bytes().len()).unwrap_or(u32::MAX);
        if length == 0 || chance.is_over() {
            return;
        }
        let at = ANSWER + chance.below(length);
        image.byte(at, chance.byte());
    }
}

fn command(chance: &mut Chance<'_>, op: &mut u64) -> Command {
    // Ids go up, as they should, but for one in sixteen.
    let mut next = |chance: &mut Chance<'_>| {
        *op += 1;
        if chance.below(16) == 0 { chance.long() } else { *op }
    };
    match chance.below(12) {
        0..=4 => Command::Issue(next(chance), request(chance)),
        5 => Command::Cancel(u64::from(chance.below(12))),
        6 => Command::Unlock(u64::from(chance.below(12))),
        7 => Command::SignalEntity(operation(chance)),
        8 => Command::SendEvent(chance.text(), chance.text(), chance.maybe(Chance::text)),
        9 => Command::CustomStatus(chance.maybe(Chance::text)),
        10 => {
            let version = u8::try_from(chance.below(3)).unwrap_or(0);
            Command::ContinueAsNew(chance.maybe(Chance::text), chance.flag(), version, chance.text())
        }
        _ => Command::Complete(outcome(chance)),
    }
}

fn request(chance: &mut Chance<'_>) -> Request {
    match chance.below(8) {
        0..=2 => Request::Activity(a_call(chance)),
        3 => Request::Child(a_call(chance)),
        4 => Request::Timer(chance.long(), u32::try_from(chance.long() & 0xffff_ffff).unwrap_or(0)),
        5 => Request::WaitEvent(chance.text()),
        6 => Request::CallEntity(operation(chance)),
        _ => Request::Lock(chance.several(3, |chance| (chance.text(), chance.text()))),
    }
}

fn a_call(chance: &mut Chance<'_>) -> Call {
    Call {
        name: chance.text(),
        version: chance.maybe(Chance::text),
        input: chance.maybe(Chance::text),
        instance_id: chance.maybe(Chance::text),
        retry: chance.maybe(|chance| Retry {
            max_attempts: chance.below(5),
            first_interval: chance.long(),
            backoff: chance.float(),
            max_interval: chance.maybe(Chance::long),
            timeout: chance.maybe(Chance::long),
            non_retriable: chance.several(2, Chance::text),
        }),
        tags: chance.several(3, |chance| (chance.text(), chance.text())),
    }
}

fn operation(chance: &mut Chance<'_>) -> Operation {
    Operation {
        entity: (chance.text(), chance.text()),
        operation: chance.text(),
        input: chance.maybe(Chance::text),
        scheduled: chance.maybe(|chance| (chance.long(), chance.below(u32::MAX))),
    }
}

fn outcome(chance: &mut Chance<'_>) -> Result<Option<String>, Vec<command::Failure>> {
    if chance.flag() {
        return Ok(chance.maybe(Chance::text));
    }
    Err(chance.several(3, |chance| (chance.text(), chance.text())))
}

/// A scheduler's part for one orchestration: what it decides is recorded, and all that it waits for happens.
pub(super) struct Player<'a> {
    component: &'a LoadedComponent,
    orchestrator: &'a str,
    past: Vec<HistoryEvent>,
    open: VecDeque<(i32, RecordedKind, Option<String>)>,
    micros: u32,
}

impl<'a> Player<'a> {
    pub(super) fn new(component: &'a LoadedComponent, orchestrator: &'a str) -> Self {
        Self { component, orchestrator, past: Vec::new(), open: VecDeque::new(), micros: 0 }
    }

    fn session(&self) -> Option<Session<Orchestrator>> {
        let code = self.component.orchestrator_code()?;
        Some(Session::new(
            Orchestrator::new(Arc::clone(code)),
            "i",
            Arc::clone(self.component.program()),
            Limits::default(),
        ))
    }

    fn episode(&mut self, kind: EventKind) -> Vec<HistoryEvent> {
        [EventKind::EpisodeStarted, kind].map(|kind| self.event(-1, kind)).to_vec()
    }

    fn event(&mut self, id: i32, kind: EventKind) -> HistoryEvent {
        self.micros += 1;
        HistoryEvent { id, time: Time { seconds: 1_700_000_000, nanos: self.micros * 1_000 }, kind }
    }

    /// Plays an instance: the first payload is its input, the others are what its calls return, in turn. Gives its history.
    pub(super) fn play(mut self, payloads: &[String], replayed: bool) -> Result<Vec<HistoryEvent>, String> {
        let Some(mut warm) = self.session() else { return Ok(Vec::new()) };
        let mut payloads = payloads.iter();
        let started = ExecutionStarted {
            name: self.orchestrator.to_owned(),
            input: payloads.next().cloned(),
            ..ExecutionStarted::default()
        };
        let mut new = self.episode(EventKind::ExecutionStarted(Box::new(started)));
        // A retry makes new actions of old ones, for ever if it is told to.
        for _ in 0..12 {
            let outcome = warm.apply([], new.clone());
            if replayed && let Some(mut cold) = self.session() {
                let again = cold.apply(self.past.clone(), new.clone());
                same(&outcome, &again)?;
            }
            let turn = match outcome {
                Ok(turn) => turn,
                Err(park) if park.message.is_empty() || park.advice.is_empty() => {
                    return Err(format!("it parks without a word: {park:?}"));
                }
                Err(_) => return Ok(self.past),
            };
            self.commit(new, &turn);
            if turn.ended {
                return Ok(self.past);
            }
            let payload = payloads.next().cloned();
            let Some((action, of, request)) = self.open.pop_front() else { return Ok(self.past) };
            let outcome = if of == RecordedKind::Timer { Ok(None) } else { Ok(payload) };
            new = self.episode(match request {
                Some(request) => EventKind::Answered { of, request, outcome },
                None => EventKind::Resolved { of, action, outcome },
            });
        }
        Ok(self.past)
    }

    fn commit(&mut self, new: Vec<HistoryEvent>, turn: &Turn) {
        self.past.extend(new);
        for action in &turn.actions {
            let Some(kind) = action.decision.kind() else { continue };
            let request = match &action.decision {
                Decision::Entity(message) => Some(message.request.clone()),
                _ => None,
            };
            let recorded = Recorded { request: request.clone(), ..Recorded::new(kind, action.decision.name()) };
            let event = self.event(action.id, EventKind::Recorded(recorded));
            self.past.push(event);
            if kind.is_answered() {
                self.open.push_back((action.id, kind, request));
            }
        }
    }
}

fn same(
    warm: &Result<Turn, durawasm_host::orchestration::Park>,
    cold: &Result<Turn, durawasm_host::orchestration::Park>,
) -> Result<(), String> {
    let same = match (warm, cold) {
        (Ok(warm), Ok(cold)) => {
            warm.actions == cold.actions
                && warm.custom_status == cold.custom_status
                && warm.ended == cold.ended
                && warm.fuel == cold.fuel
        }
        (Err(warm), Err(cold)) => warm.reason == cold.reason,
        _ => false,
    };
    if same { Ok(()) } else { Err(format!("a replay decides otherwise.\nWarm: {warm:?}\nReplayed: {cold:?}")) }
}

//! What orchestrators, activities and entities answer, as the canonical ABI lays it out. Sizes and offsets follow from `wit/workflow.wit`.

use crate::Image;

/// What is called: an activity, or a child.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Its input.
    pub input: Option<String>,
    /// For children: their id.
    pub instance_id: Option<String>,
    /// When to try again.
    pub retry: Option<Retry>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// When to try again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retry {
    /// Tries in all.
    pub max_attempts: u32,
    /// Milliseconds.
    pub first_interval: u64,
    /// A factor.
    pub backoff: f64,
    /// Milliseconds.
    pub max_interval: Option<u64>,
    /// Milliseconds.
    pub timeout: Option<u64>,
    /// Types of failures.
    pub non_retriable: Vec<String>,
}

/// An operation on an entity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation {
    /// Name and key.
    pub entity: (String, String),
    /// Its name.
    pub operation: String,
    /// Its input.
    pub input: Option<String>,
    /// Seconds and nanoseconds.
    pub scheduled: Option<(u64, u32)>,
}

/// Something to wait for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// An activity.
    Activity(Call),
    /// A child.
    Child(Call),
    /// Seconds and nanoseconds.
    Timer(u64, u32),
    /// An external event.
    WaitEvent(String),
    /// An operation.
    CallEntity(Operation),
    /// Locks: names and keys.
    Lock(Vec<(String, String)>),
}

/// A failure: type and message.
pub type Failure = (String, String);

/// A decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Begin to wait.
    Issue(u64, Request),
    /// Wait no more.
    Cancel(u64),
    /// Unlock.
    Unlock(u64),
    /// Signal an entity.
    SignalEntity(Operation),
    /// Instance, name, payload.
    SendEvent(String, String, Option<String>),
    /// The custom status.
    CustomStatus(Option<String>),
    /// Input, whether events are kept, and the number of the version's case.
    ContinueAsNew(Option<String>, bool, u8, String),
    /// The end.
    Complete(Result<Option<String>, Vec<Failure>>),
}

/// What becomes of an entity's state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Nothing.
    Keep,
    /// Another one.
    Replace(String),
    /// There is none any more.
    Delete,
}

/// What an entity's operation does outside of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A signal.
    Signal(Operation),
    /// An orchestration, and when it is to begin: seconds and nanoseconds.
    Start(Call, Option<(u64, u32)>),
}

/// Bytes of one command in a list.
pub const SIZE: u32 = 152;

/// An answer of an orchestrator at this address: a list of commands.
pub fn image(base: u32, commands: &[Command]) -> Image {
    let mut image = Image::new(base);
    let answer = image.reserve(8, 8);
    let list = image.reserve(commands.len() * SIZE as usize, 8);
    image.list(answer, list, commands.len());
    for (at, command) in (list..).step_by(SIZE as usize).zip(commands) {
        put(&mut image, at, command);
    }
    image
}

/// An answer of an activity at this address.
pub fn outcome_image(base: u32, outcome: &Result<Option<String>, Vec<Failure>>) -> Image {
    let mut image = Image::new(base);
    let answer = image.reserve(16, 4);
    put_outcome(&mut image, answer, outcome);
    image
}

/// An answer of an entity's operation at this address.
pub fn operation_image(
    base: u32,
    outcome: &Result<Option<String>, Vec<Failure>>,
    change: &Change,
    actions: &[Action],
) -> Image {
    const ACTION: usize = 80;
    let mut image = Image::new(base);
    let answer = image.reserve(36, 4);
    put_outcome(&mut image, answer, outcome);
    match change {
        Change::Keep => {}
        Change::Replace(state) => {
            image.byte(answer + 16, 1);
            image.text(answer + 20, state);
        }
        Change::Delete => image.byte(answer + 16, 2),
    }
    let list = image.reserve(actions.len() * ACTION, 8);
    image.list(answer + 28, list, actions.len());
    for (at, action) in (list..).step_by(ACTION).zip(actions) {
        match action {
            Action::Signal(operation) => put_operation(&mut image, at + 8, operation),
            Action::Start(call, scheduled) => {
                image.byte(at, 1);
                put_call(&mut image, at + 8, call);
                image.option(at + 40, call.instance_id.as_deref());
                put_time(&mut image, at + 56, *scheduled);
            }
        }
    }
    image
}

fn put(image: &mut Image, at: u32, command: &Command) {
    let payload = at + 8;
    let case = match command {
        Command::Issue(op, request) => {
            image.long(payload, *op);
            put_request(image, payload + 8, request);
            0
        }
        Command::Cancel(op) => {
            image.long(payload, *op);
            1
        }
        Command::Unlock(op) => {
            image.long(payload, *op);
            2
        }
        Command::SignalEntity(operation) => {
            put_operation(image, payload, operation);
            3
        }
        Command::SendEvent(instance, name, input) => {
            image.text(payload, instance);
            image.text(payload + 8, name);
            image.option(payload + 16, input.as_deref());
            4
        }
        Command::CustomStatus(status) => {
            image.option(payload, status.as_deref());
            5
        }
        Command::ContinueAsNew(input, keep, version, exact) => {
            image.option(payload, input.as_deref());
            image.byte(payload + 12, u8::from(*keep));
            image.byte(payload + 16, *version);
            image.text(payload + 20, exact);
            6
        }
        Command::Complete(outcome) => {
            put_outcome(image, payload, outcome);
            7
        }
    };
    image.byte(at, case);
}

fn put_request(image: &mut Image, at: u32, request: &Request) {
    let payload = at + 8;
    let case = match request {
        Request::Activity(call) => {
            put_call(image, payload, call);
            put_retry(image, payload + 32, call.retry.as_ref());
            put_pairs(image, payload + 104, &call.tags);
            0
        }
        Request::Child(call) => {
            put_call(image, payload, call);
            image.option(payload + 32, call.instance_id.as_deref());
            put_retry(image, payload + 48, call.retry.as_ref());
            put_pairs(image, payload + 120, &call.tags);
            1
        }
        Request::Timer(seconds, nanos) => {
            image.long(payload, *seconds);
            image.word(payload + 8, *nanos);
            2
        }
        Request::WaitEvent(name) => {
            image.text(payload, name);
            3
        }
        Request::CallEntity(operation) => {
            put_operation(image, payload, operation);
            4
        }
        Request::Lock(entities) => {
            put_pairs(image, payload, entities);
            5
        }
    };
    image.byte(at, case);
}

fn put_call(image: &mut Image, at: u32, call: &Call) {
    image.text(at, &call.name);
    image.option(at + 8, call.version.as_deref());
    image.option(at + 20, call.input.as_deref());
}

fn put_retry(image: &mut Image, at: u32, retry: Option<&Retry>) {
    let Some(retry) = retry else { return };
    image.byte(at, 1);
    let at = at + 8;
    image.word(at, retry.max_attempts);
    image.long(at + 8, retry.first_interval);
    image.long(at + 16, retry.backoff.to_bits());
    for (at, value) in [(at + 24, retry.max_interval), (at + 40, retry.timeout)] {
        if let Some(value) = value {
            image.byte(at, 1);
            image.long(at + 8, value);
        }
    }
    let list = image.reserve(retry.non_retriable.len() * 8, 4);
    for (place, name) in (list..).step_by(8).zip(&retry.non_retriable) {
        image.text(place, name);
    }
    image.list(at + 56, list, retry.non_retriable.len());
}

fn put_operation(image: &mut Image, at: u32, operation: &Operation) {
    image.text(at, &operation.entity.0);
    image.text(at + 8, &operation.entity.1);
    image.text(at + 16, &operation.operation);
    image.option(at + 24, operation.input.as_deref());
    put_time(image, at + 40, operation.scheduled);
}

fn put_time(image: &mut Image, at: u32, time: Option<(u64, u32)>) {
    if let Some((seconds, nanos)) = time {
        image.byte(at, 1);
        image.long(at + 8, seconds);
        image.word(at + 16, nanos);
    }
}

fn put_pairs(image: &mut Image, at: u32, pairs: &[(String, String)]) {
    let list = image.reserve(pairs.len() * 16, 4);
    for (place, (first, second)) in (list..).step_by(16).zip(pairs) {
        image.text(place, first);
        image.text(place + 8, second);
    }
    image.list(at, list, pairs.len());
}

fn put_outcome(image: &mut Image, at: u32, outcome: &Result<Option<String>, Vec<Failure>>) {
    match outcome {
        Ok(value) => image.option(at + 4, value.as_deref()),
        Err(failures) => {
            image.byte(at, 1);
            let list = image.reserve(failures.len() * 40, 4);
            for (place, (error_type, message)) in (list..).step_by(40).zip(failures) {
                image.text(place, error_type);
                image.text(place + 8, message);
                image.byte(place + 28, 1);
            }
            image.list(at + 4, list, failures.len());
        }
    }
}

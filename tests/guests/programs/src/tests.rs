//! The SDK against the model, natively: random programs, with things happening in random order and handed over in random
//! groups, must come to what the model predicts; and so must a replay of the same history in other groups.

use std::collections::BTreeMap;

use durawasm_guest::__private::bindings::durawasm::workflow::types::{Failure, Timestamp as WitTimestamp};
use durawasm_guest::__private::bindings::exports::durawasm::workflow::orchestrator::{
    Command, Context as WitContext, Request, Resolution, Seed,
};
use durawasm_guest::__private::{Offered, resume_orchestrator, start_orchestrator};
use durawasm_guest::serde_json::{self, Value, json};
use durawasm_test_programs::strategy::{EVENTS, programs};
use durawasm_test_programs::{Happened, Happening, Observation, Prediction, Program, Wait, agrees, predict};
use proptest::prelude::*;

/// 2026-01-01, in microseconds since 1970.
const START: u64 = 1_767_225_600_000_000;

/// The least host that there can be: it knows which op waits for what, and routes external events.
#[derive(Default)]
struct Host {
    now: u64,
    issued: Vec<Wait>,
    cancelled: Vec<u64>,
    status: Option<u32>,
    result: Option<Vec<Observation>>,
    /// Ops that are open, or cancelled actions, which happen all the same.
    pending: BTreeMap<u64, Request>,
    buffer: Vec<(String, Value)>,
    /// Resolutions that the guest has not been given yet.
    batch: Vec<Resolution>,
}

fn timestamp(micros: u64) -> WitTimestamp {
    WitTimestamp { seconds: micros / 1_000_000, nanos: (micros % 1_000_000) as u32 * 1_000 }
}

impl Host {
    fn start(program: &Program) -> Self {
        let mut host = Self { now: START, ..Self::default() };
        let context = WitContext {
            name: "program".to_owned(),
            instance_id: "instance".to_owned(),
            version: None,
            input: serde_json::to_string(program).ok(),
            now: timestamp(START),
            seed: Seed { a: 7, b: 7, c: 7, d: 7 },
            parent: None,
            tags: Vec::new(),
        };
        let commands = start_orchestrator(&[super::program::OFFER], context);
        host.obey(commands);
        host.serve_buffered();
        host
    }

    fn obey(&mut self, commands: Vec<Command>) {
        for command in commands {
            assert_eq!(self.result, None, "a command after the end: {command:?}");
            match command {
                Command::Issue((op, request)) => {
                    self.issued.push(wait_of(&request, self.now));
                    assert_eq!(op, self.issued.len() as u64, "ops are numbered from 1");
                    self.pending.insert(op, request);
                }
                Command::Cancel(op) => {
                    self.cancelled.push(op);
                    // The op may have been resolved in the very group whose first resolution made the guest cancel it.
                    if matches!(self.pending.get(&op), Some(Request::WaitEvent(_))) {
                        self.pending.remove(&op);
                    }
                }
                Command::CustomStatus(Some(status)) => self.status = status.parse().ok(),
                Command::Complete(Ok(Some(output))) => {
                    self.result = Some(serde_json::from_str(&output).expect("a list of observations"));
                }
                other => panic!("a program does not send {other:?}"),
            }
        }
    }

    fn deliver(&mut self) {
        if !self.batch.is_empty() {
            let commands = resume_orchestrator(std::mem::take(&mut self.batch));
            self.obey(commands);
        }
    }

    /// Lets something happen. `together`: with what happens next in one call, if that is allowed.
    fn happen(&mut self, happened: &Happened, together: bool) {
        self.now = happened.now;
        match &happened.what {
            Happening::Activity(action, Ok(value)) => self.resolve_action(*action, Ok(Some(value.to_string()))),
            Happening::Activity(action, Err(kind)) => self.resolve_action(*action, Err(vec![failure(kind)])),
            Happening::Timer(action) => self.resolve_action(*action, Ok(None)),
            Happening::Event(name, payload) => {
                // Who gets it may depend on what came before.
                self.deliver();
                self.buffer.push((name.clone(), payload.clone()));
            }
        }
        // While events are kept, what comes next may make somebody wait for one, who must get it first.
        if !together || !self.buffer.is_empty() {
            self.deliver();
            self.serve_buffered();
        }
    }

    fn resolve_action(&mut self, action: u64, outcome: Result<Option<String>, Vec<Failure>>) {
        let op = self.op_of(action);
        self.pending.remove(&op);
        self.batch.push(Resolution { op, now: timestamp(self.now), outcome });
    }

    fn op_of(&self, action: u64) -> u64 {
        let actions = self.issued.iter().zip(1_u64..).filter(|(wait, _)| wait.is_action());
        actions.map(|(_, op)| op).nth(action as usize).expect("only what was issued happens")
    }

    fn serve_buffered(&mut self) {
        let next = |host: &Self| {
            host.pending.iter().find_map(|(op, request)| match request {
                Request::WaitEvent(name) => {
                    let index = host.buffer.iter().position(|(kept, _)| kept.eq_ignore_ascii_case(name))?;
                    Some((*op, index))
                }
                _ => None,
            })
        };
        while let Some((op, index)) = next(self) {
            let (_, payload) = self.buffer.remove(index);
            self.pending.remove(&op);
            self.batch.push(Resolution { op, now: timestamp(self.now), outcome: Ok(Some(payload.to_string())) });
            self.deliver();
        }
    }

    /// What could happen next, one of it chosen by `choice`.
    fn choose(&self, choice: u32) -> Option<Happened> {
        let now = self.now + 1 + u64::from(choice % 1_000);
        let actions: Vec<_> =
            self.pending.iter().filter(|(_, request)| !matches!(request, Request::WaitEvent(_))).collect();
        let index = choice as usize % (actions.len() + EVENTS.len());
        let what = match actions.get(index) {
            None => {
                let name = EVENTS[index - actions.len()];
                let name = if choice % 3 == 0 { name.to_uppercase() } else { name.to_owned() };
                Happening::Event(name, json!(choice))
            }
            Some((op, request)) => {
                let before = self.issued[..**op as usize - 1].iter().filter(|wait| wait.is_action()).count() as u64;
                match request {
                    Request::Timer(_) => Happening::Timer(before),
                    Request::Activity(call) if call.name == "fail" => {
                        Happening::Activity(before, Err("Failed".to_owned()))
                    }
                    Request::Activity(call) => {
                        let input = call.input.as_deref().and_then(|input| serde_json::from_str(input).ok());
                        Happening::Activity(before, Ok(input.expect("echo has an input")))
                    }
                    Request::CallEntity(call) => {
                        let input = call.input.as_deref().and_then(|input| serde_json::from_str(input).ok());
                        Happening::Activity(before, Ok(input.expect("echo has an input")))
                    }
                    other => panic!("a program does not issue {other:?}"),
                }
            }
        };
        self.result.is_none().then_some(Happened { now, what })
    }

    fn check(&self, predicted: &Prediction) {
        assert_eq!(kinds(&self.issued), kinds(&predicted.issued), "issued");
        assert_eq!(self.cancelled, predicted.cancelled, "cancelled");
        assert_eq!(self.status, predicted.status, "custom status");
        match (&self.result, &predicted.result) {
            (Some(observed), Some(predicted)) => assert!(agrees(predicted, observed), "{observed:?}\n{predicted:?}"),
            (observed, predicted) => assert_eq!(observed, predicted, "result"),
        }
    }
}

/// What was issued, as the program says it.
fn wait_of(request: &Request, now: u64) -> Wait {
    match request {
        Request::Activity(call) => {
            let value = call.input.as_deref().and_then(|input| input.parse().ok()).expect("a number");
            if call.name == "fail" { Wait::Fail(value) } else { Wait::Echo(value) }
        }
        Request::CallEntity(call) => {
            assert_eq!((call.entity.name.as_str(), call.entity.key.as_str()), ("echo", "a"));
            Wait::Entity(call.input.as_deref().and_then(|input| input.parse().ok()).expect("a number"))
        }
        Request::Timer(time) => {
            let micros = time.seconds * 1_000_000 + u64::from(time.nanos / 1_000);
            Wait::Timer((micros - now) / 1_000)
        }
        Request::WaitEvent(name) => Wait::Event(name.clone()),
        other => panic!("a program does not issue {other:?}"),
    }
}

/// Without the durations: in a group of resolutions each has a time of its own, which the commands do not tell.
fn kinds(waits: &[Wait]) -> Vec<Wait> {
    let kind = |wait: &Wait| if matches!(wait, Wait::Timer(_)) { Wait::Timer(0) } else { wait.clone() };
    waits.iter().map(kind).collect()
}

fn failure(kind: &str) -> Failure {
    Failure {
        error_type: kind.to_owned(),
        message: "asked to".to_owned(),
        stack: None,
        retriable: true,
        properties: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_program_comes_to_what_the_model_predicts_however_its_history_is_grouped(
        program in programs(10),
        choices in proptest::collection::vec(any::<u32>(), 0..60),
        groups in proptest::collection::vec(any::<bool>(), 60),
    ) {
        let mut host = Host::start(&program);
        let mut history = Vec::new();
        for choice in choices {
            let Some(happened) = host.choose(choice) else { break };
            host.happen(&happened, false);
            history.push(happened);
        }
        let predicted = predict(&program, START, &history);
        host.check(&predicted);

        let mut replayed = Host::start(&program);
        for (happened, together) in history.iter().zip(groups) {
            // What happens to an action that the guest has not issued yet must wait for the call that issues it.
            let known = replayed.issued.iter().filter(|wait| wait.is_action()).count() as u64;
            if matches!(happened.what, Happening::Activity(action, _) | Happening::Timer(action) if action >= known) {
                replayed.deliver();
            }
            replayed.happen(happened, together);
        }
        replayed.deliver();
        replayed.check(&predicted);
        prop_assert_eq!(replayed.result, host.result, "random numbers and ids, too");
    }
}

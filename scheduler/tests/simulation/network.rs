//! The network between the scheduler and its callers: calls that get lost, streams that break, work that goes to and fro.

use std::collections::HashMap;

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::ids::{RequestId, StreamId};
use durawasm_scheduler::core::message::{EpisodeItem, Input, Reply};
use durawasm_scheduler::core::token::Token;

use crate::worker::{Part, Sabotage, Weather, Worker};
use crate::world::{Caller, Happening, Outcome, World};

impl World {
    pub(crate) fn arrive(&mut self, caller: Caller) {
        if self.server.is_none() {
            return self.after(3_000, Happening::Return(caller, None));
        }
        self.counter += 1;
        let request = RequestId(self.counter);
        let now = self.clock();
        let input = match caller {
            Caller::Stranger => return,
            Caller::Client(operation) => self.script.call(operation, request, now),
            Caller::Worker(worker, life, number) => {
                let worker = &self.workers[worker];
                let Some(answer) = worker.answers.get(&number).filter(|_| worker.life == life) else { return };
                let part = &answer.parts[answer.at];
                part.call(request, answer.token.clone())
            }
        };
        if self.stormy() && self.chance.percent(3) {
            self.foreign(&input);
        }
        self.input(Some((request, caller)), input);
    }

    /// The same answer with the token of another task hub, and another result: it must change nothing.
    fn foreign(&mut self, input: &Input) {
        let Input::CompleteActivity(_, token, _) = input else { return };
        let token = Token { hub: "another".into(), ..token.clone() };
        self.counter += 1;
        let (request, wrong) = (RequestId(self.counter), Ok(Some("wrong".into())));
        let input = Input::CompleteActivity(request, token, Box::new(wrong));
        self.input(Some((request, Caller::Stranger)), input);
    }

    pub(crate) fn come_back(&mut self, caller: Caller, outcome: Outcome) {
        if caller == Caller::Stranger && outcome.is_none() {
            return;
        }
        let Some(answer) = outcome else {
            let wait = self.chance.span(5_000);
            return self.after(wait, Happening::Send(caller));
        };
        match caller {
            Caller::Stranger => assert_eq!(answer, Ok(Reply::Void), "an answer of another hub was taken"),
            Caller::Client(operation) => {
                self.script.answered(operation, &answer);
                for (wait, next) in self.script.operations[operation].then.clone() {
                    self.after(wait, Happening::Send(Caller::Client(next)));
                }
            }
            Caller::Worker(number, life, which) => {
                let worker = &mut self.workers[number];
                let Some(pending) = worker.answers.get_mut(&which).filter(|_| worker.life == life) else { return };
                assert!(answer.is_ok(), "a worker's answer was refused: {answer:?}");
                pending.at += 1;
                let repeats = self.stormy() && self.chance.percent(5);
                let worker = &mut self.workers[number];
                let pending = worker.answers.get_mut(&which).expect("it was there");
                if pending.at < pending.parts.len() {
                    return self.after(0, Happening::Send(caller));
                }
                if repeats {
                    // Once more, and wrongly: the first answer is on disk, so this one must change nothing.
                    pending.at -= 1;
                    if let Part::Activity(outcome) = &mut pending.parts[pending.at] {
                        *outcome = Ok(Some("wrong".into()));
                    }
                    let wait = self.chance.span(10_000);
                    return self.after(wait, Happening::Send(caller));
                }
                worker.answers.remove(&which);
            }
        }
    }

    pub(crate) fn connect(&mut self, worker: usize) {
        if self.workers[worker].stream.is_some() {
            return;
        }
        let Some(server) = &mut self.server else {
            return self.after(5_000, Happening::Connect(worker));
        };
        self.counter += 1;
        let stream = StreamId(self.counter);
        self.workers[worker].stream = Some(stream);
        server.streams.insert(stream, (self.workers[worker].limits, HashMap::new()));
        let info = self.workers[worker].info();
        self.input(None, Input::Connect(stream, info));
    }

    pub(crate) fn break_stream(&mut self, worker: usize) {
        let Some(stream) = self.workers[worker].stream.take() else { return };
        if let Some(server) = &self.server {
            let life = server.life;
            let wait = self.chance.span(5_000);
            self.after(wait, Happening::Unlink(life, stream));
        }
        let wait = self.chance.span(30_000);
        self.after(wait, Happening::Connect(worker));
    }

    pub(crate) fn work_on_episode(
        &mut self,
        number: usize,
        stream: StreamId,
        item: &EpisodeItem,
        past: Option<&[pb::HistoryEvent]>,
    ) {
        let weather = Weather { stormy: self.stormy(), sabotage: self.sabotage };
        let worker = &mut self.workers[number];
        if worker.stream != Some(stream) {
            return;
        }
        let parts = worker.episode(item, past, &mut self.chance, &weather);
        let life = worker.life;
        let wait = self.chance.span(300);
        self.after(wait, Happening::Answer(number, life, item.token.clone(), parts));
    }

    pub(crate) fn work_on_activity(
        &mut self,
        number: usize,
        stream: StreamId,
        token: Token,
        request: &pb::ActivityRequest,
    ) {
        let worker = &self.workers[number];
        let life = worker.life;
        if worker.stream != Some(stream) {
            return;
        }
        let wait = self.chance.span(3_000);
        if self.stormy() && self.chance.percent(5) {
            return self.after(wait, Happening::Answer(number, life, token, vec![Part::Abandon(None)]));
        }
        self.audit.executed(token.run, token.position);
        if self.sabotage == Some(Sabotage::TwoAnswers) && self.chance.percent(10) {
            let other = Part::Activity(Ok(Some("something else".into())));
            let sooner = self.chance.span(3_000);
            self.after(sooner, Happening::Answer(number, life, token.clone(), vec![other]));
        }
        self.after(wait, Happening::Answer(number, life, token, vec![Worker::activity(request)]));
    }
}

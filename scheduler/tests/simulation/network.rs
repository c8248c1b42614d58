//! The network between the scheduler and its callers: calls that get lost, streams that break, work that goes to and fro.

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::ids::{InstanceId, RequestId, StreamId};
use durawasm_scheduler::core::message::{EpisodeItem, Input, Question, Refusal, Reply};
use durawasm_scheduler::core::record::Status;
use durawasm_scheduler::core::token::{Token, WorkKind};

use crate::client::Deed;
use crate::sabotage::Sabotage;
use crate::server::Waiter;
use crate::worker::{Part, Past, Weather, Worker, ruinous};
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
            Caller::Client(operation) => match self.script.operations[operation].deed {
                Deed::Await { start } => return self.wait(caller, self.script.target(operation).clone(), start),
                Deed::Mend if !self.needs_help(operation) => {
                    return self.wait(caller, self.script.target(operation).clone(), false);
                }
                _ => self.script.call(operation, request, now, &self.audit, &mut self.chance),
            },
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

    fn needs_help(&self, operation: usize) -> bool {
        let found = self.audit.find(self.script.target(operation));
        found.is_some_and(|r| matches!(r.status, Status::Failed | Status::Suspended))
    }

    /// A client waits for an instance: it subscribes, then looks.
    fn wait(&mut self, caller: Caller, id: InstanceId, start: bool) {
        let found = self.audit.find(&id).map(|r| (r.key, r.status));
        let waits = found.filter(|(_, s)| if start { *s == Status::Pending } else { !s.is_terminal() });
        match (waits, &mut self.server) {
            (Some((key, _)), Some(server)) => server.waiters.push(Waiter { caller, id, key, start }),
            _ => self.after(100, Happening::Return(caller, Some(Ok(Reply::Done)))),
        }
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

    /// An answer with a void token: it must change nothing.
    pub(crate) fn stale(&mut self, token: Token) {
        let part = ruinous(&token, &mut self.chance);
        let token = match (self.sabotage, self.latest.get(&token.run)) {
            (Some(Sabotage::AnyToken), Some(latest)) if token.kind == WorkKind::Orchestration => latest.clone(),
            _ => token,
        };
        if self.server.is_some() {
            self.counter += 1;
            let request = RequestId(self.counter);
            self.input(Some((request, Caller::Stranger)), part.call(request, token));
        }
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
            Caller::Stranger => {
                assert!(matches!(answer, Ok(Reply::Void | Reply::Done)), "a stranger was told {answer:?}");
            }
            Caller::Client(operation) => {
                let ended =
                    self.audit.find(self.script.target(operation)).is_none_or(|r| r.status == Status::Completed);
                if matches!(self.script.operations[operation].deed, Deed::Mend) && !ended {
                    // It may fail again, because of what had failed before it was mended.
                    return self.after(1_000, Happening::Send(caller));
                }
                self.script.answered(operation, &answer);
                for (wait, next) in self.script.operations[operation].then.clone() {
                    self.after(wait, Happening::Send(Caller::Client(next)));
                }
            }
            Caller::Worker(number, life, which) => self.worker_hears(number, life, which, &answer),
        }
    }

    fn worker_hears(&mut self, number: usize, life: u64, which: u64, answer: &Result<Reply, Refusal>) {
        let worker = &mut self.workers[number];
        let Some(pending) = worker.answers.get_mut(&which).filter(|_| worker.life == life) else { return };
        let nonsense = matches!(pending.parts[pending.at], Part::Nonsense(_));
        let refused = matches!(answer, Err(Refusal::Invalid(_)));
        assert!(
            if nonsense { refused || *answer == Ok(Reply::Void) } else { answer.is_ok() },
            "a worker's answer was met with {answer:?}"
        );
        pending.at += 1;
        let token = pending.token.clone();
        let (repeats, hoards) = (self.stormy() && self.chance.percent(5), self.stormy() && self.chance.percent(10));
        let pending = self.workers[number].answers.get_mut(&which).expect("it was there");
        let caller = Caller::Worker(number, life, which);
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
        let gave_back = matches!(pending.parts[pending.at - 1], Part::Abandon(_));
        self.workers[number].answers.remove(&which);
        // An activity that was given back may still be answered, whoever has it.
        if hoards && !(gave_back && token.kind == WorkKind::Activity) {
            let wait = self.chance.span(50_000);
            self.after(wait, Happening::Stale(token));
        }
    }

    /// A worker is asked a question. It answers, unless it is gone by then.
    pub(crate) fn question(&mut self, stream: StreamId, question: &Question) {
        let current = self.audit.find(&question.instance).filter(|r| r.execution.as_str() == question.execution);
        assert!(
            current.is_none_or(|r| r.history_len > 0),
            "a question was sent before what it is about was on disk: {question:?}"
        );
        if self.workers.iter().any(|w| w.stream == Some(stream)) {
            let wait = self.chance.span(1_000);
            let life = self.server.as_ref().map_or_else(Default::default, |s| s.life);
            self.after(wait, Happening::Explain(life, stream, question.number));
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
        let mut info = self.workers[worker].info();
        server.add_stream(stream, &info);
        if let Some(sabotage) = self.sabotage {
            sabotage.connection(&mut info);
        }
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

    /// A worker ends in good order: it takes nothing more, answers what it has, and leaves.
    pub(crate) fn drain(&mut self, worker: usize) {
        let Some(stream) = self.workers[worker].stream else { return };
        self.input(None, Input::Drain(stream));
        let wait = self.chance.span(10_000);
        self.after(wait, Happening::Break(worker));
    }

    pub(crate) fn work_on_episode(&mut self, number: usize, stream: StreamId, item: &EpisodeItem, past: Past) {
        if self.workers[number].stream != Some(stream) {
            return;
        }
        if self.stormy() && self.script.is_poison(&item.token.instance) {
            return self.happen(Happening::Kill(number));
        }
        let weather = Weather { stormy: self.stormy(), sabotage: self.sabotage };
        let fetched = match &past {
            Past::ToFetch => self.read_for(number, item),
            Past::LeftOut | Past::Here(_) => None,
        };
        let worker = &mut self.workers[number];
        let life = worker.life;
        let parts = match (past, fetched) {
            (Past::LeftOut, _) => worker.episode(item, None, &mut self.chance, &weather),
            (Past::Here(past), _) | (Past::ToFetch, Some(past)) => {
                worker.episode(item, Some(&past), &mut self.chance, &weather)
            }
            // It was too late: the execution is gone.
            (Past::ToFetch, None) => vec![Part::Abandon(None)],
        };
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
        let whole = self.script.is_mended(&token.instance);
        if self.sabotage == Some(Sabotage::TwoAnswers) && self.chance.percent(10) {
            let other = Part::Activity(Ok(Some("something else".into())));
            let sooner = self.chance.span(3_000);
            self.after(sooner, Happening::Answer(number, life, token.clone(), vec![other]));
        }
        self.after(wait, Happening::Answer(number, life, token, vec![Worker::activity(request, whole)]));
    }
}

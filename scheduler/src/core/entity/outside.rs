//! Calls from outside: a client calls an operation and waits for its result.
//!
//! The client names its call. The call is an operation in the queue like any other; when it has run, its answer is put on disk together
//! with the new state, held like an operation whose time has not come, and only then told. A client that is cut off calls again under
//! the same name, and finds the operation in the queue or its answer: it runs once. The answer is kept until the client says that it has
//! it, or for [`KEPT`].

use std::time::Duration;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::super::events;
use super::super::ids::{BatchSeq, InstanceId, RequestId};
use super::super::message::{Effect, EntityCallRequest, QuestionOutcome, Refusal, Reply};
use super::super::partition::{Lookup, Partition};
use super::super::record::TimerRecord;

/// How long an answer is kept that nobody acknowledges.
const KEPT: Duration = Duration::from_secs(600);
/// How many calls from outside an entity may have, those included that are answered and not acknowledged.
const MOST_CALLS: usize = 10_000;
/// How many bytes of answers are kept of an entity before further calls have to wait.
const MOST_BYTES: usize = 16 << 20;
/// The most characters that a call's id may have.
const LONGEST_ID: usize = 100;

/// Who calls, as workers see it: those of some SDKs cannot do without an orchestration there.
const CALLER: &str = "durawasm:client";

impl Partition {
    /// Calls an operation, or waits for one that was called before. The answer comes later.
    pub(in super::super) fn call_from_outside(
        &mut self,
        request: RequestId,
        call: EntityCallRequest,
        lookup: &dyn Lookup,
    ) -> Result<(), Refusal> {
        let EntityCallRequest { entity: id, operation, input, request_id } = call;
        if operation.is_empty() {
            return Err(Refusal::Invalid("the name of the operation is missing".into()));
        }
        if request_id.is_empty() || request_id.chars().count() > LONGEST_ID {
            let text =
                format!("a call of an entity needs a request id of 1 to {LONGEST_ID} characters, such as a UUID");
            return Err(Refusal::Invalid(text));
        }
        self.check_payload("the input", input.as_deref())?;
        if let Some(entity) = self.find_entity(&id, lookup)? {
            let found = entity.outside.get(&request_id).copied();
            let answer = found.and_then(|seq| entity.held.get(&seq)).and_then(|held| outcome(&held.event));
            let calls = entity.outside.len();
            let full = calls >= MOST_CALLS || entity.answer_bytes >= MOST_BYTES;
            // What was loaded to be looked at rests as before.
            self.touched.push(id.clone());
            match (found, answer) {
                (_, Some(answer)) => {
                    self.reply(request, Ok(Reply::Answered(Box::new(answer))));
                    return Ok(());
                }
                (Some(_), None) => {
                    self.await_answer(id, request_id, request);
                    return Ok(());
                }
                (None, None) if full => {
                    let text = format!(
                        "entity `{id}` has {calls} calls from outside that are not acknowledged, and takes no more: acknowledge \
                         answers when they have arrived, or wait until they are {} minutes old",
                        KEPT.as_secs() / 60
                    );
                    return Err(Refusal::Precondition(text));
                }
                (None, None) => {}
            }
        }
        let event = self.operation(EventType::EntityOperationCalled(pb::EntityOperationCalledEvent {
            request_id: request_id.clone(),
            operation,
            input,
            parent_instance_id: Some(CALLER.to_owned()),
            parent_execution_id: Some(request_id.clone()),
            target_instance_id: Some(id.as_str().into()),
            ..Default::default()
        }));
        self.enqueue(&id, *event, None, None, lookup)?;
        self.await_answer(id, request_id, request);
        Ok(())
    }

    /// One client waits for an answer at a time: the last that has asked.
    fn await_answer(&mut self, id: InstanceId, request_id: String, request: RequestId) {
        if let Some(earlier) = self.callers.insert((id, request_id), request) {
            let text = "somebody else has made the same call, and waits for its answer now";
            self.reply(earlier, Err(Refusal::Superseded(text.into())));
        }
    }

    /// Keeps an answer, and tells the client if it still waits, once that is on disk.
    pub(super) fn keep_answer(&mut self, id: &InstanceId, answer: EventType) {
        let event = events::event(events::NO_ACTION, self.now, answer);
        let told = outcome(&event);
        let Some(entity) = self.entities.get_mut(id) else { return };
        let entry = entity.push(event, None, true);
        let timer = TimerRecord {
            run: entity.record.timers(),
            position: entry.seq,
            due: self.now.after(KEPT),
            timer_id: events::NO_ACTION,
            instance: id.clone(),
        };
        let waiting = entry.outside().and_then(|call| self.callers.remove(&(id.clone(), call.to_owned())));
        self.batch.put_queue(entity.record.key, entry);
        self.batch.put_timer(timer.clone());
        self.timers.insert(timer);
        if let (Some(request), Some(answer)) = (waiting, told) {
            self.reply(request, Ok(Reply::Answered(Box::new(answer))));
        }
    }

    /// Clients have these answers. They are told at once: if this is lost, answers are kept for a while longer, and that is all.
    pub(in super::super) fn forget_answers(
        &mut self,
        request: RequestId,
        calls: Vec<(InstanceId, String)>,
        lookup: &dyn Lookup,
    ) {
        for (id, call) in calls {
            let found = match self.find_entity(&id, lookup) {
                Ok(entity) => entity,
                Err(why) => {
                    self.effect(self.batch_seq, Effect::Warn(format!("an answer was not forgotten: {why}")));
                    continue;
                }
            };
            let Some(entity) = found else { continue };
            let (key, run) = (entity.record.key, entity.record.timers());
            let seq = entity.outside.get(&call).copied().filter(|seq| entity.held.contains_key(seq));
            match seq {
                Some(seq) => {
                    entity.take_held(seq);
                    self.batch.delete_queue(key, seq);
                    self.batch.delete_timer(run, seq);
                    self.timers.cancel(run, seq);
                    self.save_entity(&id);
                }
                None => self.touched.push(id),
            }
        }
        self.effect(BatchSeq(0), Effect::Reply(request, Ok(Reply::Done)));
    }
}

/// What an answer says.
fn outcome(event: &pb::HistoryEvent) -> Option<QuestionOutcome> {
    match event.event_type.as_ref()? {
        EventType::EntityOperationCompleted(completed) => Some(Ok(completed.output.clone())),
        EventType::EntityOperationFailed(failed) => Some(Err(failed.failure_details.clone().unwrap_or_default())),
        _ => None,
    }
}

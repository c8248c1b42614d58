//! Answers that a session has to bring to the scheduler: those that wait for their turn, and those that were sent and are
//! not acknowledged. They outlive streams, because a result must not be lost with the stream that should have carried it.

use std::collections::{HashMap, VecDeque};

use durawasm_proto::v1;
use prost::Message as _;

use super::answer::{self, Answer, GuestLogs, Outgoing};

/// Answers on their way, across streams.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged {
    /// In order. Each fits into one message: what is larger was cut before it came here.
    queue: VecDeque<Outgoing>,
    last: u64,
    sent: HashMap<u64, Sent>,
}

#[derive(Debug)]
struct Sent {
    /// Kept for activities: their result counts as long as they are pending, on whichever stream it comes. What was answered
    /// to an orchestration is void once the stream breaks.
    again: Option<Answer>,
    logs: Option<GuestLogs>,
}

/// Answers in one frame: enough to share the cost, few enough to stay far below the limit of a message.
pub(super) const MAX_ANSWERS: usize = 256;
pub(super) const MAX_FRAME: usize = 2 << 20;

impl Unacknowledged {
    /// Puts an answer in the queue, in as many parts as it needs.
    pub(super) fn push(&mut self, Outgoing { answer, mut logs }: Outgoing) {
        let Answer::Orchestration(response, fuel) = answer else {
            self.queue.push_back(Outgoing { answer, logs });
            return;
        };
        let mut chunks = answer::chunks(*response).into_iter().peekable();
        while let Some(chunk) = chunks.next() {
            // The lines may be shown when the last chunk is committed.
            let logs = if chunks.peek().is_none() { logs.take() } else { None };
            self.queue.push_back(Outgoing { answer: Answer::Orchestration(Box::new(chunk), fuel), logs });
        }
    }

    /// How many answers wait to be sent.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether every answer has arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.sent.is_empty()
    }

    /// As many of the queued answers as one frame takes, in order. Only an answer that is larger than a frame should be makes
    /// the frame larger, and then it travels alone.
    pub(super) fn frame(&mut self) -> Vec<v1::Answer> {
        let mut answers = Vec::with_capacity(self.queue.len().min(MAX_ANSWERS));
        let mut bytes = 0;
        while let Some(outgoing) = self.queue.pop_front() {
            let size = size(&outgoing.answer);
            if answers.len() == MAX_ANSWERS || (!answers.is_empty() && bytes + size > MAX_FRAME) {
                self.queue.push_front(outgoing);
                break;
            }
            bytes += size;
            answers.push(self.number(outgoing));
        }
        answers
    }

    fn number(&mut self, Outgoing { answer, logs }: Outgoing) -> v1::Answer {
        self.last += 1;
        let again = matches!(answer, Answer::Activity(_)).then(|| answer.clone());
        self.sent.insert(self.last, Sent { again, logs });
        let fuel = match &answer {
            Answer::Orchestration(response, fuel) if !response.is_partial => *fuel,
            _ => None,
        };
        v1::Answer { sequence: self.last, kind: Some(kind(answer)), fuel }
    }

    /// The stream is gone: results of activities are sent again on the next one, whatever else was given is void.
    pub(super) fn stream_broke(&mut self) {
        self.queue.retain(|outgoing| matches!(outgoing.answer, Answer::Activity(_)));
        let mut sent: Vec<_> = self.sent.drain().collect();
        sent.sort_unstable_by_key(|(sequence, _)| *sequence);
        // What was sent is older than what was not.
        for (_, sent) in sent.into_iter().rev() {
            if let Some(answer) = sent.again {
                self.queue.push_front(Outgoing { answer, logs: sent.logs });
            }
        }
    }

    /// Hands over what waits, for a scheduler that knows no sessions.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Outgoing> {
        std::mem::take(&mut self.queue).into_iter()
    }

    pub(super) fn acknowledged(&mut self, sequence: u64) {
        if let Some(logs) = self.sent.remove(&sequence).and_then(|sent| sent.logs) {
            logs.emit();
        }
    }

    pub(super) fn refused(&mut self, refusal: v1::Refusal) {
        let status = tonic::Status::new(tonic::Code::from_i32(refusal.code), refusal.message);
        tracing::error!(
            code = ?status.code(),
            "the scheduler refused an answer: {}; it delivers the work item again",
            status.message()
        );
        // An activity would run again and again, with the same result. An episode is given back by the scheduler itself.
        if let Some(answer @ Answer::Activity(_)) = self.sent.remove(&refusal.sequence).and_then(|sent| sent.again)
            && let Some((_, instead)) = answer.refused(&status)
        {
            self.queue.push_back(Outgoing { answer: instead, logs: None });
        }
    }
}

fn kind(answer: Answer) -> v1::answer::Kind {
    match answer {
        Answer::Orchestration(response, _) => v1::answer::Kind::Orchestration(*response),
        Answer::Activity(response) => v1::answer::Kind::Activity(*response),
        Answer::Entity(result, _) => v1::answer::Kind::Entity(*result),
        Answer::Abandon(_, completion_token) => v1::answer::Kind::Abandon(v1::Abandon { completion_token }),
        Answer::Park(park) => v1::answer::Kind::Park(park),
    }
}

/// An answer's bytes in a frame, with its tags, lengths and sequence.
fn size(answer: &Answer) -> usize {
    const AROUND: usize = 24;
    AROUND
        + match answer {
            Answer::Orchestration(response, fuel) => response.encoded_len() + fuel.map_or(0, |fuel| fuel.encoded_len()),
            Answer::Activity(response) => response.encoded_len(),
            Answer::Entity(result, _) => result.encoded_len(),
            Answer::Abandon(_, token) => token.len(),
            Answer::Park(park) => park.encoded_len(),
        }
}

#[cfg(test)]
mod tests {
    use durawasm_proto::durabletask as wire;

    use super::*;
    use crate::connection::Abandoned;

    fn activity(task_id: i32, bytes: usize) -> Outgoing {
        let response = wire::ActivityResponse { task_id, result: Some("x".repeat(bytes)), ..Default::default() };
        Outgoing { answer: Answer::Activity(Box::new(response)), logs: None }
    }

    fn orchestration(actions: usize, bytes: usize) -> Outgoing {
        let action = wire::OrchestratorAction {
            id: 1,
            orchestrator_action_type: Some(wire::orchestrator_action::OrchestratorActionType::ScheduleTask(
                wire::ScheduleTaskAction { input: Some("x".repeat(bytes)), ..Default::default() },
            )),
        };
        let response = wire::OrchestratorResponse { actions: vec![action; actions], ..Default::default() };
        let logs =
            GuestLogs { instance: "i".to_owned(), component: "c".to_owned(), name: "o".to_owned(), lines: Vec::new() };
        Outgoing { answer: Answer::Orchestration(Box::new(response), None), logs: Some(logs) }
    }

    fn abandon() -> Outgoing {
        Outgoing { answer: Answer::Abandon(Abandoned::Activity, "t".to_owned()), logs: None }
    }

    fn tasks(answers: &[v1::Answer]) -> Vec<i32> {
        answers
            .iter()
            .map(|answer| match &answer.kind {
                Some(v1::answer::Kind::Activity(response)) => response.task_id,
                other => panic!("only results of activities outlive a stream, but there is {other:?}"),
            })
            .collect()
    }

    #[test]
    fn results_of_activities_outlive_streams_whether_they_were_sent_or_not_and_all_else_is_dropped() {
        let mut answers = Unacknowledged::default();
        for outgoing in [activity(1, 1), orchestration(1, 1), activity(2, 1), abandon()] {
            answers.push(outgoing);
        }
        let sent = answers.frame();
        assert_eq!(sent.len(), 4);
        answers.acknowledged(sent[0].sequence);
        for outgoing in [orchestration(1, 1), activity(3, 1), abandon()] {
            answers.push(outgoing);
        }
        answers.stream_broke();
        // A stream that breaks before anything was sent on it loses nothing either.
        answers.stream_broke();
        assert!(!answers.is_empty());
        let again = answers.frame();
        assert_eq!(tasks(&again), [2, 3]);
        assert!(again.iter().all(|answer| answer.sequence > sent[3].sequence));
        for answer in again {
            answers.acknowledged(answer.sequence);
        }
        assert!(answers.is_empty());
    }

    #[test]
    fn a_result_that_is_refused_becomes_a_failure_and_a_failure_that_is_refused_is_dropped() {
        let mut answers = Unacknowledged::default();
        answers.push(activity(1, 1));
        for round in 0..2 {
            let sequence = answers.frame()[0].sequence;
            answers.refused(v1::Refusal { sequence, code: 3, message: "no".to_owned() });
            assert_eq!(answers.queued(), 1 - round);
        }
        assert!(answers.is_empty());
    }

    #[test]
    fn a_frame_never_grows_beyond_its_limit_or_the_one_answer_that_is_larger() {
        let mut answers = Unacknowledged::default();
        answers.push(activity(1, 1_000_000));
        answers.push(orchestration(30, 1_000_000));
        answers.push(activity(2, 1_500_000));
        answers.push(activity(3, 1_000_000));
        let mut frames = Vec::new();
        while answers.queued() > 0 {
            frames.push(v1::WorkerFrame { answers: answers.frame(), ..Default::default() });
        }
        for frame in &frames {
            let size = frame.encoded_len();
            assert!(size <= MAX_FRAME || (frame.answers.len() == 1 && size < 4_000_000), "a frame of {size} bytes");
        }
        let actions = frames.iter().flat_map(|frame| &frame.answers).map(|answer| match &answer.kind {
            Some(v1::answer::Kind::Orchestration(response)) => response.actions.len(),
            _ => 0,
        });
        assert_eq!(actions.sum::<usize>(), 30);
    }

    #[test]
    fn a_cut_answer_shows_its_log_lines_with_its_last_part() {
        let mut answers = Unacknowledged::default();
        answers.push(orchestration(10, 1_000_000));
        let logs: Vec<_> = answers.take().map(|outgoing| outgoing.logs.is_some()).collect();
        assert!(logs.len() > 1);
        assert_eq!(logs.iter().position(|has| *has), Some(logs.len() - 1));
    }

    #[test]
    fn a_frame_holds_a_limited_number_of_answers_in_order() {
        let mut answers = Unacknowledged::default();
        for task in 0..300 {
            answers.push(activity(task, 1));
        }
        let (first, second) = (tasks(&answers.frame()), tasks(&answers.frame()));
        assert_eq!((first.len(), second.len()), (MAX_ANSWERS, 300 - MAX_ANSWERS));
        assert!(first.into_iter().chain(second).eq(0..300));
    }
}

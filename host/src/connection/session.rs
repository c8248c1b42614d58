//! The batched stream of `durawasm.v1`: one stream each way, many answers a message, acknowledged when they are on disk.

use std::collections::HashMap;

use durawasm_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::answer::{self, Answer, GuestLogs, Outgoing};
use super::backoff::Backoff;
use super::{Connection, Ended, Intake, SILENCE, filters};

/// Answers that were sent and that the scheduler has not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged {
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

impl Unacknowledged {
    fn number(&mut self, answer: Answer, logs: Option<GuestLogs>) -> v1::Answer {
        self.last += 1;
        let again = matches!(answer, Answer::Activity(_)).then(|| answer.clone());
        self.sent.insert(self.last, Sent { again, logs });
        v1::Answer { sequence: self.last, kind: Some(kind(answer)) }
    }

    /// The stream is new: what has to be sent again.
    fn take(&mut self) -> Vec<Outgoing> {
        let mut sent: Vec<_> = self.sent.drain().collect();
        sent.sort_unstable_by_key(|(sequence, _)| *sequence);
        sent.into_iter().filter_map(|(_, sent)| sent.again.map(|answer| Outgoing { answer, logs: sent.logs })).collect()
    }

    fn acknowledged(&mut self, sequence: u64) {
        if let Some(logs) = self.sent.remove(&sequence).and_then(|sent| sent.logs) {
            logs.emit();
        }
    }

    fn refused(&mut self, refusal: v1::Refusal) {
        self.sent.remove(&refusal.sequence);
        tracing::error!(
            code = ?tonic::Code::from_i32(refusal.code),
            "the scheduler refused an answer: {}; the work item stays in flight until this host disconnects",
            refusal.message
        );
    }
}

fn kind(answer: Answer) -> v1::answer::Kind {
    match answer {
        Answer::Orchestration(response) => v1::answer::Kind::Orchestration(*response),
        Answer::Activity(response) => v1::answer::Kind::Activity(*response),
        Answer::Abandon(_, completion_token) => v1::answer::Kind::Abandon(v1::Abandon { completion_token }),
        Answer::Park(park) => v1::answer::Kind::Park(park),
    }
}

/// Answers in one frame: enough to share the cost, few enough to stay far below the limit of a message.
const MAX_ANSWERS: usize = 256;
const MAX_FRAME: usize = 2 << 20;

/// Runs one stream to its end.
pub(super) async fn run<I: Intake>(
    connection: &mut Connection<I>,
    unacknowledged: &mut Unacknowledged,
    backoff: &mut Backoff,
) -> Ended {
    let channel = connection.channel.clone();
    let (frames, outbound) = mpsc::channel(4);
    let open = v1::Open { work: Some(filters::open(&connection.registry.current(), connection.limits)) };
    if frames.send(v1::WorkerFrame { open: Some(open), answers: Vec::new() }).await.is_err() {
        return Ended::Broken(Status::internal("the stream ended before it began"));
    }
    let mut inbound = match channel.durawasm().session(channel.request(ReceiverStream::new(outbound))).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ended::Broken(status),
    };
    connection.parks.store(true, std::sync::atomic::Ordering::Relaxed);
    connection.now_connected("session", backoff);
    let mut queue: Vec<Outgoing> = unacknowledged.take();
    loop {
        let draining = *connection.draining.borrow();
        if draining
            && connection.intake.busy() == 0
            && connection.answers.is_empty()
            && queue.is_empty()
            && unacknowledged.sent.is_empty()
        {
            return Ended::Drained;
        }
        tokio::select! {
            frame = tokio::time::timeout(SILENCE, inbound.message()) => match frame {
                Ok(Ok(Some(frame))) => {
                    for sequence in frame.acknowledged {
                        unacknowledged.acknowledged(sequence);
                    }
                    for refusal in frame.refusals {
                        unacknowledged.refused(refusal);
                    }
                    // What comes after the end was asked for goes back when the stream closes.
                    if !draining {
                        for item in frame.items {
                            connection.intake.take(item);
                        }
                    }
                }
                Ok(Ok(None)) => return Ended::Broken(Status::unavailable("the scheduler closed the stream")),
                Ok(Err(status)) => return Ended::Broken(status),
                Err(_) => return Ended::Broken(Status::deadline_exceeded("the scheduler has been silent for 120 s")),
            },
            permit = frames.reserve(), if !queue.is_empty() => {
                let Ok(permit) = permit else {
                    return Ended::Broken(Status::unavailable("the stream to the scheduler is closed"));
                };
                permit.send(frame(&mut queue, unacknowledged));
            }
            received = connection.answers.recv_many(&mut queue, MAX_ANSWERS), if queue.len() < MAX_ANSWERS => {
                if received == 0 {
                    return Ended::Drained;
                }
            }
            _ = connection.draining.changed(), if !draining => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(20)), if draining => {}
        }
    }
}

/// As many of the queued answers as one frame takes, in order.
fn frame(queue: &mut Vec<Outgoing>, unacknowledged: &mut Unacknowledged) -> v1::WorkerFrame {
    use prost::Message as _;
    let mut answers = Vec::with_capacity(queue.len());
    let mut bytes = 0;
    let mut taken = 0;
    for outgoing in queue.iter_mut() {
        if bytes > MAX_FRAME {
            break;
        }
        taken += 1;
        // Taken out of the queue below; an empty abandon stands in for it until then.
        let placeholder = Answer::Abandon(answer::Abandoned::Orchestration, String::new());
        let answer = std::mem::replace(&mut outgoing.answer, placeholder);
        let mut logs = outgoing.logs.take();
        match answer {
            Answer::Orchestration(response) => {
                let mut chunks = answer::chunks(*response).into_iter().peekable();
                while let Some(chunk) = chunks.next() {
                    bytes += chunk.encoded_len();
                    // The lines may be shown when the last chunk is committed.
                    let logs = if chunks.peek().is_none() { logs.take() } else { None };
                    answers.push(unacknowledged.number(Answer::Orchestration(Box::new(chunk)), logs));
                }
            }
            other => {
                let numbered = unacknowledged.number(other, logs);
                bytes += numbered.encoded_len();
                answers.push(numbered);
            }
        }
    }
    queue.drain(..taken);
    v1::WorkerFrame { open: None, answers }
}

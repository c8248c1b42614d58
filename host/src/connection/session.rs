//! The batched stream of `durawasm.v1`: one stream each way, many answers a message, acknowledged when they are on disk.

use std::collections::VecDeque;
use std::sync::Arc;

use durawasm_proto::v1;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::answer::{Answer, Outgoing};
use super::backoff::Backoff;
use super::silence::Silence;
use super::unacknowledged::{MAX_ANSWERS, MAX_FRAME, Unacknowledged};
use super::{Connection, Ended, Intake, filters};
use crate::registry::Registry;

/// Runs one stream to its end.
pub(super) async fn run<I: Intake>(
    connection: &mut Connection<I>,
    unacknowledged: &mut Unacknowledged,
    backoff: &mut Backoff,
) -> Ended {
    let channel = connection.channel.clone();
    let (frames, outbound) = mpsc::channel(4);
    let mut offered = connection.registry.subscribe();
    let open = filters::offer(&offered.borrow_and_update(), connection.limits);
    let first = v1::WorkerFrame { open: Some(open), ..Default::default() };
    if frames.send(first).await.is_err() {
        return Ended::Broken(Status::internal("the stream ended before it began"));
    }
    let inbound = match channel.durawasm().session(channel.request(ReceiverStream::new(outbound))).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ended::Broken(status),
    };
    connection.parks.store(true, std::sync::atomic::Ordering::Relaxed);
    connection.now_connected("session", backoff);
    let ended = stream(connection, unacknowledged, offered, frames, inbound).await;
    if matches!(ended, Ended::Broken(_)) {
        unacknowledged.stream_broke();
    }
    ended
}

async fn stream<I: Intake>(
    connection: &mut Connection<I>,
    unacknowledged: &mut Unacknowledged,
    mut offered: watch::Receiver<Arc<Registry>>,
    frames: mpsc::Sender<v1::WorkerFrame>,
    mut inbound: Streaming<v1::SchedulerFrame>,
) -> Ended {
    let mut received = Vec::with_capacity(MAX_ANSWERS);
    let mut told = false;
    let mut silence = Silence::new();
    // Questions belong to this stream: an answer that comes later leads nowhere.
    let (replies, mut replied) = mpsc::unbounded_channel();
    let mut query_answers = VecDeque::new();
    let mut offer = None;
    loop {
        let draining = *connection.draining.borrow();
        if draining && connection.is_done(unacknowledged) {
            return Ended::Drained;
        }
        tokio::select! {
            frame = silence.broken_by(inbound.message()) => match frame {
                Ok(frame) => {
                    for sequence in frame.acknowledged {
                        unacknowledged.acknowledged(sequence);
                    }
                    for refusal in frame.refusals {
                        unacknowledged.refused(refusal);
                    }
                    for query in frame.queries {
                        connection.intake.ask(query, replies.clone());
                    }
                    for item in frame.items {
                        if !draining {
                            connection.intake.take(item);
                        } else if let Some(answer) = Answer::give_back(item) {
                            // It was on its way when the end was asked for: another worker need not wait for it.
                            unacknowledged.push(Outgoing { answer, logs: None });
                        }
                    }
                }
                Err(status) => return Ended::Broken(status),
            },
            Some(answer) = replied.recv() => query_answers.push_back(answer),
            permit = frames.reserve(), if unacknowledged.queued() > 0 || !query_answers.is_empty() || offer.is_some() || (draining && !told) => {
                let Ok(permit) = permit else {
                    return Ended::Broken(Status::unavailable("the stream to the scheduler is closed"));
                };
                permit.send(v1::WorkerFrame {
                    answers: unacknowledged.frame(),
                    draining: draining && !told,
                    query_answers: share(&mut query_answers),
                    open: offer.take(),
                });
                told = draining;
            }
            count = connection.answers.recv_many(&mut received, MAX_ANSWERS), if unacknowledged.queued() < MAX_ANSWERS => {
                if count == 0 {
                    return Ended::Drained;
                }
                for outgoing in received.drain(..) {
                    unacknowledged.push(outgoing);
                }
            }
            // No other stream is needed: what the scheduler has sent keeps its place, and warm sessions stay where they are.
            Ok(()) = offered.changed(), if !draining => {
                offer = Some(filters::offer(&offered.borrow_and_update(), connection.limits));
            }
            _ = connection.draining.changed(), if !draining => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(20)), if draining => {}
        }
    }
}

/// As many answers to questions as one frame takes, and one at least.
fn share(answers: &mut VecDeque<v1::QueryAnswer>) -> Vec<v1::QueryAnswer> {
    let mut bytes = 0;
    let mut share = Vec::new();
    while let Some(answer) = answers.front() {
        bytes += answer.encoded_len();
        if bytes > MAX_FRAME && !share.is_empty() {
            break;
        }
        share.extend(answers.pop_front());
    }
    share
}

#[cfg(test)]
mod tests;

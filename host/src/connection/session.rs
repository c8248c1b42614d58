//! The batched stream of `durawasm.v1`: one stream each way, many answers a message, acknowledged when they are on disk.

use durawasm_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::answer::{Answer, Outgoing};
use super::backoff::Backoff;
use super::unacknowledged::{MAX_ANSWERS, Unacknowledged};
use super::{Connection, Ended, Intake, SILENCE, filters};

/// Runs one stream to its end.
pub(super) async fn run<I: Intake>(
    connection: &mut Connection<I>,
    unacknowledged: &mut Unacknowledged,
    backoff: &mut Backoff,
) -> Ended {
    let channel = connection.channel.clone();
    let (frames, outbound) = mpsc::channel(4);
    let open = v1::Open { work: Some(filters::open(&connection.registry.current(), connection.limits)) };
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
    let ended = stream(connection, unacknowledged, frames, inbound).await;
    if matches!(ended, Ended::Broken(_)) {
        unacknowledged.stream_broke();
    }
    ended
}

async fn stream<I: Intake>(
    connection: &mut Connection<I>,
    unacknowledged: &mut Unacknowledged,
    frames: mpsc::Sender<v1::WorkerFrame>,
    mut inbound: Streaming<v1::SchedulerFrame>,
) -> Ended {
    let mut received = Vec::with_capacity(MAX_ANSWERS);
    let mut told = false;
    loop {
        let draining = *connection.draining.borrow();
        if draining && connection.is_done(unacknowledged) {
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
                    for item in frame.items {
                        if !draining {
                            connection.intake.take(item);
                        } else if let Some(answer) = Answer::give_back(item) {
                            // It was on its way when the end was asked for: another worker need not wait for it.
                            unacknowledged.push(Outgoing { answer, logs: None });
                        }
                    }
                }
                Ok(Ok(None)) => return Ended::Broken(Status::unavailable("the scheduler closed the stream")),
                Ok(Err(status)) => return Ended::Broken(status),
                Err(_) => return Ended::Broken(Status::deadline_exceeded("the scheduler has been silent for 120 s")),
            },
            permit = frames.reserve(), if unacknowledged.queued() > 0 || (draining && !told) => {
                let Ok(permit) = permit else {
                    return Ended::Broken(Status::unavailable("the stream to the scheduler is closed"));
                };
                let answers = unacknowledged.frame();
                permit.send(v1::WorkerFrame { answers, draining: draining && !told, ..Default::default() });
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
            _ = connection.draining.changed(), if !draining => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(20)), if draining => {}
        }
    }
}

#[cfg(test)]
mod tests;

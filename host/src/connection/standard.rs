//! The Durable Task protocol as every scheduler speaks it: a stream of work items, and one call for each answer.

use durawasm_proto::durabletask as wire;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::{Code, Status, Streaming};

use super::answer::{self, Abandoned, Answer, Outgoing};
use super::backoff::Backoff;
use super::channel::Channel;
use super::relay::Relay;
use super::silence::Silence;
use super::unacknowledged::Unacknowledged;
use super::{Connection, Ended, Intake, filters};

/// Runs one stream to its end.
pub(super) async fn run<I: Intake>(
    connection: &mut Connection<I>,
    unacknowledged: &mut Unacknowledged,
    backoff: &mut Backoff,
) -> Ended {
    let mut calls = JoinSet::new();
    let ended = stream(connection, unacknowledged, backoff, &mut calls).await;
    // Answers that are on their way try again by themselves; they need no stream.
    calls.detach_all();
    ended
}

async fn stream<I: Intake>(
    connection: &mut Connection<I>,
    unacknowledged: &mut Unacknowledged,
    backoff: &mut Backoff,
    calls: &mut JoinSet<String>,
) -> Ended {
    let channel = connection.channel.clone();
    let mut items = None;
    let mut silence = Silence::new();
    let mut relay = Relay::default();
    let mut offered = connection.registry.subscribe();
    let mut opening: Option<BoxFuture<'_, Streaming<wire::WorkItem>>> = None;
    if !*connection.draining.borrow() {
        if let Err(status) = channel.hello().await {
            return Ended::Broken(status);
        }
        let request = filters::open(&offered.borrow_and_update(), connection.limits);
        match channel.standard().get_work_items(channel.request(request)).await {
            Ok(response) => items = Some(response.into_inner()),
            Err(status) => return Ended::Broken(status),
        }
        connection.parks.store(false, std::sync::atomic::Ordering::Relaxed);
        connection.now_connected("standard", backoff);
    }
    // Results that a session left behind, with a scheduler that spoke `durawasm.v1` until now.
    for outgoing in unacknowledged.take() {
        calls.spawn(send(channel.clone(), outgoing));
    }
    loop {
        let draining = *connection.draining.borrow();
        if draining {
            // Ends the stream on the scheduler's side as well.
            items = None;
            opening = None;
            relay.end();
            if connection.intake.busy() == 0 && connection.answers.is_empty() && calls.is_empty() {
                return Ended::Drained;
            }
        }
        tokio::select! {
            item = next(&mut items, &mut silence), if items.is_some() => match item {
                Ok(item) => {
                    relay.took(&item);
                    connection.intake.take(item);
                }
                Err(status) => return Ended::Broken(status),
            },
            item = relay.next() => connection.intake.take(item),
            Ok(()) = offered.changed(), if items.is_some() => {
                let request = filters::open(&offered.borrow_and_update(), connection.limits);
                // A newer offer takes the place of one that is not made yet.
                opening = Some(Box::pin(reopen(channel.clone(), request)));
            }
            stream = wait_for(&mut opening) => {
                opening = None;
                silence = Silence::new();
                if let Some(before) = items.replace(stream) {
                    relay.hand_over(before);
                }
            }
            outgoing = recv(&mut connection.answers) => {
                calls.spawn(send(channel.clone(), outgoing));
            }
            Some(done) = calls.join_next(), if !calls.is_empty() => {
                if let Ok(token) = done {
                    relay.answered(&token);
                }
            }
            _ = connection.draining.changed(), if !draining => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(20)), if draining => {}
        }
    }
}

/// Asks for work anew until the scheduler agrees. If it is gone, the stream that is there breaks too, and all begins again.
async fn reopen(channel: Channel, request: wire::GetWorkItemsRequest) -> Streaming<wire::WorkItem> {
    let mut backoff = Backoff::default();
    loop {
        match channel.standard().get_work_items(channel.request(request.clone())).await {
            Ok(response) => return response.into_inner(),
            Err(status) => {
                tracing::debug!(code = ?status.code(), "what this host runs now cannot be told to the scheduler yet: {}", status.message());
            }
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

async fn wait_for<T>(opening: &mut Option<BoxFuture<'_, T>>) -> T {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}

async fn recv(answers: &mut mpsc::UnboundedReceiver<Outgoing>) -> Outgoing {
    match answers.recv().await {
        Some(outgoing) => outgoing,
        // Whoever works holds a sender, so that this is the very end: nothing will come.
        None => std::future::pending().await,
    }
}

async fn next(
    items: &mut Option<tonic::Streaming<wire::WorkItem>>,
    silence: &mut Silence,
) -> Result<wire::WorkItem, Status> {
    match items {
        Some(items) => silence.broken_by(items.message()).await,
        None => std::future::pending().await,
    }
}

/// Sends an answer until the scheduler has taken it or refused it. Returns the token of what is answered.
async fn send(channel: Channel, outgoing: Outgoing) -> String {
    let token = outgoing.answer.token().to_owned();
    let parts = match outgoing.answer {
        // The standard protocol has no place for what it cost.
        Answer::Orchestration(response, fuel) => {
            answer::chunks(*response).into_iter().map(|chunk| Answer::Orchestration(Box::new(chunk), fuel)).collect()
        }
        other => vec![other],
    };
    for part in parts {
        match deliver(&channel, &part).await {
            Delivered::Taken => {}
            Delivered::Void => return token,
            Delivered::Refused(status) => {
                insist(&channel, part, status).await;
                return token;
            }
        }
    }
    if let Some(logs) = outgoing.logs {
        logs.emit();
    }
    token
}

/// Says something else instead of what was refused, until that is taken.
async fn insist(channel: &Channel, mut refused: Answer, mut status: Status) {
    while let Some((delay, instead)) = refused.refused(&status) {
        tokio::time::sleep(delay).await;
        match deliver(channel, &instead).await {
            Delivered::Refused(again) => (refused, status) = (instead, again),
            Delivered::Taken | Delivered::Void => return,
        }
    }
}

/// What became of an answer.
enum Delivered {
    Taken,
    /// Nobody waits for it any more.
    Void,
    Refused(Status),
}

/// Tries for about a minute; after that the scheduler will have given the item to another worker.
const TRIES: usize = 12;

async fn deliver(channel: &Channel, part: &Answer) -> Delivered {
    let mut backoff = Backoff::default();
    for attempt in 1.. {
        let Err(status) = call(channel, part.clone()).await else { break };
        let again = matches!(
            status.code(),
            Code::Unavailable
                | Code::Unknown
                | Code::DeadlineExceeded
                | Code::Internal
                | Code::Cancelled
                | Code::Aborted
        );
        if status.code() == Code::NotFound {
            // A token that is void is no news: the item was given to somebody else meanwhile.
            return Delivered::Void;
        }
        if !again || attempt == TRIES {
            tracing::warn!(
                code = ?status.code(),
                "the scheduler did not take an answer: {}",
                status.message()
            );
            return if again { Delivered::Void } else { Delivered::Refused(status) };
        }
        tokio::time::sleep(backoff.next()).await;
    }
    Delivered::Taken
}

async fn call(channel: &Channel, part: Answer) -> Result<(), Status> {
    let mut client = channel.standard();
    match part {
        Answer::Orchestration(response, _) => {
            client.complete_orchestrator_task(channel.request(*response)).await?;
        }
        Answer::Activity(response) => {
            client.complete_activity_task(channel.request(*response)).await?;
        }
        Answer::Entity(result, _) => {
            client.complete_entity_task(channel.request(*result)).await?;
        }
        Answer::Abandon(Abandoned::Orchestration, completion_token) => {
            let request = wire::AbandonOrchestrationTaskRequest { completion_token };
            client.abandon_task_orchestrator_work_item(channel.request(request)).await?;
        }
        Answer::Abandon(Abandoned::Activity, completion_token) => {
            let request = wire::AbandonActivityTaskRequest { completion_token };
            client.abandon_task_activity_work_item(channel.request(request)).await?;
        }
        Answer::Abandon(Abandoned::Entity, completion_token) => {
            let request = wire::AbandonEntityTaskRequest { completion_token };
            client.abandon_task_entity_work_item(channel.request(request)).await?;
        }
        // This protocol knows no parking: the item goes back, later.
        Answer::Park(park) => {
            let request = wire::AbandonOrchestrationTaskRequest { completion_token: park.completion_token };
            client.abandon_task_orchestrator_work_item(channel.request(request)).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod peer;
#[cfg(test)]
mod tests;

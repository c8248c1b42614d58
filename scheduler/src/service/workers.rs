//! The worker's side of the protocol: work items out, answers in; singly, or batched in a session.

use std::time::Duration;

use durawasm_proto::durabletask as pb;
use durawasm_proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{convert, status};
use crate::core::message::{Input, Refusal, Reply};
use crate::core::record::Parked;
use crate::core::token::{Token, WorkKind};
use crate::hub::{Call, Connection, Hub, Outgoing, Waiter};

/// Workers drop a stream that is silent for two minutes; some for less.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Messages that are joined into one frame of a session at most.
const FRAME_MESSAGES: usize = 256;
/// …and about this many bytes.
const FRAME_BYTES: usize = 1 << 20;

/// A stream of work items.
pub type ItemStream = ReceiverStream<Result<pb::WorkItem, Status>>;
/// A session's stream to the worker.
pub type FrameStream = ReceiverStream<Result<v1::SchedulerFrame, Status>>;

/// Connects a worker of the standard protocol.
#[must_use]
pub fn items(hub: &Hub, request: pb::GetWorkItemsRequest, caller: &Caller) -> ItemStream {
    let (sink, mut outgoing) = mpsc::unbounded_channel();
    let connection = hub.connect(convert::stream_info(request, &caller.worker, caller.extended), sink);
    let (sender, receiver) = mpsc::channel(64);
    let hub = hub.clone();
    tokio::spawn(async move {
        let _connection = connection;
        loop {
            let item = tokio::select! {
                item = tokio::time::timeout(PING_EVERY, outgoing.recv()) => item,
                () = hub.stopped() => {
                    let _ = sender.send(Err(hub.stopping())).await;
                    return;
                }
                () = sender.closed() => return,
            };
            let item = match item {
                Ok(Some(Outgoing::Item(item))) => match hub.fill(item, true).await {
                    Some(item) => item,
                    None => continue,
                },
                Ok(Some(Outgoing::Void(token))) => {
                    hub.give_back(token);
                    continue;
                }
                Ok(Some(_)) => continue,
                Ok(None) => {
                    let _ = sender.send(Err(hub.stopping())).await;
                    return;
                }
                Err(_silence) => ping(),
            };
            if sender.send(Ok(item)).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}

fn ping() -> pb::WorkItem {
    pb::WorkItem {
        completion_token: String::new(),
        request: Some(pb::work_item::Request::HealthPing(pb::HealthPing {})),
    }
}

/// Who calls: from the metadata.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The worker's id; made here if it has none.
    pub worker: String,
    /// Whether it understands `durawasm.v1`.
    pub extended: bool,
}

/// A worker's answer as an input, or nothing if its token means nothing here.
fn token(hub: &Hub, text: &str, kind: WorkKind) -> Option<Token> {
    let token = Token::parse(text)?;
    (token.hub == hub.name() && token.kind == kind).then_some(token)
}

/// Answers an episode. A void token is fine: the answer is ignored.
pub async fn complete_episode(hub: &Hub, response: pb::OrchestratorResponse) -> Result<Reply, Status> {
    match token(hub, &response.completion_token, WorkKind::Orchestration) {
        Some(token) => hub.call(|call| Input::CompleteEpisode(call, token, Box::new(response), None)).await,
        None => Ok(Reply::Void),
    }
}

/// Answers an activity.
pub async fn complete_activity(hub: &Hub, response: pb::ActivityResponse) -> Result<Reply, Status> {
    match token(hub, &response.completion_token, WorkKind::Activity) {
        Some(token) => {
            if let Err(why) = is_own(&token, &response) {
                return Err(status::of_refusal(why));
            }
            let outcome = Box::new(convert::activity_outcome(response));
            hub.call(|call| Input::CompleteActivity(call, token, outcome)).await
        }
        None => Ok(Reply::Void),
    }
}

/// Answers a batch of an entity's operations.
pub async fn complete_batch(hub: &Hub, result: pb::EntityBatchResult) -> Result<Reply, Status> {
    match token(hub, &result.completion_token, WorkKind::Entity) {
        Some(token) => hub.call(|call| Input::CompleteBatch(call, token, Box::new(result))).await,
        None => Ok(Reply::Void),
    }
}

/// Refuses a result that is said to be another instance's than its token's.
fn is_own(token: &Token, response: &pb::ActivityResponse) -> Result<(), Refusal> {
    if response.instance_id.is_empty() || response.instance_id == token.instance.as_str() {
        return Ok(());
    }
    let text = format!("the token is of instance `{}`, the result of `{}`", token.instance, response.instance_id);
    Err(Refusal::Invalid(text))
}

/// Gives an item back.
pub async fn abandon(hub: &Hub, text: &str, kind: WorkKind) -> Result<Reply, Status> {
    match token(hub, text, kind) {
        Some(token) => hub.call(|call| Input::Abandon(call, token, None)).await,
        None => Ok(Reply::Void),
    }
}

/// Runs a session: frames of answers in, frames of work and acknowledgements out.
///
/// # Errors
/// INVALID_ARGUMENT if the first frame does not open the session.
pub async fn session(hub: Hub, mut frames: Streaming<v1::WorkerFrame>, caller: Caller) -> Result<FrameStream, Status> {
    let first = frames.next().await.transpose()?;
    let Some(open) = first.and_then(|f| f.open) else {
        return Err(Status::invalid_argument("the first frame of a session must open it"));
    };
    let (sink, outgoing) = mpsc::unbounded_channel();
    let connection = hub.connect(convert::session_info(open, &caller.worker), sink.clone());
    let (sender, receiver) = mpsc::channel(16);
    let (ended, end) = oneshot::channel();
    let (drain, stream) = (connection.drain(), connection.stream());
    tokio::spawn(send_frames(hub.clone(), connection, outgoing, sender, end));
    tokio::spawn(async move {
        let mut drain = Some(drain);
        let why = loop {
            let frame = match frames.next().await {
                Some(Ok(frame)) => frame,
                Some(Err(status)) => break Some(status),
                None => break None,
            };
            if let Some(open) = frame.open
                && drain.is_some()
            {
                let input = Input::Offer(stream, convert::session_info(open, &caller.worker));
                hub.send(vec![Call::unanswered(input)]);
            }
            if frame.draining
                && let Some(drain) = drain.take()
            {
                hub.send(vec![drain]);
            }
            let mut calls = Vec::with_capacity(frame.answers.len());
            let mut failed = None;
            for call in frame.answers.into_iter().filter_map(|a| answer(&hub, a, &sink)) {
                match hub.take_in(call).await {
                    Ok(call) => calls.push(call),
                    // It is not acknowledged: the worker sends it again on its next session.
                    Err(status) => failed = Some(status),
                }
                if failed.is_some() {
                    break;
                }
            }
            calls.extend(frame.query_answers.into_iter().map(|answer| {
                let outcome = answer.failure.map_or(Ok(answer.output), Err);
                let input = Input::AnswerQuestion(stream, answer.number, Box::new(outcome));
                Call::unanswered(input)
            }));
            if !calls.is_empty() {
                hub.send(calls);
            }
            if failed.is_some() {
                break failed;
            }
        };
        // What cannot be taken ends both directions: a worker whose answers are not heard must not be sent more work.
        if let Some(status) = &why {
            tracing::warn!(hub = hub.name(), %status, "a worker's session ends: what it sent cannot be taken");
        }
        let _ = ended.send(why);
    });
    Ok(ReceiverStream::new(receiver))
}

async fn send_frames(
    hub: Hub,
    connection: Connection,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    sender: mpsc::Sender<Result<v1::SchedulerFrame, Status>>,
    mut end: oneshot::Receiver<Option<Status>>,
) {
    use prost::Message as _;
    let _connection = connection;
    let mut buffer = Vec::with_capacity(FRAME_MESSAGES);
    loop {
        let received = tokio::select! {
            received = tokio::time::timeout(PING_EVERY, outgoing.recv_many(&mut buffer, FRAME_MESSAGES)) => received,
            () = hub.stopped() => Ok(0),
            why = &mut end => {
                if let Ok(Some(status)) = why {
                    let _ = sender.send(Err(status)).await;
                }
                return;
            }
            () = sender.closed() => return,
        };
        if received == Ok(0) {
            let _ = sender.send(Err(hub.stopping())).await;
            return;
        }
        let mut frame = v1::SchedulerFrame::default();
        let mut bytes = 0;
        for message in buffer.drain(..) {
            match message {
                Outgoing::Item(item) => {
                    if let Some(item) = hub.fill(item, false).await {
                        bytes += item.encoded_len();
                        frame.items.push(item);
                    }
                }
                Outgoing::Question(question) => frame.queries.push(convert::question(*question)),
                Outgoing::Void(token) => hub.give_back(token),
                Outgoing::Acknowledged(sequence) => frame.acknowledged.push(sequence),
                Outgoing::Refused(sequence, why) => frame.refusals.push(v1::Refusal {
                    sequence,
                    code: status::code_of_refusal(&why).into(),
                    message: why.to_string(),
                }),
            }
            if bytes > FRAME_BYTES {
                bytes = 0;
                if sender.send(Ok(std::mem::take(&mut frame))).await.is_err() {
                    return;
                }
            }
        }
        if received.is_err() {
            frame.items.push(ping());
        }
        if sender.send(Ok(frame)).await.is_err() {
            return;
        }
    }
}

/// One answer of a session as an input. Answers with void tokens are acknowledged at once.
fn answer(hub: &Hub, answer: v1::Answer, sink: &crate::hub::StreamSink) -> Option<Call> {
    use v1::answer::Kind;
    let sequence = answer.sequence;
    let waiter = || Waiter::Session(sink.clone(), sequence);
    let void = || {
        let _ = sink.send(Outgoing::Acknowledged(sequence));
        None
    };
    match answer.kind {
        Some(Kind::Orchestration(response)) => match token(hub, &response.completion_token, WorkKind::Orchestration) {
            Some(token) => {
                let fuel = answer.fuel;
                Some(hub.prepare(|call| Input::CompleteEpisode(call, token, Box::new(response), fuel), waiter()))
            }
            None => void(),
        },
        Some(Kind::Activity(response)) => match token(hub, &response.completion_token, WorkKind::Activity) {
            Some(token) => {
                if let Err(why) = is_own(&token, &response) {
                    let _ = sink.send(Outgoing::Refused(sequence, why));
                    return None;
                }
                let outcome = Box::new(convert::activity_outcome(response));
                Some(hub.prepare(|call| Input::CompleteActivity(call, token, outcome), waiter()))
            }
            None => void(),
        },
        Some(Kind::Abandon(abandon)) => match Token::parse(&abandon.completion_token) {
            Some(token) if token.hub == hub.name() => {
                Some(hub.prepare(|call| Input::Abandon(call, token, None), waiter()))
            }
            _ => void(),
        },
        Some(Kind::Park(park)) => match token(hub, &park.completion_token, WorkKind::Orchestration) {
            Some(token) => {
                let parked = Parked {
                    reason: park.reason,
                    message: park.message,
                    component: park.component,
                    advice: park.advice,
                    since: crate::hub::wall_clock(),
                    attempts: 0,
                };
                Some(hub.prepare(|call| Input::Abandon(call, token, Some(Box::new(parked))), waiter()))
            }
            None => void(),
        },
        Some(Kind::Entity(result)) => match token(hub, &result.completion_token, WorkKind::Entity) {
            Some(token) => Some(hub.prepare(|call| Input::CompleteBatch(call, token, Box::new(result)), waiter())),
            None => void(),
        },
        None => void(),
    }
}

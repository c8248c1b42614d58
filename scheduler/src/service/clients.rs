//! The client's side of the protocol: start, look, wait, raise, terminate, read histories.

use durawasm_proto::durabletask as pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::convert;
use crate::core::events;
use crate::core::ids::InstanceId;
use crate::core::message::{Input, Reply};
use crate::core::record::Status as InstanceStatus;
use crate::hub::Hub;
use crate::store::InstanceView;

/// Chunks of a streamed history are about this large: far below the 4 MiB that clients accept.
pub const CHUNK_BYTES: usize = 256 << 10;

/// A stream of history chunks.
pub type HistoryStream = ReceiverStream<Result<pb::HistoryChunk, Status>>;

/// Starts an instance; when this returns that is on disk.
pub async fn start(hub: &Hub, request: pb::CreateInstanceRequest) -> Result<pb::CreateInstanceResponse, Status> {
    let start = Box::new(convert::start_request(request)?);
    let started = hub.call(|id| Input::Start(id, start)).await.map_err(|status| match status.code() {
        Code::AlreadyExists => {
            let advice = "choose another id, or give a reuse policy that allows to replace it";
            Status::already_exists(format!("{}; {advice}", status.message()))
        }
        _ => status,
    });
    match started? {
        Reply::Started(id) => Ok(pb::CreateInstanceResponse { instance_id: id.as_str().into() }),
        other => Err(Status::internal(format!("unexpected reply to a start: {other:?}"))),
    }
}

/// Shows an instance.
pub async fn get(hub: &Hub, request: &pb::GetInstanceRequest) -> Result<pb::GetInstanceResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    shown(hub, hub.view(&id, request.get_inputs_and_outputs)?, request.get_inputs_and_outputs).await
}

/// Holds the call until the instance has begun, or is not there.
pub async fn wait_for_start(hub: &Hub, request: &pb::GetInstanceRequest) -> Result<pb::GetInstanceResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    let mut waiting = hub.watch().subscribe(&id);
    loop {
        waiting.mark();
        let view = hub.view(&id, request.get_inputs_and_outputs)?;
        if view.as_ref().is_none_or(|v| v.record.status != InstanceStatus::Pending) {
            return shown(hub, view, request.get_inputs_and_outputs).await;
        }
        tokio::select! {
            () = waiting.changed() => {}
            () = hub.stopped() => return Err(hub.stopping()),
        }
    }
}

/// Holds the call until the instance has ended, or is not there. Continue-as-new is no end.
pub async fn wait_for_completion(
    hub: &Hub,
    request: &pb::GetInstanceRequest,
) -> Result<pb::GetInstanceResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    let mut waiting = hub.watch().subscribe(&id);
    let mut first: Option<InstanceView> = None;
    loop {
        let mark = waiting.mark();
        let view = hub.view(&id, request.get_inputs_and_outputs)?;
        // Replaced under the same id: the one that was waited for was terminated.
        if let (Some(old), Some(new)) = (&mut first, &view)
            && old.record.key != new.record.key
        {
            // If it had ended by itself before that, that is how it ended; what it returned is gone with it.
            old.record.status = waiting.ended().unwrap_or(InstanceStatus::Terminated);
            return shown(hub, first, request.get_inputs_and_outputs).await;
        }
        if view.as_ref().is_none_or(|v| v.record.status.is_terminal()) {
            return shown(hub, view, request.get_inputs_and_outputs).await;
        }
        first = first.or(view);
        tokio::select! {
            () = waiting.over_since(mark) => {}
            () = hub.stopped() => return Err(hub.stopping()),
        }
    }
}

async fn shown(
    hub: &Hub,
    mut view: Option<InstanceView>,
    with_payloads: bool,
) -> Result<pb::GetInstanceResponse, Status> {
    if let Some(view) = &mut view {
        hub.resolve_view(view, with_payloads).await?;
    }
    let state = view.map(|view| convert::orchestration_state(view, with_payloads));
    Ok(pb::GetInstanceResponse { exists: state.is_some(), orchestration_state: state })
}

/// Raises an external event.
pub async fn raise(hub: &Hub, request: pb::RaiseEventRequest) -> Result<pb::RaiseEventResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    hub.call(|call| Input::Raise(call, id, request.name, request.input)).await?;
    Ok(pb::RaiseEventResponse {})
}

/// Asks an instance to end.
pub async fn terminate(hub: &Hub, request: pb::TerminateRequest) -> Result<pb::TerminateResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    hub.call(|call| Input::Terminate(call, id, request.output, request.recursive)).await?;
    Ok(pb::TerminateResponse {})
}

/// Holds an instance.
pub async fn suspend(hub: &Hub, request: pb::SuspendRequest) -> Result<pb::SuspendResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    hub.call(|call| Input::Suspend(call, id, request.reason)).await?;
    Ok(pb::SuspendResponse {})
}

/// Lets an instance go on.
pub async fn resume(hub: &Hub, request: pb::ResumeRequest) -> Result<pb::ResumeResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    hub.call(|call| Input::Resume(call, id, request.reason)).await?;
    Ok(pb::ResumeResponse {})
}

/// Streams the committed history of the current execution, or of the given one.
///
/// With `for_work_item_processing` it is the past of the work item in flight: while an episode is with a worker nothing is
/// committed for its instance, so that is the committed history as well.
/// A worker that does not understand annotations is not shown them, as in its work items.
pub fn history(hub: &Hub, request: &pb::StreamInstanceHistoryRequest, extended: bool) -> Result<HistoryStream, Status> {
    let unannotated = request.for_work_item_processing && !extended;
    let id = convert::instance_id(&request.instance_id)?;
    let Some(view) = hub.view(&id, false)? else { return Err(not_found(&id)) };
    let record = view.record;
    if let Some(execution) = request.execution_id.as_deref().filter(|e| !e.is_empty())
        && execution != record.execution.as_str()
    {
        return Err(Status::not_found(format!(
            "instance `{id}` is in execution {}; the history of execution {execution} is not kept",
            record.execution.as_str()
        )));
    }
    let (sender, receiver) = mpsc::channel(4);
    let hub = hub.clone();
    tokio::spawn(async move {
        let mut from = 0;
        while from < record.history_len {
            let page = match hub.history(&id, record.run, from, CHUNK_BYTES).await {
                Ok(page) if page.is_empty() => Err(gone(&id)),
                other => other,
            };
            let chunk = page.map(|mut page| {
                page.truncate(usize::try_from(record.history_len - from).unwrap_or(usize::MAX));
                from += page.len() as u64;
                let shown = page.into_iter().map(|stored| stored.event);
                pb::HistoryChunk { events: shown.filter(|e| !(unannotated && events::is_annotation(e))).collect() }
            });
            let failed = chunk.is_err();
            if sender.send(chunk).await.is_err() || failed {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// The instance is not there.
#[must_use]
pub fn not_found(id: &InstanceId) -> Status {
    Status::not_found(format!("there is no instance `{id}` in this task hub"))
}

fn gone(id: &InstanceId) -> Status {
    Status::aborted(format!("instance `{id}` went on to another execution while its history was read: ask again"))
}

//! `durawasm.v1`: what the Durable Task protocol cannot say.

use durawasm_proto::{durabletask as pb, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::clients::{CHUNK_BYTES, not_found};
use super::convert;
use crate::core::message::{Description, Input, Reply};
use crate::core::record::{Parked, Status as InstanceStatus};
use crate::core::token::WorkKind;
use crate::hub::Hub;
use crate::hub::edge::PAYLOAD_LOST_REASON;
use crate::store::InstanceView;
use crate::store::{InstanceFilter, InstanceOrder, PageSize};

/// A stream of a history as it grows.
pub type FollowStream = ReceiverStream<Result<v1::FollowInstanceChunk, Status>>;

/// A stream of instances that are parked.
pub type ParkedStream = ReceiverStream<Result<v1::ParkedInstance, Status>>;

/// All that is known of an instance.
pub async fn describe(hub: &Hub, request: v1::DescribeInstanceRequest) -> Result<v1::DescribeInstanceResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    let Some(mut view) = hub.view(&id, request.inputs_and_outputs)? else { return Ok(Default::default()) };
    if let Err(lost) = hub.resolve_view(&mut view, request.inputs_and_outputs).await {
        // That it has lost a payload is what is told of such an instance: it is shown without its texts.
        if view.record.parked.as_ref().is_none_or(|parked| parked.reason != PAYLOAD_LOST_REASON) {
            return Err(lost);
        }
        (view.started, view.completed, view.record.custom_status) = (None, None, None);
    }
    let Reply::Described(description) = hub.call(|call| Input::Describe(call, id)).await? else {
        return Err(Status::internal("unexpected reply to a description"));
    };
    let state = Some(convert::orchestration_state(view, request.inputs_and_outputs));
    let Some(description) = description else {
        return Ok(v1::DescribeInstanceResponse { state, ..Default::default() });
    };
    let waiting_for = waits_for(&description);
    let Description { record, open_timers, worker, returned_episodes, returned_activities, .. } = *description;
    Ok(v1::DescribeInstanceResponse {
        state,
        history_events: record.history_len,
        history_bytes: record.history_bytes,
        inbox_events: record.inbox_len,
        open_activities: record.open_activities.into(),
        open_timers: open_timers as u64,
        open_children: record.open_children.into(),
        waiting_for,
        parked: record.parked.map(parked),
        worker_id: worker.map(|w| (*w).to_owned()).unwrap_or_default(),
        fuel: record.fuel.map(|fuel| v1::Fuel { episode: fuel.turn, execution: fuel.execution.unwrap_or(0) }),
        fuel_of_all_executions: record.fuel.map_or(0, |fuel| fuel.total()),
        returned_episodes,
        returned_activities: returned_activities
            .into_iter()
            .map(|(event, name, times)| v1::ReturnedActivity { event, name: (*name).to_owned(), times })
            .collect(),
    })
}

fn parked(parked: Parked) -> v1::Parked {
    v1::Parked {
        reason: parked.reason,
        message: parked.message,
        component: parked.component,
        advice: parked.advice,
        since: Some(parked.since.into()),
        attempts: parked.attempts,
    }
}

/// Streams the instances that are parked, oldest first.
pub fn list_parked(hub: &Hub) -> ParkedStream {
    let (sender, receiver) = mpsc::channel(64);
    let hub = hub.clone();
    tokio::spawn(async move {
        let mut after = None;
        loop {
            let page = match hub.list(in_flight(), InstanceOrder::Created, after, IN_FLIGHT_PAGE).await {
                Ok(page) => page,
                Err(status) => return drop(sender.send(Err(status)).await),
            };
            for record in page.instances.into_iter().map(|view| view.record) {
                let Some(why) = record.parked else { continue };
                let instance = v1::ParkedInstance {
                    instance_id: record.id.as_str().to_owned(),
                    name: record.name,
                    version: record.version.unwrap_or_default(),
                    parked: Some(parked(why)),
                };
                if sender.send(Ok(instance)).await.is_err() {
                    return;
                }
            }
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// Instances that have not ended.
pub(super) fn in_flight() -> InstanceFilter {
    let statuses = vec![InstanceStatus::Pending, InstanceStatus::Running, InstanceStatus::Suspended];
    InstanceFilter { statuses, ..Default::default() }
}

/// How many of them are looked at at once.
pub(super) const IN_FLIGHT_PAGE: PageSize = PageSize { instances: 1_000, bytes: 4 << 20, inputs: false };

fn waits_for(description: &Description) -> String {
    let Some(route) = &description.unserved else { return String::new() };
    let kind = match route.kind {
        WorkKind::Orchestration => "orchestrator",
        WorkKind::Activity => "activity",
        WorkKind::Entity => "entity",
    };
    let version = match &*route.version {
        "" => String::new(),
        version => format!(" version `{version}`"),
    };
    let why = match description.inherited_version {
        true => {
            ". The call names no version, so that the orchestration's counts: a component that has this activity in another version must be \
             called with that one"
        }
        false => "",
    };
    format!("a worker that runs {kind} `{}`{version}: none is connected{why}", route.name)
}

/// Streams an instance's history as it is committed, until the instance ends.
pub fn follow(hub: &Hub, request: &v1::FollowInstanceRequest) -> Result<FollowStream, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    let mut waiting = hub.watch().subscribe(&id);
    if hub.view(&id, false)?.is_none() {
        return Err(not_found(&id));
    }
    let (sender, receiver) = mpsc::channel(4);
    let hub = hub.clone();
    tokio::spawn(async move {
        let mut run = None;
        let mut from = 0;
        let mut last = None;
        loop {
            waiting.mark();
            let view = match hub.view(&id, true) {
                Ok(Some(view)) => view,
                Ok(None) => return, // It was taken away: there is nothing more to tell.
                Err(status) => return drop(sender.send(Err(status)).await),
            };
            let record = &view.record;
            if run != Some(record.run) {
                (run, from) = (Some(record.run), 0);
            }
            let (run, len, execution_id) = (record.run, record.history_len, record.execution.as_str().to_owned());
            let ended = record.status.is_terminal();
            let mark: (InstanceStatus, u64, u64) = (record.status, run.0, len);
            let mut view = Some(view);
            while from < len {
                let page = match hub.history(&id, run, from, CHUNK_BYTES).await {
                    Ok(page) if page.is_empty() => break, // Another execution began: the next look shows it.
                    Ok(page) => page,
                    Err(status) => return drop(sender.send(Err(status)).await),
                };
                let first_position = from;
                let events: Vec<_> =
                    page.into_iter().take(usize::try_from(len - from).unwrap_or(usize::MAX)).map(|s| s.event).collect();
                from += events.len() as u64;
                let state = match state(&hub, if from >= len { view.take() } else { None }).await {
                    Ok(state) => state,
                    Err(status) => return drop(sender.send(Err(status)).await),
                };
                let chunk =
                    v1::FollowInstanceChunk { execution_id: execution_id.clone(), first_position, events, state };
                if sender.send(Ok(chunk)).await.is_err() {
                    return;
                }
            }
            // A change of status without a new event (accepted, suspended) is told as well.
            if let Some(view) = view.filter(|_| last != Some(mark)) {
                let chunk = state(&hub, Some(view)).await.map(|state| v1::FollowInstanceChunk {
                    execution_id,
                    first_position: from,
                    events: Vec::new(),
                    state,
                });
                let failed = chunk.is_err();
                if sender.send(chunk).await.is_err() || failed {
                    return;
                }
            }
            last = Some(mark);
            if ended {
                return;
            }
            tokio::select! {
                () = waiting.changed() => {}
                () = hub.stopped() => return drop(sender.send(Err(hub.stopping())).await),
                () = sender.closed() => return,
            }
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// An instance as it is shown, with its texts.
async fn state(hub: &Hub, view: Option<InstanceView>) -> Result<Option<pb::OrchestrationState>, Status> {
    let Some(mut view) = view else { return Ok(None) };
    hub.resolve_view(&mut view, true).await?;
    Ok(Some(convert::orchestration_state(view, true)))
}

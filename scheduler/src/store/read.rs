//! What every store answers, put together from the few reads in which stores differ; and the checks that what
//! belongs together is all there. (A checksum finds a row that has changed, not one that is missing.)

use std::ops::ControlFlow;

use durawasm_proto::durabletask::history_event::EventType;

use super::codec::Damaged;
use super::listing::{Passed, Walk};
use super::{InstanceView, LoadedInstance};
use crate::core::ids::{InstanceId, InstanceKey, Position, RunId};
use crate::core::payload::event_weight;
use crate::core::record::{InboxEntry, InstanceRecord, StoredEvent};

/// Some consecutive events of a history, as one row holds them.
pub(super) struct Episode {
    /// The position of the first.
    pub(super) first: Position,
    /// The events; never empty.
    pub(super) events: Vec<StoredEvent>,
}

impl Episode {
    /// The position after the last event.
    fn end(&self) -> Position {
        self.first + self.events.len() as u64
    }
}

/// The rows of one committed state of a store.
pub(super) trait Rows {
    /// Why a read fails.
    type Error: From<Damaged>;

    /// The instance with that key.
    fn record(&self, key: InstanceKey) -> Result<Option<InstanceRecord>, Self::Error>;

    /// Shows the instances on a way, from its beginning, until the visitor has seen enough.
    fn walk(
        &self,
        walk: &Walk<'_>,
        visit: &mut dyn FnMut(Passed) -> Result<ControlFlow<()>, Self::Error>,
    ) -> Result<(), Self::Error>;

    /// The instance of that id.
    fn find(&self, id: &InstanceId) -> Result<Option<InstanceRecord>, Self::Error>;

    /// An inbox in order.
    fn inbox(&self, key: InstanceKey) -> Result<Vec<InboxEntry>, Self::Error>;

    /// Shows the episodes of an execution in order until the visitor has seen enough. The first is the last one
    /// that begins at `from` or before.
    fn episodes(
        &self,
        run: RunId,
        from: Position,
        visit: &mut dyn FnMut(Episode) -> ControlFlow<()>,
    ) -> Result<(), Self::Error>;

    /// The last episode of an execution.
    fn last_episode(&self, run: RunId) -> Result<Option<Episode>, Self::Error>;
}

/// Reads an instance to work on.
pub(super) fn load<R: Rows>(rows: &R, id: &InstanceId) -> Result<Option<LoadedInstance>, R::Error> {
    rows.find(id)?.map(|record| complete(rows, record)).transpose()
}

/// Reads what belongs to an instance that is to be worked on.
pub(super) fn complete<R: Rows>(rows: &R, record: InstanceRecord) -> Result<LoadedInstance, R::Error> {
    let inbox = rows.inbox(record.key)?;
    if inbox.len() as u64 != record.inbox_len {
        return Err(Damaged::new(whose(&record, "inbox"), "lacks events or has too many").into());
    }
    let mut history = Vec::new();
    if record.open_activities > 0 || record.open_children > 0 {
        consecutive(rows, record.run, 0, &mut |episode| {
            history.extend(episode.events);
            ControlFlow::Continue(())
        })?;
        if history.len() as u64 != record.history_len {
            return Err(incomplete_history(&record).into());
        }
    }
    Ok(LoadedInstance { record, inbox, history })
}

/// Reads an instance to show.
pub(super) fn view<R: Rows>(rows: &R, id: &InstanceId, with_input: bool) -> Result<Option<InstanceView>, R::Error> {
    let Some(record) = rows.find(id)? else { return Ok(None) };
    let started = if with_input { started(rows, &record)? } else { None };
    let completed = if record.status.is_terminal() { completed(rows, &record)? } else { None };
    Ok(Some(InstanceView { record, started, completed }))
}

/// Reads a part of a history.
pub(super) fn page<R: Rows>(
    rows: &R,
    run: RunId,
    from: Position,
    max_bytes: usize,
) -> Result<Vec<StoredEvent>, R::Error> {
    let mut page = Vec::new();
    let mut bytes = 0;
    consecutive(rows, run, from, &mut |episode| {
        let skip = usize::try_from(from.saturating_sub(episode.first)).unwrap_or(usize::MAX);
        for stored in episode.events.into_iter().skip(skip) {
            bytes += event_weight(&stored.event);
            if bytes > max_bytes && !page.is_empty() {
                return ControlFlow::Break(());
            }
            page.push(stored);
        }
        ControlFlow::Continue(())
    })?;
    Ok(page)
}

/// The event that began the current execution: in its history, at the head, or still in the inbox.
pub(super) fn started<R: Rows>(rows: &R, record: &InstanceRecord) -> Result<Option<StoredEvent>, R::Error> {
    let is_start = |e: &StoredEvent| matches!(e.event.event_type, Some(EventType::ExecutionStarted(_)));
    let mut found = None;
    if record.history_len > 0 {
        let mut end = 0;
        consecutive(rows, record.run, 0, &mut |episode| {
            end = episode.end();
            found = episode.events.into_iter().find(is_start);
            if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if found.is_none() && end != record.history_len {
            return Err(incomplete_history(record).into());
        }
    }
    if found.is_none() && record.inbox_len > 0 {
        found = rows.inbox(record.key)?.into_iter().map(|entry| entry.stored).find(is_start);
    }
    Ok(found)
}

/// The event that ended the current execution, if it ended with one.
pub(super) fn completed<R: Rows>(rows: &R, record: &InstanceRecord) -> Result<Option<StoredEvent>, R::Error> {
    let last = rows.last_episode(record.run)?;
    if last.as_ref().map_or(0, Episode::end) != record.history_len {
        return Err(incomplete_history(record).into());
    }
    let event = last.and_then(|mut episode| episode.events.pop());
    Ok(event.filter(|e| matches!(e.event.event_type, Some(EventType::ExecutionCompleted(_)))))
}

/// Visits episodes and sees that none is missing between them, or before the first.
fn consecutive<R: Rows>(
    rows: &R,
    run: RunId,
    from: Position,
    visit: &mut dyn FnMut(Episode) -> ControlFlow<()>,
) -> Result<(), R::Error> {
    let mut expected = None;
    let mut gap = false;
    rows.episodes(run, from, &mut |episode| {
        gap = expected.map_or(episode.first > from, |expected| episode.first != expected);
        if gap {
            return ControlFlow::Break(());
        }
        expected = Some(episode.end());
        visit(episode)
    })?;
    if gap {
        return Err(Damaged::new(format!("the history of execution {}", run.0), "lacks events in the middle").into());
    }
    Ok(())
}

fn incomplete_history(record: &InstanceRecord) -> Damaged {
    Damaged::new(whose(record, "history"), "lacks events or has too many")
}

fn whose(record: &InstanceRecord, part: &str) -> String {
    format!("the {part} of instance {:?}", record.id)
}

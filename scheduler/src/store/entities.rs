//! Entities as every store reads and lists them. Their rows are apart from those of instances: another table, another order.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::PageSize;
use super::listing::LOOKS;
use super::seal::Damaged;
use crate::core::entity::{EntityRecord, LoadedEntity, QueueEntry};
use crate::core::ids::{InstanceId, InstanceKey};
use crate::core::payload;
use crate::core::time::Timestamp;

/// An entity as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityView {
    /// Its row.
    pub record: EntityRecord,
    /// Its state, if asked for and there.
    pub state: Option<Arc<str>>,
}

/// Which entities to show. All that is said must hold. What has neither a state nor a lock nor anything in its queue is never shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityFilter {
    /// The id begins so.
    pub id_prefix: String,
    /// A batch was committed at this time or later.
    pub modified_from: Option<Timestamp>,
    /// A batch was committed before this time.
    pub modified_to: Option<Timestamp>,
    /// Entities without a state are shown as well.
    pub transient: bool,
}

/// A part of a listing, in the order of ids.
#[derive(Clone, Debug, Default)]
pub struct EntityPage {
    /// The entities. May be fewer than asked for, or none, although more follow: a page costs a bounded time.
    pub entities: Vec<EntityView>,
    /// After which id the next page begins. None: this was the last one.
    pub next: Option<InstanceId>,
}

/// The rows of entities of one committed state of a store.
pub(super) trait EntityRows {
    /// Why a read fails.
    type Error: From<Damaged>;

    /// The entity of that id.
    fn find_entity(&self, id: &InstanceId) -> Result<Option<EntityRecord>, Self::Error>;

    /// The state of an entity.
    fn state(&self, key: InstanceKey) -> Result<Option<Arc<str>>, Self::Error>;

    /// The queue of an entity in order, and what is held.
    fn queue(&self, key: InstanceKey) -> Result<Vec<QueueEntry>, Self::Error>;

    /// Shows entities by id, from the first after `after` whose id is not before `from`, until the visitor has seen enough.
    fn walk_entities(
        &self,
        from: &str,
        after: Option<&InstanceId>,
        visit: &mut dyn FnMut(EntityRecord) -> Result<ControlFlow<()>, Self::Error>,
    ) -> Result<(), Self::Error>;
}

/// Reads an entity to work on.
pub(super) fn load<R: EntityRows>(rows: &R, id: &InstanceId) -> Result<Option<LoadedEntity>, R::Error> {
    rows.find_entity(id)?.map(|record| complete(rows, record)).transpose()
}

/// Reads what belongs to an entity that is to be worked on.
pub(super) fn complete<R: EntityRows>(rows: &R, record: EntityRecord) -> Result<LoadedEntity, R::Error> {
    let queue = rows.queue(record.key)?;
    let held = queue.iter().filter(|entry| entry.is_held()).count() as u64;
    let requests = queue.iter().filter(|entry| entry.lock_request().is_some()).count() as u64;
    let operations = queue.len() as u64 - held - requests;
    if (held, requests, operations) != (record.held_operations, record.queued_requests, record.queued_operations) {
        return Err(
            Damaged::new(format!("the queue of entity {:?}", record.id), "lacks operations or has too many").into()
        );
    }
    let state = state(rows, &record)?;
    Ok(LoadedEntity { record, state, queue })
}

fn state<R: EntityRows>(rows: &R, record: &EntityRecord) -> Result<Option<Arc<str>>, R::Error> {
    let state = rows.state(record.key)?;
    if state.is_some() != record.has_state {
        return Err(Damaged::new(format!("the state of entity {:?}", record.id), "is missing, or should be").into());
    }
    Ok(state)
}

/// Reads an entity to show.
pub(super) fn view<R: EntityRows>(rows: &R, id: &InstanceId, with_state: bool) -> Result<Option<EntityView>, R::Error> {
    let Some(record) = rows.find_entity(id)? else { return Ok(None) };
    let state = if with_state { state(rows, &record)? } else { None };
    Ok(Some(EntityView { record, state }))
}

/// Reads a page of a listing.
pub(super) fn page<R: EntityRows>(
    rows: &R,
    filter: &EntityFilter,
    after: Option<&InstanceId>,
    size: PageSize,
) -> Result<EntityPage, R::Error> {
    let mut page = EntityPage::default();
    let (mut looks, mut bytes) = (0, 0);
    let mut last: Option<InstanceId> = None;
    rows.walk_entities(&filter.id_prefix, after, &mut |record| {
        if !record.id.as_str().starts_with(&filter.id_prefix) {
            return Ok(ControlFlow::Break(()));
        }
        if looks == LOOKS || page.entities.len() >= size.instances.max(1) {
            page.next = last.take();
            return Ok(ControlFlow::Break(()));
        }
        let id = record.id.clone();
        if fits(filter, &record) {
            let state = if size.inputs { state(rows, &record)? } else { None };
            bytes += ROW_BYTES + id.as_str().len() + state.as_deref().map_or(0, payload::weight);
            if bytes > size.bytes && !page.entities.is_empty() {
                page.next = last.take();
                return Ok(ControlFlow::Break(()));
            }
            page.entities.push(EntityView { record, state });
        }
        looks += 1;
        last = Some(id);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(page)
}

/// About what an entity takes on the wire beside its texts.
const ROW_BYTES: usize = 100;

fn fits(filter: &EntityFilter, record: &EntityRecord) -> bool {
    let shown = if filter.transient { record.is_shown() } else { record.has_state };
    shown
        && filter.modified_from.is_none_or(|from| record.modified_at >= from)
        && filter.modified_to.is_none_or(|to| record.modified_at < to)
}

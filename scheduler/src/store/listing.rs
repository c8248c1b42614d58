//! Listings in pages, as every store makes them.
//!
//! A store walks along one of its indexes and shows at which instances it comes by; here it is decided which of them are shown
//! and where a page ends. A page ends when it has what was asked for, and also when it has looked at a number of instances:
//! what it costs depends neither on how many instances there are nor on how few of them fit.

use std::ops::ControlFlow;

use super::codec::Damaged;
use super::read::{self, Rows};
use super::{InstanceFilter, InstanceOrder, InstancePage, InstanceView, PageSize, Place};
use crate::core::ids::{InstanceId, InstanceKey};
use crate::core::payload;
use crate::core::record::{InstanceRecord, Status, StoredEvent};
use crate::core::time::Timestamp;

/// How many instances a page looks at. Looking at one that does not fit costs a few microseconds.
pub(super) const LOOKS: usize = 3_000;

/// About what an instance takes in memory beside its texts.
const VIEW_BYTES: usize = 300;

/// Which part of which index a listing goes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// All ids that begin so, from the one at which or after which the walk begins.
    Ids { prefix: String, from: InstanceId, inclusive: bool },
    /// Instances of some statuses, which are all different and in order, by a time and by id: from after a place (whose id may
    /// be empty) to a time, which belongs to it.
    Times { by: InstanceOrder, statuses: Vec<Status>, from: (Timestamp, String), last: Timestamp },
}

/// A way through the instances, and what is looked for on it.
#[derive(Clone, Debug)]
pub(super) struct Walk<'f> {
    pub(super) path: Path,
    pub(super) filter: &'f InstanceFilter,
}

/// An instance that a walk comes by.
pub(super) struct Passed {
    /// Which one.
    pub(super) key: InstanceKey,
    /// Where it stands.
    pub(super) place: Place,
    /// Its status, if that is what it was found by: as a number on the wire.
    pub(super) status: Option<i32>,
    /// Whether it fits the filter, as far as statuses and times go.
    pub(super) fits: bool,
}

impl<'f> Walk<'f> {
    /// The way to go for a listing; none if nothing can be on it.
    pub(super) fn new(filter: &'f InstanceFilter, order: InstanceOrder, after: Option<&Place>) -> Option<Self> {
        let prefix = filter.id_prefix.as_deref().unwrap_or("");
        if prefix.starts_with('@') {
            return None;
        }
        let mut statuses: Vec<Status> = if filter.statuses.is_empty() { ALL.into() } else { filter.statuses.clone() };
        if order == InstanceOrder::Completed {
            statuses.retain(|status| status.is_terminal());
        }
        statuses.sort_unstable();
        statuses.dedup();
        if statuses.is_empty() {
            return None;
        }
        let path = if order == InstanceOrder::Created && !prefix.is_empty() {
            let after = after.map(|place| place.id.clone()).filter(|id| id.as_str() >= prefix);
            let inclusive = after.is_none();
            Path::Ids {
                prefix: prefix.to_owned(),
                from: after.unwrap_or_else(|| InstanceId::trusted(prefix)),
                inclusive,
            }
        } else {
            let (from, to) = match order {
                InstanceOrder::Created => (filter.created_from, filter.created_to),
                InstanceOrder::Completed => (filter.completed_from, filter.completed_to),
            };
            // No id is empty: so this is before all that happened at that time.
            let first = (from.unwrap_or(Timestamp::MIN), String::new());
            let after = after.map(|place| (place.time, place.id.as_str().to_owned()));
            let last = match to {
                Some(to) => Timestamp::from_micros(to.as_micros().checked_sub(1)?),
                None => Timestamp::from_micros(i64::MAX),
            };
            Path::Times { by: order, statuses, from: after.map_or(first.clone(), |after| after.max(first)), last }
        };
        Some(Self { path, filter })
    }

    /// Whether an instance is one to be shown.
    pub(super) fn fits(&self, record: &InstanceRecord) -> bool {
        let filter = self.filter;
        let ordered = match &self.path {
            Path::Times { by: InstanceOrder::Completed, .. } => record.completed_at.is_some(),
            Path::Times { .. } | Path::Ids { .. } => true,
        };
        let within = |time: Timestamp, from: Option<Timestamp>, to: Option<Timestamp>| {
            from.is_none_or(|from| time >= from) && to.is_none_or(|to| time < to)
        };
        let by_end = filter.completed_from.is_some() || filter.completed_to.is_some();
        let ended = record.completed_at.map_or(!by_end, |at| within(at, filter.completed_from, filter.completed_to));
        ordered
            && ended
            && within(record.created_at, filter.created_from, filter.created_to)
            && (filter.statuses.is_empty() || filter.statuses.contains(&record.status))
            && !record.id.is_entity()
            && self.has_prefix(&record.id)
    }

    fn has_prefix(&self, id: &InstanceId) -> bool {
        self.filter.id_prefix.as_deref().is_none_or(|prefix| id.as_str().starts_with(prefix))
    }

    /// The place of an instance on this walk.
    pub(super) fn place(&self, record: &InstanceRecord) -> Place {
        let time = match &self.path {
            Path::Ids { .. } => Timestamp::default(),
            Path::Times { by: InstanceOrder::Created, .. } => record.created_at,
            Path::Times { by: InstanceOrder::Completed, .. } => record.completed_at.unwrap_or_default(),
        };
        Place { time, id: record.id.clone() }
    }
}

/// All statuses.
const ALL: [Status; 7] = [
    Status::Running,
    Status::Completed,
    Status::Failed,
    Status::Canceled,
    Status::Terminated,
    Status::Pending,
    Status::Suspended,
];

/// Reads a page.
pub(super) fn page<R: Rows>(
    rows: &R,
    filter: &InstanceFilter,
    order: InstanceOrder,
    after: Option<&Place>,
    size: PageSize,
) -> Result<InstancePage, R::Error> {
    let mut page = InstancePage::default();
    let Some(walk) = Walk::new(filter, order, after) else { return Ok(page) };
    let (mut looks, mut bytes) = (0, 0);
    let mut last = None;
    rows.walk(&walk, &mut |Passed { key, place, status, fits }| {
        if looks == LOOKS || page.instances.len() >= size.instances.max(1) {
            page.next = last.take();
            return Ok(ControlFlow::Break(()));
        }
        if fits && walk.has_prefix(&place.id) {
            let record = rows.record(key)?.ok_or_else(|| misled(&place.id))?;
            let has_status = status.is_none_or(|status| status == i32::from(record.status.to_wire()));
            if !has_status || !walk.fits(&record) || walk.place(&record) != place {
                return Err(misled(&place.id).into());
            }
            let view = view(rows, record, size.inputs)?;
            bytes += weight(&view);
            if bytes > size.bytes && !page.instances.is_empty() {
                page.next = last.take();
                return Ok(ControlFlow::Break(()));
            }
            page.instances.push(view);
        }
        looks += 1;
        last = Some(place);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(page)
}

/// An instance as a listing shows it: without inputs, of its history only the failure is read.
fn view<R: Rows>(rows: &R, record: InstanceRecord, inputs: bool) -> Result<InstanceView, R::Error> {
    let started = if inputs { read::started(rows, &record)? } else { None };
    let ending = if inputs { record.status.is_terminal() } else { record.status == Status::Failed };
    let completed = if ending { read::completed(rows, &record)? } else { None };
    Ok(InstanceView { record, started, completed })
}

fn weight(view: &InstanceView) -> usize {
    let record = &view.record;
    let event = |stored: &Option<StoredEvent>| stored.as_ref().map_or(0, |stored| payload::event_weight(&stored.event));
    let tags: usize = record.tags.iter().map(|(name, value)| name.len() + value.len()).sum();
    let status = record.custom_status.as_deref().map_or(0, payload::weight);
    VIEW_BYTES + record.id.as_str().len() + tags + status + event(&view.started) + event(&view.completed)
}

fn misled(id: &InstanceId) -> Damaged {
    Damaged::new(format!("an index in which instance {id:?} stands"), "says something else of it than its row")
}

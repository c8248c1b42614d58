//! Which rows refer to which payloads.
//!
//! A reference is kept for the row that holds it, not as a count: to write a row twice counts once, and a row that is deleted takes its
//! references with it, without being read. What a batch changes is worked out here, for every store alike.

use crate::core::batch::Batch;
use crate::core::ids::{InstanceKey, Position, RunId};
use crate::core::payload::{self, Hash, MARK, Reference};
use crate::store::codec;

/// A row of the store that may refer to payloads: a table, numbered as in [`seal`](super::seal), and its two key numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) table: u8,
    pub(super) row: u64,
    pub(super) sub: u64,
}

const INSTANCES: u8 = 1;
const HISTORY: u8 = 2;
const INBOX: u8 = 3;
const STATES: u8 = 6;
const QUEUES: u8 = 7;

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A row refers to nothing any more, but perhaps to this one: it is written anew, and has it still.
    Forget(Owner, Option<Hash>),
    /// All rows of a table with that first key number refer to nothing any more.
    ForgetAll { table: u8, row: u64 },
    /// A row refers to a payload.
    Add(Owner, Hash),
}

/// What a batch changes. With `none_yet` there are no references in the store, and so none to forget.
pub(super) fn changes(batch: &Batch, none_yet: bool) -> Vec<Change> {
    let mut changes = Changes { list: Vec::new(), none_yet };
    for key in &batch.dropped_instances {
        changes.forget_all(INSTANCES, key.0);
        changes.forget_all(INBOX, key.0);
    }
    for run in &batch.dropped_runs {
        changes.forget_all(HISTORY, run.0);
    }
    for (key, record) in &batch.instances {
        changes.put(instance(*key), record.custom_status.as_deref(), false);
    }
    for ((key, seq), entry) in &batch.inbox {
        let owner = Owner { table: INBOX, row: key.0, sub: *seq };
        changes.put(owner, entry.as_ref().and_then(|entry| text(&entry.stored.event)), batch.is_new_inbox(*key, *seq));
    }
    for append in &batch.appends {
        if append.events.iter().all(|stored| text(&stored.event).is_none_or(|text| !text.starts_with(MARK))) {
            continue;
        }
        for (first, events) in codec::split(append.first, &append.events) {
            let owner = episode(append.run, first);
            events.iter().filter_map(|stored| text(&stored.event)).for_each(|text| changes.add(owner, text));
        }
    }
    for key in &batch.dropped_entities {
        changes.forget_all(STATES, key.0);
        changes.forget_all(QUEUES, key.0);
    }
    for (key, state) in &batch.states {
        changes.put(Owner { table: STATES, row: key.0, sub: 0 }, state.as_deref(), false);
    }
    for ((key, seq), entry) in &batch.queues {
        let owner = Owner { table: QUEUES, row: key.0, sub: *seq };
        changes.put(owner, entry.as_ref().and_then(|entry| text(&entry.event)), batch.is_new_queue(*key, *seq));
    }
    changes.list
}

const fn instance(key: InstanceKey) -> Owner {
    Owner { table: INSTANCES, row: key.0, sub: 0 }
}

const fn episode(run: RunId, first: Position) -> Owner {
    Owner { table: HISTORY, row: run.0, sub: first }
}

fn text(event: &durawasm_proto::durabletask::HistoryEvent) -> Option<&str> {
    payload::of_event(event).map(String::as_str)
}

struct Changes {
    list: Vec<Change>,
    none_yet: bool,
}

impl Changes {
    fn forget_all(&mut self, table: u8, row: u64) {
        if !self.none_yet {
            self.list.push(Change::ForgetAll { table, row });
        }
    }

    /// A row is written. One that is new has nothing to forget.
    fn put(&mut self, owner: Owner, text: Option<&str>, is_new: bool) {
        let hash = text.and_then(hash);
        if !self.none_yet && !is_new {
            self.list.push(Change::Forget(owner, hash));
        }
        self.list.extend(hash.map(|hash| Change::Add(owner, hash)));
    }

    fn add(&mut self, owner: Owner, text: &str) {
        self.list.extend(hash(text).map(|hash| Change::Add(owner, hash)));
    }
}

fn hash(text: &str) -> Option<Hash> {
    text.starts_with(MARK).then(|| Reference::parse(text)).flatten().map(|reference| reference.hash)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::events;
    use crate::core::payload::HubKey;
    use crate::core::record::{InboxEntry, StoredEvent};
    use crate::core::time::Timestamp;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;
    use crate::store::sqlite::{SqliteOptions, SqliteStore};

    fn reference(number: u8) -> String {
        Reference { key: HubKey(1), hash: Hash([number; 32]), length: 100_000 }.to_string()
    }

    fn entry(seq: u64, text: Option<String>) -> InboxEntry {
        let event = events::event_raised(Timestamp::from_micros(5), "e".into(), text);
        InboxEntry { seq, stored: StoredEvent { event, answers: None } }
    }

    #[test]
    fn a_row_that_is_new_has_nothing_to_forget_and_one_that_is_changed_or_deleted_has() {
        let (key, mut batch) = (InstanceKey(1), Batch::default());
        batch.put_inbox(key, entry(0, None));
        batch.put_inbox(key, entry(1, Some(reference(7))));
        let owner = |sub| Owner { table: INBOX, row: 1, sub };
        assert_eq!(changes(&batch, false), [Change::Add(owner(1), Hash([7; 32]))]);
        let mut batch = Batch::default();
        batch.change_inbox(key, entry(0, None));
        batch.change_inbox(key, entry(1, Some(reference(8))));
        batch.delete_inbox(key, 2);
        let kept = Hash([8; 32]);
        let expected = [
            Change::Forget(owner(0), None),
            Change::Forget(owner(1), Some(kept)),
            Change::Add(owner(1), kept),
            Change::Forget(owner(2), None),
        ];
        assert_eq!(changes(&batch, false), expected);
        assert_eq!(changes(&batch, true), [Change::Add(owner(1), kept)], "there is nothing to forget at all");
    }

    #[test]
    fn what_a_row_refers_to_again_is_not_let_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let sqlite = SqliteStore::create(&folder.path().join("hub.db"), SqliteOptions::default()).expect("it is made");
        let memory = MemoryStore::new();
        for store in [&memory as &dyn Store, &sqlite] {
            let put = |number: Option<u8>| {
                let mut batch = Batch::default();
                batch.put_state(InstanceKey(1), number.map(|number| Arc::from(reference(number))));
                store.commit(&batch).expect("it is committed");
                store.released_payloads()
            };
            assert!(put(Some(1)).is_empty());
            assert!(put(Some(1)).is_empty(), "it has it still");
            assert_eq!(put(Some(2)), [Hash([1; 32])]);
            assert!(!store.is_payload_referenced(Hash([1; 32])).expect("it is read"));
            assert!(store.is_payload_referenced(Hash([2; 32])).expect("it is read"));
            assert_eq!(put(None), [Hash([2; 32])]);
        }
    }
}

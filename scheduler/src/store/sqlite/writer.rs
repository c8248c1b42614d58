//! The one connection that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};

use super::error::Failure;
use super::{entities, schema};
use crate::core::batch::Batch;
use crate::core::ids::{Incarnation, InstanceKey, Position};
use crate::core::payload::Hash;
use crate::core::record::InstanceRecord;
use crate::core::time::Timestamp;
use crate::store::{codec, references};

/// The log is copied into the database when it has this many pages: each copy writes a page once that was logged many
/// times since, so that fewer copies write less.
const CHECKPOINT_PAGES: i32 = 16_000;

/// After a checkpoint that readers held up, the next one is tried this many pages later.
const CHECKPOINT_RETRY_PAGES: i32 = 2_000;

/// From this size on, a checkpoint waits for readers, so that the log cannot grow without end.
const CHECKPOINT_INSIST_PAGES: i32 = 8 * CHECKPOINT_PAGES;

/// Incarnations are the upper half of keys that must stay positive numbers for SQLite.
const INCARNATIONS: u64 = 1 << 31;

pub(super) struct Writer {
    connection: Connection,
    /// Pages in the log, as of the last commit.
    log_pages: Arc<AtomicI32>,
    checkpoint_at: i32,
    /// Whether no row refers to a payload, so that what is deleted need not be looked up there.
    no_references: bool,
}

impl Writer {
    pub(super) fn new(mut connection: Connection) -> Result<Self, Failure> {
        let no_references =
            connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM payload_refs)", [], |row| row.get(0))?;
        let log_pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&log_pages);
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { connection, log_pages, checkpoint_at: CHECKPOINT_PAGES, no_references })
    }

    /// Makes a batch durable, all of it or nothing. Returns the payloads that rows have let go; others may still refer to them.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<Vec<Hash>, Failure> {
        let changes = references::changes(batch, self.no_references);
        let mut released = Vec::new();
        self.in_transaction(|transaction| {
            apply(transaction, batch)?;
            super::references::apply(transaction, &changes, &mut released)
        })?;
        // What a batch does when there are none is to add.
        self.no_references &= changes.is_empty();
        self.checkpoint_if_due()?;
        Ok(released)
    }

    /// Makes the next incarnation durable, and begins it with an empty log.
    pub(super) fn raise_incarnation(&mut self) -> Result<Incarnation, Failure> {
        let incarnation = self.in_transaction(|transaction| {
            let (last, key) = schema::meta(transaction)?;
            let next = Incarnation(last.0 + 1);
            if next.0 >= INCARNATIONS {
                return Err(codec::Damaged::new("the number of openings", "is beyond all possible").into());
            }
            schema::put_meta(transaction, next, key)?;
            Ok(next)
        })?;
        // From here on, damage to the log cannot take the incarnation back.
        self.empty_log()?;
        Ok(incarnation)
    }

    /// Copies the whole log into the database and cuts it to nothing.
    pub(super) fn empty_log(&mut self) -> Result<(), Failure> {
        self.connection.wal_checkpoint_v2(Some(rusqlite::MAIN_DB), CheckpointMode::TRUNCATE)?;
        Ok(())
    }

    /// Closes without touching the file again: for when a write has failed and the page cache cannot be trusted.
    pub(super) fn abandon(&self) -> Result<(), Failure> {
        self.connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(())
    }

    /// Lets the database have so many pages and no more, as a disk would.
    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: i64) {
        self.connection.pragma_update(None, "max_page_count", pages).expect("SQLite takes it");
    }

    fn in_transaction<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        // Dropped on an error, a transaction rolls back.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    fn checkpoint_if_due(&mut self) -> Result<(), Failure> {
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < CHECKPOINT_PAGES {
            self.checkpoint_at = CHECKPOINT_PAGES;
            return Ok(());
        }
        if pages < self.checkpoint_at {
            return Ok(());
        }
        let mode = if pages < CHECKPOINT_INSIST_PAGES { CheckpointMode::PASSIVE } else { CheckpointMode::RESTART };
        match self.connection.wal_checkpoint_v2(Some(rusqlite::MAIN_DB), mode) {
            Ok(_) => {}
            // A reader holds it up: later, then.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {}
            Err(error) => return Err(error.into()),
        }
        self.checkpoint_at = pages.saturating_add(CHECKPOINT_RETRY_PAGES);
        Ok(())
    }
}

/// Numbers as SQLite has them: the same 64 bits. All keys and positions are below 2⁶³, so their order is kept.
pub(super) const fn number(value: u64) -> i64 {
    value.cast_signed()
}

fn apply(transaction: &Transaction<'_>, batch: &Batch) -> Result<(), Failure> {
    for key in &batch.dropped_instances {
        transaction.prepare_cached("DELETE FROM instances WHERE key = ?1")?.execute([number(key.0)])?;
        transaction.prepare_cached("DELETE FROM inbox WHERE instance = ?1")?.execute([number(key.0)])?;
    }
    for run in &batch.dropped_runs {
        transaction.prepare_cached("DELETE FROM history WHERE run = ?1")?.execute([number(run.0)])?;
    }
    for run in batch.dropped_runs.iter().chain(&batch.ended_runs) {
        transaction.prepare_cached("DELETE FROM timers WHERE run = ?1")?.execute([number(run.0)])?;
    }
    for (key, record) in &batch.instances {
        put_instance(transaction, *key, record)?;
    }
    for ((key, seq), entry) in &batch.inbox {
        let place = (number(key.0), number(*seq));
        if let Some(entry) = entry {
            // An entry may only be new, or the same again.
            let sql = "INSERT OR REPLACE INTO inbox (instance, seq, entry) VALUES (?1, ?2, ?3)";
            let blob = codec::encode_inbox(*key, entry);
            transaction.prepare_cached(sql)?.execute(params![place.0, place.1, blob])?;
        } else {
            transaction.prepare_cached("DELETE FROM inbox WHERE instance = ?1 AND seq = ?2")?.execute(place)?;
        }
    }
    for ((run, position), timer) in &batch.timers {
        let place = (number(run.0), number(*position));
        if let Some(timer) = timer {
            let sql = "INSERT OR REPLACE INTO timers (run, position, due, timer) VALUES (?1, ?2, ?3, ?4)";
            let blob = codec::encode_timer(timer);
            transaction.prepare_cached(sql)?.execute(params![place.0, place.1, timer.due.as_micros(), blob])?;
        } else {
            transaction.prepare_cached("DELETE FROM timers WHERE run = ?1 AND position = ?2")?.execute(place)?;
        }
    }
    let mut insert = transaction.prepare_cached("INSERT INTO history (run, first, events) VALUES (?1, ?2, ?3)")?;
    for append in &batch.appends {
        for (first, events) in codec::split(append.first, &append.events) {
            let blob: Vec<u8> = codec::encode_episode(append.run, first, events);
            insert.execute(params![number(append.run.0), number(first as Position), blob])?;
        }
    }
    entities::apply(transaction, batch)
}

/// An update of a row's indexed columns costs every index that they are in, whether they change or not, so they are only named
/// when they change. Most rows are there already and most changes are of the record alone: that comes first, but for instances
/// that look new. What an instance is listed by and that can never change (its id, its creation) is never updated: a row that
/// disagrees is refused as one that is there already.
fn put_instance(transaction: &Transaction<'_>, key: InstanceKey, record: &InstanceRecord) -> Result<(), Failure> {
    let row = InstanceRow {
        key: number(key.0),
        status: i32::from(record.status.to_wire()),
        active: record.is_active(),
        completed_at: record.completed_at.map(Timestamp::as_micros),
        parent: record.parent.as_ref().map(|parent| parent.instance.as_str()),
        blob: codec::encode_instance(record),
        record,
    };
    let looks_new = record.history_len == 0 && record.base.is_none() && record.inbox_next <= 1;
    if looks_new && row.insert(transaction, "ON CONFLICT (key) DO NOTHING")? {
        return Ok(());
    }
    if !row.update(transaction)? && !row.update_indexed(transaction)? {
        row.insert(transaction, "")?;
    }
    Ok(())
}

/// What a row of `instances` holds.
struct InstanceRow<'r> {
    key: i64,
    status: i32,
    active: bool,
    completed_at: Option<i64>,
    parent: Option<&'r str>,
    blob: Vec<u8>,
    record: &'r InstanceRecord,
}

impl InstanceRow<'_> {
    /// Changes a row in no indexed column, if that will do.
    fn update(&self, transaction: &Transaction<'_>) -> Result<bool, Failure> {
        let sql = "UPDATE instances SET updated_at = ?5, name = ?6, version = ?7, record = ?8
            WHERE key = ?1 AND status = ?2 AND active = ?3 AND completed_at IS ?4 AND parent IS ?9 AND created_at = ?10 AND id = ?11";
        self.execute(transaction, sql)
    }

    /// Changes a row.
    fn update_indexed(&self, transaction: &Transaction<'_>) -> Result<bool, Failure> {
        // The parent's index is left alone if it can be.
        let update = |parent: &str| {
            let sql = format!(
                "UPDATE instances SET status = ?2, active = ?3, completed_at = ?4, updated_at = ?5, name = ?6, version = ?7, record = ?8
                {parent} AND created_at = ?10 AND id = ?11"
            );
            self.execute(transaction, &sql)
        };
        Ok(update("WHERE key = ?1 AND parent IS ?9")? || update(", parent = ?9 WHERE key = ?1")?)
    }

    /// Makes a new row.
    fn insert(&self, transaction: &Transaction<'_>, conflict: &str) -> Result<bool, Failure> {
        let sql = format!(
            "INSERT INTO instances (key, status, active, completed_at, updated_at, name, version, record, parent, created_at, id)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) {conflict}"
        );
        self.execute(transaction, &sql)
    }

    /// Runs a statement with the columns as its parameters. Returns whether it found a row, or made one.
    fn execute(&self, transaction: &Transaction<'_>, sql: &str) -> Result<bool, Failure> {
        let changed = transaction.prepare_cached(sql)?.execute(params![
            self.key,
            self.status,
            self.active,
            self.completed_at,
            self.record.updated_at.as_micros(),
            self.record.name,
            self.record.version,
            self.blob,
            self.parent,
            self.record.created_at.as_micros(),
            self.record.id.as_str(),
        ])?;
        Ok(changed > 0)
    }
}

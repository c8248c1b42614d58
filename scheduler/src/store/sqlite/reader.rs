//! The connections that read, and what they read.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags};

use super::error::Failure;
use super::writer::number;
use super::{pages, schema, walk};
use crate::core::ids::{InstanceId, InstanceKey, Position, RunId};
use crate::core::record::{InboxEntry, InstanceRecord, StoredEvent, TimerRecord};
use crate::store::codec::{self, Damaged};
use crate::store::listing::{Passed, Walk};
use crate::store::read::{Episode, Rows};
use crate::store::{LoadedInstance, StoreError, read};

/// A fixed number of connections, opened as they are needed, each used by one thread at a time.
pub(super) struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
}

struct Pool {
    idle: Vec<Connection>,
    may_open: usize,
}

impl Readers {
    pub(super) fn new(path: &Path, limit: usize) -> Self {
        let pool = Mutex::new(Pool { idle: Vec::new(), may_open: limit.max(1) });
        Self { path: path.to_owned(), pool, returned: Condvar::new() }
    }

    /// Runs reads that all see the same committed state.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Snapshot<'_>) -> Result<T, Failure>) -> Result<T, StoreError> {
        let connection = self.take()?;
        let result = snapshot(&connection, work).map_err(|failure| failure.at(&self.path));
        self.give_back(result.is_ok().then_some(connection));
        result
    }

    /// Closes what is not in use.
    pub(super) fn close(&self) {
        let mut pool = self.pool.lock();
        pool.may_open += pool.idle.len();
        pool.idle.clear();
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let mut pool = self.pool.lock();
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Ok(connection);
            }
            if pool.may_open > 0 {
                pool.may_open -= 1;
                drop(pool);
                return self.open().inspect_err(|_| self.give_back(None));
            }
            self.returned.wait(&mut pool);
        }
    }

    /// A connection that met an error is not used again: None, and another may be opened.
    fn give_back(&self, connection: Option<Connection>) {
        let mut pool = self.pool.lock();
        match connection {
            Some(connection) => pool.idle.push(connection),
            None => pool.may_open += 1,
        }
        drop(pool);
        self.returned.notify_one();
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags_and_vfs(&self.path, flags, pages::VFS)
            .map_err(|e| Failure::from(e).at(&self.path))?;
        schema::prepare_reader(&connection, &self.path)?;
        Ok(connection)
    }
}

fn snapshot<T>(connection: &Connection, work: impl FnOnce(&Snapshot<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let result = work(&Snapshot { connection });
    // It ends a transaction that wrote nothing; if it fails, the caller closes the connection, which ends it as well.
    let ended = connection.prepare_cached("ROLLBACK")?.execute([]);
    let value = result?;
    ended?;
    Ok(value)
}

/// One committed state.
pub(super) struct Snapshot<'c> {
    pub(super) connection: &'c Connection,
}

impl Snapshot<'_> {
    /// All instances that have work to hand out.
    pub(super) fn active(&self) -> Result<Vec<LoadedInstance>, Failure> {
        let sql = "SELECT key, record FROM instances INDEXED BY instances_active WHERE active = 1 ORDER BY key";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut active = Vec::new();
        while let Some(row) = rows.next()? {
            let key = InstanceKey(unsigned(row.get(0)?));
            let record = codec::decode_instance(key, row.get_ref(1)?.as_blob().map_err(wrong_type)?)?;
            if !record.is_active() {
                return Err(index_damage(&record.id));
            }
            active.push(read::complete(self, record)?);
        }
        Ok(active)
    }

    /// All timers.
    pub(super) fn timers(&self) -> Result<Vec<TimerRecord>, Failure> {
        let mut statement =
            self.connection.prepare_cached("SELECT run, position, timer FROM timers ORDER BY run, position")?;
        let mut rows = statement.query([])?;
        let mut timers = Vec::new();
        while let Some(row) = rows.next()? {
            let (run, position) = (RunId(unsigned(row.get(0)?)), unsigned(row.get(1)?));
            timers.push(codec::decode_timer(run, position, row.get_ref(2)?.as_blob().map_err(wrong_type)?)?);
        }
        Ok(timers)
    }

    /// The children of an instance.
    pub(super) fn children(
        &self,
        parent: &InstanceId,
        after: Option<&InstanceId>,
        limit: usize,
    ) -> Result<Vec<InstanceId>, Failure> {
        let mut statement = self.connection.prepare_cached(walk::CHILDREN)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query((parent.as_str(), after.map_or("", InstanceId::as_str), limit))?;
        let mut children = Vec::new();
        while let Some(row) = rows.next()? {
            let key = InstanceKey(unsigned(row.get(0)?));
            let record = codec::decode_instance(key, row.get_ref(1)?.as_blob().map_err(wrong_type)?)?;
            if record.parent.is_none_or(|link| link.instance != *parent) {
                return Err(index_damage(&record.id));
            }
            children.push(record.id);
        }
        Ok(children)
    }
}

impl Rows for Snapshot<'_> {
    type Error = Failure;

    fn record(&self, key: InstanceKey) -> Result<Option<InstanceRecord>, Failure> {
        let mut statement = self.connection.prepare_cached("SELECT record FROM instances WHERE key = ?1")?;
        let mut rows = statement.query([number(key.0)])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(codec::decode_instance(key, row.get_ref(0)?.as_blob().map_err(wrong_type)?)?))
    }

    fn walk(
        &self,
        walk: &Walk<'_>,
        visit: &mut dyn FnMut(Passed) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        walk::walk(self.connection, walk, visit)
    }

    fn find(&self, id: &InstanceId) -> Result<Option<InstanceRecord>, Failure> {
        let mut statement = self.connection.prepare_cached("SELECT key, record FROM instances WHERE id = ?1")?;
        let mut rows = statement.query([id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let key = InstanceKey(unsigned(row.get(0)?));
        let record = codec::decode_instance(key, row.get_ref(1)?.as_blob().map_err(wrong_type)?)?;
        if record.id != *id {
            return Err(index_damage(id));
        }
        Ok(Some(record))
    }

    fn inbox(&self, key: InstanceKey) -> Result<Vec<InboxEntry>, Failure> {
        let sql = "SELECT seq, entry FROM inbox WHERE instance = ?1 ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([number(key.0)])?;
        let mut inbox = Vec::new();
        while let Some(row) = rows.next()? {
            let seq = unsigned(row.get(0)?);
            inbox.push(codec::decode_inbox(key, seq, row.get_ref(1)?.as_blob().map_err(wrong_type)?)?);
        }
        Ok(inbox)
    }

    fn episodes(
        &self,
        run: RunId,
        from: Position,
        visit: &mut dyn FnMut(Episode) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let sql = "SELECT first, events FROM history WHERE run = ?1 AND first >=
            coalesce((SELECT max(first) FROM history WHERE run = ?1 AND first <= ?2), 0) ORDER BY first";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([number(run.0), number(from)])?;
        while let Some(row) = rows.next()? {
            if visit(episode(run, row)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last_episode(&self, run: RunId) -> Result<Option<Episode>, Failure> {
        let sql = "SELECT first, events FROM history WHERE run = ?1 ORDER BY first DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([number(run.0)])?;
        rows.next()?.map(|row| episode(run, row)).transpose()
    }
}

fn episode(run: RunId, row: &rusqlite::Row<'_>) -> Result<Episode, Failure> {
    let first = unsigned(row.get(0)?);
    let events: Vec<StoredEvent> = codec::decode_episode(run, first, row.get_ref(1)?.as_blob().map_err(wrong_type)?)?;
    Ok(Episode { first, events })
}

pub(super) const fn unsigned(value: i64) -> u64 {
    value.cast_unsigned()
}

pub(super) fn wrong_type(_: rusqlite::types::FromSqlError) -> Damaged {
    Damaged::new("a row", "holds something of another type")
}

fn index_damage(id: &InstanceId) -> Failure {
    Damaged::new(format!("the index that leads to instance {id:?}"), "leads to something else").into()
}

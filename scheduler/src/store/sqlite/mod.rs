//! The embedded store: one SQLite file per task hub, with a write-ahead log.
//!
//! One connection writes, a few read; readers see committed batches and never wait for the writer. The file is used by
//! one process at a time, which a lock file beside it sees to. `docs/store.md` describes the format.

mod entities;
mod error;
mod log;
mod migration;
mod pages;
mod reader;
mod references;
mod schema;
mod walk;
mod writer;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

use self::error::{Failure, corrupt};
use self::log::Log;
use self::reader::Readers;
use self::writer::Writer;
use super::durable::{beside, gone, rename};
use super::lock::LockFile;
use super::{
    EntityFilter, EntityPage, EntityView, InstanceFilter, InstanceOrder, InstancePage, InstanceView, LoadedEntity,
    LoadedInstance, PageSize, Place, Recovered, Store, StoreError, listing, read,
};
use crate::core::batch::Batch;
use crate::core::ids::{InstanceId, Position, RunId};
use crate::core::payload::{Hash, HubKey};
use crate::core::record::StoredEvent;

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// How many reads may run at once.
    pub readers: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { readers: 6 }
    }
}

/// A task hub in a file.
pub struct SqliteStore {
    path: PathBuf,
    // In this order: SQLite takes leave of its log when the last connection closes, and the lock goes last of all.
    readers: Readers,
    writer: Mutex<Writer>,
    /// Whether a write has failed. What the file holds is then only known after it is opened again.
    failed: AtomicBool,
    payload_key: HubKey,
    /// Payloads that rows have let go since this was last asked.
    released: Mutex<Vec<Hash>>,
    _lock: LockFile,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens a file that [`SqliteStore::create`] made.
    ///
    /// # Errors
    /// If another process has it open, or it is missing, damaged or of a newer format.
    pub fn open(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let lock = Self::lock(path)?;
        Self::open_locked(path, options, lock)
    }

    /// Makes a new file, which is on disk and complete when this returns, or not there.
    ///
    /// # Errors
    /// If there is one already, or it cannot be written.
    pub fn create(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let lock = Self::lock(path)?;
        if path.exists() {
            return Err(StoreError::Io(format!("{}: is there already", path.display())));
        }
        make(path)?;
        Self::open_locked(path, options, lock)
    }

    /// Opens a file, or makes it if it is not there.
    ///
    /// # Errors
    /// As [`SqliteStore::open`] and [`SqliteStore::create`].
    pub fn open_or_create(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let lock = Self::lock(path)?;
        if !path.exists() {
            make(path)?;
        }
        Self::open_locked(path, options, lock)
    }

    /// Keeps everybody else from opening the file.
    pub(super) fn lock(path: &Path) -> Result<LockFile, StoreError> {
        LockFile::take(&beside(path, ".lock"), &format!("{}", path.display()))
    }

    fn open_locked(path: &Path, options: SqliteOptions, lock: LockFile) -> Result<Self, StoreError> {
        let meta = fs::metadata(path).map_err(|e| StoreError::Io(format!("{}: {e}", path.display())))?;
        if meta.len() == 0 {
            // SQLite would take it for a new one.
            return Err(corrupt(path, &"it is empty"));
        }
        match log::inspect(&beside(path, "-wal")) {
            Ok(Log::Sound) => {}
            Ok(Log::Damaged(what)) => return Err(corrupt(path, &what)),
            Err(e) => return Err(StoreError::Io(format!("{}-wal: {e}", path.display()))),
        }
        pages::register()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection =
            Connection::open_with_flags_and_vfs(path, flags, pages::VFS).map_err(|e| Failure::from(e).at(path))?;
        let format = schema::prepare_writer(&connection, path)?;
        migration::migrate(&mut connection, path, format)?;
        let (_, payload_key) = schema::meta(&connection).map_err(|failure| failure.at(path))?;
        let writer = Writer::new(connection).map_err(|failure| failure.at(path))?;
        Ok(Self {
            readers: Readers::new(path, options.readers),
            writer: Mutex::new(writer),
            failed: AtomicBool::new(false),
            payload_key,
            released: Mutex::default(),
            _lock: lock,
            path: path.to_owned(),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes; after a failure never again.
    fn write<T>(&self, work: impl FnOnce(&mut Writer) -> Result<T, Failure>) -> Result<T, StoreError> {
        let mut writer = self.writer.lock();
        if self.failed.load(Ordering::Relaxed) {
            let path = self.path.display();
            return Err(StoreError::Io(format!("{path}: an earlier write failed; start again to see what is on disk")));
        }
        work(&mut writer).map_err(|failure| {
            self.failed.store(true, Ordering::Relaxed);
            failure.at(&self.path)
        })
    }
}

impl Store for SqliteStore {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let released = self.write(|writer| writer.commit(batch))?;
        if !released.is_empty() {
            self.released.lock().extend(released);
        }
        Ok(())
    }

    fn recover(&self) -> Result<Recovered, StoreError> {
        let incarnation = self.write(Writer::raise_incarnation)?;
        self.readers.read(|rows| {
            let entities = rows.active_entities()?;
            Ok(Recovered { incarnation, active: rows.active()?, entities, timers: rows.timers()? })
        })
    }

    fn load(&self, id: &InstanceId) -> Result<Option<LoadedInstance>, StoreError> {
        self.readers.read(|rows| read::load(rows, id))
    }

    fn view(&self, id: &InstanceId, with_input: bool) -> Result<Option<InstanceView>, StoreError> {
        self.readers.read(|rows| read::view(rows, id, with_input))
    }

    fn history(&self, run: RunId, from: Position, max_bytes: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers.read(|rows| read::page(rows, run, from, max_bytes))
    }

    fn list(
        &self,
        filter: &InstanceFilter,
        order: InstanceOrder,
        after: Option<&Place>,
        size: PageSize,
    ) -> Result<InstancePage, StoreError> {
        self.readers.read(|rows| listing::page(rows, filter, order, after, size))
    }

    fn children(
        &self,
        parent: &InstanceId,
        after: Option<&InstanceId>,
        limit: usize,
    ) -> Result<Vec<InstanceId>, StoreError> {
        self.readers.read(|rows| rows.children(parent, after, limit))
    }

    fn load_entity(&self, id: &InstanceId) -> Result<Option<LoadedEntity>, StoreError> {
        self.readers.read(|rows| super::entities::load(rows, id))
    }

    fn view_entity(&self, id: &InstanceId, with_state: bool) -> Result<Option<EntityView>, StoreError> {
        self.readers.read(|rows| super::entities::view(rows, id, with_state))
    }

    fn list_entities(
        &self,
        filter: &EntityFilter,
        after: Option<&InstanceId>,
        size: PageSize,
    ) -> Result<EntityPage, StoreError> {
        self.readers.read(|rows| super::entities::page(rows, filter, after, size))
    }

    fn payload_key(&self) -> HubKey {
        self.payload_key
    }

    fn is_payload_referenced(&self, hash: Hash) -> Result<bool, StoreError> {
        self.readers.read(|rows| rows.is_payload_referenced(hash))
    }

    fn released_payloads(&self) -> Vec<Hash> {
        std::mem::take(&mut *self.released.lock())
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.readers.close();
        let writer = self.writer.get_mut();
        let closed = if self.failed.load(Ordering::Relaxed) { writer.abandon() } else { writer.empty_log() };
        if let Err(failure) = closed {
            // Nothing is lost: what was committed is in the log, and is found there at the next opening.
            tracing::warn!("{}", failure.at(&self.path));
        }
    }
}

/// Makes a file under another name, and gives it its own when it is complete.
fn make(path: &Path) -> Result<(), StoreError> {
    let unfinished = beside(path, ".new");
    let io = |e: std::io::Error| StoreError::Io(format!("{}: cannot be made: {e}", path.display()));
    for stale in [unfinished.clone(), beside(&unfinished, "-journal"), beside(path, "-wal"), beside(path, "-shm")] {
        gone(fs::remove_file(&stale)).map_err(io)?;
    }
    let at = |failure: Failure| failure.at(&unfinished);
    pages::register()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(&unfinished, flags, pages::VFS);
    let mut connection = connection.map_err(|e| at(e.into()))?;
    schema::create(&mut connection).map_err(at)?;
    connection.close().map_err(|(_, e)| at(e.into()))?;
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io)?;
    rename(&unfinished, path).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::TimerRecord;
    use crate::core::time::Timestamp;

    fn timers(count: u64, due: i64) -> Batch {
        let mut batch = Batch::default();
        for position in 0..count {
            let instance = InstanceId::trusted(&format!("an instance with a long name {position}"));
            let due = Timestamp::from_micros(due);
            batch.put_timer(TimerRecord { run: RunId(1), position, due, timer_id: 1, instance });
        }
        batch
    }

    #[test]
    fn on_a_full_disk_a_batch_is_refused_as_a_whole_and_nothing_is_written_after_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.db");
        let store = SqliteStore::create(&path, SqliteOptions::default()).expect("it is made");
        store.commit(&timers(10, 0)).expect("there is room");
        store.writer.lock().limit_pages(20);

        let error = store.commit(&timers(5_000, 0)).expect_err("there is no room").to_string();
        assert!(error.contains("hub.db: the disk is full") && error.contains("make room and start again"), "{error}");
        let error = store.commit(&timers(1, 0)).expect_err("it has failed for good").to_string();
        assert!(error.contains("an earlier write failed"), "{error}");
        drop(store);

        let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens again");
        assert_eq!(store.recover().expect("it recovers").timers.len(), 10);
        store.commit(&timers(5_000, 0)).expect("there is room again");
    }

    #[test]
    fn the_log_is_copied_into_the_database_before_it_grows_without_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.db");
        let store = SqliteStore::create(&path, SqliteOptions::default()).expect("it is made");
        let log = beside(&path, "-wal");
        let mut largest = 0;
        for due in 0..30 {
            store.commit(&timers(40_000, due)).expect("it is taken");
            largest = largest.max(fs::metadata(&log).expect("there is a log").len());
        }
        assert!(largest > 60 << 20 && largest < 120 << 20, "the log grew to {largest} bytes");
        drop(store);
        assert!(!log.exists(), "a store that is closed is one file");
    }
}

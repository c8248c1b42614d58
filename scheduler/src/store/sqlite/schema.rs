//! The file's tables, and the settings under which it is used. `docs/store.md` describes both.

use std::ffi::c_int;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, FileControl, Transaction};

use super::error::{Failure, corrupt};
use super::pages;
use crate::core::ids::Incarnation;
use crate::core::payload::HubKey;
use crate::store::{StoreError, codec};

/// The format that this version writes; `user_version` of the file.
pub(super) const FORMAT: i64 = 4;

/// "DWST": tells a task hub from any other SQLite file; `application_id` of the file.
pub(super) const APPLICATION: i64 = 0x4457_5354;

const TABLES: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE instances (
        key INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        status INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        completed_at INTEGER,
        name TEXT NOT NULL,
        version TEXT,
        active INTEGER NOT NULL,
        record BLOB NOT NULL,
        parent TEXT
    );
    CREATE INDEX instances_active ON instances (key) WHERE active = 1;
    CREATE TABLE inbox (
        instance INTEGER NOT NULL, seq INTEGER NOT NULL, entry BLOB NOT NULL,
        PRIMARY KEY (instance, seq)
    ) WITHOUT ROWID;
    CREATE TABLE history (
        run INTEGER NOT NULL, first INTEGER NOT NULL, events BLOB NOT NULL,
        PRIMARY KEY (run, first)
    ) WITHOUT ROWID;
    CREATE TABLE timers (
        run INTEGER NOT NULL, position INTEGER NOT NULL, due INTEGER NOT NULL, timer BLOB NOT NULL,
        PRIMARY KEY (run, position)
    ) WITHOUT ROWID;
";

/// The indexes that listings go through. The conditions leave entities out, and what has nothing to be found by.
pub(super) const LISTINGS: &str = "
    CREATE INDEX instances_by_creation ON instances (status, created_at, id) WHERE substr(id, 1, 1) <> '@';
    CREATE INDEX instances_by_end ON instances (status, completed_at, id)
        WHERE completed_at IS NOT NULL AND substr(id, 1, 1) <> '@';
    CREATE INDEX instances_by_parent ON instances (parent, id) WHERE parent IS NOT NULL;
";

/// What is kept of entities.
pub(super) const ENTITIES: &str = "
    CREATE TABLE entities (
        key INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        active INTEGER NOT NULL,
        record BLOB NOT NULL
    );
    CREATE INDEX entities_active ON entities (key) WHERE active = 1;
    CREATE TABLE entity_states (entity INTEGER PRIMARY KEY, state BLOB NOT NULL);
    CREATE TABLE entity_queues (
        entity INTEGER NOT NULL, seq INTEGER NOT NULL, operation BLOB NOT NULL,
        PRIMARY KEY (entity, seq)
    ) WITHOUT ROWID;
";

/// Which rows refer to which payloads.
pub(super) const PAYLOADS: &str = "
    CREATE TABLE payload_refs (
        owner INTEGER NOT NULL, key INTEGER NOT NULL, sub INTEGER NOT NULL, hash BLOB NOT NULL,
        PRIMARY KEY (owner, key, sub, hash)
    ) WITHOUT ROWID;
    CREATE INDEX payload_refs_by_hash ON payload_refs (hash);
";

/// How a setting is asked for and what SQLite must answer when it is in effect.
struct Setting {
    name: &'static str,
    value: &'static str,
    in_effect: &'static str,
}

const fn setting(name: &'static str, value: &'static str, in_effect: &'static str) -> Setting {
    Setting { name, value, in_effect }
}

/// Of every connection.
const COMMON: &[Setting] = &[
    // A damaged page is found when it is read, not followed.
    setting("cell_size_check", "ON", "1"),
    // A file that shrinks behind our back must be an error, not a signal.
    setting("mmap_size", "0", "0"),
    setting("temp_store", "MEMORY", "2"),
    setting("trusted_schema", "OFF", "0"),
];

/// Of the connection that writes.
const WRITER: &[Setting] = &[
    setting("journal_mode", "WAL", "wal"),
    // FULL: a commit returns when the log is on disk.
    setting("synchronous", "FULL", "2"),
    // On macOS, on disk means more than fsync. No effect elsewhere.
    setting("fullfsync", "ON", "1"),
    setting("checkpoint_fullfsync", "ON", "1"),
    // SQLite's own checkpoints swallow their errors; ours are in the writer.
    setting("wal_autocheckpoint", "0", "0"),
    setting("cache_size", "-32768", "-32768"),
    // A log that grew beyond its usual size under a long read gives the space back.
    setting("journal_size_limit", "134217728", "134217728"),
];

/// Of a connection that reads.
const READER: &[Setting] = &[setting("query_only", "ON", "1"), setting("cache_size", "-8192", "-8192")];

/// Readers never wait for the writer; who does wait, waits for a checkpoint that restarts the log.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the tables in an empty file.
pub(super) fn create(connection: &mut Connection) -> Result<(), Failure> {
    let mut reserved = pages::RESERVED as c_int;
    connection.file_control(Some(rusqlite::MAIN_DB), FileControl::ReserveBytes(&mut reserved))?;
    connection.pragma_update(None, "page_size", pages::PAGE as i64)?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(LISTINGS)?;
    transaction.execute_batch(ENTITIES)?;
    transaction.execute_batch(PAYLOADS)?;
    put_meta(&transaction, Incarnation(0), new_payload_key())?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    Ok(())
}

/// Settings of the writer. Tells the file's format, which is one that this version knows.
pub(super) fn prepare_writer(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = read("application_id").map_err(|e| Failure::from(e).at(path))?;
    let format = read("user_version").map_err(|e| Failure::from(e).at(path))?;
    if application != APPLICATION {
        return Err(corrupt(path, &"it is not a task hub of durawasm"));
    }
    if format > FORMAT {
        return Err(StoreError::NewerFormat { found: format, known: FORMAT });
    }
    if format < 1 {
        return Err(corrupt(path, &format_args!("it says that it has format {format}, which never existed")));
    }
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|e| Failure::from(e).at(path))?;
    connection.set_prepared_statement_cache_capacity(64);
    apply(connection, path, COMMON)?;
    apply(connection, path, WRITER)?;
    Ok(format)
}

/// Settings of a reader.
pub(super) fn prepare_reader(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|e| Failure::from(e).at(path))?;
    connection.set_prepared_statement_cache_capacity(32);
    apply(connection, path, COMMON)?;
    apply(connection, path, READER)
}

fn apply(connection: &Connection, path: &Path, settings: &[Setting]) -> Result<(), StoreError> {
    for Setting { name, value, in_effect } in settings {
        connection.pragma_update(None, name, value).map_err(|e| Failure::from(e).at(path))?;
        let found = connection.pragma_query_value(None, name, |row| {
            Ok(match row.get_ref(0)? {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            })
        });
        let found = match found {
            // Without memory mapping in this build there is nothing to turn off, and no answer.
            Err(rusqlite::Error::QueryReturnedNoRows) if *name == "mmap_size" => continue,
            found => found.map_err(|e| Failure::from(e).at(path))?,
        };
        if found != *in_effect {
            return Err(StoreError::Io(format!(
                "{}: SQLite's setting {name} should be {in_effect} and is {found}; the file system may not support what it needs \
                 (network file systems do not): use a local disk",
                path.display()
            )));
        }
    }
    Ok(())
}

/// The incarnation of the last opening, and the key of the hub's payloads.
pub(super) fn meta(connection: &Connection) -> Result<(Incarnation, HubKey), Failure> {
    let sql = "SELECT value FROM meta WHERE name = 'incarnation'";
    match connection.query_row(sql, [], |row| Ok(codec::decode_meta(row.get_ref(0)?.as_blob()?))) {
        Ok(meta) => Ok(meta?),
        Err(rusqlite::Error::QueryReturnedNoRows) => {
            Err(codec::Damaged::new("the row of the file's incarnation", "is missing").into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes this opening's incarnation, and the key of the hub's payloads.
pub(super) fn put_meta(transaction: &Transaction<'_>, incarnation: Incarnation, key: HubKey) -> Result<(), Failure> {
    let sql =
        "INSERT INTO meta (name, value) VALUES ('incarnation', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
    transaction.execute(sql, [codec::encode_meta(incarnation, key)])?;
    Ok(())
}

/// A key for a new file. It is never 0, which stands for none.
pub(super) fn new_payload_key() -> HubKey {
    HubKey(uuid::Uuid::new_v4().as_u128())
}

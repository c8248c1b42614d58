//! Brings a file of an older format to this one, when it is opened.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::Failure;
use super::reader::{unsigned, wrong_type};
use super::schema::{self, FORMAT};
use super::writer::number;
use crate::core::ids::InstanceKey;
use crate::store::{StoreError, codec};

/// How many rows are read before what they lead to is written: a statement should not change what it reads.
const ROWS: i64 = 1_000;

/// Migrates a file, in one transaction: either it has the newest format afterwards, or it is what it was.
pub(super) fn migrate(connection: &mut Connection, path: &Path, format: i64) -> Result<(), StoreError> {
    if format == FORMAT {
        return Ok(());
    }
    tracing::info!("{}: has format {format} and is brought to format {FORMAT}; this happens once", path.display());
    in_transaction(connection, format).map_err(|failure| {
        let what =
            format!("this version needs format {FORMAT}, and the file cannot be brought there from format {format}");
        match failure.at(path) {
            StoreError::Corrupt(why) => StoreError::Corrupt(format!("{what}: {why}")),
            StoreError::Io(why) => StoreError::Io(format!("{what}, nothing of it was changed: {why}")),
            other => other,
        }
    })
}

fn in_transaction(connection: &mut Connection, format: i64) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if format < 2 {
        to_format_2(&transaction)?;
    }
    if format < 3 {
        // Format 3 has entities.
        transaction.execute_batch(schema::ENTITIES)?;
    }
    if format < 4 {
        // Format 4 refers to payloads that are kept elsewhere. No row of an older one does.
        transaction.execute_batch(schema::PAYLOADS)?;
        let (incarnation, _) = schema::meta(&transaction)?;
        schema::put_meta(&transaction, incarnation, schema::new_payload_key())?;
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    Ok(())
}

/// Format 2 has the parents of instances in a column, and indexes for listings.
fn to_format_2(transaction: &Transaction<'_>) -> Result<(), Failure> {
    transaction.execute_batch("ALTER TABLE instances ADD COLUMN parent TEXT")?;
    let mut select = transaction.prepare("SELECT key, record FROM instances WHERE key > ?1 ORDER BY key LIMIT ?2")?;
    let mut update = transaction.prepare("UPDATE instances SET parent = ?2 WHERE key = ?1")?;
    let mut last = -1;
    loop {
        let mut children = Vec::new();
        let mut count = 0;
        let mut rows = select.query([last, ROWS])?;
        while let Some(row) = rows.next()? {
            (last, count) = (row.get(0)?, count + 1);
            let record =
                codec::decode_instance(InstanceKey(unsigned(last)), row.get_ref(1)?.as_blob().map_err(wrong_type)?)?;
            if let Some(parent) = record.parent {
                children.push((record.key, parent.instance));
            }
        }
        for (key, parent) in children {
            update.execute((number(key.0), parent.as_str()))?;
        }
        if count < ROWS {
            break;
        }
    }
    transaction.execute_batch(schema::LISTINGS)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::OpenFlags;

    use super::*;
    use crate::store::sqlite::{SqliteOptions, SqliteStore, pages};

    #[test]
    fn on_a_full_disk_a_file_keeps_its_format_and_the_next_opening_tries_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.db");
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store_golden/format-1.db");
        std::fs::copy(golden, &path).expect("it is copied");
        pages::register().expect("SQLite starts");
        let mut file = Connection::open_with_flags_and_vfs(&path, OpenFlags::default(), pages::VFS).expect("it opens");
        let pages: i64 = file.pragma_query_value(None, "page_count", |row| row.get(0)).expect("it is read");
        file.pragma_update(None, "max_page_count", pages).expect("SQLite takes it");

        let error = migrate(&mut file, &path, 1).expect_err("there is no room").to_string();
        assert!(
            error.contains("from format 1, nothing of it was changed") && error.contains("the disk is full"),
            "{error}"
        );
        let format: i64 = file.pragma_query_value(None, "user_version", |row| row.get(0)).expect("it is read");
        assert_eq!(format, 1);
        file.close().expect("it closes");
        SqliteStore::open(&path, SqliteOptions::default()).expect("it opens now that there is room");
    }
}

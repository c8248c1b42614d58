//! References to payloads in the file.

use rusqlite::{Transaction, params};

use super::error::Failure;
use super::reader::Snapshot;
use super::writer::number;
use crate::core::payload::Hash;
use crate::store::references::Change;

/// Applies changes. What rows let go is added to `released`.
pub(super) fn apply(
    transaction: &Transaction<'_>,
    changes: &[Change],
    released: &mut Vec<Hash>,
) -> Result<(), Failure> {
    for change in changes {
        match change {
            Change::Add(owner, hash) => {
                let sql = "INSERT OR IGNORE INTO payload_refs (owner, key, sub, hash) VALUES (?1, ?2, ?3, ?4)";
                let row = params![owner.table, number(owner.row), number(owner.sub), hash.0];
                transaction.prepare_cached(sql)?.execute(row)?;
            }
            Change::Forget(owner, but) => {
                let sql = "DELETE FROM payload_refs WHERE owner = ?1 AND key = ?2 AND sub = ?3 AND hash IS NOT ?4 RETURNING hash";
                let place = params![owner.table, number(owner.row), number(owner.sub), but.map(|hash| hash.0)];
                forget(transaction, sql, place, released)?;
            }
            Change::ForgetAll { table, row } => {
                let sql = "DELETE FROM payload_refs WHERE owner = ?1 AND key = ?2 RETURNING hash";
                forget(transaction, sql, params![table, number(*row)], released)?;
            }
        }
    }
    Ok(())
}

fn forget(
    transaction: &Transaction<'_>,
    sql: &str,
    place: &[&dyn rusqlite::ToSql],
    released: &mut Vec<Hash>,
) -> Result<(), Failure> {
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query(place)?;
    while let Some(row) = rows.next()? {
        released.push(Hash(row.get(0)?));
    }
    Ok(())
}

impl Snapshot<'_> {
    /// Whether a row refers to a payload.
    pub(super) fn is_payload_referenced(&self, hash: Hash) -> Result<bool, Failure> {
        let sql = "SELECT EXISTS (SELECT 1 FROM payload_refs INDEXED BY payload_refs_by_hash WHERE hash = ?1)";
        Ok(self.connection.prepare_cached(sql)?.query_row([hash.0], |row| row.get(0))?)
    }
}

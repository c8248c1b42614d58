//! Entities in the file: what is written of them and what is read.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::{Transaction, params};

use super::error::Failure;
use super::reader::{Snapshot, unsigned, wrong_type};
use super::writer::number;
use crate::core::batch::Batch;
use crate::core::entity::{EntityRecord, LoadedEntity, QueueEntry};
use crate::core::ids::{InstanceId, InstanceKey};
use crate::store::entities::{EntityRows, complete};
use crate::store::entity_codec;
use crate::store::seal::Damaged;

/// Entities from ?1 on, without ?1 if ?2 says so.
pub(super) const WALK: &str = "SELECT key, record FROM entities INDEXED BY sqlite_autoindex_entities_1
    WHERE id >= ?1 AND (id > ?1 OR NOT ?2) ORDER BY id";

pub(super) fn apply(transaction: &Transaction<'_>, batch: &Batch) -> Result<(), Failure> {
    for key in &batch.dropped_entities {
        let key = [number(key.0)];
        transaction.prepare_cached("DELETE FROM entities WHERE key = ?1")?.execute(key)?;
        transaction.prepare_cached("DELETE FROM entity_states WHERE entity = ?1")?.execute(key)?;
        transaction.prepare_cached("DELETE FROM entity_queues WHERE entity = ?1")?.execute(key)?;
    }
    for (key, record) in &batch.entities {
        put_entity(transaction, *key, record)?;
    }
    for (key, state) in &batch.states {
        if let Some(state) = state {
            let sql = "INSERT OR REPLACE INTO entity_states (entity, state) VALUES (?1, ?2)";
            transaction
                .prepare_cached(sql)?
                .execute(params![number(key.0), entity_codec::encode_state(*key, state)])?;
        } else {
            transaction.prepare_cached("DELETE FROM entity_states WHERE entity = ?1")?.execute([number(key.0)])?;
        }
    }
    for ((key, seq), entry) in &batch.queues {
        let place = (number(key.0), number(*seq));
        if let Some(entry) = entry {
            let sql = "INSERT OR REPLACE INTO entity_queues (entity, seq, operation) VALUES (?1, ?2, ?3)";
            let blob = entity_codec::encode_operation(*key, entry);
            transaction.prepare_cached(sql)?.execute(params![place.0, place.1, blob])?;
        } else {
            let sql = "DELETE FROM entity_queues WHERE entity = ?1 AND seq = ?2";
            transaction.prepare_cached(sql)?.execute(place)?;
        }
    }
    Ok(())
}

/// As with instances: what an index stands on is named in an update only if it changes.
fn put_entity(transaction: &Transaction<'_>, key: InstanceKey, record: &EntityRecord) -> Result<(), Failure> {
    let blob = entity_codec::encode_entity(record);
    let row = params![number(key.0), record.is_active(), blob, record.id.as_str()];
    let looks_new = record.queue_next <= 1;
    let insert = "INSERT INTO entities (key, active, record, id) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (key) DO NOTHING";
    if looks_new && transaction.prepare_cached(insert)?.execute(row)? > 0 {
        return Ok(());
    }
    let update = "UPDATE entities SET record = ?3 WHERE key = ?1 AND active = ?2 AND id = ?4";
    if transaction.prepare_cached(update)?.execute(row)? > 0 {
        return Ok(());
    }
    let update = "UPDATE entities SET record = ?3, active = ?2 WHERE key = ?1 AND id = ?4";
    if transaction.prepare_cached(update)?.execute(row)? > 0 {
        return Ok(());
    }
    // A row of that key and another id is refused.
    let insert = "INSERT INTO entities (key, active, record, id) VALUES (?1, ?2, ?3, ?4)";
    transaction.prepare_cached(insert)?.execute(row)?;
    Ok(())
}

impl Snapshot<'_> {
    /// All entities that have something in their queues.
    pub(super) fn active_entities(&self) -> Result<Vec<LoadedEntity>, Failure> {
        let sql = "SELECT key, record FROM entities INDEXED BY entities_active WHERE active = 1 ORDER BY key";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut active = Vec::new();
        while let Some(row) = rows.next()? {
            let record = entity(row)?;
            if !record.is_active() {
                return Err(index_damage(&record.id));
            }
            active.push(complete(self, record)?);
        }
        Ok(active)
    }
}

impl EntityRows for Snapshot<'_> {
    type Error = Failure;

    fn find_entity(&self, id: &InstanceId) -> Result<Option<EntityRecord>, Failure> {
        let mut statement = self.connection.prepare_cached("SELECT key, record FROM entities WHERE id = ?1")?;
        let mut rows = statement.query([id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let record = entity(row)?;
        if record.id != *id {
            return Err(index_damage(id));
        }
        Ok(Some(record))
    }

    fn state(&self, key: InstanceKey) -> Result<Option<Arc<str>>, Failure> {
        let mut statement = self.connection.prepare_cached("SELECT state FROM entity_states WHERE entity = ?1")?;
        let mut rows = statement.query([number(key.0)])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        Ok(Some(entity_codec::decode_state(key, row.get_ref(0)?.as_blob().map_err(wrong_type)?)?))
    }

    fn queue(&self, key: InstanceKey) -> Result<Vec<QueueEntry>, Failure> {
        let sql = "SELECT seq, operation FROM entity_queues WHERE entity = ?1 ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([number(key.0)])?;
        let mut queue = Vec::new();
        while let Some(row) = rows.next()? {
            let seq = unsigned(row.get(0)?);
            queue.push(entity_codec::decode_operation(key, seq, row.get_ref(1)?.as_blob().map_err(wrong_type)?)?);
        }
        Ok(queue)
    }

    fn walk_entities(
        &self,
        from: &str,
        after: Option<&InstanceId>,
        visit: &mut dyn FnMut(EntityRecord) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<(), Failure> {
        let mut statement = self.connection.prepare_cached(WALK)?;
        let after = after.map(InstanceId::as_str).filter(|after| *after >= from);
        let mut rows = statement.query((after.unwrap_or(from), after.is_some()))?;
        while let Some(row) = rows.next()? {
            if visit(entity(row)?)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn entity(row: &rusqlite::Row<'_>) -> Result<EntityRecord, Failure> {
    let key = InstanceKey(unsigned(row.get(0)?));
    Ok(entity_codec::decode_entity(key, row.get_ref(1)?.as_blob().map_err(wrong_type)?)?)
}

fn index_damage(id: &InstanceId) -> Failure {
    Damaged::new(format!("the index that leads to entity {id:?}"), "leads to something else").into()
}

#[cfg(test)]
mod tests {
    use crate::store::sqlite::{SqliteOptions, SqliteStore};

    #[test]
    fn no_listing_of_entities_looks_through_the_table_or_sorts() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::create(&folder.path().join("hub.db"), SqliteOptions::default()).expect("it is made");
        let plan: Vec<String> = store
            .readers
            .read(|rows| {
                let mut statement = rows.connection.prepare(&format!("EXPLAIN QUERY PLAN {}", super::WALK))?;
                let steps = statement.query_map(("@a", true), |row| row.get(3))?;
                Ok(steps.collect::<Result<_, _>>()?)
            })
            .expect("it is explained");
        assert_eq!(plan, ["SEARCH entities USING INDEX sqlite_autoindex_entities_1 (id>?)"]);
    }
}

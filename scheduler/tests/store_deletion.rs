//! What is purged leaves nothing behind, and its room is used again.

mod store_world;

use std::fs;
use std::path::Path;

use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use durawasm_scheduler::store::{InstanceFilter, InstanceOrder, PageSize, Store};
use rusqlite::{Connection, OpenFlags};
use store_world::World;

/// How many rows each table has.
fn rows(path: &Path) -> Vec<(String, i64)> {
    let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("any SQLite tool reads it");
    let mut statement =
        file.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").expect("it is understood");
    let tables = statement.query_map([], |row| row.get::<_, String>(0)).expect("it is read");
    let count = |table: &str| {
        file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("it is read")
    };
    tables.map(|table| table.expect("it is a text")).map(|table| (table.clone(), count(&table))).collect()
}

#[test]
fn when_everything_is_purged_all_tables_are_empty_but_for_the_incarnation() {
    for seed in 0..8 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.db");
        let mut world = World::new(seed);
        let store = SqliteStore::create(&path, SqliteOptions::default()).expect("it is made");
        for _ in 0..100 {
            store.commit(&world.batch()).expect("it is taken");
        }
        store.commit(&world.purge_all()).expect("it is taken");
        let size = PageSize { instances: 10, bytes: usize::MAX, inputs: false };
        let page = store.list(&InstanceFilter::default(), InstanceOrder::Created, None, size).expect("it is listed");
        assert!(page.instances.is_empty() && page.next.is_none());
        drop(store);
        let empty =
            ["entities", "entity_queues", "entity_states", "history", "inbox", "instances", "payload_refs", "timers"]
                .map(|table| (table.to_owned(), 0));
        let (meta, others): (Vec<_>, Vec<_>) = rows(&path).into_iter().partition(|(table, _)| table == "meta");
        assert_eq!(others, empty, "seed {seed}");
        assert_eq!(meta, [("meta".to_owned(), 1)]);
    }
}

#[test]
fn a_store_in_which_as_much_is_purged_as_started_does_not_grow() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    let mut sizes = Vec::new();
    for _ in 0..30 {
        // The same world each time, so that only what is left of the last one could make a difference.
        let store = SqliteStore::open_or_create(&path, SqliteOptions::default()).expect("it opens");
        let mut world = World::new(5);
        for _ in 0..50 {
            store.commit(&world.batch()).expect("it is taken");
        }
        store.commit(&world.purge_all()).expect("it is taken");
        drop(store);
        sizes.push(fs::metadata(&path).expect("it is there").len());
    }
    assert!(sizes[2..].iter().all(|size| *size <= sizes[1]), "{sizes:?}");
}

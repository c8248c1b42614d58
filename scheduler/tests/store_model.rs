//! Both stores hold exactly what they were given, also after they are opened again.

mod store_world;

use durawasm_scheduler::core::ids::{InstanceId, RunId};
use durawasm_scheduler::store::Store;
use durawasm_scheduler::store::memory::MemoryStore;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use proptest::prelude::*;
use store_world::World;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24 * ProptestConfig::default().cases / 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn both_stores_hold_what_they_were_given(seed: u64, batches in 1usize..60, reopen_every in 1usize..30) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.db");
        let mut world = World::new(seed);
        let memory = MemoryStore::new();
        let mut sqlite = SqliteStore::create(&path, SqliteOptions::default()).expect("it is made");
        for i in 0..batches {
            let batch = world.batch();
            memory.commit(&batch).expect("memory takes it");
            sqlite.commit(&batch).expect("SQLite takes it");
            if i % reopen_every == 0 {
                drop(sqlite);
                sqlite = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens again");
                world.assert_is_in(&sqlite);
            }
        }
        world.assert_is_in(&memory);
        world.assert_is_in(&sqlite);
    }
}

#[test]
fn what_was_never_stored_is_not_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = SqliteStore::create(&folder.path().join("hub.db"), SqliteOptions::default()).expect("it is made");
    for store in [&MemoryStore::new() as &dyn Store, &sqlite] {
        let id = InstanceId::trusted("nobody");
        assert!(store.load(&id).expect("it can be read").is_none());
        assert!(store.view(&id, true).expect("it can be read").is_none());
        assert!(store.history(RunId(1), 0, 1_000).expect("it can be read").is_empty());
    }
}

#[test]
fn each_opening_has_a_higher_incarnation() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    for expected in 1..4 {
        let store = SqliteStore::open_or_create(&path, SqliteOptions::default()).expect("it opens");
        assert_eq!(store.recover().expect("it recovers").incarnation.0, expected);
    }
}

#[test]
fn a_snapshot_of_a_store_in_memory_goes_its_own_way() {
    let mut world = World::new(1);
    let store = MemoryStore::new();
    for _ in 0..20 {
        store.commit(&world.batch()).expect("it is taken");
    }
    let (then, snapshot) = (world.clone(), store.snapshot());
    for _ in 0..20 {
        store.commit(&world.batch()).expect("it is taken");
    }
    then.assert_is_in(&snapshot);
    world.assert_is_in(&store);
}

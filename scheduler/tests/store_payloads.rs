//! Which payloads the rows of a store refer to: neither one too many, which would never be deleted, nor one too few, which would be lost.

mod store_world;

use std::collections::BTreeSet;

use durawasm_scheduler::core::payload::Hash;
use durawasm_scheduler::store::Store;
use durawasm_scheduler::store::memory::MemoryStore;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use proptest::prelude::*;
use store_world::{World, address};

const PAYLOADS: u8 = 12;

fn referenced(store: &dyn Store) -> BTreeSet<Hash> {
    let is_in_use = |hash: &Hash| store.is_payload_referenced(*hash).expect("it can be read");
    (0..PAYLOADS).map(address).filter(is_in_use).collect()
}

/// All that was let go since the last time, and is not in use now, must have been named: nobody else tells the collector.
fn assert_named(store: &dyn Store, before: &BTreeSet<Hash>, now: &BTreeSet<Hash>) {
    let released: BTreeSet<Hash> = store.released_payloads().into_iter().collect();
    let unnamed: Vec<_> = before.difference(now).filter(|hash| !released.contains(hash)).collect();
    assert!(unnamed.is_empty(), "let go and not named: {unnamed:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40 * ProptestConfig::default().cases / 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_store_knows_exactly_which_payloads_its_rows_refer_to(seed: u64, batches in 1usize..80, reopen_every in 1usize..40) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.db");
        let mut world = World::new(seed);
        world.kept_elsewhere = PAYLOADS;
        let memory = MemoryStore::new();
        let mut sqlite = SqliteStore::create(&path, SqliteOptions::default()).expect("it is made");
        let mut before = BTreeSet::new();
        for i in 0..=batches {
            let batch = if i == batches { world.purge_all() } else { world.batch() };
            memory.commit(&batch).expect("memory takes it");
            sqlite.commit(&batch).expect("SQLite takes it");
            let now = world.referenced();
            for store in [&memory as &dyn Store, &sqlite] {
                prop_assert_eq!(&referenced(store), &now);
                assert_named(store, &before, &now);
            }
            if i % reopen_every == 0 {
                drop(sqlite);
                sqlite = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens again");
                prop_assert_eq!(&referenced(&sqlite), &now);
            }
            before = now;
        }
        prop_assert!(before.is_empty(), "when all is purged nothing is referred to");
    }
}

#[test]
fn a_hubs_key_is_its_own_and_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |name: &str| {
        SqliteStore::open_or_create(&folder.path().join(name), SqliteOptions::default()).expect("it opens")
    };
    let key = open("a.db").payload_key();
    assert_ne!(key, open("b.db").payload_key());
    let again = open("a.db");
    again.recover().expect("it recovers");
    drop(again);
    assert_eq!(open("a.db").payload_key(), key);
}

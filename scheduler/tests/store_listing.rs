//! Listings in pages show what they should, each instance once, however small the pages are and whatever happens between them.

mod store_world;

use std::collections::BTreeSet;

use durawasm_scheduler::core::ids::{InstanceId, InstanceKey};
use durawasm_scheduler::core::record::{InstanceRecord, Status};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::memory::MemoryStore;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use durawasm_scheduler::store::{InstanceFilter, InstanceOrder, InstanceView, PageSize, Place, Store};
use proptest::prelude::*;
use store_world::World;

const STATUSES: [Status; 7] = [
    Status::Running,
    Status::Completed,
    Status::Failed,
    Status::Canceled,
    Status::Terminated,
    Status::Pending,
    Status::Suspended,
];

/// All in one page, with the inputs.
const WHOLE: PageSize = PageSize { instances: usize::MAX, bytes: usize::MAX, inputs: true };

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    let common = (0..20_i64).prop_map(|n| n * 100_000_000_000_000);
    let any = prop_oneof![common, -5..2_000_000_000_000_000_i64, Just(i64::MIN), Just(i64::MAX)];
    prop_oneof![3 => Just(None), 1 => any.prop_map(|micros| Some(Timestamp::from_micros(micros)))]
}

/// Of ids that the world makes, and of others.
const PREFIXES: [&str; 12] = ["", "o", "order-", "order-1", "order-f", "%", "@", "@c", "zaż", "nul\0", "x", "nobody"];

fn filter() -> impl Strategy<Value = InstanceFilter> {
    let statuses =
        prop_oneof![1 => Just(Vec::new()), 1 => proptest::collection::vec(proptest::sample::select(&STATUSES), 1..4)];
    let prefix =
        prop_oneof![2 => Just(None), 1 => proptest::sample::select(&PREFIXES).prop_map(|p| Some(p.to_owned()))];
    (statuses, time(), time(), time(), time(), prefix).prop_map(
        |(statuses, created_from, created_to, completed_from, completed_to, id_prefix)| InstanceFilter {
            statuses,
            created_from,
            created_to,
            completed_from,
            completed_to,
            id_prefix,
        },
    )
}

fn order() -> impl Strategy<Value = InstanceOrder> {
    prop_oneof![Just(InstanceOrder::Created), Just(InstanceOrder::Completed)]
}

fn fits(filter: &InstanceFilter, order: InstanceOrder, record: &InstanceRecord) -> bool {
    let by_end = order == InstanceOrder::Completed || filter.completed_from.is_some() || filter.completed_to.is_some();
    (filter.statuses.is_empty() || filter.statuses.contains(&record.status))
        && filter.created_from.is_none_or(|from| record.created_at >= from)
        && filter.created_to.is_none_or(|to| record.created_at < to)
        && filter.completed_from.is_none_or(|from| record.completed_at >= Some(from))
        && filter.completed_to.is_none_or(|to| record.completed_at < Some(to))
        && (record.completed_at.is_some() || !by_end)
        && filter.id_prefix.as_ref().is_none_or(|prefix| record.id.as_str().starts_with(prefix))
        && !record.id.as_str().starts_with('@')
}

fn place(filter: &InstanceFilter, order: InstanceOrder, record: &InstanceRecord) -> (Timestamp, InstanceId) {
    let time = match order {
        InstanceOrder::Completed => record.completed_at.expect("it has ended"),
        InstanceOrder::Created if filter.id_prefix.as_ref().is_some_and(|prefix| !prefix.is_empty()) => {
            Timestamp::default()
        }
        InstanceOrder::Created => record.created_at,
    };
    (time, record.id.clone())
}

/// What a listing of this world shows.
fn expected(world: &World, filter: &InstanceFilter, order: InstanceOrder) -> Vec<InstanceRecord> {
    let records = world.instances.values().map(|e| &e.record);
    let mut fitting: Vec<_> = records.filter(|record| fits(filter, order, record)).cloned().collect();
    fitting.sort_by_key(|record| place(filter, order, record));
    fitting
}

/// An instance is shown as it is.
fn assert_shown(world: &World, view: &InstanceView, inputs: bool) {
    let full = &world.instances[&view.record.id];
    assert_eq!(view.record, full.record);
    let ended = full.history.last().filter(|_| full.record.status.is_terminal());
    if inputs {
        assert_eq!(view.completed.as_ref(), ended);
        assert_eq!(view.started.as_ref(), full.started());
    } else {
        assert_eq!(view.completed.as_ref(), ended.filter(|_| full.record.status == Status::Failed));
        assert_eq!(view.started, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_listing_shows_what_fits_in_its_order(
        seed: u64,
        batches in 1usize..60,
        listings in proptest::collection::vec((filter(), order(), any::<bool>()), 20),
    ) {
        let (world, memory, _folder, sqlite) = stores(seed, batches);
        for (filter, order, inputs) in listings {
            let expected = expected(&world, &filter, order);
            for store in [&memory as &dyn Store, &sqlite] {
                let page = store.list(&filter, order, None, PageSize { inputs, ..WHOLE }).expect("it can be listed");
                prop_assert_eq!(page.next, None);
                let shown: Vec<_> = page.instances.iter().map(|view| view.record.clone()).collect();
                prop_assert_eq!(&shown, &expected);
                page.instances.iter().for_each(|view| assert_shown(&world, view, inputs));
            }
        }
    }

    #[test]
    fn a_listing_in_pages_shows_what_stays_once_whatever_happens_between_them(
        seed: u64,
        batches in 1usize..60,
        filter in filter(),
        order in order(),
        instances in 1usize..8,
        bytes in 1usize..20_000,
        changes in 0usize..4,
    ) {
        let (mut world, memory, _folder, sqlite) = stores(seed, batches);
        let size = PageSize { instances, bytes, inputs: true };
        let keys = |world: &World| -> BTreeSet<InstanceKey> {
            expected(world, &filter, order).iter().map(|record| record.key).collect()
        };
        let mut stayed = keys(&world);
        let mut after = None;
        let mut places = Vec::new();
        let mut shown = BTreeSet::new();
        for round in 0.. {
            let page = sqlite.list(&filter, order, after.as_ref(), size).expect("it can be listed");
            let same = memory.list(&filter, order, after.as_ref(), size).expect("it can be listed");
            prop_assert_eq!(&page.next, &same.next);
            prop_assert_eq!(page.instances.len(), same.instances.len());
            prop_assert!(page.instances.len() <= instances);
            for (view, same) in page.instances.iter().zip(&same.instances) {
                assert_shown(&world, view, true);
                prop_assert_eq!(&view.record, &same.record);
                prop_assert!(fits(&filter, order, &view.record));
                places.push(place(&filter, order, &view.record));
                shown.insert(view.record.key);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
            // A world that grows faster than it is listed has no last page.
            for _ in 0..if round < 50 { changes } else { 0 } {
                let batch = world.batch();
                memory.commit(&batch).expect("memory takes it");
                sqlite.commit(&batch).expect("SQLite takes it");
                stayed.retain(|key| keys(&world).contains(key));
            }
        }
        prop_assert!(places.is_sorted_by(|one, next| one < next), "in order, and none twice: {:?}", places);
        // What was rewound and has ended again stands later in the order of ends; it may be shown twice, at two places.
        prop_assert!(stayed.is_subset(&shown));
    }

    #[test]
    fn children_are_found_by_their_parent(seed: u64, batches in 1usize..60, limit in 1usize..5) {
        let (world, memory, _folder, sqlite) = stores(seed, batches);
        let linked = world.instances.values().filter_map(|e| e.record.parent.as_ref()).map(|link| link.instance.clone());
        let parents: BTreeSet<_> = linked.chain(world.instances.keys().cloned()).collect();
        for parent in parents {
            let is_child = |record: &InstanceRecord| record.parent.as_ref().is_some_and(|link| link.instance == parent);
            let expected: Vec<_> =
                world.instances.values().filter(|e| is_child(&e.record)).map(|e| e.record.id.clone()).collect();
            for store in [&memory as &dyn Store, &sqlite] {
                let mut found: Vec<InstanceId> = Vec::new();
                loop {
                    let page = store.children(&parent, found.last(), limit).expect("they can be read");
                    prop_assert!(page.len() <= limit);
                    let last = page.len() < limit;
                    found.extend(page);
                    if last {
                        break;
                    }
                }
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}

fn stores(seed: u64, batches: usize) -> (World, MemoryStore, tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = SqliteStore::create(&folder.path().join("hub.db"), SqliteOptions::default()).expect("it is made");
    let (mut world, memory) = (World::new(seed), MemoryStore::new());
    for _ in 0..batches {
        let batch = world.batch();
        memory.commit(&batch).expect("memory takes it");
        sqlite.commit(&batch).expect("SQLite takes it");
    }
    (world, memory, folder, sqlite)
}

#[test]
fn a_page_looks_at_a_bounded_number_of_instances_and_tells_where_to_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = SqliteStore::create(&folder.path().join("hub.db"), SqliteOptions::default()).expect("it is made");
    let memory = MemoryStore::new();
    let batch = World::new(1).many_pending(10_000);
    let last = batch.instances.values().map(|record| record.id.clone()).max().expect("there are many");
    for store in [&memory as &dyn Store, &sqlite] {
        store.commit(&batch).expect("it is taken");
        let none = InstanceFilter { completed_from: Some(Timestamp::MIN), ..Default::default() };
        let prefix =
            InstanceFilter { statuses: vec![Status::Failed], id_prefix: Some("order-".into()), ..Default::default() };
        for filter in [none, prefix] {
            let (mut after, mut pages): (Option<Place>, _) = (None, 0);
            loop {
                let page =
                    store.list(&filter, InstanceOrder::Created, after.as_ref(), WHOLE).expect("it can be listed");
                assert_eq!(page.instances.len(), 0);
                pages += 1;
                assert!(page.next != after, "it goes on");
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(pages, 4);
        }
        let rest = store.list(
            &InstanceFilter { id_prefix: Some("order-".into()), ..Default::default() },
            InstanceOrder::Created,
            Some(&Place { time: Timestamp::default(), id: last.clone() }),
            WHOLE,
        );
        assert!(rest.expect("it can be listed").instances.is_empty());
    }
}

#[test]
fn a_page_has_at_least_one_instance_however_large_it_is() {
    let (world, memory, _folder, sqlite) = stores(3, 60);
    let all = expected(&world, &InstanceFilter::default(), InstanceOrder::Created);
    for store in [&memory as &dyn Store, &sqlite] {
        let mut after = None;
        for record in &all {
            let size = PageSize { instances: 100, bytes: 0, inputs: true };
            let page = store.list(&InstanceFilter::default(), InstanceOrder::Created, after.as_ref(), size);
            let page = page.expect("it can be listed");
            let [view] = &page.instances[..] else { panic!("one instance fits") };
            assert_eq!(view.record, *record);
            after = page.next;
        }
        assert_eq!(after, None);
    }
}

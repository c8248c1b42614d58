//! A damaged file: every read gives what was written or an error, never anything else.

mod store_world;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use durawasm_scheduler::core::ids::InstanceId;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use durawasm_scheduler::store::{InstanceFilter, InstanceOrder, PageSize, Store, StoreError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use store_world::World;
use store_world::reading::{Reading, read_everything, refused};

/// A file with a random world in it, and the world.
fn filled(path: &Path, seed: u64) -> World {
    let store = SqliteStore::create(path, SqliteOptions::default()).expect("it is made");
    let mut world = World::new(seed);
    for _ in 0..80 {
        store.commit(&world.batch()).expect("it is taken");
    }
    world
}

/// The part of a file that is in use: 1 is all of it. (SQLite's header tells how many pages there are, and how many are free.)
fn part_in_use(file: &[u8]) -> f64 {
    let number = |at: usize| f64::from(u32::from_be_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]));
    1.0 - number(36) / number(28)
}

/// Damages copies of a file in many ways, and reads them. Tells which part of the readings found damage, and which
/// part of the file is in use.
fn damage_and_read(seed: u64, rounds: usize, damage: impl Fn(&mut Vec<u8>, &mut ChaCha8Rng)) -> (f64, f64) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    let world = filled(&path, seed);
    let original = fs::read(&path).expect("it is read");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut refusals: u32 = 0;
    for round in 0..rounds {
        let mut bytes = original.clone();
        damage(&mut bytes, &mut rng);
        for stale in ["hub.db-wal", "hub.db-shm"] {
            let _ = fs::remove_file(folder.path().join(stale));
        }
        fs::write(&path, bytes).expect("it is written");
        match catch_unwind(AssertUnwindSafe(|| read_everything(&path, &world))) {
            Ok(Ok(reading)) => refusals += u32::from(reading == Reading::Refused),
            Ok(Err(wrong)) => panic!("seed {seed}, round {round}: {wrong}"),
            Err(panic) => panic!("seed {seed}, round {round}: {panic:?}"),
        }
    }
    (f64::from(refusals) / rounds as f64, part_in_use(&original))
}

#[test]
fn an_undamaged_file_reads_exactly() {
    assert!(damage_and_read(1, 1, |_, _| {}).0 == 0.0);
}

#[test]
fn flipped_bits_are_found_or_do_not_matter() {
    for seed in 0..4 {
        let (found, in_use) = damage_and_read(seed, 150, |bytes, rng| {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        });
        let text = format!("seed {seed}: {found:.2} of the flips were found, {in_use:.2} of the file is in use");
        assert!((found - in_use).abs() < 0.12, "{text}");
    }
}

#[test]
fn flipped_bits_in_the_first_pages_are_found_or_do_not_matter() {
    for bits in [0..100 * 8, 100 * 8..4_096 * 8, 4_096 * 8..8 * 4_096 * 8] {
        damage_and_read(7, 150, |bytes, rng| {
            let bit = rng.random_range(bits.clone());
            bytes[bit / 8] ^= 1 << (bit % 8);
        });
    }
}

#[test]
fn pages_that_were_zeroed_exchanged_or_written_over_are_found_or_do_not_matter() {
    damage_and_read(11, 200, |bytes, rng| {
        let pages = bytes.len() / 4_096;
        let [from, to] = [0; 2].map(|_| rng.random_range(0..pages) * 4_096);
        match rng.random_range(0..3) {
            0 => bytes[to..to + 4_096].fill(0),
            1 => bytes.copy_within(from..from + 4_096, to),
            _ => rng.fill(&mut bytes[to + 512..to + 1_024]),
        }
    });
}

#[test]
fn a_file_that_is_cut_off_is_found() {
    let (found, _) = damage_and_read(13, 100, |bytes, rng| bytes.truncate(rng.random_range(0..bytes.len())));
    assert!(found == 1.0, "{found}");
}

/// Reads files, beside a log or not, with the database's pages from one on cut off, or with that one zeroed.
fn without_page(database: &[u8], log: Option<&[u8]>, world: &World) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    for page in (0..database.len()).step_by(4_096) {
        let mut zeroed = database.to_vec();
        zeroed[page..page + 4_096].fill(0);
        for (what, bytes) in [("cut off at", &database[..page]), ("zeroed at", &zeroed[..])] {
            for stale in ["hub.db-wal", "hub.db-shm"] {
                let _ = fs::remove_file(folder.path().join(stale));
            }
            fs::write(&path, bytes).expect("it is written");
            if let Some(log) = log {
                fs::write(folder.path().join("hub.db-wal"), log).expect("it is written");
            }
            if let Err(wrong) = read_everything(&path, world) {
                panic!("{what} {page}, with {} bytes of log: {wrong}", log.map_or(0, <[u8]>::len));
            }
        }
    }
}

#[test]
fn whichever_page_is_gone_or_zeroed_is_missed_also_where_it_holds_but_the_rest_of_a_long_id() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    let mut world = World::new(5);
    let store = SqliteStore::create(&path, SqliteOptions::default()).expect("it is made");
    for _ in 0..30 {
        store.commit(&world.batch()).expect("it is taken");
    }
    assert!(world.instances.keys().any(|id| id.as_str().len() > 1_000), "there is a long id");
    drop(store);
    without_page(&fs::read(&path).expect("it is read"), None, &world);

    // With what a process that was killed leaves: a log that holds some of the pages.
    let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens");
    for _ in 0..10 {
        store.commit(&world.batch()).expect("it is taken");
    }
    let [database, log] = ["hub.db", "hub.db-wal"].map(|name| fs::read(folder.path().join(name)).expect("it is read"));
    drop(store);
    without_page(&database, Some(&log), &world);
}

/// If SQLite left holes, pages of noughts could not be taken for damage.
#[test]
fn no_page_of_a_file_is_nought_however_much_was_added_and_freed_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    let store = SqliteStore::create(&path, SqliteOptions::default()).expect("it is made");
    let mut world = World::new(17);
    for _ in 0..5 {
        for _ in 0..20 {
            store.commit(&world.batch()).expect("it is taken");
        }
        store.commit(&world.purge_all()).expect("it is taken");
    }
    // Pages that one and the same transaction takes and gives back.
    store.commit(&world.batch()).expect("it is taken");
    drop(store);
    let file = rusqlite::Connection::open_with_flags_and_vfs(&path, rusqlite::OpenFlags::default(), c"durawasm");
    let file = file.expect("it opens");
    file.execute_batch(
        "BEGIN;
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         INSERT INTO timers SELECT -i, i, 0, zeroblob(9000) FROM n;
         DELETE FROM timers WHERE run < 0 AND run % 7 <> 0;
         DELETE FROM timers WHERE run < -100;
         COMMIT;
         DELETE FROM timers WHERE run < 0;",
    )
    .expect("it is written");
    file.close().expect("it closes");
    let bytes = fs::read(&path).expect("it is read");
    assert!(bytes.len() > 1_000 * 4_096, "{} bytes", bytes.len());
    let holes = bytes.chunks(4_096).filter(|page| page.iter().all(|byte| *byte == 0)).count();
    assert_eq!(holes, 0);
    let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens");
    store.commit(&world.many_pending(20_000)).expect("free pages are used again");
    drop(store);
    assert!(part_in_use(&bytes) < 0.2, "most of it was free: {}", part_in_use(&bytes));
}

#[test]
fn a_row_whose_columns_say_something_else_than_its_record_is_found_by_whoever_comes_by_them() {
    let changes = [
        "status = 7",
        "created_at = created_at + 1",
        "completed_at = completed_at + 1",
        "parent = 'somebody else'",
        "id = id || '!'",
    ];
    for change in changes {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.db");
        let world = filled(&path, 3);
        // Through the store's own file access, so that all pages are right.
        let flags = rusqlite::OpenFlags::default();
        let file = rusqlite::Connection::open_with_flags_and_vfs(&path, flags, c"durawasm").expect("it opens");
        let parents = "parent IN (SELECT parent FROM instances WHERE parent IS NOT NULL)";
        let update =
            format!("UPDATE instances SET {change} WHERE completed_at IS NOT NULL AND id NOT LIKE '@%' AND {parents}");
        assert!(file.execute(&update, []).expect("it is written") > 0);
        file.close().expect("it closes");

        let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens");
        let all = InstanceFilter::default();
        let size = PageSize { instances: usize::MAX, bytes: usize::MAX, inputs: false };
        let mut errors: Vec<StoreError> = Vec::new();
        errors.extend(store.list(&all, InstanceOrder::Created, None, size).err());
        errors.extend(store.list(&all, InstanceOrder::Completed, None, size).err());
        errors.extend(store.children(&InstanceId::trusted("somebody else"), None, 10).err());
        assert!(!errors.is_empty(), "{change}: nobody notices ({} instances)", world.instances.len());
        errors.iter().for_each(|error| assert_eq!(refused(error), Ok(Reading::Refused)));
    }
}

#[test]
fn a_file_of_something_else_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    fs::write(&path, "this is no database, and is long enough to have a header ".repeat(200)).expect("it is written");
    assert_eq!(read_everything(&path, &World::new(0)), Ok(Reading::Refused));

    fs::remove_file(&path).expect("it is removed");
    rusqlite::Connection::open(&path).and_then(|c| c.execute_batch("CREATE TABLE t (x)")).expect("another database");
    assert_eq!(read_everything(&path, &World::new(0)), Ok(Reading::Refused));
}

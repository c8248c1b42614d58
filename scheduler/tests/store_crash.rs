//! Processes that die while they write: what was acknowledged is there, and nothing is there in part.

mod store_world;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use durawasm_scheduler::store::Store;
use durawasm_scheduler::store::memory::MemoryStore;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use store_world::World;

const FILE: &str = "DURAWASM_TEST_CRASH_FILE";
const SEED: &str = "DURAWASM_TEST_CRASH_SEED";
const DONE: &str = "DURAWASM_TEST_CRASH_DONE";

/// The world after a number of batches.
fn world_after(seed: u64, batches: usize) -> World {
    let mut world = World::new(seed);
    for _ in 0..batches {
        world.batch();
    }
    world
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Not a test by itself: the process that writes until it is killed, or until a write fails.
#[test]
fn a_process_that_writes() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let (seed, done) = (variable(SEED).expect("a seed"), variable(DONE).expect("a number"));
    let store = SqliteStore::open(path.as_ref(), SqliteOptions::default()).expect("it opens");
    let mut world = world_after(seed, done);
    for number in done + 1.. {
        if let Err(error) = store.commit(&world.batch()) {
            println!("refused {error}");
            return;
        }
        println!("acknowledged {number}");
        std::io::stdout().flush().expect("somebody listens");
    }
}

fn writing_process(path: &Path, seed: u64, done: usize, shell: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell} exec \"$0\" \"$@\"")).arg(std::env::current_exe().expect("this test"));
    command.args(["--exact", "a_process_that_writes", "--nocapture"]);
    command.env(FILE, path).env(SEED, seed.to_string()).env(DONE, done.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn acknowledged(line: &str) -> Option<usize> {
    line.split("acknowledged ").nth(1)?.trim().parse().ok()
}

/// How many batches a store holds, if it holds a number of whole batches between these.
fn whole_batches(store: &dyn Store, seed: u64, fewest: usize, most: usize) -> Option<usize> {
    let holds = |n: &usize| catch_unwind(AssertUnwindSafe(|| world_after(seed, *n).assert_is_in(store))).is_ok();
    (fewest..=most).rev().find(holds)
}

#[test]
fn a_killed_process_leaves_all_that_it_acknowledged_and_no_part_of_a_batch() {
    std::panic::set_hook(Box::new(|_| {}));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    drop(SqliteStore::create(&path, SqliteOptions::default()).expect("it is made"));
    let seed = 42;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut done = 0;
    for round in 0..12 {
        let mut process = writing_process(&path, seed, done, "").spawn().expect("it starts");
        let mut last = done;
        let until = done + rng.random_range(1..30);
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        for line in lines.by_ref() {
            last = acknowledged(&line).unwrap_or(last);
            if last >= until {
                std::thread::sleep(Duration::from_micros(rng.random_range(0..3_000)));
                process.kill().expect("it is killed");
                break;
            }
        }
        // What it said before it died counts.
        last = lines.filter_map(|line| acknowledged(&line)).last().unwrap_or(last);
        process.wait().expect("it is gone");
        let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens again");
        let found = whole_batches(&store, seed, last, last + 1);
        done = found.unwrap_or_else(|| panic!("round {round}: batch {last} was acknowledged, and is not there"));
    }
}

#[test]
fn after_a_power_cut_at_any_byte_of_the_log_there_are_whole_batches() {
    std::panic::set_hook(Box::new(|_| {}));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    let wal = folder.path().join("hub.db-wal");
    let seed = 7;
    let mut world = World::new(seed);
    let store = SqliteStore::create(&path, SqliteOptions::default()).expect("it is made");
    store.recover().expect("it recovers");
    for _ in 0..30 {
        store.commit(&world.batch()).expect("it is taken");
    }
    let (database, log) = (fs::read(&path).expect("it is read"), fs::read(&wal).expect("it is read"));
    drop(store);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for cut in (0..20).map(|_| rng.random_range(0..log.len())).chain([log.len()]) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.db");
        fs::write(&path, &database).expect("it is written");
        fs::write(folder.path().join("hub.db-wal"), &log[..cut]).expect("it is written");
        let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens");
        let found = whole_batches(&store, seed, 0, 30).unwrap_or_else(|| panic!("cut at {cut} of {}", log.len()));
        assert!(cut < log.len() || found == 30, "all was there, and {found} batches were found");
    }
}

#[test]
fn a_disk_that_refuses_a_write_loses_nothing_that_was_acknowledged() {
    std::panic::set_hook(Box::new(|_| {}));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    drop(SqliteStore::create(&path, SqliteOptions::default()).expect("it is made"));
    // No file may grow beyond so many blocks of 512 bytes; the signal that says so is ignored, so that the write fails.
    let output = writing_process(&path, 3, 0, "trap '' XFSZ; ulimit -f 1500;").output().expect("it runs");
    let output = String::from_utf8_lossy(&output.stdout);
    let last = output.lines().filter_map(acknowledged).last().expect("there was room at first");
    let refusal = output.lines().find(|line| line.contains("refused ")).expect("then there was none");
    assert!(refusal.contains("nothing that was accepted is lost"), "{refusal}");
    let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens again");
    assert!(whole_batches(&store, 3, last, last + 1).is_some());
}

#[test]
fn a_store_in_memory_survives_the_core_that_used_it() {
    let store = MemoryStore::new();
    let mut world = World::new(9);
    for _ in 0..10 {
        store.commit(&world.batch()).expect("it is taken");
    }
    world.assert_is_in(&store.clone());
}

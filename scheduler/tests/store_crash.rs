//! Processes that die while they write: what was acknowledged is there, and nothing is there in part.

mod store_world;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use durawasm_scheduler::store::memory::MemoryStore;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use durawasm_scheduler::store::{Store, StoreError};
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

/// What a machine leaves that stops with 30 batches in the log: database, log, and where the last batch begins in it.
fn stopped(seed: u64) -> (Vec<u8>, Vec<u8>, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    let mut world = World::new(seed);
    let store = SqliteStore::create(&path, SqliteOptions::default()).expect("it is made");
    store.recover().expect("it recovers");
    let mut last = 0;
    let log = || fs::read(folder.path().join("hub.db-wal")).expect("it is read");
    for _ in 0..30 {
        last = log().len();
        store.commit(&world.batch()).expect("it is taken");
    }
    (fs::read(&path).expect("it is read"), log(), last)
}

/// Opens what a machine left.
fn start_again(folder: &Path, database: &[u8], log: &[u8]) -> Result<SqliteStore, StoreError> {
    let path = folder.join("hub.db");
    fs::write(&path, database).expect("it is written");
    fs::write(folder.join("hub.db-wal"), log).expect("it is written");
    SqliteStore::open(&path, SqliteOptions::default())
}

#[test]
fn after_a_power_cut_at_any_byte_of_the_log_there_are_whole_batches() {
    std::panic::set_hook(Box::new(|_| {}));
    let seed = 7;
    let (database, log, _) = stopped(seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for cut in (0..20).map(|_| rng.random_range(0..log.len())).chain([log.len()]) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = start_again(folder.path(), &database, &log[..cut]).expect("it opens");
        let found = whole_batches(&store, seed, 0, 30).unwrap_or_else(|| panic!("cut at {cut} of {}", log.len()));
        assert!(cut < log.len() || found == 30, "all was there, and {found} batches were found");
    }
}

#[test]
fn after_a_power_cut_that_lost_any_part_of_the_last_batch_the_others_are_there() {
    std::panic::set_hook(Box::new(|_| {}));
    for seed in 20..30 {
        let (database, mut log, last) = stopped(seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let lost = rng.random_range(last..log.len());
        let until = (lost + rng.random_range(1..8_192)).min(log.len());
        log[lost..until].fill(0);
        let folder = tempfile::tempdir().expect("a folder");
        let store = start_again(folder.path(), &database, &log).expect("it opens");
        assert!(
            whole_batches(&store, seed, 29, 30).is_some(),
            "seed {seed}: zeros from {lost} to {until}, last {last}"
        );
    }
}

#[test]
fn damage_to_the_log_is_said_and_takes_no_acknowledged_batch_but_the_last_back() {
    std::panic::set_hook(Box::new(|_| {}));
    let seed = 8;
    let (database, log, last) = stopped(seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut refused = 0;
    for _ in 0..60 {
        let mut log = log.clone();
        let bit = rng.random_range(0..log.len() * 8);
        log[bit / 8] ^= 1 << (bit % 8);
        let folder = tempfile::tempdir().expect("a folder");
        match start_again(folder.path(), &database, &log) {
            Ok(store) => {
                let fewest = if bit / 8 >= last { 29 } else { 30 };
                let found = whole_batches(&store, seed, fewest, 30);
                assert!(found.is_some(), "bit {bit} flipped, last batch from {last}");
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 40, "only {refused} of 60 were refused");
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
    let last = output.lines().filter_map(acknowledged).next_back().expect("there was room at first");
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

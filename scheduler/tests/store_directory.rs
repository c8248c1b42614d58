//! A data folder: hubs come and go as a whole, and one scheduler works on it at a time.

use std::fs;
use std::process::{Command, Stdio};

use durawasm_scheduler::store::directory::{DataDir, HubName};
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use durawasm_scheduler::store::{Store, StoreError};

fn hub(name: &str) -> HubName {
    HubName::parse(name).expect("it is a name")
}

#[test]
fn names_that_are_no_file_names_are_refused() {
    for name in ["", "a/b", "a b", "..\\x", "ä", &"x".repeat(65), "a\0"] {
        assert!(matches!(HubName::parse(name), Err(StoreError::InvalidName(_))), "{name}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let data = DataDir::open(folder.path()).expect("it opens");
    for name in ["default", "a.db", "..", ".", "-x", "X_1", &"x".repeat(64)] {
        drop(data.open_hub(&hub(name)).expect("it is made"));
    }
    assert_eq!(data.hubs().expect("it is read").len(), 7);
}

#[test]
fn hubs_whose_names_differ_only_in_case_cannot_both_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = DataDir::open(folder.path()).expect("it opens");
    drop(data.open_hub(&hub("Shop")).expect("it is made"));
    drop(data.open_hub(&hub("Shop")).expect("it opens again"));
    let error = data.open_hub(&hub("shop")).expect_err("it is refused");
    assert_eq!(
        error.to_string(),
        "task hub `shop` cannot be made beside `Shop`: their names differ only in upper and lower case"
    );
}

#[test]
fn a_deleted_hub_is_empty_when_it_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = DataDir::open(folder.path()).expect("it opens");
    let store = data.open_hub(&hub("shop")).expect("it is made");
    assert_eq!(store.recover().expect("it recovers").incarnation.0, 1);
    drop(store);
    data.delete_hub(&hub("shop")).expect("it is deleted");
    assert!(data.hubs().expect("it is read").is_empty());
    data.delete_hub(&hub("shop")).expect("deleting it again changes nothing");
    let store = data.open_hub(&hub("shop")).expect("it is made again");
    assert_eq!(store.recover().expect("it recovers").incarnation.0, 1);
}

#[test]
fn a_deletion_that_a_crash_interrupted_is_finished_at_the_next_opening() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    drop(DataDir::open(folder.path()).expect("it opens").open_hub(&hub("shop")).expect("it is made"));
    fs::rename(file("shop.db"), file("shop.db.deleted")).expect("it is renamed");
    for rest in ["shop.db-wal", "shop.db-shm", "other.db.new", "notes.txt"] {
        fs::write(file(rest), "stale").expect("it is written");
    }
    let data = DataDir::open(folder.path()).expect("it opens");
    assert!(data.hubs().expect("it is read").is_empty());
    assert!(!file("shop.db.deleted").exists() && !file("shop.db-wal").exists());
    assert!(file("notes.txt").exists());
    for name in ["shop", "other"] {
        data.open_hub(&hub(name)).expect("it is made").recover().expect("it recovers");
    }
}

#[test]
fn two_schedulers_cannot_open_one_data_folder_or_one_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = DataDir::open(folder.path()).expect("it opens");
    let Err(StoreError::Locked(text)) = DataDir::open(folder.path()) else { panic!("it must be locked") };
    assert!(text.contains(&format!("held by process {}", std::process::id())), "{text}");
    assert!(text.contains("use another data folder"), "{text}");

    let store = data.open_hub(&hub("shop")).expect("it is made");
    let again = SqliteStore::open(store.path(), SqliteOptions::default());
    assert!(matches!(again, Err(StoreError::Locked(_))), "{again:?}");
    drop((store, data));
    DataDir::open(folder.path()).expect("the lock is gone");
}

/// Not a test by itself: the process that is killed by the one below.
#[test]
fn a_process_that_holds_a_folder() {
    let Some(folder) = std::env::var_os("DURAWASM_TEST_HOLD_FOLDER") else { return };
    let _data = DataDir::open(folder.as_ref()).expect("it opens");
    println!("held");
    std::thread::sleep(std::time::Duration::from_secs(60));
}

#[test]
fn the_lock_goes_away_with_a_killed_process() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().expect("a folder");
    let mut holder = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_process_that_holds_a_folder", "--nocapture"])
        .env("DURAWASM_TEST_HOLD_FOLDER", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(holder.stdout.take().expect("it is piped")).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("held")));
    assert!(matches!(DataDir::open(folder.path()), Err(StoreError::Locked(_))));
    holder.kill().expect("it is killed");
    holder.wait().expect("it is gone");
    DataDir::open(folder.path()).expect("the lock is gone");
}

#[test]
fn what_is_no_folder_or_cannot_be_written_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("it is written");
    let error = DataDir::open(&file).expect_err("it is no folder").to_string();
    assert!(error.contains("file") && error.contains("must be on a local disk and writable"), "{error}");
}

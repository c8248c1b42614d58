//! Store files with bits flipped, pieces written over and ends cut off, in the database and in its log. Every read gives what was written or
//! says that it is damaged.

use std::fs;
use std::path::PathBuf;

use durawasm_scheduler::store::Store as _;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};

use self::store_world::World;
use self::store_world::reading::{Reading, read_everything};
use super::chance::Chance;
use crate::Target;

#[path = "../../../scheduler/tests/store_world/mod.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::missing_docs_in_private_items,
    missing_docs,
    unreachable_pub,
    reason = "shared with the scheduler's tests"
)]
mod store_world;

pub(super) struct Stores {
    folder: tempfile::TempDir,
    /// A file that was closed well.
    closed: Vec<u8>,
    /// A file with a log, as a process that was killed leaves them.
    open: [Vec<u8>; 2],
    /// What was written when it was closed, and after each batch since.
    worlds: Vec<World>,
}

impl Stores {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("hub.db");
        let store = SqliteStore::create(&path, SqliteOptions::default()).expect("a store can be made");
        let mut world = World::new(5);
        for _ in 0..30 {
            store.commit(&world.batch()).expect("a batch is taken");
        }
        drop(store);
        let closed = fs::read(&path).expect("it can be read");
        let mut worlds = vec![world];
        let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it can be opened");
        for _ in 0..10 {
            let mut world = worlds[worlds.len() - 1].clone();
            store.commit(&world.batch()).expect("a batch is taken");
            worlds.push(world);
        }
        let open = ["hub.db", "hub.db-wal"].map(|name| fs::read(folder.path().join(name)).expect("it can be read"));
        drop(store);
        Self { folder, closed, open, worlds }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, files: &[Vec<u8>]) -> std::io::Result<()> {
        for name in ["hub.db", "hub.db-wal", "hub.db-shm"] {
            let _ = fs::remove_file(self.file(name));
        }
        files.iter().zip(["hub.db", "hub.db-wal"]).try_for_each(|(bytes, name)| fs::write(self.file(name), bytes))
    }
}

impl Target for Stores {
    fn name(&self) -> &'static str {
        "stores"
    }

    fn known(&self) -> Vec<Vec<u8>> {
        vec![Vec::new(), vec![0; 8], vec![255; 64]]
    }

    fn run(&mut self, input: &[u8]) -> Result<(), String> {
        let mut chance = Chance::new(input);
        let logged = chance.flag();
        let mut files = if logged { self.open.to_vec() } else { vec![self.closed.clone()] };
        let which = if logged { chance.below(2) as usize } else { 0 };
        let changes = chance.below(4);
        let mut cut = false;
        for _ in 0..changes {
            cut |= damage(&mut chance, &mut files[which]);
        }
        // A log whose end is damaged looks like one that was being written when the power went: what is before its end counts. A log that
        // was cut off looks like that too, wherever it was cut.
        let last = self.worlds.len() - 1;
        let possible = match (logged, which) {
            (false, _) => 0..=0,
            (true, 1) if cut || changes > 1 => 0..=last,
            (true, 1) if changes == 1 => last - 2..=last,
            (true, _) => last..=last,
        };
        let mut wrong = String::new();
        for world in self.worlds[possible].iter().rev() {
            self.write(&files).map_err(|error| error.to_string())?;
            match read_everything(&self.file("hub.db"), world) {
                Ok(Reading::Exact | Reading::Refused) => return Ok(()),
                Err(why) => wrong = why,
            }
        }
        Err(wrong)
    }
}

/// Changes a file. True if it was cut off.
fn damage(chance: &mut Chance<'_>, bytes: &mut Vec<u8>) -> bool {
    if bytes.is_empty() {
        return true;
    }
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let at = chance.below(length) as usize;
    match chance.below(6) {
        0..=2 => bytes[at] ^= 1 << chance.below(8),
        3 => {
            bytes.truncate(at);
            return true;
        }
        4 => {
            let end = (at + 512).min(bytes.len());
            bytes[at..end].fill(chance.byte());
        }
        _ => {
            let (from, to) = (at / 4_096 * 4_096, chance.below(length) as usize / 4_096 * 4_096);
            let size = 4_096.min(bytes.len() - from.max(to));
            bytes.copy_within(from..from + size, to);
        }
    }
    false
}

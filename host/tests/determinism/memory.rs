//! Linear memories that a test can look at while the guest is suspended. wasmtime shows components' memories to nobody, but lets
//! its user provide them.

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use wasmtime::{Config, LinearMemory, MemoryCreator, MemoryType};

/// What backs one linear memory.
type Bytes = Arc<Mutex<Vec<u64>>>;

/// A linear memory that a test can look at.
#[derive(Clone)]
pub struct Watched {
    words: Bytes,
    size: Arc<Mutex<usize>>,
}

/// SHA-256 of memories, in the order in which they were made, each with its size.
pub fn digest(memories: &[Watched]) -> String {
    let mut hash = Sha256::new();
    for memory in memories {
        let (words, size) = (memory.words.lock(), *memory.size.lock());
        hash.update((size as u64).to_le_bytes());
        for word in &words[..size / 8] {
            hash.update(word.to_le_bytes());
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

thread_local! {
    static MADE: RefCell<Vec<Watched>> = const { RefCell::new(Vec::new()) };
}

/// Runs something on this thread, and returns the memories that were made by it.
pub fn watching<T>(work: impl FnOnce() -> T) -> (T, Vec<Watched>) {
    MADE.take();
    let result = work();
    (result, MADE.take())
}

/// Makes an engine use memories that can be looked at. They have no guard pages, so that the code checks all bounds itself.
pub fn watch(config: &mut Config) {
    config.memory_reservation(0).memory_reservation_for_growth(0).memory_guard_size(0).memory_init_cow(false);
    config.with_host_memory(Arc::new(Creator));
}

struct Creator;

/// More than the limit of the sandbox, so that the memory never moves.
const ROOM: usize = 65 << 20;

#[allow(unsafe_code, reason = "wasmtime offers no other way to look at the memory of a component")]
// SAFETY: the memory is zeroed, never moves, has the room that it promises, and there are no guard pages to provide.
unsafe impl MemoryCreator for Creator {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        assert_eq!((reserved.unwrap_or(0), guard), (0, 0), "this engine was set up in another way");
        // Zeroed pages that nobody touches cost nothing.
        let watched = Watched { words: Arc::new(Mutex::new(vec![0; ROOM / 8])), size: Arc::new(Mutex::new(minimum)) };
        MADE.with_borrow_mut(|made| made.push(watched.clone()));
        let start = watched.words.lock().as_mut_ptr().cast::<u8>() as usize;
        Ok(Box::new(Memory { watched, start }))
    }
}

struct Memory {
    watched: Watched,
    start: usize,
}

#[allow(unsafe_code, reason = "wasmtime offers no other way to look at the memory of a component")]
// SAFETY: the memory lies in a vector that is never resized, and lives as long as this does.
unsafe impl LinearMemory for Memory {
    fn byte_size(&self) -> usize {
        *self.watched.size.lock()
    }

    fn byte_capacity(&self) -> usize {
        ROOM
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        if size > ROOM {
            return Err(wasmtime::Error::msg("a watched memory has less room than that"));
        }
        *self.watched.size.lock() = size;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.start as *mut u8
    }
}

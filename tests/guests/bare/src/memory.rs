//! What std would bring: an allocator that never gives back, and a trap for a panic.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr;

const PAGE: usize = 64 << 10;

/// Takes whole pages and hands out pieces of them.
struct Bump {
    next: Cell<usize>,
    end: Cell<usize>,
}

#[global_allocator]
static MEMORY: Bump = Bump { next: Cell::new(0), end: Cell::new(0) };

#[allow(unsafe_code, reason = "a component has one thread")]
// SAFETY: nothing runs at the same time in a component without threads.
unsafe impl Sync for Bump {}

#[allow(unsafe_code, reason = "an allocator is unsafe by nature")]
// SAFETY: each piece lies in pages that were grown for this allocator, is aligned, and is handed out once.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut begin = self.next.get().next_multiple_of(layout.align());
        if begin + layout.size() > self.end.get() {
            let pages = (layout.size() + layout.align()).div_ceil(PAGE);
            let grown = core::arch::wasm32::memory_grow::<0>(pages);
            if grown == usize::MAX {
                return ptr::null_mut();
            }
            begin = (grown * PAGE).next_multiple_of(layout.align());
            self.end.set((grown + pages) * PAGE);
        }
        self.next.set(begin + layout.size());
        ptr::with_exposed_provenance_mut(begin)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// The name by which the canonical ABI finds the allocator; C libraries bring one otherwise.
#[allow(unsafe_code, reason = "the name is the canonical ABI's")]
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8 {
    let Ok(layout) = Layout::from_size_align(size, align) else { core::arch::wasm32::unreachable() };
    // SAFETY: `old` is a piece of this allocator with `old_size` bytes, as the host promises, and what is new is elsewhere.
    unsafe {
        let new = MEMORY.alloc(layout);
        ptr::copy_nonoverlapping(old, new, old_size.min(size));
        new
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

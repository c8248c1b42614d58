//! Addresses, and memory that nobody has written to.
//!
//! Reading it is against Rust's rules, which is the point: the reads are volatile, so that the compiler leaves them in.
#![allow(unsafe_code, reason = "what a hostile guest would do")]

use std::alloc::{Layout, alloc, dealloc, realloc};

use crate::{Look, digest};

pub(crate) const ALL: &[(&str, Look)] = &[
    ("the address of an allocation", |_| {
        let small = Box::new(1_u8);
        let large = vec![1_u8; 300_000];
        format!("{:p} {:p}", &raw const *small, large.as_ptr())
    }),
    ("the address of the stack", |_| {
        let local = 1;
        format!("{:p} {:p}", &raw const local, deeper(10))
    }),
    ("the address of a function", |_| format!("{:p} {:p}", deeper as fn(u32) -> *const u8, size as fn() -> usize)),
    ("the address of a global", |_| {
        static ONE: u32 = 1;
        format!("{:p}", &raw const ONE)
    }),
    ("addresses of what the host hands over", |moment| {
        let heard = moment.heard.map(|heard| {
            (std::ptr::from_ref(heard), heard.outcome.as_ref().map(|text| text.as_deref().map(str::as_ptr)).ok())
        });
        format!("{:p} {:p} {heard:?}", moment.context.instance_id.as_ptr(), moment.context.tags.as_ptr())
    }),
    ("the capacity of what the host hands over", |moment| {
        format!("{} {}", moment.context.instance_id.capacity(), moment.context.tags.capacity())
    }),
    ("memory that was never written", |_| {
        let memory = Raw::new(5_000);
        digest(memory.read(0))
    }),
    ("memory that was freed", |_| {
        let mut first = Raw::new(70_000);
        first.write(0xa5);
        drop(first);
        let second = Raw::new(70_000);
        digest(second.read(0))
    }),
    ("the tail of memory that has grown", |_| {
        let mut memory = Raw::new(1_000);
        memory.write(0x5a);
        memory.grow(90_000);
        digest(memory.read(1_000))
    }),
    ("memory below the stack", |_| {
        deeper(50);
        let local = 1_u8;
        let top = &raw const local as usize;
        digest(bytes(top.saturating_sub(8 << 10), top))
    }),
    ("pages that were just added", |_| {
        let before = size();
        let grown = grow(1);
        let zero = bytes(before << 16, size() << 16).all(|byte| byte == 0);
        format!("{grown} {before} {zero}")
    }),
    ("the size of memory", |_| {
        let eaten = vec![1_u8; 100_000];
        std::mem::forget(std::hint::black_box(eaten));
        size().to_string()
    }),
    ("memory above the limit", |_| grow(2_000).to_string()),
    ("more memory than there can be", |_| grow(65_000).to_string()),
    ("all of its memory", |_| digest(bytes(1_024, size() << 16))),
    ("all of its memory, after much use", |_| {
        let texts: Vec<String> = (0..500).map(|number: u32| number.to_string().repeat(number as usize % 50)).collect();
        std::hint::black_box(&texts);
        drop(texts);
        digest(bytes(1_024, size() << 16))
    }),
    ("what others left in its globals", |moment| {
        thread_local! {
            static LEFT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
        }
        let left = LEFT.replace(digest(moment.context.instance_id.bytes()).len() as u64);
        format!("{left} {}", TRACES.get())
    }),
];

thread_local! {
    static TRACES: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// What a question leaves behind.
pub(crate) fn leave_traces() {
    TRACES.set(TRACES.get() + 1);
    grow(3);
    std::mem::forget(std::hint::black_box(vec![0xee_u8; 200_000]));
}

/// Pages of memory.
pub(crate) fn size() -> usize {
    #[cfg(target_arch = "wasm32")]
    return core::arch::wasm32::memory_size(0);
    #[cfg(not(target_arch = "wasm32"))]
    0
}

fn grow(pages: usize) -> usize {
    #[cfg(target_arch = "wasm32")]
    return core::arch::wasm32::memory_grow(0, pages);
    #[cfg(not(target_arch = "wasm32"))]
    pages
}

/// An address further down the stack, of a frame that has left something there.
#[inline(never)]
fn deeper(levels: u32) -> *const u8 {
    let frame = std::hint::black_box([levels as u8; 64]);
    let address = if levels == 0 { frame.as_ptr() } else { deeper(levels - 1) };
    std::hint::black_box(frame);
    address
}

/// What lies there.
fn bytes(from: usize, to: usize) -> impl Iterator<Item = u8> {
    // Within the linear memory, so that it cannot trap.
    (from..to).map(|address| unsafe { std::ptr::read_volatile(address as *const u8) })
}

/// Memory as the allocator gives it.
struct Raw {
    start: *mut u8,
    size: usize,
}

impl Raw {
    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).expect("sizes here are small")
    }

    fn new(size: usize) -> Self {
        Self { start: unsafe { alloc(Self::layout(size)) }, size }
    }

    fn write(&mut self, byte: u8) {
        for offset in 0..self.size {
            unsafe { std::ptr::write_volatile(self.start.add(offset), byte) };
        }
    }

    fn grow(&mut self, size: usize) {
        self.start = unsafe { realloc(self.start, Self::layout(self.size), size) };
        self.size = size;
    }

    fn read(&self, from: usize) -> impl Iterator<Item = u8> {
        bytes(self.start as usize + from, self.start as usize + self.size)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        unsafe { dealloc(self.start, Self::layout(self.size)) };
    }
}

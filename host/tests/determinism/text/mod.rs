//! Cases in WebAssembly text, for what Rust cannot express.
//!
//! Each is a function `$observe` that writes bytes from address `$at` on, and answers how many. An orchestrator around it tells them
//! in hexadecimal digits as its custom status, waits for a timer, looks again, and in the end returns what it saw last.

mod host;
mod instructions;
mod memory;
mod numeric;

pub use host::{allocations, handles, padding, poll, random_bytes, subscribe};
pub use memory::{
    bulk_memory, calls, conversion_out_of_range, division_by_zero, grow_beyond_addresses, grow_table,
    grow_table_to_maximum, grow_table_without_end, grow_to_maximum, grow_without_end, out_of_bounds, several_memories,
    tail_calls, unaligned, wrong_function,
};
pub use numeric::{Family, numeric};

use durawasm_test_components::{ANSWER, Guest, command};

/// Where observed bytes are written: a page that nothing else uses. The heap begins at the next one.
const SEEN: u32 = 65_536;
/// Where their digits go: room for 26,000 bytes of them.
const DIGITS: u32 = 12_288;
const ROUNDS: u32 = 3;

/// An orchestrator that looks in this way. `fields` defines `(func $observe (param $at i32) (result i32))`.
fn observer(fields: &str) -> Guest {
    let (first, second) = (ANSWER + 8, ANSWER + 8 + command::SIZE);
    let frame = format!(
        r#"
  (global $round (mut i32) (i32.const 0))
  (func $digit (param $value i32) (result i32)
    (i32.add (local.get $value) (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $value) (i32.const 10)))))
  (func $look (result i32) (local $length i32) (local $at i32) (local $byte i32)
    (local.set $length (call $observe (i32.const {SEEN})))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $at) (local.get $length)))
      (local.set $byte (i32.load8_u (i32.add (local.get $at) (i32.const {SEEN}))))
      (i32.store8 offset={DIGITS} (i32.shl (local.get $at) (i32.const 1))
        (call $digit (i32.shr_u (local.get $byte) (i32.const 4))))
      (i32.store8 offset={DIGITS} (i32.add (i32.shl (local.get $at) (i32.const 1)) (i32.const 1))
        (call $digit (i32.and (local.get $byte) (i32.const 15))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
    (local.set $length (i32.shl (local.get $length) (i32.const 1)))
    ;; custom-status(some(digits))
    (i32.store8 (i32.const {first}) (i32.const 5))
    (i32.store8 offset=8 (i32.const {first}) (i32.const 1))
    (i32.store offset=12 (i32.const {first}) (i32.const {DIGITS}))
    (i32.store offset=16 (i32.const {first}) (local.get $length))
    (global.set $round (i32.add (global.get $round) (i32.const 1)))
    (i64.store offset=8 (i32.const {second}) (i64.const 0))
    (if (i32.le_u (global.get $round) (i32.const {ROUNDS}))
      (then ;; issue(round, timer(1970))
        (i32.store8 (i32.const {second}) (i32.const 0))
        (i64.store offset=8 (i32.const {second}) (i64.extend_i32_u (global.get $round)))
        (i32.store8 offset=16 (i32.const {second}) (i32.const 2))
        (i64.store offset=24 (i32.const {second}) (i64.const 0))
        (i32.store offset=32 (i32.const {second}) (i32.const 0)))
      (else ;; complete(ok(some(digits)))
        (i32.store8 (i32.const {second}) (i32.const 7))
        (i32.store8 offset=12 (i32.const {second}) (i32.const 1))
        (i32.store offset=16 (i32.const {second}) (i32.const {DIGITS}))
        (i32.store offset=20 (i32.const {second}) (local.get $length))))
    (i32.store (i32.const {ANSWER}) (i32.const {first}))
    (i32.store offset=4 (i32.const {ANSWER}) (i32.const 2))
    (i32.const {ANSWER}))
  {fields}"#
    );
    Guest { fields: frame, start: "(call $look)".to_owned(), resume: "(call $look)".to_owned(), ..Guest::default() }
}

/// An orchestrator that looks by these instructions: they may use `$at`, where the bytes go, and `$i`, `$j` and `$k`, and leave the
/// number of bytes on the stack.
fn looking(fields: &str, instructions: &str) -> Vec<u8> {
    observer(&format!(
        "{fields} (func $observe (param $at i32) (result i32) (local $i i32) (local $j i32) (local $k i64) {instructions})"
    ))
    .component()
}

/// The name of the orchestrator in components that are assembled.
pub const ORCHESTRATOR: &str = "attack";

/// A component with a module that uses what no engine here accepts.
pub fn refused(module: &str) -> Vec<u8> {
    wat::parse_str(format!("(component (core module {module}))")).unwrap_or_else(|error| panic!("{error}\n{module}"))
}

pub const SHARED_MEMORY: &str = "(memory 1 1 shared)";
pub const ATOMICS: &str = "(memory 1) (func (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))";
pub const MEMORY64: &str = "(memory i64 1)";
pub const GARBAGE: &str = "(type $pair (struct (field i32))) (func (drop (struct.new $pair (i32.const 1))))";
pub const EXCEPTIONS: &str = "(tag $t) (func (throw $t))";
pub const WIDE_ARITHMETIC: &str =
    "(func (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1)))";
pub const PAGE_SIZE: &str = "(memory 1 (pagesize 1))";
pub const STACK_SWITCHING: &str =
    "(type $f (func)) (type $c (cont $f)) (func (param (ref $f)) (drop (cont.new $c (local.get 0))))";

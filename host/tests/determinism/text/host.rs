//! What the host writes, asks for and answers, byte by byte.

use super::observer;
use durawasm_test_components::Guest;

/// Notes the arguments of each call of `cabi_realloc`: 16 bytes each, up to 200 of them, and shows them all.
pub fn allocations() -> Vec<u8> {
    let guest = observer(
        "(memory $noted 1) (global $calls (mut i32) (i32.const 0))
         (func $observe (param $at i32) (result i32)
           (memory.copy 0 $noted (local.get $at) (i32.const 0) (i32.mul (global.get $calls) (i32.const 16)))
           (i32.mul (global.get $calls) (i32.const 16)))",
    );
    let note = |offset: u32, name: &str| {
        format!("(i32.store $noted offset={offset} (i32.mul (global.get $calls) (i32.const 16)) (local.get ${name}))")
    };
    let notes: String =
        [(0, "old"), (4, "old_size"), (8, "align"), (12, "size")].map(|(offset, name)| note(offset, name)).concat();
    let realloc = format!(
        "(if (i32.lt_u (global.get $calls) (i32.const 200)) (then {notes} (global.set $calls (i32.add (global.get $calls) (i32.const 1)))))
         (call $bump (local.get $align) (local.get $size))"
    );
    Guest { realloc, ..guest }.component()
}

/// Poisons what it gives to the host, and looks at all of it afterwards.
pub fn padding() -> Vec<u8> {
    let guest = observer(
        "(global $begin (mut i32) (i32.const 0))
         (func $observe (param $at i32) (result i32) (local $length i32)
           (local.set $length (i32.sub (global.get $heap) (i32.const 131072)))
           (if (i32.gt_u (local.get $length) (i32.const 8000)) (then (local.set $length (i32.const 8000))))
           (memory.copy (local.get $at) (i32.const 131072) (local.get $length))
           (local.get $length))",
    );
    let realloc = "(call $bump (local.get $align) (local.get $size))
         (global.set $begin)
         (memory.fill (global.get $begin) (i32.const 0xa5) (local.get $size))
         (global.get $begin)";
    Guest { realloc: realloc.to_owned(), ..guest }.component()
}

const STREAMS: &str = r#"
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
  (import "wasi:cli/stdin@0.2.0" "get-stdin" (func $stdin (result i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.subscribe" (func $subscribe (param i32) (result i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop_stream (param i32)))
  (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop_pollable (param i32)))
  (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))"#;

fn with_streams(fields: &str, instructions: &str) -> Vec<u8> {
    let guest = observer(&format!(
        "{fields} (func $observe (param $at i32) (result i32) (local $i i32) (local $j i32) {instructions})"
    ));
    Guest { imports: STREAMS.to_owned(), ..guest }.component()
}

/// Opens streams and pollables, drops some, opens more, and never drops others.
pub fn handles() -> Vec<u8> {
    with_streams(
        "",
        "(local.set $i (call $stdout))
         (i32.store offset=0 (local.get $at) (local.get $i))
         (i32.store offset=4 (local.get $at) (call $stdin))
         (local.set $j (call $subscribe (local.get $i)))
         (i32.store offset=8 (local.get $at) (local.get $j))
         (i32.store offset=12 (local.get $at) (call $subscribe (local.get $i)))
         (call $drop_pollable (local.get $j))
         (i32.store offset=16 (local.get $at) (call $subscribe (local.get $i)))
         (i32.const 20)",
    )
}

/// Polls three pollables in an order of its own, and shows what is ready, in which order.
pub fn poll() -> Vec<u8> {
    with_streams(
        "",
        "(local.set $i (call $stdout))
         (i32.store offset=40 (local.get $at) (call $subscribe (local.get $i)))
         (i32.store offset=32 (local.get $at) (call $subscribe (local.get $i)))
         (i32.store offset=36 (local.get $at) (call $subscribe (local.get $i)))
         (call $poll (i32.add (local.get $at) (i32.const 32)) (i32.const 3) (i32.add (local.get $at) (i32.const 48)))
         (i32.store (local.get $at) (i32.load offset=52 (local.get $at)))
         (memory.copy (i32.add (local.get $at) (i32.const 4)) (i32.load offset=48 (local.get $at)) (i32.const 12))
         (i32.const 16)",
    )
}

/// Asks the monotonic clock to wake it.
pub fn subscribe() -> Vec<u8> {
    let guest = observer(
        "(func $observe (param $at i32) (result i32)
           (i64.store (local.get $at) (call $now))
           (i32.store offset=8 (local.get $at) (call $wake (i64.const 1)))
           (i32.const 12))",
    );
    let imports = r#"
  (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $wake (param i64) (result i32)))"#;
    Guest { imports: imports.to_owned(), ..guest }.component()
}

/// Random bytes and numbers, by turns.
pub fn random_bytes() -> Vec<u8> {
    let guest = observer(
        "(func $observe (param $at i32) (result i32)
           (call $bytes (i64.const 33) (i32.add (local.get $at) (i32.const 64)))
           (memory.copy (local.get $at) (i32.load offset=64 (local.get $at)) (i32.const 33))
           (i64.store offset=33 align=1 (local.get $at) (call $number))
           (i32.const 41))",
    );
    let imports = r#"
  (import "wasi:random/random@0.2.0" "get-random-bytes" (func $bytes (param i64 i32)))
  (import "wasi:random/random@0.2.0" "get-random-u64" (func $number (result i64)))"#;
    Guest { imports: imports.to_owned(), ..guest }.component()
}

//! Memories, tables, calls and traps.

use super::{looking, observer};
use durawasm_test_components::Guest;

/// What `memory.grow` answers within and beyond the maximum that the module itself declares.
pub fn grow_to_maximum() -> Vec<u8> {
    looking(
        "(memory $small 1 3)",
        "(i32.store offset=0 (local.get $at) (memory.grow $small (i32.const 1)))
         (i32.store offset=4 (local.get $at) (memory.size $small))
         (i32.store offset=8 (local.get $at) (memory.grow (i32.const 0)))
         (i32.const 12)",
    )
}

/// Zeroes if `memory.grow` answers -1.
pub fn grow_beyond_addresses() -> Vec<u8> {
    looking(
        "",
        "(i32.store offset=0 (local.get $at) (i32.add (memory.grow (i32.const 65535)) (i32.const 1)))
         (i32.store offset=4 (local.get $at) (i32.add (memory.grow (i32.const -1)) (i32.const 1)))
         (i32.const 8)",
    )
}

pub fn grow_without_end() -> Vec<u8> {
    looking("", "(loop $on (br_if $on (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (i32.const 0)")
}

pub fn grow_table() -> Vec<u8> {
    looking(
        "(table $t 1 funcref)",
        "(i32.store offset=0 (local.get $at) (table.grow $t (ref.null func) (i32.const 1000)))
         (i32.store offset=4 (local.get $at) (table.size $t))
         (i32.store offset=8 (local.get $at) (ref.is_null (table.get $t (i32.sub (table.size $t) (i32.const 1)))))
         (i32.const 12)",
    )
}

/// What `table.grow` answers within and beyond the maximum that the module itself declares.
pub fn grow_table_to_maximum() -> Vec<u8> {
    looking(
        "(table $t 1 3 funcref)",
        "(i32.store offset=0 (local.get $at) (table.grow $t (ref.null func) (i32.const 1)))
         (i32.store offset=4 (local.get $at) (table.size $t))
         (i32.store offset=8 (local.get $at) (table.grow $t (ref.null func) (i32.const -1)))
         (i32.const 12)",
    )
}

pub fn grow_table_without_end() -> Vec<u8> {
    looking(
        "(table $t 1 funcref)",
        "(loop $on (br_if $on (i32.ne (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)))) (i32.const 0)",
    )
}

/// Sums over two further memories, with a new page in one of them each time.
pub fn several_memories() -> Vec<u8> {
    looking(
        "(memory $one 2) (memory $two 1) (data (memory $two) (i32.const 100) \"here\")",
        "(local.set $j (i32.const 0))
         (loop $next
           (local.set $k (i64.add (local.get $k) (i64.load8_u $one (local.get $j))))
           (local.set $k (i64.rotl (i64.add (local.get $k) (i64.load8_u $two (i32.and (local.get $j) (i32.const 65535)))) (i64.const 1)))
           (local.set $j (i32.add (local.get $j) (i32.const 1)))
           (br_if $next (i32.lt_u (local.get $j) (i32.mul (memory.size $one) (i32.const 65536)))))
         (i32.store8 $one (i32.const 70000) (i32.add (i32.load8_u $one (i32.const 70000)) (i32.const 1)))
         (i64.store offset=0 (local.get $at) (local.get $k))
         (i32.store offset=8 (local.get $at) (memory.grow $one (i32.const 1)))
         (i32.const 12)",
    )
}

pub fn bulk_memory() -> Vec<u8> {
    looking(
        r#"(data $kept "0123456789abcdef")"#,
        "(memory.init $kept (local.get $at) (i32.const 0) (i32.const 16))
         (memory.copy (i32.add (local.get $at) (i32.const 4)) (local.get $at) (i32.const 16))
         (memory.copy (local.get $at) (i32.add (local.get $at) (i32.const 2)) (i32.const 14))
         (memory.fill (i32.add (local.get $at) (i32.const 20)) (i32.const 0x1a7) (i32.const 5))
         (memory.copy (i32.add (local.get $at) (i32.const 25)) (i32.const 0) (i32.const 0))
         (i32.const 32)",
    )
}

pub fn unaligned() -> Vec<u8> {
    looking(
        "",
        "(i64.store (local.get $at) (i64.const 0x0123456789abcdef))
         (i64.store offset=8 (local.get $at) (i64.const 0x8070605040302010))
         (loop $next
           (i64.store offset=16 (i32.add (local.get $at) (i32.mul (local.get $i) (i32.const 8)))
             (i64.load align=1 (i32.add (local.get $at) (local.get $i))))
           (i32.store offset=17 align=1 (i32.add (local.get $at) (i32.mul (local.get $i) (i32.const 8)))
             (i32.load16_s align=1 (i32.add (local.get $at) (local.get $i))))
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $next (i32.lt_u (local.get $i) (i32.const 8))))
         (i32.const 88)",
    )
}

pub fn out_of_bounds() -> Vec<u8> {
    looking("", "(i32.load8_u (i32.mul (memory.size) (i32.const 65536)))")
}

pub fn division_by_zero() -> Vec<u8> {
    looking("", "(i32.div_s (i32.const 1) (local.get $i))")
}

pub fn conversion_out_of_range() -> Vec<u8> {
    looking("", "(i32.trunc_f64_s (f64.div (f64.const 1) (f64.convert_i32_u (local.get $i))))")
}

/// Calls nested as deeply as that: the answer is a number that each level has changed.
pub fn calls(depth: u32) -> Vec<u8> {
    looking(
        "(func $deeper (param $left i32) (param $seed i64) (result i64)
           (if (result i64) (i32.eqz (local.get $left))
             (then (local.get $seed))
             (else (i64.add (i64.rotl
               (call $deeper (i32.sub (local.get $left) (i32.const 1)) (i64.mul (local.get $seed) (i64.const 6364136223846793005)))
               (i64.const 3)) (local.get $seed)))))",
        &format!(
            "(i64.store (local.get $at) (call $deeper (i32.const {}) (i64.const 77))) (i32.const 8)",
            depth.cast_signed()
        ),
    )
}

pub fn tail_calls() -> Vec<u8> {
    looking(
        "(func $even (param $left i32) (param $seed i64) (result i64)
           (if (i32.eqz (local.get $left)) (then (return (local.get $seed))))
           (return_call $odd (i32.sub (local.get $left) (i32.const 1)) (i64.rotl (local.get $seed) (i64.const 1))))
         (func $odd (param $left i32) (param $seed i64) (result i64)
           (return_call $even (i32.sub (local.get $left) (i32.const 1)) (i64.add (local.get $seed) (i64.const 3))))",
        "(i64.store (local.get $at) (call $even (i32.const 1000000) (i64.const 1))) (i32.const 8)",
    )
}

/// Calls a function by its number, as if it were of another type.
pub fn wrong_function() -> Vec<u8> {
    let guest = observer(
        "(table $t funcref (elem $digit)) (type $other (func (param f32)))
         (func $observe (param $at i32) (result i32) (call_indirect $t (type $other) (f32.const 1) (i32.const 0)) (i32.const 0))",
    );
    Guest { ..guest }.component()
}

//! Attacks by calls of the host: arguments that mean nothing, handles out of thin air, floods, and calls at the wrong moment.

use durawasm_test_components::{Guest, NOTHING};

use crate::attack::Attack;

const RANDOM: &str = r#"(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))"#;
const ENVIRONMENT: &str = r#"(import "wasi:cli/environment@0.2.0" "get-environment" (func $environment (param i32)))"#;
const STDOUT: &str = r#"(import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
    (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop_stream (param i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.check-write" (func $check (param i32 i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.write-zeroes" (func $zeroes (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.0" "[method]output-stream.subscribe" (func $subscribe (param i32) (result i32)))
    (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop_pollable (param i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.ready" (func $ready (param i32) (result i32)))
    (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))"#;
const STDIN: &str = r#"(import "wasi:cli/stdin@0.2.0" "get-stdin" (func $stdin (result i32)))
    (import "wasi:io/streams@0.2.0" "[method]input-stream.read" (func $read (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.0" "[method]input-stream.skip" (func $skip (param i32 i64 i32)))"#;

/// The host refuses what it is given: the guest broke the contract.
const REFUSED: &str = "parked: contract";
const BREACH: &str = "failed: ContractBreach";

pub fn all() -> Vec<Attack> {
    let mut all = arguments();
    all.extend(handles());
    all.extend(floods());
    all.extend(reentrance());
    all
}

fn write(level: &str, target: [u32; 2], message: [u32; 2], fields: [u32; 2]) -> String {
    let list =
        |[place, length]: [u32; 2]| format!("(i32.const {}) (i32.const {})", place.cast_signed(), length.cast_signed());
    format!("(call $log (i32.const {level}) {} {} {})", list(target), list(message), list(fields))
}

fn arguments() -> Vec<Attack> {
    let none = [NOTHING, 0];
    let odd = |name, instructions: &str| Attack::both(name, instructions, REFUSED, BREACH);
    let mut all = vec![
        odd("logs at an unknown level", &write("5", none, none, none)),
        odd("logs at level 2^32 - 1", &write("-1", none, none, none)),
        odd("logs a line of 2^32 - 1 bytes", &write("2", none, [0, u32::MAX], none)),
        odd("logs a line outside of its memory", &write("2", none, [0xffff_fff0, 16], none)),
        odd("logs fields of 2^32 - 1", &write("2", none, none, [0, u32::MAX])),
        odd("logs fields of 2^28", &write("2", none, none, [0, 1 << 28])),
        odd("logs fields at an odd address", &write("2", none, none, [1, 1])),
        odd(
            "logs what is not UTF-8",
            &format!("(i32.store8 (i32.const 200000) (i32.const 255)) {}", write("2", none, [200_000, 1], none)),
        ),
    ];
    // 12,288 fields, whose names and values are all of them the three pages in which these fields lie: 4.8 GB. Their bytes are UTF-8.
    let fields = |place: u32, length: u32| {
        format!(
            "(local $at i32) (local.set $at (i32.const 65536))
             (loop $next
               (i32.store offset=0 (local.get $at) (i32.const {place})) (i32.store offset=4 (local.get $at) (i32.const {length}))
               (i32.store offset=8 (local.get $at) (i32.const {place})) (i32.store offset=12 (local.get $at) (i32.const {length}))
               (local.set $at (i32.add (local.get $at) (i32.const 16))) (br_if $next (i32.lt_u (local.get $at) (i32.const 262144))))
             {}",
            write("2", none, none, [65_536, 12_288])
        )
    };
    let three_pages = fields(65_536, 196_608);
    let name = "logs most of its memory in each field";
    all.push(Attack::both(name, &three_pages, "parked: answer", "failed: AnswerLimit").slow());
    // With the first page, where data lies that is no text.
    all.push(odd("logs its whole memory, which is no text, in each field", &fields(0, 262_144)));
    for (name, length) in [
        ("asks for 2^63 random bytes", "0x8000000000000000"),
        ("asks for 2^64 - 1 random bytes", "-1"),
        ("asks for 2^32 random bytes", "0x100000000"),
        ("asks for a megabyte and a byte of random", "1048577"),
    ] {
        all.push(
            Attack::both(
                name,
                &format!("(call $random (i64.const {length}) (i32.const 64))"),
                "parked: random",
                "failed: *",
            )
            .importing(RANDOM),
        );
    }
    all.push(
        Attack::both(
            "asks for random bytes at the end of addresses",
            "(call $random (i64.const 16) (i32.const -8))",
            REFUSED,
            "failed: *",
        )
        .importing(RANDOM),
    );
    all.push(
        Attack::both(
            "asks for random bytes at an odd address",
            "(call $random (i64.const 16) (i32.const 65))",
            REFUSED,
            "failed: *",
        )
        .importing(RANDOM),
    );
    for (name, length) in
        [("reads 2^63 bytes", "0x8000000000000000"), ("reads 2^64 - 1 bytes", "-1"), ("reads nothing", "0")]
    {
        all.push(
            Attack::both(name, &format!("(call $read (call $stdin) (i64.const {length}) (i32.const 64)) (call $skip (call $stdin) (i64.const {length}) (i32.const 64))"), "ok", "*")
                .importing(STDIN),
        );
    }
    for (name, length) in [("writes 2^63 zeroes", "0x8000000000000000"), ("writes 2^40 zeroes", "0x10000000000")] {
        all.push(
            Attack::both(name, &format!("(call $zeroes (call $stdout) (i64.const {length}) (i32.const 64))"), "*", "*")
                .importing(STDOUT),
        );
    }
    all
}

fn handles() -> Vec<Attack> {
    let odd = |name, instructions: &str| Attack::both(name, instructions, REFUSED, BREACH).importing(STDOUT);
    let stream = "(local $h i32) (local.set $h (call $stdout))";
    vec![
        odd("drops a handle twice", &format!("{stream} (call $drop_stream (local.get $h)) (call $drop_stream (local.get $h))")),
        odd("uses a handle that it dropped", &format!("{stream} (call $drop_stream (local.get $h)) (call $check (local.get $h) (i32.const 64))")),
        odd("uses a handle of another type", &format!("{stream} (drop (call $ready (local.get $h)))")),
        odd("drops a handle of another type", &format!("{stream} (call $drop_pollable (local.get $h))")),
        odd("makes up a handle", "(call $check (i32.const 77) (i32.const 64))"),
        odd("makes up the handle 0", "(call $check (i32.const 0) (i32.const 64))"),
        odd("makes up the handle 2^32 - 1", "(call $check (i32.const -1) (i32.const 64))"),
        odd("makes up a handle to drop", "(call $drop_stream (i32.const 3))"),
        odd("writes to a handle that it made up", "(call $write (i32.const 9) (i32.const 0) (i32.const 1) (i32.const 64))"),
        odd("polls 2^28 handles", "(call $poll (i32.const 0) (i32.const 0x10000000) (i32.const 64))"),
        odd("polls 2^32 - 1 handles", "(call $poll (i32.const 0) (i32.const -1) (i32.const 64))"),
        odd("polls handles that it made up", "(call $poll (i32.const 1024) (i32.const 8) (i32.const 64))"),
        Attack::both(
            "polls the same handle sixty thousand times",
            "(local $at i32) (local $h i32)
             (local.set $h (call $subscribe (call $stdout)))
             (loop $next (i32.store (local.get $at) (local.get $h)) (local.set $at (i32.add (local.get $at) (i32.const 4)))
               (br_if $next (i32.lt_u (local.get $at) (i32.const 240000))))
             (call $poll (i32.const 0) (i32.const 60000) (i32.const 250000)) (i32.store (i32.const 64) (i32.const 0))
             (memory.fill (i32.const 64) (i32.const 0) (i32.const 16))",
            "*",
            "*",
        )
        .importing(STDOUT),
        Attack::both(
            "never drops a hundred thousand handles",
            "(local $count i32)
             (loop $next (drop (call $stdout)) (local.set $count (i32.add (local.get $count) (i32.const 1)))
               (br_if $next (i32.lt_u (local.get $count) (i32.const 100000))))",
            "*",
            "*",
        )
        .importing(STDOUT)
        .slow(),
        Attack::both(
            "never drops any handle of a stream",
            "(local $h i32) (local.set $h (call $stdout)) (loop $next (drop (call $subscribe (local.get $h))) (br $next))",
            "parked: *",
            "failed: *",
        )
        .importing(STDOUT)
        .slow(),
        Attack::both(
            "makes and drops a hundred thousand handles",
            "(local $count i32)
             (loop $next (call $drop_stream (call $stdout)) (local.set $count (i32.add (local.get $count) (i32.const 1)))
               (br_if $next (i32.lt_u (local.get $count) (i32.const 100000))))",
            "ok",
            "ok",
        )
        .importing(STDOUT)
        .slow(),
    ]
}

fn floods() -> Vec<Attack> {
    let flood = |name, times: u32, instructions: &str, imports| {
        let instructions = format!(
            "(local $count i32) (loop $next {instructions} (local.set $count (i32.add (local.get $count) (i32.const 1)))
               (br_if $next (i32.lt_u (local.get $count) (i32.const {times}))))"
        );
        Attack::both(name, &instructions, "*", "*").importing(imports).slow()
    };
    let line = |message, fields| write("2", message, message, fields);
    let whole = "(i32.store offset=65540 (i32.const 0) (i32.const 60000)) (i32.store offset=65548 (i32.const 0) (i32.const 60000))";
    vec![
        flood("logs a million empty lines", 1_000_000, &line([NOTHING, 0], [NOTHING, 0]), ""),
        flood("logs ten thousand long lines", 10_000, &line([64, 60_000], [NOTHING, 0]), ""),
        flood(
            "logs ten thousand lines with long fields",
            10_000,
            &format!("{whole} {}", line([64, 10], [65_536, 1])),
            "",
        ),
        flood("panics in its log a hundred thousand times", 100_000, &panic_line(), ""),
        flood(
            "prints without the end of a line",
            10_000,
            "(call $write (call $stdout) (i32.const 200000) (i32.const 60000) (i32.const 64))",
            STDOUT,
        ),
        flood(
            "prints nothing but ends of lines",
            2_000,
            "(memory.fill (i32.const 140000) (i32.const 10) (i32.const 60000)) (call $write (call $stdout) (i32.const 140000) (i32.const 60000) (i32.const 64))",
            STDOUT,
        ),
    ]
}

/// The line that SDKs write before a panic: what is remembered of it must not be all of it.
fn panic_line() -> String {
    let target = "durawasm.panic";
    let bytes = u64::from_le_bytes(target.as_bytes()[..8].try_into().expect("eight"));
    let rest = u64::from_le_bytes([&target.as_bytes()[6..], &[]].concat().try_into().expect("eight"));
    format!(
        "(i64.store (i32.const 6000) (i64.const {bytes})) (i64.store (i32.const 6006) (i64.const {rest})) {}",
        write("4", [6_000, 14], [8_192, 200_000], [NOTHING, 0])
    )
}

/// Calls of the host while the host is asking for room, or reads an answer.
fn reentrance() -> Vec<Attack> {
    let log = write("2", [NOTHING, 0], [NOTHING, 0], [NOTHING, 0]);
    let random = "(call $random (i64.const 64) (i32.const 64))";
    vec![
        Attack::new(
            "logs when room is asked for",
            Guest { realloc: format!("{log} (i32.const 8192)"), ..Guest::default() },
            "failed: *",
            "failed: *",
        ),
        Attack::new(
            "asks for random bytes when room for random bytes is asked for",
            Guest {
                imports: RANDOM.to_owned(),
                realloc: format!("{random} (i32.const 8192)"),
                ..Guest::attacking(random)
            },
            "failed: *",
            "failed: *",
        ),
        Attack::new(
            "logs after its answer was read",
            Guest { post: log, ..Guest::default() },
            "failed: *",
            "failed: *",
        ),
        Attack::new(
            "asks for its environment after its answer was read",
            Guest {
                imports: ENVIRONMENT.to_owned(),
                post: "(call $environment (i32.const 64))".to_owned(),
                ..Guest::default()
            },
            "failed: *",
            "failed: *",
        ),
    ]
}

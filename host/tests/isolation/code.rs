//! Attacks by code: traps of every kind, stacks, endless loops, memory and tables, at every place where a guest's code runs.

use durawasm_test_components::Guest;

use crate::attack::Attack;

const LOOP: &str = "(loop $for_ever (br $for_ever))";
const RECURSION: &str = "(call $down)";
const DOWN: &str = "(func $down (call $down) (call $down))";
const GROW: &str = "(loop $again (drop (memory.grow (i32.const 1))) (br $again))";
const NOW: &str = r#"(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))"#;

pub fn all() -> Vec<Attack> {
    let mut all = traps();
    // What is said of it is bounded, whatever its functions are called.
    let named = format!("(func ${} (unreachable))", "n".repeat(60_000));
    let attack = Attack::both(
        "has a function with a name of sixty thousand bytes",
        "(call $last)",
        "failed: Trap",
        "failed: Trap",
    );
    all.push(attack.with(&format!("(func $last (call ${})) {named}", "n".repeat(60_000))));
    all.extend(stacks());
    all.extend(endless());
    all.extend(memory());
    all.extend(places());
    all
}

fn traps() -> Vec<Attack> {
    let table =
        "(table $table 4 funcref) (elem (i32.const 1) $typed) (type $other (func (param f64))) (type $none (func))
        (func $typed (param i32)) (data $passive \"x\")";
    [
        ("runs into unreachable", "(unreachable)"),
        ("loads out of bounds", "(drop (i32.load (i32.const -4)))"),
        ("loads out of bounds behind an offset", "(drop (i64.load offset=4294967295 (i32.const -1)))"),
        ("stores out of bounds", "(i64.store (i32.const 262140) (i64.const 0))"),
        ("fills out of bounds", "(memory.fill (i32.const 0) (i32.const 1) (i32.const -1))"),
        ("copies out of bounds", "(memory.copy (i32.const 0) (i32.const 16) (i32.const -16))"),
        ("initialises out of bounds", "(memory.init $passive (i32.const 0) (i32.const 0) (i32.const 2))"),
        (
            "initialises from dropped data",
            "(data.drop $passive) (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 1))",
        ),
        ("calls outside of its table", "(call_indirect $table (type $none) (i32.const 99))"),
        ("calls a null function", "(call_indirect $table (type $none) (i32.const 0))"),
        ("calls with another signature", "(call_indirect $table (type $other) (f64.const 0) (i32.const 1))"),
        ("sets outside of its table", "(table.set $table (i32.const -1) (ref.null func))"),
        ("fills its table out of bounds", "(table.fill $table (i32.const 3) (ref.null func) (i32.const 9))"),
        ("divides by zero", "(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        ("divides to overflow", "(drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1)))"),
        ("takes the remainder by zero", "(drop (i64.rem_s (i64.const 1) (i64.const 0)))"),
        ("makes an integer of a NaN", "(drop (i32.trunc_f64_s (f64.const nan)))"),
        ("makes an integer of infinity", "(drop (i64.trunc_f32_u (f32.const inf)))"),
    ]
    .into_iter()
    .map(|(name, instructions)| Attack::both(name, instructions, "failed: Trap", "failed: Trap").with(table))
    .collect()
}

fn stacks() -> Vec<Attack> {
    let locals = "(local i64)".repeat(2_000);
    let uses: String = (0..2_000).map(|local| format!("(local.set {local} (i64.load (i32.const {local})))")).collect();
    let sums: String = (0..2_000).map(|local| format!("(i64.store (i32.const {local}) (local.get {local}))")).collect();
    let stack = |name, instructions, fields: &str| {
        Attack::both(name, instructions, "parked: stack", "failed: StackLimit").with(fields)
    };
    vec![
        stack("calls itself without end", RECURSION, DOWN),
        stack(
            "calls itself through its table",
            "(call $indirect)",
            "(table $table 1 funcref) (elem (i32.const 0) $indirect) (type $none (func))
             (func $indirect (call_indirect $table (type $none) (i32.const 0)) (nop) (call $leaf)) (func $leaf)",
        ),
        stack(
            "calls itself with large frames",
            "(call $wide)",
            &format!("(func $wide {locals} {uses} (call $wide) {sums})"),
        ),
        stack(
            "calls the host at the end of its stack",
            "(call $chatty)",
            "(func $chatty (call $log (i32.const 2) (i32.const 64) (i32.const 0) (i32.const 64) (i32.const 0) (i32.const 64) (i32.const 0))
               (call $chatty) (call $chatty))",
        ),
    ]
}

fn endless() -> Vec<Attack> {
    vec![
        Attack::both("loops for ever", LOOP, "parked: deadline", "failed: Deadline").slow(),
        Attack::both("calls for ever without a stack", "(call $tail)", "parked: deadline", "failed: Deadline")
            .with("(func $tail (return_call $tail))")
            .slow(),
        Attack::both(
            "fills its memory for ever",
            "(loop $again (memory.fill (i32.const 0) (i32.const 1) (i32.const 262144)) (br $again))",
            "parked: *",
            "failed: Deadline",
        )
        .with("(func $unused)")
        .slow(),
    ]
}

fn memory() -> Vec<Attack> {
    let memory = |name, instructions| Attack::both(name, instructions, "parked: memory", "failed: MemoryLimit");
    let table = |name, instructions| Attack::both(name, instructions, "parked: tables", "failed: TableLimit");
    let fine = |name, instructions: &str| Attack::both(name, instructions, "ok", "ok");
    vec![
        memory("grows its memory without end", GROW),
        memory("grows its memory at once", "(drop (memory.grow (i32.const 65532)))"),
        table("grows a table at once", "(drop (table.grow $table (ref.null func) (i32.const 0x7fffffff)))")
            .with("(table $table 1 funcref)"),
        table(
            "grows a table without end",
            "(loop $again (drop (table.grow $table (ref.null func) (i32.const 65536))) (br $again))",
        )
        .with("(table $table 1 funcref)"),
        memory("grows a memory with a maximum above the limit", "(drop (memory.grow $large (i32.const 100)))")
            .with("(memory $large 1 1000)"),
        table(
            "grows a table with a maximum above the limit",
            "(drop (table.grow $table (ref.null func) (i32.const 2000000)))",
        )
        .with("(table $table 1 3000000 funcref)"),
        // What cannot be by WebAssembly's own rules is refused, and the guest goes on: no host would grant it.
        fine("grows its memory by more than there can be", &refused("(memory.grow (i32.const -1))")),
        fine("grows its memory by one page more than there can be", &refused("(memory.grow (i32.const 65533))")),
        fine(
            "grows a memory beyond its own maximum",
            &format!(
                "{} (if (i32.ne (memory.grow $small (i32.const 1)) (i32.const 1)) (then (unreachable))) {}",
                refused("(memory.grow $small (i32.const 2))"),
                refused("(memory.grow $small (i32.const 1))"),
            ),
        )
        .with("(memory $small 1 2)"),
        fine(
            "grows a table beyond its own maximum",
            &format!(
                "{} (if (i32.ne (table.grow $small (ref.null func) (i32.const 1)) (i32.const 1)) (then (unreachable))) {}",
                refused("(table.grow $small (ref.null func) (i32.const 2))"),
                refused("(table.grow $small (ref.null func) (i32.const -1))"),
            ),
        )
        .with("(table $small 1 2 funcref)"),
    ]
}

/// Traps if this is not refused.
fn refused(growth: &str) -> String {
    format!("(if (i32.ne {growth} (i32.const -1)) (then (unreachable)))")
}

/// The same few attacks at each place where a guest's code runs.
fn places() -> Vec<Attack> {
    let attacks = [
        ("traps", "(unreachable)", ["failed: Trap", "failed: Trap"]),
        ("overflows the stack", RECURSION, ["parked: stack", "failed: StackLimit"]),
        ("takes all memory", GROW, ["parked: memory", "failed: MemoryLimit"]),
        ("loops for ever", LOOP, ["parked: deadline", "failed: Deadline"]),
    ];
    let mut all = Vec::new();
    for (what, instructions, [orchestrator, activity]) in attacks {
        let base = || Guest { fields: DOWN.to_owned(), ..Guest::default() };
        let mut place = |place: &str, guest: Guest, orchestrator, activity| {
            let attack = Attack::new(format!("{what} {place}"), guest, orchestrator, activity);
            all.push(if what == "loops for ever" { attack.slow() } else { attack });
        };
        let fields = |more: &str| format!("{DOWN} {more}");
        let resume =
            Guest { start: "(call $call)".to_owned(), resume: format!("{instructions} (i32.const 64)"), ..base() };
        let call = crate::answers::call();
        place("when it is resumed", Guest { fields: fields(&call), ..resume }, orchestrator, "");
        place(
            "when room is asked for",
            Guest { realloc: format!("{instructions} (i32.const 0)"), ..base() },
            orchestrator,
            activity,
        );
        place("after its answer was read", Guest { post: instructions.to_owned(), ..base() }, orchestrator, activity);
        place("when it is described", Guest { describe: instructions.to_owned(), ..base() }, "refused", "refused");
        let start = format!("(func $begin {instructions}) (start $begin)");
        place("in its start function", Guest { fields: fields(&start), ..base() }, "refused", "refused");
        // A description is asked for at the beginning of time: so a guest can tell, and wait until it is run.
        let later = format!("(if (i64.ne (call $now) (i64.const 0)) (then {instructions}))");
        let start = format!("(func $begin {later}) (start $begin)");
        let guest = Guest { imports: NOW.to_owned(), fields: fields(&start), ..base() };
        place("in its start function, when it is run", guest, orchestrator, "failed: *");
        let start = format!(r#"(func $begin (export "_initialize") {later})"#);
        let guest = Guest { imports: NOW.to_owned(), fields: fields(&start), ..base() };
        place("in its initialisation, when it is run", guest, orchestrator, "failed: *");
    }
    all
}

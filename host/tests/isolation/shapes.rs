//! Components whose shape alone is an attack: bombs for the compiler, crowds of instances and memories, data that unfolds.

use std::fmt::Write as _;

use durawasm_test_components::Guest;

/// A component that nobody would write.
pub struct Shape {
    pub name: &'static str,
    /// Whether it must be refused. Others may be loaded: what counts is what that costs.
    pub refused: bool,
    make: Box<dyn Fn() -> Vec<u8>>,
}

impl Shape {
    pub fn bytes(&self) -> Vec<u8> {
        (self.make)()
    }
}

fn text(name: &'static str, refused: bool, make: impl Fn() -> String + 'static) -> Shape {
    Shape {
        name,
        refused,
        make: Box::new(move || wat::parse_str(make()).unwrap_or_else(|error| panic!("{name}: {error}"))),
    }
}

/// An otherwise honest guest.
fn guest(name: &'static str, refused: bool, make: impl Fn() -> Guest + 'static) -> Shape {
    Shape { name, refused, make: Box::new(move || make().component()) }
}

fn repeat(times: usize, line: impl Fn(usize) -> String) -> String {
    (0..times).fold(String::new(), |mut all, number| {
        all.push_str(&line(number));
        all
    })
}

pub fn all() -> Vec<Shape> {
    let mut all = crowds();
    all.extend(memories());
    all.extend(functions());
    all.extend(types());
    all
}

fn crowds() -> Vec<Shape> {
    vec![
        text("nothing at all", true, || "(component)".to_owned()),
        text("nested a hundred deep", true, || format!("{}{}", "(component ".repeat(100), ")".repeat(100))),
        text("ten thousand instances", true, || {
            format!(
                "(component (core module $m) {})",
                repeat(10_000, |_| "(core instance (instantiate $m))".to_owned())
            )
        }),
        text("a thousand instances with a memory of 4 MiB each", true, || {
            let instances = repeat(900, |_| "(core instance (instantiate $m))".to_owned());
            format!("(component (core module $m (memory 64)) {instances})")
        }),
        text("nested instances that double forty times", true, || {
            let mut level = "(component $c0 (core module $m (memory 1)) (core instance (instantiate $m)))".to_owned();
            for depth in 1..=40 {
                level = format!(
                    "(component $c{depth} {level} (instance (instantiate $c{0})) (instance (instantiate $c{0})))",
                    depth - 1
                );
            }
            level
        }),
        text("a thousand imports that nobody offers", true, || {
            format!("(component {})", repeat(1_000, |n| format!("(import \"acme:thing/x{n}\" (instance))")))
        }),
        text("a thousand imports of WASI that there are not", true, || {
            format!(
                "(component {})",
                repeat(1_000, |n| format!("(import \"wasi:thing/x{n}@0.2.0\" (instance (export \"f\" (func))))"))
            )
        }),
        text("ten thousand exports", true, || {
            format!("(component (instance $i) {})", repeat(10_000, |n| format!("(export \"e{n}\" (instance $i))")))
        }),
    ]
}

fn memories() -> Vec<Shape> {
    let memory = |pages: &str| Guest { memory: format!(r#"(memory (export "memory") {pages})"#), ..Guest::default() };
    vec![
        guest("a memory of 4 GiB at the start", true, move || memory("65536")),
        guest("a memory just above the limit at the start", true, move || memory("65")),
        guest("a memory of 4 GiB with data at both ends", true, move || Guest {
            fields: "(data (i32.const 4294967280) \"x\") (data (i32.const 60000) \"y\")".to_owned(),
            ..memory("65536")
        }),
        guest("a table of 2^31 at the start", true, || Guest {
            fields: "(table 0x7fffffff funcref)".to_owned(),
            ..Guest::default()
        }),
        guest("ninety tables of a million at the start", true, || Guest {
            fields: "(table 1000000 funcref)".repeat(90),
            ..Guest::default()
        }),
        guest("ninety memories", true, || Guest { fields: "(memory 1)".repeat(90), ..Guest::default() }),
        guest("data of 64 MiB", true, move || Guest {
            fields: format!("(data (i32.const 131072) \"{}\")", "x".repeat(64 << 20)),
            ..memory("1100")
        }),
        guest("nine thousand pieces of data in the same place", false, || Guest {
            fields: repeat(9_000, |_| "(data (i32.const 131072) \"xxxxxxxxxxxxxxxxxxxxxxxx\")".to_owned()),
            ..Guest::default()
        }),
        guest("a hundred thousand pieces of data in the same place", true, || Guest {
            fields: repeat(99_000, |_| "(data (i32.const 131072) \"xxxxxxxxxxxxxxxxxxxxxxxx\")".to_owned()),
            ..Guest::default()
        }),
    ]
}

fn functions() -> Vec<Shape> {
    vec![
        guest("a function of a megabyte and more", true, || Guest {
            fields: format!("(func (param i32) (result i32) local.get 0 {})", "local.get 0 i32.add ".repeat(400_000)),
            ..Guest::default()
        }),
        guest("a function of half a megabyte", false, || Guest {
            fields: format!("(func (param i32) (result i32) local.get 0 {})", "local.get 0 i32.add ".repeat(160_000)),
            ..Guest::default()
        }),
        guest("half a megabyte of loads that are all alive at the end", false, || Guest {
            fields: format!(
                "(func (param i32) (result i32) {} {})",
                "local.get 0 i32.load ".repeat(80_000),
                "i32.xor ".repeat(79_999)
            ),
            ..Guest::default()
        }),
        guest("a hundred thousand blocks in each other", false, || Guest {
            fields: format!("(func {} {})", "block ".repeat(100_000), "end ".repeat(100_000)),
            ..Guest::default()
        }),
        guest("fifty thousand branches to each of a thousand blocks", false, || {
            let targets = repeat(50_000, |n| format!("{} ", n % 1_000));
            Guest {
                fields: format!(
                    "(func (param i32) {} local.get 0 br_table {targets} {})",
                    "block ".repeat(1_000),
                    "end ".repeat(1_000)
                ),
                ..Guest::default()
            }
        }),
        guest("fifty thousand locals in each of five hundred functions", true, || {
            let mut locals = String::from("(func (local");
            for _ in 0..49_999 {
                write!(locals, " i64").unwrap();
            }
            locals.push_str("))");
            Guest { fields: locals.repeat(500), ..Guest::default() }
        }),
        guest("ten thousand functions", false, || Guest { fields: "(func)".repeat(10_000), ..Guest::default() }),
        guest("a million functions", true, || Guest { fields: "(func)".repeat(999_900), ..Guest::default() }),
    ]
}

fn types() -> Vec<Shape> {
    vec![
        text("types that double sixty times", true, || {
            let doubled = repeat(60, |n| format!("(type $t{} (tuple $t{n} $t{n}))", n + 1));
            format!(
                "(component (type $t0 (tuple u64 u64)) {doubled} (import \"wasi:a/b@0.2.0\" (instance (export \"f\" (func (param \"x\" $t60))))))"
            )
        }),
        text("lists nested a thousand deep", true, || {
            let nested = repeat(1_000, |n| format!("(type $t{} (list $t{n}))", n + 1));
            format!("(component (type $t0 (list u8)) {nested} (import \"f\" (func (param \"x\" $t1000))))")
        }),
        text("a record of ten thousand fields", true, || {
            let fields = repeat(10_000, |n| format!("(field \"f{n}\" string)"));
            format!("(component (type (record {fields})))")
        }),
        text("a variant of ten thousand cases", true, || {
            let cases = repeat(10_000, |n| format!("(case \"f{n}\" string)"));
            format!("(component (type (variant {cases})))")
        }),
        text("a name of ninety thousand bytes", true, || {
            format!("(component (import \"wasi:{}/x@0.2.0\" (instance)))", "a".repeat(90_000))
        }),
    ]
}

//! How and how often the host calls the guest, and with what.

use std::cell::Cell;

use crate::{Look, Moment};

pub(crate) const ALL: &[(&str, Look)] = &[
    ("how often it was called", |moment| moment.calls.to_string()),
    ("how many results come together", |moment| moment.together.to_string()),
    ("whether it runs for the first time", |moment| {
        thread_local! {
            static RUNS: Cell<u32> = const { Cell::new(0) };
        }
        if moment.heard.is_none() {
            RUNS.set(RUNS.get() + 1);
        }
        format!("run {}", RUNS.get())
    }),
    ("the context", |moment| {
        let context = moment.context;
        format!("{:?} {:?} {:?} {:?}", context.name, context.instance_id, context.version, context.parent)
    }),
    ("the order of tags", |moment| format!("{:?}", moment.context.tags)),
    ("the texts of failures", |moment| format!("{:?}", heard(moment).err())),
    ("the order of a failure's properties", |moment| {
        format!(
            "{:?}",
            heard(moment).err().map(|failures| failures.iter().map(|f| f.properties.clone()).collect::<Vec<_>>())
        )
    }),
    ("results", |moment| format!("{:?}", heard(moment).ok())),
    ("what logging returns", |_| {
        let before = crate::memory::size();
        for line in 0..1_100 {
            crate::write(crate::Level::Trace, "flood", &line.to_string(), &[]);
        }
        format!("{}", crate::memory::size() - before)
    }),
    ("recursion far below the limit", |_| depth(1_000).to_string()),
    ("recursion without end", |_| depth(u64::MAX).to_string()),
    ("a division that overflows", |_| {
        let (least, minus_one) = std::hint::black_box((i32::MIN, -1));
        (least / minus_one).to_string()
    }),
];

type Heard = Result<Option<String>, Vec<crate::bindings::durawasm::workflow::types::Failure>>;

fn heard(moment: &Moment<'_>) -> Heard {
    moment.heard.map_or(Ok(None), |resolution| resolution.outcome.clone())
}

/// Calls itself so many times.
fn depth(left: u64) -> u64 {
    if left == 0 { 0 } else { std::hint::black_box(depth(std::hint::black_box(left - 1))) + 1 }
}

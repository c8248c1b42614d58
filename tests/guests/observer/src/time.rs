//! Clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Look;

pub(crate) const ALL: &[(&str, Look)] = &[
    ("the wall clock", |_| since_1970().as_micros().to_string()),
    ("the wall clock against the time it was told", |moment| {
        let told = moment.heard.map_or(moment.context.now, |heard| heard.now);
        let told = Duration::new(told.seconds, told.nanos);
        format!("{} µs apart", since_1970().abs_diff(told).as_micros())
    }),
    ("the time that computing takes, by the wall clock", |_| {
        let before = since_1970();
        compute();
        format!("{} ns", since_1970().abs_diff(before).as_nanos())
    }),
    ("the time that computing takes, by the monotonic clock", |_| {
        let before = Instant::now();
        compute();
        format!("{} ns", before.elapsed().as_nanos())
    }),
    ("the time that output takes", |_| {
        let before = Instant::now();
        println!("{}", "x".repeat(20_000));
        format!("{} ns", before.elapsed().as_nanos())
    }),
    ("the time since the last look, by the monotonic clock", |_| {
        thread_local! {
            static LAST: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
        }
        let now = Instant::now();
        let last = LAST.replace(Some(now));
        format!("{:?}", last.map(|last| now.checked_duration_since(last).map(|passed| passed.as_nanos())))
    }),
    ("time that goes back", |_| {
        thread_local! {
            static LAST: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
        }
        let now = since_1970();
        if now < LAST.replace(now) { "it went back" } else { "it did not go back" }.to_owned()
    }),
    ("sleeping", |_| {
        std::thread::sleep(Duration::from_millis(1));
        "slept".to_owned()
    }),
    ("the time zone", |_| {
        let zone = std::fs::read("/etc/localtime").map_err(|error| error.kind());
        format!("{:?} {:?} {:?}", std::env::var("TZ"), std::env::var("LC_ALL"), zone)
    }),
];

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Something that takes a while and cannot be left out.
fn compute() {
    for round in 0..20_000_u64 {
        std::hint::black_box(round);
    }
}

//! JavaScript: StarlingMonkey (`componentize-js`) with WASI linked, and QuickJS (`jco --backend qjs`) without WASI.

use std::time::Duration;

use serde_json::json;

use crate::look::Expect::{Counted, Denied, Fixed, Is, Random, Time};
use crate::look::{Expect, check, nanos};
use crate::support::{limits, load_cached};

const DATE: Expect = Time(|now| json!((nanos(now) / 1_000_000) as u64));
const ISO: Expect = Time(|now| json!(format!("2023-11-14T22:13:20.{:03}Z", now.nanos / 1_000_000)));

/// What every engine must do the same.
const LANGUAGE: &[(&str, Expect)] = &[
    ("Date.now", DATE),
    ("new Date", ISO),
    ("Math.random", Random),
    ("order of keys", Is(r#"["1", "7", "b", "a"]"#)),
    ("order of a set", Is(r#"["b", "a", "c"]"#)),
    ("locale", Fixed),
    // It says where in the code it is, and two places look.
    ("stack of an error", Counted),
    ("require", Is(r#""function""#)),
    ("process", Is(r#""undefined""#)),
    ("promise", Is(r#""not yet""#)),
];

const STARLINGMONKEY: &[(&str, Expect)] = &[
    ("Date", Fixed),
    ("time zone", Fixed),
    // Milliseconds since the first look: two episodes are some microseconds apart here.
    ("performance.now", Counted),
    ("performance.timeOrigin", Fixed),
    ("crypto.getRandomValues", Random),
    ("crypto.randomUUID", Random),
    ("SharedArrayBuffer", Fixed),
    ("console.log", Is("null")),
    ("setTimeout", Denied("wasi:clocks/monotonic-clock#subscribe-instant")),
    ("setInterval", Denied("wasi:clocks/monotonic-clock#subscribe-instant")),
    ("fetch", Denied("wasi:http/types#[constructor]fields")),
];

const QUICKJS: &[(&str, Expect)] = &[
    ("Date", Fixed),
    ("time zone", Fixed),
    ("performance.now", DATE),
    ("performance.timeOrigin", Fixed),
    ("crypto.getRandomValues", Fixed),
    ("crypto.randomUUID", Fixed),
    ("SharedArrayBuffer", Fixed),
    ("console.log", Fixed),
    ("setTimeout", Fixed),
    ("setInterval", Fixed),
    ("fetch", Fixed),
];

fn check_engine(name: &str, own: &[(&str, Expect)]) {
    let limits = limits(|limits| limits.orchestrator.guest.deadline = Duration::from_secs(30));
    let component = load_cached("js", name, limits);
    let expected: Vec<_> = LANGUAGE.iter().chain(own).copied().collect();
    check(&component, &expected, &["cities"]);
}

#[test]
fn what_javascript_sees_in_starlingmonkey_comes_from_the_history_or_is_denied() {
    check_engine("starlingmonkey", STARLINGMONKEY);
}

#[test]
fn what_javascript_sees_in_quickjs_comes_from_the_history_or_is_denied() {
    check_engine("quickjs", QUICKJS);
}

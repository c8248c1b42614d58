//! Python: CPython as `componentize-py` puts it into a component, with WASI linked.

use std::time::Duration;

use serde_json::json;

use crate::look::Expect::{Counted, Denied, Fixed, Is, Random, Time};
use crate::look::{Expect, check, nanos};
use crate::support::{limits, load_cached};

const SUBSCRIBE: &str = "wasi:clocks/monotonic-clock#subscribe-instant";

const WORLD: &[(&str, Expect)] = &[
    ("datetime.now", Time(|now| json!(format!("2023-11-14T22:13:20.{:06}+00:00", now.nanos / 1_000)))),
    ("datetime.now, local", Time(|now| json!(format!("2023-11-14T22:13:20.{:06}", now.nanos / 1_000)))),
    ("date.today", Is(r#""2023-11-14""#)),
    ("time.time", Time(|now| json!(now.seconds as f64 + f64::from(now.nanos) / 1e9))),
    ("time.time_ns", Time(|now| json!(nanos(now) as u64))),
    ("time.monotonic_ns", Time(|now| json!(nanos(now) as u64))),
    ("time.perf_counter_ns", Time(|now| json!(nanos(now) as u64))),
    ("time.process_time_ns", Counted),
    ("time.localtime", Is("[2023, 11, 14, 22, 13, 20, 1, 318, 0]")),
    ("time.tzname", Is(r#"["UTC", "UTC"]"#)),
    ("time.sleep", Denied(SUBSCRIBE)),
    ("random.random", Random),
    ("random.SystemRandom", Random),
    ("os.urandom", Random),
    ("secrets.token_hex", Random),
    ("uuid.uuid4", Random),
    ("uuid.uuid1", Denied("wasi:sockets/instance-network#instance-network")),
    ("set order", Fixed),
    ("set order by address", Counted),
    ("hash", Fixed),
    ("id", Counted),
    ("environment", Fixed),
    ("arguments", Fixed),
    ("os.getpid", Fixed),
    ("os.cpu_count", Fixed),
    ("read a file", Fixed),
    ("write a file", Fixed),
    ("list a folder", Fixed),
    ("temporary file", Fixed),
    ("socket.create_connection", Denied("wasi:sockets/instance-network#instance-network")),
    ("socket.getaddrinfo", Denied("wasi:sockets/instance-network#instance-network")),
    ("urllib", Denied("wasi:sockets/instance-network#instance-network")),
    ("subprocess", Fixed),
    ("threading", Fixed),
    // Its event loop makes itself a pair of sockets first.
    ("asyncio.sleep", Denied("wasi:sockets/tcp-create-socket#create-tcp-socket")),
    ("input", Is(r#""EOFError: EOF when reading a line""#)),
    ("print", Is("null")),
    ("sys.exit", Is(r#""SystemExit: 3""#)),
    ("os._exit", Denied("wasi:cli/exit#exit")),
    ("memory", Counted),
];

#[test]
fn what_the_standard_library_of_python_sees_comes_from_the_history_or_is_denied() {
    let limits = limits(|limits| limits.orchestrator.guest.deadline = Duration::from_secs(30));
    let component = load_cached("python", "python_world", limits);
    check(&component, WORLD, &["generator", "cities"]);
}

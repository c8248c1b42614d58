//! Python: CPython as `componentize-py` puts it into a component, with WASI linked.

use std::sync::Arc;
use std::time::Duration;

use durawasm_host::abi::activity::Context;
use durawasm_host::deployment::{Deployment, Manifest, Terms};
use durawasm_host::sandbox::SandboxLimits;
use serde_json::json;

use crate::look::Expect::{Counted, Denied, Fixed, Is, Random, Time};
use crate::look::{Expect, check, look, nanos};
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
    ("environment", Is("{}")),
    ("environment, read again", Is("{}")),
    ("environment, imported", Is("{}")),
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

/// One test, so that the component is compiled once.
#[test]
fn what_python_sees_comes_from_the_history_or_the_deployment_or_is_denied() {
    let limits = limits(|limits| limits.orchestrator.guest.deadline = Duration::from_secs(30));
    let component = load_cached("python", "python_world", limits);
    check(&component, WORLD, &["generator", "cities"]);

    let manifest = Manifest::parse("[environment]\nGREETING = \"hello\"").unwrap();
    let deployed = load_cached("python", "python_world", Deployment::new(manifest, Terms::from(limits)));
    let variables = json!({ "GREETING": "hello" });
    for name in ["environment", "environment, read again", "environment, imported"] {
        let seen = look(&deployed, name, "one").outcome.unwrap();
        assert_eq!(seen, [variables.clone(), variables.clone()], "{name}");
    }
}

#[tokio::test]
async fn activities_may_be_written_in_python() {
    // The interpreter seeds its random numbers before it does anything else.
    let manifest = Manifest::parse("[capabilities]\nrandom = true").unwrap();
    let deployment = Deployment::new(manifest, Terms::from(SandboxLimits::default()));
    let component = load_cached("python", "python_activities", deployment);
    let run = async |name: &str, input: &str| {
        let context = Context {
            name: name.to_owned(),
            instance_id: "order-1".to_owned(),
            version: None,
            call_id: "order-1/e/1".to_owned(),
            tags: Vec::new(),
        };
        let code = Arc::clone(component.activity_code().unwrap());
        code.run(&context, &context.call_id, Some(input.to_owned())).await.outcome
    };
    assert_eq!(run("greet", r#""Tokyo""#).await.unwrap().as_deref(), Some(r#""Hello, Tokyo!""#));
    let failures = run("fail", r#""no stock""#).await.unwrap_err();
    assert_eq!((&*failures[0].error_type, &*failures[0].message), ("ValueError", "no stock"));
    let denied = run("time", "null").await.unwrap_err();
    assert!(denied[0].message.contains("`clocks = true`"), "{denied:?}");
}

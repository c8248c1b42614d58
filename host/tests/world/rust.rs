//! Rust, with the standard library and without it.

use std::time::Duration;

use durawasm_host::deployment::{Deployment, Manifest};
use durawasm_host::sandbox::SandboxLimits;
use serde_json::{Value, json};

use crate::look::Expect::{Counted, Denied, Fails, Fixed, Is, PerInstance, Random, Time};
use crate::look::{Expect, check, look, nanos};
use crate::support::journal::Journal;
use crate::support::{limits, load, session};

const SUBSCRIBE: &str = "wasi:clocks/monotonic-clock#subscribe-duration";

const STD: &[(&str, Expect)] = &[
    ("SystemTime::now", Time(|now| json!(nanos(now).to_string()))),
    ("Instant::now", Time(|now| json!(format!("Instant {{ tv_sec: {}, tv_nsec: {} }}", now.seconds, now.nanos)))),
    ("Instant::elapsed", Is(r#"[499999500000, "0"]"#)),
    ("thread::sleep", Denied(SUBSCRIBE)),
    ("thread::sleep for nothing", Is(r#""slept""#)),
    ("thread::spawn", Is(r#""error: Not supported (os error 58)""#)),
    ("thread::scope", Fails("Panic", "failed to spawn thread")),
    ("thread::yield_now", Is(r#""yielded""#)),
    ("thread::park_timeout", Is(r#""parked""#)),
    (
        "thread::available_parallelism",
        Is(r#""error: getting the number of hardware threads is not supported on the target platform""#),
    ),
    ("thread::current", Is(r#""ThreadId(1)""#)),
    ("Condvar::wait_timeout", Denied(SUBSCRIBE)),
    // It looks at the clock until the time has come, and the clock stands still.
    ("mpsc::recv_timeout", Fails("parked, deadline", "was still computing; it was in")),
    ("process::exit", Denied("wasi:cli/exit#exit")),
    ("process::abort", Fails("Trap", "unreachable")),
    ("process::id", Fails("Panic", "wasi/os.rs")),
    ("process::Command", Is(r#""error: operation not supported on this platform""#)),
    ("env::var", Is(r#""error: environment variable not found""#)),
    ("env::vars", Is("[]")),
    ("env::args", Is("[]")),
    ("env::current_dir", Is(r#""/""#)),
    ("env::current_exe", Is(r#""error: operation not supported on this platform""#)),
    ("env::temp_dir", Fails("Panic", "no filesystem")),
    ("fs::read", Is(r#""error: No such file or directory (os error 44)""#)),
    ("fs::write", Is(r#""error: No such file or directory (os error 44)""#)),
    ("fs::read_dir", Is(r#""error: No such file or directory (os error 44)""#)),
    ("fs::metadata", Is(r#""error: No such file or directory (os error 44)""#)),
    ("fs::create_dir", Is(r#""error: No such file or directory (os error 44)""#)),
    ("TcpStream::connect", Denied("wasi:sockets/tcp-create-socket#create-tcp-socket")),
    ("TcpListener::bind", Denied("wasi:sockets/tcp-create-socket#create-tcp-socket")),
    ("UdpSocket::bind", Denied("wasi:sockets/udp-create-socket#create-udp-socket")),
    ("to_socket_addrs", Denied("wasi:sockets/instance-network#instance-network")),
    ("stdin().read_line", Is(r#""0""#)),
    ("stdin().read_to_end", Is(r#""0""#)),
    ("println!", Is(r#""flushed""#)),
    ("is_terminal", Is("false")),
    ("order of a HashMap", PerInstance),
    ("order of a HashSet", PerInstance),
    ("RandomState", Random),
    ("address of a Box", Counted),
    ("address of a function", Fixed),
    ("Backtrace", Is(r#""unsupported backtrace""#)),
];

#[test]
fn what_the_standard_library_of_rust_sees_comes_from_the_history_or_is_denied() {
    let limits = limits(|limits| limits.orchestrator.guest.deadline = Duration::from_secs(2));
    check(&load("world", limits), STD, &[]);
}

#[test]
fn lines_on_standard_output_appear_once_and_in_order() {
    let seen = look(&load("world", SandboxLimits::default()), "println!", "one");
    let lines: Vec<_> = seen.logs.iter().map(|line| (line.target.as_str(), line.message.as_str())).collect();
    assert_eq!(lines, [("stdout", "a line"), ("stderr", "a warning")].repeat(2));
}

/// The environment is the deployment's: the same variables in each replay, and no others.
#[test]
fn environment_variables_are_those_of_the_deployment() {
    let manifest = Manifest::parse("[environment]\nGREETING = \"hello\"\nPLACE = \"world\"").unwrap();
    let component = load("world", Deployment { manifest, ..Deployment::default() });
    let mut guest = session(&component, "instance", 512);
    let turn = guest.apply([], Journal::default().begin("env::vars", None, vec![])).unwrap();
    let durawasm_host::orchestration::Decision::Activity { input, .. } = &turn.actions[0].decision else { panic!() };
    let seen: Value = serde_json::from_str(input.as_deref().unwrap()).unwrap();
    assert_eq!(seen, json!([["GREETING", "hello"], ["PLACE", "world"]]));
}

#[test]
fn a_component_that_imports_nothing_is_an_orchestrator_like_any_other() {
    let component = load("bare", SandboxLimits::default());
    let seen = look(&component, "greet", "one");
    assert_eq!(
        seen.outcome.unwrap(),
        [json!(seen.times[0].seconds), json!(seen.times[0].nanos)],
        "it completes with the time of its first episode"
    );
}

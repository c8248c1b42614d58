//! What activities can reach: nothing but what was granted, seen from within a real component.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use durawasm_host::abi::activity::Context;
use durawasm_host::deployment::{Deployment, Manifest, Policy, Purpose, Terms};
use durawasm_host::registry::{LoadError, LoadedComponent};
use durawasm_host::sandbox::{ActivityRun, CodeCache, Engines, SandboxLimits};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| support::guest("capabilities"));
static ENGINES: LazyLock<Engines> = LazyLock::new(|| Engines::new().unwrap());
/// The component is compiled once for all tests.
static CACHE: LazyLock<(tempfile::TempDir, CodeCache)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let cache = CodeCache::new(folder.path());
    (folder, cache)
});

fn load(manifest: &str) -> Result<LoadedComponent, LoadError> {
    let terms = Terms { policy: Arc::new(Policy::unbounded()), limits: SandboxLimits::default() };
    LoadedComponent::load(&BYTES, &ENGINES, &CACHE.1, Deployment::new(Manifest::parse(manifest).unwrap(), terms))
}

async fn run(component: &LoadedComponent, name: &str, call_id: &str, input: Value) -> ActivityRun {
    let context = Context {
        name: name.to_owned(),
        instance_id: "order-1".to_owned(),
        version: None,
        call_id: call_id.to_owned(),
        tags: Vec::new(),
    };
    let code = Arc::clone(component.activity_code().unwrap());
    code.run(&context, call_id, Some(input.to_string())).await
}

async fn output(manifest: &str, name: &str, input: Value) -> Value {
    let run = run(&load(manifest).unwrap(), name, "order-1/e/1", input).await;
    let output = run.outcome.unwrap_or_else(|failures| panic!("{name}: {failures:?}"));
    serde_json::from_str(&output.unwrap()).unwrap()
}

/// A server that says hello to everybody.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
        }
    });
    address
}

fn get(url: String) -> Value {
    json!({ "method": "GET", "url": url })
}

#[tokio::test]
async fn without_a_grant_each_capability_is_denied_with_the_key_that_grants_it() {
    let component = load("").unwrap();
    let cases = [
        ("wall_clock", Value::Null, "`clocks = true`"),
        ("monotonic_clock", Value::Null, "`clocks = true`"),
        ("secure_random", Value::Null, "`random = true`"),
        ("request", get("https://example.com/".to_owned()), "[capabilities.http]"),
    ];
    for (name, input, key) in cases {
        let failures = run(&component, name, "order-1/e/1", input).await.outcome.unwrap_err();
        assert_eq!(failures[0].error_type, "Denied", "{name}: {failures:?}");
        assert!(failures[0].message.contains(key), "{name}: {failures:?}");
        assert!(!failures[0].retriable, "another try gets the same answer");
    }
}

#[tokio::test]
async fn clocks_and_random_numbers_that_were_granted_are_real() {
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let told = output("[capabilities]\nclocks = true", "wall_clock", Value::Null).await;
    let told = told.as_str().unwrap_or_default().to_owned();
    assert!(told.starts_with("20"), "{told} after {before}");
    let slept = output("[capabilities]\nclocks = true", "monotonic_clock", Value::Null).await;
    assert!(slept.as_u64().unwrap() >= 1_000_000, "{slept}");
    let random = "[capabilities]\nrandom = true";
    assert_ne!(output(random, "secure_random", Value::Null).await, output(random, "secure_random", Value::Null).await);
}

#[tokio::test]
async fn two_runs_of_a_pure_activity_observe_nothing_different() {
    let component = load("[environment]\nREGION = \"eu\"").unwrap();
    assert!(component.is_pure());
    let observe = async |component: &LoadedComponent, call: &str| -> Value {
        let run = run(component, "observe", call, json!({ "a": 1 })).await;
        serde_json::from_str(&run.outcome.unwrap().unwrap()).unwrap()
    };
    let first = observe(&component, "order-1/e/1").await;
    assert_eq!(first, observe(&component, "order-1/e/1").await);
    // In another host, too.
    let engines = Engines::new().unwrap();
    let deployment = || {
        let manifest = Manifest::parse("[environment]\nREGION = \"eu\"").unwrap();
        Deployment::new(manifest, Terms::default())
    };
    let other = LoadedComponent::load(&BYTES, &engines, &CACHE.1, deployment()).unwrap();
    assert_eq!(first, observe(&other, "order-1/e/1").await);
    // The test can fail: another call has another order of its maps, and an activity with random numbers observes them.
    assert_ne!(first["map"], observe(&component, "order-1/e/2").await["map"]);
    let impure = load("[capabilities]\nrandom = true").unwrap();
    assert!(!impure.is_pure());
    assert_ne!(observe(&impure, "order-1/e/1").await["map"], observe(&impure, "order-1/e/1").await["map"]);
}

fn folder(host: &Path, access: &str) -> String {
    let host = host.canonicalize().unwrap();
    format!("[[capabilities.folders]]\nhost = {host:?}\nguest = \"/data\"\naccess = \"{access}\"\n")
}

#[tokio::test]
async fn a_folder_is_reached_as_it_was_granted_and_nothing_beside_it() {
    let outside = tempfile::tempdir().unwrap();
    let inside = outside.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(outside.path().join("secret"), "not for guests").unwrap();
    std::fs::write(inside.join("file"), "for guests").unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), inside.join("link")).unwrap();
    std::os::unix::fs::symlink("../secret", inside.join("relative-link")).unwrap();

    let read = folder(&inside, "read");
    assert_eq!(output(&read, "read", json!("/data/file")).await, json!("for guests"));
    for path in [
        "/data/../secret",
        "/data/./../secret",
        "/data/link",
        "/data/relative-link",
        "/secret",
        "/etc/passwd",
        "../secret",
    ] {
        let said = output(&read, "read", json!(path)).await;
        assert!(said.as_str().unwrap().starts_with("error: "), "{path}: {said}");
    }
    let said = output(&read, "write", json!("/data/new")).await;
    assert!(said.as_str().unwrap().starts_with("error: "), "{said}");
    assert!(!inside.join("new").exists());

    let write = folder(&inside, "read-write");
    assert_eq!(output(&write, "write", json!("/data/new")).await, json!(""));
    assert_eq!(std::fs::read_to_string(inside.join("new")).unwrap(), "written by a guest");
    for (target, link) in [("/etc/passwd", "/data/a"), ("../secret", "/data/b"), ("../../../etc/passwd", "/data/c")] {
        let said = output(&write, "read_by_link", json!([target, link])).await;
        assert!(said.as_str().unwrap().starts_with("error: "), "{target}: {said}");
    }
    let said = output("", "read", json!("/data/file")).await;
    assert!(said.as_str().unwrap().starts_with("error: "), "{said}");
}

#[tokio::test]
async fn variables_and_secrets_are_seen_by_activities_and_secrets_by_no_log_and_no_failure() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2!\n").unwrap();
    let manifest = format!("[environment]\nREGION = \"eu\"\n[secrets]\nKEY = {{ file = {:?} }}", file.path());
    assert_eq!(output(&manifest, "environment", Value::Null).await, json!({ "KEY": "hunter2!", "REGION": "eu" }));

    let component = load(&manifest).unwrap();
    let run = run(&component, "leak", "order-1/e/1", json!("KEY")).await;
    let failures = run.outcome.unwrap_err();
    assert_eq!(failures[0].message, "the secret is [secret KEY]");
    assert_eq!(run.logs.len(), 2, "{:?}", run.logs);
    assert!(!format!("{:?}{failures:?}", run.logs).contains("hunter2"), "{:?}{failures:?}", run.logs);
    assert!(!format!("{:?}", component.grant().entries()).contains("hunter2"));
}

#[tokio::test]
async fn a_request_goes_where_it_may_and_a_refusal_is_an_error_code_and_a_line_that_says_what_to_change() {
    let server = server().await;
    let allowed = format!("[capabilities.http]\nhosts = [\"http://127.0.0.1:{}\"]\n", server.port());
    let url = format!("http://{server}/");
    let heard = output(&format!("{allowed}private = true"), "request", get(url.clone())).await;
    assert_eq!((&heard["status"], &heard["body"]), (&json!(200), &json!("hello")), "{heard}");

    let cases = [
        (allowed.clone(), url.clone(), "DestinationIpProhibited", "`private = true`"),
        (
            format!("{allowed}private = true"),
            "http://127.0.0.1:9/".to_owned(),
            "HttpRequestDenied",
            "\"http://127.0.0.1:9\"",
        ),
        (format!("{allowed}private = true"), url.replace("http", "https"), "HttpRequestDenied", "[capabilities.http]"),
    ];
    for (manifest, url, code, line) in cases {
        let run = run(&load(&manifest).unwrap(), "request", "order-1/e/1", get(url.clone())).await;
        let heard = run.outcome.unwrap().unwrap();
        assert!(heard.contains(code), "{url}: {heard}");
        assert!(run.logs.iter().any(|logged| logged.message.contains(line)), "{url}: {:?}", run.logs);
    }
}

#[tokio::test]
async fn the_environment_is_part_of_the_digest_and_secrets_are_not() {
    let digest = |manifest: &str| load(manifest).unwrap().digest().to_owned();
    assert_eq!(digest(""), digest("[capabilities]\nclocks = true"));
    assert_ne!(digest(""), digest("[environment]\nREGION = \"eu\""));
}

#[test]
fn what_is_not_there_refuses_the_component_unless_it_is_only_looked_at() {
    for manifest in [
        "[secrets]\nKEY = { env = \"NO_SUCH_VARIABLE_HERE\" }",
        "[[capabilities.folders]]\nhost = \"/no/such/folder\"\nguest = \"/data\"\naccess = \"read\"",
    ] {
        assert!(matches!(load(manifest), Err(LoadError::Unavailable(_))), "{manifest}");
        let terms = Terms { policy: Arc::new(Policy::unbounded()), limits: SandboxLimits::default() };
        let examined = Deployment::new(Manifest::parse(manifest).unwrap(), terms).purpose(Purpose::Examining);
        assert!(LoadedComponent::load(&BYTES, &ENGINES, &CACHE.1, examined).is_ok(), "{manifest}");
    }
}

//! What scripts rely on: data on standard output, exit codes, error codes, one JSON document a line.
//!
//! The scheduler is the real one, as a process, in memory; there is no host, so instances wait.

#![allow(clippy::unwrap_used, reason = "the whole file is a test: what is unwrapped here fails it")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

/// A scheduler that dies with the test.
struct Scheduler {
    process: Child,
    address: String,
}

impl Scheduler {
    fn start(arguments: &[&str]) -> Scheduler {
        let mut process = durawasm()
            .args(["scheduler", "--listen", "127.0.0.1:0", "--log", "warn"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("the first line has the address").to_owned();
        Scheduler { process, address }
    }

    fn in_memory() -> Scheduler {
        Scheduler::start(&["--in-memory"])
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let uri = format!("http://{}", self.address);
        outcome(durawasm().env("DURAWASM_SCHEDULER", uri).args(arguments).output().unwrap())
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Debug)]
struct Outcome {
    exit: i32,
    out: String,
    err: String,
}

impl Outcome {
    #[track_caller]
    fn expect(self, exit: i32, in_err: &str) -> Outcome {
        assert_eq!(self.exit, exit, "{self:#?}");
        assert!(self.err.contains(in_err), "{in_err} in {self:#?}");
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.out.trim().lines().count(), 1, "one document: {self:#?}");
        serde_json::from_str(&self.out).unwrap()
    }
}

fn durawasm() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durawasm"));
    for variable in
        ["DURAWASM_SCHEDULER", "DURAWASM_HUB", "DURAWASM_TOKEN", "DURAWASM_LISTEN", "DURAWASM_DATA", "RUST_LOG"]
    {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Outcome {
    outcome(durawasm().args(arguments).output().unwrap())
}

fn outcome(output: Output) -> Outcome {
    Outcome {
        exit: output.status.code().expect("the command ended by itself"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    run(&["frobnicate"]).expect(2, "DW0026");
    run(&["start"]).expect(2, "DW0026");
    run(&["scheduler"]).expect(2, "--data");
    run(&["scheduler", "--in-memory", "--listen", "nonsense"]).expect(2, "DW0026");
    assert!(run(&["--help"]).expect(0, "").out.contains("raise-event"));
    let error = run(&["start", "--json"]).expect(2, "").err;
    assert_eq!(serde_json::from_str::<Value>(&error).unwrap()["error"]["code"], "DW0026");
}

#[test]
fn every_error_has_a_page_that_the_program_shows() {
    let list = run(&["errors", "--json"]).expect(0, "").out;
    let codes: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(codes.len() > 30);
    for code in codes {
        let page = run(&["errors", code["code"].as_str().unwrap()]).expect(0, "").out;
        assert!(page.contains("## What to do"), "{page}");
    }
    run(&["errors", "DW9999"]).expect(2, "DW0026");
}

#[test]
fn a_scheduler_that_is_not_there_is_5() {
    let outcome = run(&["status", "x", "--scheduler", "http://127.0.0.1:9"]).expect(5, "DW0010");
    assert_eq!(outcome.out, "");
    run(&["status", "x", "--scheduler", "nonsense"]).expect(2, "DW0026");
    for arguments in [["list"].as_slice(), &["query", "x", "y"], &["hub", "create", "x"], &["purge", "x", "--yes"]] {
        run(&[arguments, ["--scheduler", "http://127.0.0.1:9"].as_slice()].concat()).expect(5, "DW0010");
    }
}

#[test]
fn bad_input_is_refused_before_anything_is_sent() {
    let nowhere = ["--scheduler", "http://127.0.0.1:9"];
    let with = |arguments: &[&'static str]| run(&[arguments, nowhere.as_slice()].concat());
    with(&["start", "x", "--input", "{oops"]).expect(2, "DW0012");
    with(&["start", "x", "--input", "@no-such-file"]).expect(2, "no-such-file");
    with(&["start", "x", "--id", "@counter@a"]).expect(2, "DW0013");
    with(&["raise-event", "a", "go", "Tokyo"]).expect(2, "'\"Tokyo\"'");
    run(&["status", &"x".repeat(1025)]).expect(2, "1025");
    with(&["purge", "@counter@a"]).expect(2, "DW0013");
    with(&["purge"]).expect(2, "not said what to purge");
    with(&["purge", "--status", "pending"]).expect(2, "cannot be purged");
    with(&["list", "--status", "asleep"]).expect(2, "suspended");
    with(&["list", "--created-before", "soon"]).expect(2, "7d");
    with(&["list", "--ids", "--json"]).expect(2, "DW0026");
    with(&["reset", "a", "--at", "x"]).expect(2, "DW0026");
    with(&["fork", "a", "--at", "x"]).expect(2, "durawasm history");
    with(&["fork", "a", "--at", "1", "--result", "1=x"]).expect(2, "DW0012");
    with(&["fork", "a", "--at", "1", "--result", "1"]).expect(2, "EVENT=JSON");
    with(&["fork", "a", "--at", "1", "--as", "@a@b"]).expect(2, "DW0013");
    with(&["query", "a", "x", "{oops"]).expect(2, "DW0012");
    with(&["hub", "create", ""]).expect(2, "DW0026");
    run(&["hub"]).expect(2, "create");
}

#[test]
fn what_cannot_be_undone_is_3_without_a_yes_before_anything_is_sent() {
    let nowhere = ["--scheduler", "http://127.0.0.1:9"];
    for arguments in [
        ["terminate", "a"].as_slice(),
        &["terminate", "a", "--force"],
        &["restart", "a"],
        &["hub", "delete", "blue"],
        &["hub", "create", "blue", "--empty"],
    ] {
        let refused = run(&[arguments, nowhere.as_slice()].concat()).expect(3, "DW0033");
        assert_eq!(refused.out, "");
        let json = run(&[arguments, nowhere.as_slice(), ["--json"].as_slice()].concat()).expect(3, "");
        assert_eq!(serde_json::from_str::<Value>(&json.err).unwrap()["error"]["code"], "DW0033");
    }
}

#[test]
fn each_command_that_changes_something_prints_one_document_for_programs() {
    let scheduler = Scheduler::in_memory();
    scheduler.run(&["start", "greet", "--id", "a"]).expect(0, "");
    let document = |arguments: &[&str]| {
        let said = scheduler.run(&[arguments, ["--json", "--yes"].as_slice()].concat()).expect(0, "");
        assert_eq!(said.err, "", "programs get no notes");
        said.json()
    };
    assert_eq!(document(&["pause", "a"])["paused"], true);
    assert_eq!(document(&["resume", "a"])["id"], "a");
    assert_eq!(document(&["terminate", "a", "--force"])["id"], "a");
    assert_eq!(document(&["restart", "a"])["id"], "a");
    assert_ne!(document(&["restart", "a", "--new-id"])["id"], "a");
    assert_eq!(document(&["terminate", "a", "--force"])["id"], "a");
    assert_eq!(document(&["purge", "a", "--dry-run"])["matching"], 1);
    assert_eq!(document(&["purge", "--status", "ended"])["purged"], 1);
    assert_eq!(document(&["list"])["name"], "greet");
    assert_eq!(document(&["hub", "create", "blue"])["hub"], "blue");
    assert_eq!(document(&["hub", "delete", "blue"])["hub"], "blue");
}

#[test]
fn an_instance_is_started_shown_waited_for_and_terminated() {
    let scheduler = Scheduler::in_memory();
    let started = scheduler.run(&["start", "greet", "--input", "{\"a\": 1}", "--tag", "team=blue", "--id", "order 17"]);
    assert_eq!(started.out, "order 17\n");
    started.expect(0, "durawasm wait 'order 17'");
    scheduler.run(&["start", "greet", "--id", "order 17"]).expect(2, "DW0015");

    let status = scheduler.run(&["status", "order 17", "--json"]).expect(0, "").json();
    assert_eq!(status["status"], "pending");
    assert_eq!(status["input"]["a"], 1);
    assert_eq!(status["tags"]["team"], "blue");
    assert!(status["waitingFor"].as_str().unwrap().contains("greet"), "{status}");
    assert!(scheduler.run(&["status", "order 17"]).expect(0, "").out.contains("waits for"));

    let late = scheduler.run(&["wait", "order 17", "--timeout", "300ms"]).expect(7, "DW0017");
    assert!(late.err.contains("greet"), "says what it waits for: {late:?}");
    scheduler.run(&["raise-event", "order 17", "go", "[1]"]).expect(0, "history 'order 17' --follow");

    scheduler.run(&["terminate", "order 17"]).expect(3, "DW0033");
    scheduler.run(&["terminate", "order 17", "--yes", "--output", "\"enough\""]).expect(0, "");
    let ended = scheduler.run(&["wait", "order 17", "--json"]).expect(1, "DW0030");
    assert_eq!(ended.json()["output"], "enough");
}

#[test]
fn what_is_not_there_is_4() {
    let scheduler = Scheduler::in_memory();
    for arguments in [
        ["status", "nobody"].as_slice(),
        &["wait", "nobody"],
        &["history", "nobody"],
        &["history", "nobody", "--follow"],
        &["raise-event", "nobody", "go"],
        &["terminate", "nobody", "--yes"],
        &["terminate", "nobody", "--force", "--yes"],
        &["pause", "nobody"],
        &["resume", "nobody"],
        &["rewind", "nobody"],
        &["reset", "nobody", "--at", "0", "--yes"],
        &["fork", "nobody", "--at", "0"],
        &["query", "nobody", "total"],
        &["restart", "nobody", "--yes"],
        &["restart", "nobody", "--new-id"],
        &["purge", "nobody", "--yes"],
    ] {
        let outcome = scheduler.run(arguments).expect(4, "DW0014");
        assert_eq!(outcome.out, "");
        scheduler.run(&[arguments, ["--hub", "elsewhere"].as_slice()].concat()).expect(4, "DW0011");
    }
    scheduler.run(&["start", "greet", "--hub", "elsewhere"]).expect(4, "DW0011");
}

#[test]
fn hubs_named_at_the_start_are_there_and_are_apart() {
    let scheduler = Scheduler::start(&["--in-memory", "--hub", "blue"]);
    scheduler.run(&["start", "greet", "--id", "a", "--hub", "blue"]).expect(0, "--hub blue");
    scheduler.run(&["status", "a", "--hub", "blue"]).expect(0, "");
    scheduler.run(&["status", "a"]).expect(4, "DW0014");
    let development = Scheduler::start(&["--in-memory", "--dev"]);
    development.run(&["start", "greet", "--hub", "anything"]).expect(0, "");
}

#[test]
fn input_comes_from_a_file_or_from_standard_input() {
    let scheduler = Scheduler::in_memory();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input.json");
    std::fs::write(&file, "{\n  \"from\": \"file\"\n}\n").unwrap();
    let given = format!("@{}", file.display());
    scheduler.run(&["start", "greet", "--id", "a", "--input", &given]).expect(0, "");
    assert_eq!(scheduler.run(&["status", "a", "--json"]).json()["input"]["from"], "file");

    let mut command = durawasm();
    command.args([
        "start",
        "greet",
        "--id",
        "b",
        "--input",
        "-",
        "--scheduler",
        &format!("http://{}", scheduler.address),
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"[42]").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(scheduler.run(&["status", "b", "--json"]).json()["input"][0], 42);

    scheduler.run(&["start", "greet", "--id", "c", "--input", "plain text", "--raw-input"]).expect(0, "");
    assert_eq!(scheduler.run(&["status", "c", "--json"]).json()["input"], "plain text");
}

#[test]
fn a_payload_over_the_limit_is_refused() {
    let scheduler = Scheduler::in_memory();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.json");
    std::fs::write(&file, format!("\"{}\"", "x".repeat(17 << 20))).unwrap();
    let given = format!("@{}", file.display());
    scheduler.run(&["start", "greet", "--id", "a", "--input", &given]).expect(2, "DW0020");
    scheduler.run(&["status", "a"]).expect(4, "DW0014");
}

#[test]
fn a_second_scheduler_is_kept_from_the_port_and_from_the_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let scheduler = Scheduler::start(&["--data", data]);
    run(&["scheduler", "--in-memory", "--listen", &scheduler.address]).expect(8, "DW0001");
    run(&["scheduler", "--data", data, "--listen", "127.0.0.1:0"]).expect(8, "DW0002");
    scheduler.run(&["start", "greet"]).expect(0, "");
}

#[test]
fn a_data_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("data");
    let outcome = run(&["scheduler", "--data", below.to_str().unwrap(), "--listen", "127.0.0.1:0"]).expect(8, "DW0031");
    assert!(outcome.err.contains(below.to_str().unwrap()), "{outcome:?}");
}

#[test]
fn what_is_no_component_is_refused_by_host_and_inspect() {
    let folder = tempfile::tempdir().unwrap();
    let host = |components: &Path| run(&["host", "--no-cache", "--components", components.to_str().unwrap()]);
    host(&folder.path().join("missing")).expect(8, "DW0009");
    host(folder.path()).expect(8, "DW0009");
    let file = folder.path().join("text.wasm");
    std::fs::write(&file, "not wasm").unwrap();
    host(folder.path()).expect(1, "DW0006");
    run(&["inspect", file.to_str().unwrap()]).expect(1, "DW0006");
    run(&["inspect", "no-such-file.wasm"]).expect(1, "DW0006");
}

#[test]
fn a_folder_without_a_crate_is_not_built() {
    let folder = tempfile::tempdir().unwrap();
    run(&["build", folder.path().to_str().unwrap()]).expect(1, "DW0019");
}

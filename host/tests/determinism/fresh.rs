//! Another process, with another processor: it gets histories, and writes down what comes of them.

use std::path::Path;
use std::process::Command;

use crate::corpus::{Case, Components};
use crate::play::{Transcript, replay};
use crate::variant::Variant;
use crate::wire;
use durawasm_host::orchestration::HistoryEvent;

/// Says where the histories are.
const FOLDER: &str = "DURAWASM_DETERMINISM_FOLDER";
/// Says how to replay them.
const VARIANT: &str = "DURAWASM_DETERMINISM_VARIANT";

/// A history that another process shall replay.
pub struct Recording<'a> {
    pub case: &'static Case,
    pub id: &'static str,
    pub history: &'a [HistoryEvent],
}

/// Replays histories in a process of its own.
pub fn replay_elsewhere(variant: Variant, recordings: &[Recording<'_>]) -> Vec<Transcript> {
    let folder = tempfile::tempdir().unwrap();
    let file = |number: usize, what: &str| folder.path().join(format!("{number}.{what}"));
    for (number, recording) in recordings.iter().enumerate() {
        std::fs::write(file(number, "history"), wire::encode(recording.history)).unwrap();
        std::fs::write(file(number, "case"), format!("{}\n{}", recording.case.name, recording.id)).unwrap();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "replays_in_a_process_of_its_own", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .env(VARIANT, variant.name())
        // Another environment, too.
        .env("TZ", "Asia/Kathmandu")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("RUST_BACKTRACE", "full")
        .env("WASMTIME_BACKTRACE_DETAILS", "1")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = |number, what| -> Vec<String> {
        serde_json::from_slice(&std::fs::read(file(number, what)).expect("every history was replayed")).unwrap()
    };
    (0..recordings.len())
        .map(|number| Transcript { episodes: lines(number, "episodes"), memories: lines(number, "memories") })
        .collect()
}

/// What the other process does.
pub fn replay_here() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let variant = Variant::named(&std::env::var(VARIANT).unwrap()).unwrap();
    let mut components = Components::new(variant);
    let folder = Path::new(&folder);
    for number in 0.. {
        let file = |what: &str| folder.join(format!("{number}.{what}"));
        let Ok(case) = std::fs::read_to_string(file("case")) else { return };
        let (name, id) = case.split_once('\n').unwrap();
        let case = crate::corpus::named(name);
        let history = wire::decode(&std::fs::read(file("history")).unwrap());
        let transcript = replay(&components.of(case).unwrap(), variant, crate::BATCH, id, &history);
        for (what, lines) in [("episodes", &transcript.episodes), ("memories", &transcript.memories)] {
            std::fs::write(file(what), serde_json::to_vec(lines).unwrap()).unwrap();
        }
    }
}

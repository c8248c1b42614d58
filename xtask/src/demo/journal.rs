//! How often activities ran: counted from the hosts' logs.
//!
//! A host writes a line before it runs an activity. The line names the call, and a call that is delivered again has the
//! same name. What a killed host has written is in the file, so nothing that ran is missed.

use std::{collections::HashSet, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// What the logs hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Executions {
    /// How often an activity began.
    pub(super) executions: usize,
    /// How many different calls that were.
    pub(super) calls: usize,
}

impl Executions {
    /// How many executions repeated a call.
    pub(super) fn repeated(self) -> usize {
        self.executions - self.calls
    }
}

#[derive(Deserialize)]
struct Line {
    target: String,
    message: Option<String>,
    call_id: Option<String>,
}

/// Reads the logs of all hosts.
pub(super) fn read(logs: &[PathBuf]) -> Result<Executions> {
    let mut calls = HashSet::new();
    let mut executions = 0;
    for log in logs {
        let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
        // The last line may be half written: by a host that is still writing, or that was killed.
        for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
            if line.target == "durawasm::activity" && line.message.as_deref() == Some("started") {
                executions += 1;
                calls.extend(line.call_id);
            }
        }
    }
    Ok(Executions { executions, calls: calls.len() })
}

//! Histories in files: whole, readable by people, and read again by every later version.

use durawasm_proto::durabletask as wire;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::{HistoryEvent, Recorded, convert};

/// What the first field of a file says.
const FORMAT: &str = "durawasm history 1";

/// A history as it is in a file: a JSON document.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportedHistory {
    /// The instance: its random numbers follow from its id.
    pub instance_id: String,
    /// All that happened.
    pub recorded: Recorded,
}

/// A file that holds no history.
#[derive(Debug, thiserror::Error)]
pub enum InvalidExport {
    /// It is no JSON document with the fields of one.
    #[error("it is no exported history: {0}")]
    Json(#[from] serde_json::Error),
    /// It says that it is something else.
    #[error("it says that it is `{0}`; this version reads `{FORMAT}`")]
    Format(String),
    /// The events cannot be read.
    #[error("its field `recorded` is damaged: {0}")]
    Recorded(String),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    format: &'a str,
    instance_id: &'a str,
    /// For people. What counts is `recorded`.
    events: Vec<HistoryEvent>,
    recorded: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    format: String,
    instance_id: String,
    recorded: String,
}

impl ExportedHistory {
    /// The file's text.
    ///
    /// # Panics
    /// Never: an event serializes, whatever it holds.
    #[must_use]
    pub fn to_json(&self) -> String {
        let chunk = wire::HistoryChunk { events: self.recorded.wire().to_vec() };
        let document = Document {
            format: FORMAT,
            instance_id: &self.instance_id,
            events: convert::events(self.recorded.wire().to_vec(), 0),
            recorded: hex::encode(chunk.encode_to_vec()),
        };
        let mut text = serde_json::to_string_pretty(&document).expect("events have text as keys, so they serialize");
        text.push('\n');
        text
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_json(text: &str) -> Result<ExportedHistory, InvalidExport> {
        let read: Read = serde_json::from_str(text)?;
        if read.format != FORMAT {
            return Err(InvalidExport::Format(read.format));
        }
        let damaged = |why: String| InvalidExport::Recorded(why);
        let bytes = hex::decode(&read.recorded).map_err(|error| damaged(error.to_string()))?;
        let chunk = wire::HistoryChunk::decode(bytes.as_slice()).map_err(|error| damaged(error.to_string()))?;
        Ok(ExportedHistory { instance_id: read.instance_id, recorded: Recorded::from_wire(chunk.events) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported() -> ExportedHistory {
        let started = wire::ExecutionStartedEvent {
            name: "order".to_owned(),
            input: Some("\"🦀\"".to_owned()),
            ..Default::default()
        };
        let event = wire::HistoryEvent {
            event_id: -1,
            timestamp: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 1_000 }),
            event_type: Some(wire::history_event::EventType::ExecutionStarted(Box::new(started))),
        };
        ExportedHistory { instance_id: "a\"b".to_owned(), recorded: Recorded::from_wire(vec![event]) }
    }

    #[test]
    fn a_history_comes_back_from_its_file_as_it_was() {
        let text = exported().to_json();
        assert!(text.contains("\"order\""), "people read it too: {text}");
        assert_eq!(ExportedHistory::from_json(&text).expect("it was written here"), exported());
    }

    #[test]
    fn what_is_no_history_is_refused_and_says_why() {
        let good = exported().to_json();
        for (text, said) in [
            (String::new(), "no exported history"),
            ("[]".to_owned(), "no exported history"),
            (good[..good.len() / 2].to_owned(), "no exported history"),
            (good.replace("history 1", "history 9"), "history 9"),
            (good.replace("\"recorded\": \"", "\"recorded\": \"zz"), "damaged"),
            (good.replace("\"recorded\": \"0a", "\"recorded\": \"0bff"), "damaged"),
        ] {
            let error = ExportedHistory::from_json(&text).expect_err("it is none");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}

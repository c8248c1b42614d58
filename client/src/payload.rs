//! Inputs, outputs and events: text that is JSON by convention.

use std::fmt;

use serde::{Serialize, Serializer, de::DeserializeOwned, ser::Error as _};
use serde_json::value::RawValue;

/// A value that crosses the wire. JSON by convention; programs of other SDKs may send any text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payload(String);

impl Payload {
    /// A value, as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Payload, serde_json::Error> {
        serde_json::to_string(value).map(Payload)
    }

    /// A text that is JSON already; it is sent as it is.
    pub fn from_json_text(text: impl Into<String>) -> Result<Payload, serde_json::Error> {
        let text = text.into();
        serde_json::from_str::<&RawValue>(&text)?;
        Ok(Payload(text))
    }

    /// Any text, for receivers that do not expect JSON.
    pub fn from_text(text: impl Into<String>) -> Payload {
        Payload(text.into())
    }

    /// Reads the payload as JSON.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// The text as it crosses the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Payload {
    /// JSON stays as it is, digit for digit; other text becomes a JSON string.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // In valid JSON line breaks are only between tokens. Without them an output of one line an item stays one.
        let line = self.0.replace(['\n', '\r'], " ");
        match RawValue::from_string(line) {
            Ok(json) if self.0.trim() != "" => json.serialize(serializer).map_err(S::Error::custom),
            _ => serializer.serialize_str(&self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_shown_as_it_is_and_other_text_as_a_string() {
        let shown = |text: &str| serde_json::to_string(&Payload::from_text(text)).unwrap();
        assert_eq!(shown("{\"a\":\n 12345678901234567890.10}"), "{\"a\":  12345678901234567890.10}");
        assert_eq!(shown("hello"), "\"hello\"");
        assert_eq!(shown("line\nbreak"), "\"line\\nbreak\"");
        assert_eq!(shown(""), "\"\"");
    }

    #[test]
    fn text_that_is_not_json_is_refused_where_json_is_meant() {
        assert!(Payload::from_json_text("hello").is_err());
        assert!(Payload::from_json_text("{} {}").is_err());
        assert_eq!(Payload::from_json_text("[1, 2]").unwrap().as_str(), "[1, 2]");
    }
}

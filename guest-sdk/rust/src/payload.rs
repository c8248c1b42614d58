//! Payloads: JSON text on the wire, typed values in user code.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// Reads a payload. An absent one reads as `null`, so that it suits `()`, `Option` and `serde_json::Value`.
pub(crate) fn decode<T: DeserializeOwned>(payload: Option<&str>, what: impl FnOnce() -> String) -> Result<T, Error> {
    serde_json::from_str(payload.unwrap_or("null"))
        .map_err(|error| Error::new("InvalidPayload", format!("{} does not fit: {error}", what())).not_retriable())
}

/// Writes a payload.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, what: impl FnOnce() -> String) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| {
        Error::new("InvalidPayload", format!("{} cannot be written as JSON: {error}", what())).not_retriable()
    })
}

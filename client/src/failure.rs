//! A failure as users see it.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// Why an orchestration or an activity failed, with its causes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What kind of failure, for programs: a type's name by convention.
    pub error_type: String,
    /// What happened, for people.
    pub message: String,
    /// Where it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// Whether trying again may help.
    pub retriable: bool,
    /// Details for programs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, serde_json::Value>,
    /// What caused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<Failure>>,
}

impl Failure {
    /// The failure and its causes, outermost first.
    pub fn chain(&self) -> impl Iterator<Item = &Failure> {
        std::iter::successors(Some(self), |failure| failure.cause.as_deref())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.error_type.as_str(), self.message.as_str()) {
            ("", message) => f.write_str(message),
            (error_type, "") => f.write_str(error_type),
            (error_type, message) => write!(f, "{error_type}: {message}"),
        }
    }
}

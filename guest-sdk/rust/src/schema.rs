//! JSON schemas of inputs and outputs, if the feature `schema` asks for them.

/// The schema of a type. With the feature `schema` every input and output must be `schemars::JsonSchema`.
#[cfg(feature = "schema")]
pub(crate) fn of<T: Described>() -> Option<String> {
    serde_json::to_string(&schemars::schema_for!(T)).ok()
}

/// Without the feature `schema` no type has one.
#[cfg(not(feature = "schema"))]
pub(crate) fn of<T: Described>() -> Option<String> {
    None
}

/// What the feature `schema` asks of inputs and outputs.
#[cfg(feature = "schema")]
pub trait Described: schemars::JsonSchema {}
#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> Described for T {}

/// What is asked of inputs and outputs without the feature `schema`: nothing.
#[cfg(not(feature = "schema"))]
pub trait Described {}
#[cfg(not(feature = "schema"))]
impl<T> Described for T {}

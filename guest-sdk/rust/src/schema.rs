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

/// What is known of one operation of an entity.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct OperationSchemas {
    name: &'static str,
    input: Option<String>,
    output: Option<String>,
}

impl OperationSchemas {
    /// An operation whose types are known.
    pub fn of<I: Described, O: Described>(name: &'static str) -> Self {
        Self { name, input: of::<I>(), output: of::<O>() }
    }

    /// What entities take: of an object with one property for each operation.
    pub(crate) fn inputs(operations: &[Self]) -> Option<String> {
        object(operations.iter().map(|operation| (operation.name, operation.input.as_deref())))
    }

    /// What their operations return, in the same form.
    pub(crate) fn outputs(operations: &[Self]) -> Option<String> {
        object(operations.iter().map(|operation| (operation.name, operation.output.as_deref())))
    }
}

fn object<'a>(properties: impl Iterator<Item = (&'static str, Option<&'a str>)>) -> Option<String> {
    // True is the schema of anything.
    let any = serde_json::Value::Bool(true);
    let known = |schema: Option<&str>| schema.and_then(|schema| serde_json::from_str(schema).ok());
    let properties: serde_json::Map<String, serde_json::Value> =
        properties.map(|(name, schema)| (name.to_owned(), known(schema).unwrap_or_else(|| any.clone()))).collect();
    (!properties.is_empty()).then(|| serde_json::json!({ "type": "object", "properties": properties }).to_string())
}

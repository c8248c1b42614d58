//! What an activity is told.

use crate::bindings::exports::durawasm::workflow::activity as wit;

/// Who called an activity, and how. An activity takes it as its first parameter if it wants it.
#[derive(Clone, Debug)]
pub struct ActivityContext {
    context: wit::Context,
}

impl ActivityContext {
    pub(crate) fn new(context: wit::Context) -> Self {
        Self { context }
    }

    /// The activity's name.
    pub fn name(&self) -> &str {
        &self.context.name
    }

    /// The id of the orchestration that called.
    pub fn instance_id(&self) -> &str {
        &self.context.instance_id
    }

    /// The version that was called, if one was named.
    pub fn version(&self) -> Option<&str> {
        self.context.version.as_deref()
    }

    /// Names this call for ever, and is the same when the call is delivered again after a crash: hand it to other systems as
    /// an idempotency key.
    pub fn call_id(&self) -> &str {
        &self.context.call_id
    }

    /// The names and values that the call was made with.
    pub fn tags(&self) -> &[(String, String)] {
        &self.context.tags
    }

    /// The value of a tag.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.context.tags.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

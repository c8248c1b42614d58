//! One attack: a guest that does one thing that it should not, and what must come of it.

use durawasm_test_components::{Guest, Image};

/// A guest, and the only outcomes that it may have: as an orchestrator, as an activity, and as an operation of an entity. An outcome is `failed: TYPE`, `parked: REASON`,
/// `ok`, or `refused` if it is not even loaded. Empty: the attack has no such role.
pub struct Attack {
    pub name: String,
    pub guest: Guest,
    pub orchestrator: &'static str,
    pub activity: &'static str,
    pub entity: &'static str,
    /// Whether it takes a deadline to stop it, or a lot of memory to try: it is repeated less often.
    pub slow: bool,
}

impl Attack {
    /// What becomes of an activity becomes of an entity's operation too.
    pub fn new(name: impl Into<String>, guest: Guest, orchestrator: &'static str, activity: &'static str) -> Self {
        Self { name: name.into(), guest, orchestrator, activity, entity: activity, slow: false }
    }

    /// The same instructions in all roles.
    pub fn both(name: &str, instructions: &str, orchestrator: &'static str, activity: &'static str) -> Self {
        Self::new(name, Guest::attacking(instructions), orchestrator, activity)
    }

    /// With more fields of the module than the instructions.
    pub fn with(mut self, fields: &str) -> Self {
        self.guest.fields.push_str(fields);
        self
    }

    /// With imports.
    pub fn importing(mut self, imports: &str) -> Self {
        self.guest.imports.push_str(imports);
        self
    }

    pub fn slow(mut self) -> Self {
        self.slow = true;
        self
    }
}

/// An orchestrator and an activity that answer with what lies in this image. Both answers begin with the image's first byte.
pub fn answering(name: &str, image: &Image, at: u32, orchestrator: &'static str, activity: &'static str) -> Attack {
    let answer = format!("(i32.const {at})");
    let guest = Guest { fields: image.data(), start: answer.clone(), run: answer, ..Guest::default() };
    Attack { entity: "", ..Attack::new(name, guest, orchestrator, activity) }
}

/// An entity that answers with what lies in this image.
pub fn operating(name: &str, image: &Image, at: u32, expected: &'static str) -> Attack {
    let guest = Guest { fields: image.data(), operate: format!("(i32.const {at})"), ..Guest::default() };
    Attack { orchestrator: "", activity: "", ..Attack::new(name, guest, "", expected) }
}

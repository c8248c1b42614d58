//! Ids of entities: `@name@key`.

use super::super::ids::{InstanceId, InvalidInstanceId};

/// Why a text is not the id of an entity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntityId {
    /// It has another form.
    #[error("`{0}` is not the id of an entity: that is @NAME@KEY, with a name that is not empty")]
    Form(String),
    /// It is too long.
    #[error(transparent)]
    Length(#[from] InvalidInstanceId),
}

/// Reads the id of an entity as it comes from outside. Names are the same in upper and lower case, and are kept in lower case; keys are
/// kept as they are.
///
/// # Errors
/// If it has another form, or is too long.
pub fn entity_id(text: &str) -> Result<InstanceId, InvalidEntityId> {
    let form = || InvalidEntityId::Form(text.chars().take(200).collect());
    let (name, key) = text.strip_prefix('@').and_then(|rest| rest.split_once('@')).ok_or_else(form)?;
    if name.is_empty() {
        return Err(form());
    }
    if name.chars().any(char::is_uppercase) {
        return Ok(InstanceId::parse(&format!("@{}@{key}", name.to_lowercase()))?);
    }
    Ok(InstanceId::parse(text)?)
}

/// The name in the id of an entity.
#[must_use]
pub fn entity_name(id: &InstanceId) -> &str {
    let rest = id.as_str().strip_prefix('@').unwrap_or_default();
    rest.split_once('@').map_or(rest, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_in_lower_case_and_keys_as_they_are() {
        for (text, id, name) in [
            ("@counter@A", "@counter@A", "counter"),
            ("@Counter@Key@x", "@counter@Key@x", "counter"),
            ("@ÄRGER@1", "@ärger@1", "ärger"),
            ("@c@", "@c@", "c"),
        ] {
            let parsed = entity_id(text).expect("it is one");
            assert_eq!((parsed.as_str(), entity_name(&parsed)), (id, name));
        }
    }

    #[test]
    fn what_has_another_form_or_is_too_long_is_no_id_of_an_entity() {
        for text in ["", "@", "@@", "@@key", "@name", "name@key", "counter"] {
            assert_eq!(entity_id(text), Err(InvalidEntityId::Form(text.into())), "{text}");
        }
        let long = format!("@e@{}", "k".repeat(98));
        assert!(matches!(entity_id(&long), Err(InvalidEntityId::Length(_))));
    }
}

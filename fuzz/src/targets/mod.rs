//! The targets, one a file.

mod chance;
mod components;
mod histories;
mod http2;
mod manifests;
mod messages;
mod requests;
mod stores;
mod values;
mod work;

use crate::Target;

/// The names of all targets.
pub const NAMES: [&str; 7] = ["components", "values", "histories", "requests", "work", "manifests", "stores"];

/// A target, ready to run.
pub fn target(name: &str) -> Option<Box<dyn Target>> {
    Some(match name {
        "components" => Box::new(components::Components::new()),
        "values" => Box::new(values::Values::new()),
        "histories" => Box::new(histories::Histories::new()),
        "requests" => Box::new(requests::Requests::new()),
        "work" => Box::new(work::Work::new()),
        "manifests" => Box::new(manifests::Manifests),
        "stores" => Box::new(stores::Stores::new()),
        _ => return None,
    })
}

//! The attributes `#[orchestrator]` and `#[activity]`.

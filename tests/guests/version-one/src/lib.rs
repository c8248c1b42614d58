//! One source that is compiled as version 1.0.0 and as version 2.0.0. Each orchestrator and activity says which of them it is.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

const THIS: &str = env!("CARGO_PKG_VERSION");

/// How to continue as new.
#[derive(Serialize, Deserialize)]
struct Move {
    /// `keep`, `newest`, or a version.
    to: String,
    /// The versions of the generations so far.
    #[serde(default)]
    were: Vec<String>,
}

/// Continues as new once. Returns the versions of both generations.
#[orchestrator]
async fn moves(ctx: Context, Move { to, mut were }: Move) -> Result<Vec<String>> {
    were.push(THIS.to_owned());
    if were.len() == 2 {
        return Ok(were);
    }
    let next = match to.as_str() {
        "keep" => Next::default().keep_version(),
        "newest" => Next::default(),
        version => Next::default().version(version),
    };
    ctx.continue_as_new_with(&Move { to, were }, next)
}

/// Calls an activity and starts a child, of this version if one is given. Returns which versions they were.
#[orchestrator]
async fn asks(ctx: Context, version: Option<String>) -> Result<(String, String)> {
    let (mut activity, mut child) = (ctx.call(says_activity, ()), ctx.start_child(says, ()));
    if let Some(version) = version {
        (activity, child) = (activity.version(&version), child.version(version));
    }
    try_join((activity, child)).await
}

/// Says its version.
#[orchestrator]
async fn says(_ctx: Context) -> Result<String> {
    Ok(THIS.to_owned())
}

/// Says its version.
#[activity]
fn says_activity() -> Result<String> {
    Ok(THIS.to_owned())
}

durawasm_guest::component!(moves, asks, says, says_activity);

//! `wasi:clocks`: all clocks show the time of the episode that is being worked off, as the history holds it. They stand still
//! within an episode and never go back. The time zone is UTC. Waiting for a clock is denied.

use wasmtime::component::Val;

use super::{Cx, Instance};

/// Nanoseconds between two times that a history can hold.
const RESOLUTION: u32 = 1_000;

pub(super) fn define(linker: &mut Instance<'_>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("wasi:clocks/wall-clock", "now") => linker.func_new(name, |cx, _, _, results| {
            let now = cx.data().now;
            results[0] = datetime(u64::try_from(now.seconds).unwrap_or(0), now.nanos);
            Ok(())
        })?,
        ("wasi:clocks/wall-clock", "resolution") => linker.func_new(name, |_, _, _, results| {
            results[0] = datetime(0, RESOLUTION);
            Ok(())
        })?,
        ("wasi:clocks/monotonic-clock", "now") => {
            linker.func_wrap(name, |cx: Cx<'_>, (): ()| Ok((cx.data().now.as_nanos(),)))?;
        }
        ("wasi:clocks/monotonic-clock", "resolution") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((u64::from(RESOLUTION),)))?;
        }
        ("wasi:clocks/timezone", "utc-offset") => linker.func_new(name, |_, _, _, results| {
            results[0] = Val::S32(0);
            Ok(())
        })?,
        ("wasi:clocks/timezone", "display") => linker.func_new(name, |_, _, _, results| {
            results[0] = record([
                ("utc-offset", Val::S32(0)),
                ("name", Val::String("UTC".to_owned())),
                ("in-daylight-saving-time", Val::Bool(false)),
            ]);
            Ok(())
        })?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn datetime(seconds: u64, nanoseconds: u32) -> Val {
    record([("seconds", Val::U64(seconds)), ("nanoseconds", Val::U32(nanoseconds))])
}

fn record<const N: usize>(fields: [(&str, Val); N]) -> Val {
    Val::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

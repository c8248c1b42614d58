//! `wasi:cli`: the environment is the deployment's, output goes to the log, input is at its end, there is no terminal and there
//! are no arguments. Leaving the process is denied.

use wasmtime::component::{Resource, Val};

use super::io::{InputStream, OutputStream};
use super::{Cx, Instance};
use crate::sandbox::logs::Standard;

pub(super) fn define(linker: &mut Instance<'_>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("wasi:cli/environment", "get-environment") => {
            linker.func_wrap(name, |cx: Cx<'_>, (): ()| Ok((cx.data().environment.to_vec(),)))?;
        }
        ("wasi:cli/environment", "get-arguments") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Vec::<String>::new(),)))?;
        }
        ("wasi:cli/environment", "initial-cwd") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((None::<String>,)))?;
        }
        ("wasi:cli/terminal-stdin", "get-terminal-stdin")
        | ("wasi:cli/terminal-stdout", "get-terminal-stdout")
        | ("wasi:cli/terminal-stderr", "get-terminal-stderr") => linker.func_new(name, |_, _, _, results| {
            results[0] = Val::Option(None);
            Ok(())
        })?,
        ("wasi:cli/stdin", "get-stdin") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Resource::<InputStream>::new_own(0),)))?;
        }
        ("wasi:cli/stdout", "get-stdout") => output(linker, name, Standard::Out)?,
        ("wasi:cli/stderr", "get-stderr") => output(linker, name, Standard::Err)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn output(linker: &mut Instance<'_>, name: &str, stream: Standard) -> wasmtime::Result<()> {
    linker.func_wrap(name, move |_: Cx<'_>, (): ()| Ok((Resource::<OutputStream>::new_own(stream as u32),)))
}

//! `wasi:filesystem`: there are no folders to begin with, so nothing in it can be reached.

use super::Instance;
use wasmtime::component::Val;

pub(super) fn define(linker: &mut Instance<'_>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    if (interface, name) != ("wasi:filesystem/preopens", "get-directories") {
        return Ok(false);
    }
    linker.func_new(name, |_, _, _, results| {
        results[0] = Val::List(Vec::new());
        Ok(())
    })?;
    Ok(true)
}

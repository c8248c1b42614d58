//! What an error of a stream means to another interface. The streams that orchestrators have never fail, so that it is always
//! nothing; libraries ask for it all the same.

use super::Instance;
use wasmtime::component::Val;

pub(super) fn define(linker: &mut Instance<'_>, name: &str) -> wasmtime::Result<bool> {
    if !matches!(name, "filesystem-error-code" | "http-error-code") {
        return Ok(false);
    }
    // Of one interface or of another, so that the types are not written down here. A borrowed handle must be given back.
    linker.func_new(name, |mut cx, _, arguments, results| {
        for argument in arguments {
            if let Val::Resource(error) = argument {
                error.resource_drop(&mut cx)?;
            }
        }
        results[0] = Val::Option(None);
        Ok(())
    })?;
    Ok(true)
}

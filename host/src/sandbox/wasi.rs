//! WASI 0.2 for orchestrators: each function is a function of the history, or a denial.
//!
//! Interfaces are linked by name, whatever their patch version, and one by one for what a component imports: this way each
//! import is either one of those below or denied, never missing.

use std::collections::HashSet;

use rand_chacha::rand_core::Rng as _;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{ComponentType, Linker, LinkerInstance, Lower, Resource, ResourceType, Val};
use wasmtime::{Engine, StoreContextMut};

use super::denial::{DeniedResources, Role};
use super::limits::LimitReached;
use super::logs::Standard;
use super::orchestrator::OrchestratorState;
use crate::orchestration::Limit;

/// Host resources of `wasi:io`. None holds anything: a stream is told from another by its number.
struct OutputStream;
struct InputStream;
struct Pollable;
struct IoError;

#[derive(ComponentType, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[allow(dead_code, reason = "part of the interface; these streams never fail")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

type Streamed<T> = Result<T, StreamError>;
type Cx<'a> = StoreContextMut<'a, OrchestratorState>;

/// Links one imported interface of WASI. `interface` has no version.
pub(super) fn link(
    linker: &mut Linker<OrchestratorState>,
    engine: &Engine,
    denied: &mut DeniedResources,
    import: &str,
    interface: &str,
    ty: &ComponentInstance,
) -> wasmtime::Result<()> {
    let mut instance = linker.instance(import)?;
    let mut linked = HashSet::new();
    for (name, item) in ty.exports(engine) {
        let known = match item.ty {
            ComponentItem::ComponentFunc(_) => define(&mut instance, interface, name)?,
            ComponentItem::Resource(_) => resource(&mut instance, interface, name)?,
            _ => true,
        };
        if known {
            linked.insert(name.to_owned());
        }
    }
    denied.deny(&mut instance, engine, Role::Orchestrator, interface, ty, |name| linked.contains(name))
}

/// Defines a resource of `wasi:io`. Under another interface's roof it is the same type again, which does no harm.
fn resource(linker: &mut LinkerInstance<'_, OrchestratorState>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    let ty = match (interface.starts_with("wasi:"), name) {
        (true, "error") => ResourceType::host::<IoError>(),
        (true, "pollable") => ResourceType::host::<Pollable>(),
        (true, "input-stream") => ResourceType::host::<InputStream>(),
        (true, "output-stream") => ResourceType::host::<OutputStream>(),
        _ => return Ok(false),
    };
    linker.resource(name, ty, |_, _| Ok(()))?;
    Ok(true)
}

/// Defines a function if it has a deterministic form.
fn define(linker: &mut LinkerInstance<'_, OrchestratorState>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("wasi:clocks/wall-clock", "now") => linker.func_new(name, |cx, _, _, results| {
            let now = cx.data().now;
            results[0] = datetime(u64::try_from(now.seconds).unwrap_or(0), now.nanos);
            Ok(())
        })?,
        ("wasi:clocks/wall-clock", "resolution") => linker.func_new(name, |_, _, _, results| {
            results[0] = datetime(0, 1_000);
            Ok(())
        })?,
        ("wasi:clocks/monotonic-clock", "now") => {
            linker.func_wrap(name, |cx: Cx<'_>, (): ()| Ok((cx.data().now.as_nanos(),)))?;
        }
        ("wasi:clocks/monotonic-clock", "resolution") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((1_000_u64,)))?;
        }
        ("wasi:random/random", "get-random-u64") | ("wasi:random/insecure", "get-insecure-random-u64") => {
            linker.func_wrap(name, |mut cx: Cx<'_>, (): ()| Ok((cx.data_mut().random.next_u64(),)))?;
        }
        ("wasi:random/insecure-seed", "insecure-seed" | "get-insecure-seed") => {
            linker.func_wrap(name, |mut cx: Cx<'_>, (): ()| {
                let random = &mut cx.data_mut().random;
                Ok(((random.next_u64(), random.next_u64()),))
            })?;
        }
        ("wasi:random/random", "get-random-bytes") | ("wasi:random/insecure", "get-insecure-random-bytes") => {
            random_bytes(linker, name)?;
        }
        ("wasi:cli/environment", "get-environment") => {
            linker.func_wrap(name, |cx: Cx<'_>, (): ()| Ok((cx.data().environment.to_vec(),)))?
        }
        ("wasi:cli/environment", "get-arguments") | ("wasi:filesystem/preopens", "get-directories") => linker
            .func_new(name, |_, _, _, results| {
                results[0] = Val::List(Vec::new());
                Ok(())
            })?,
        ("wasi:cli/environment", "initial-cwd")
        | ("wasi:cli/terminal-stdin" | "wasi:cli/terminal-stdout" | "wasi:cli/terminal-stderr", _)
        | ("wasi:filesystem/types", "filesystem-error-code") => linker.func_new(name, |_, _, _, results| {
            results[0] = Val::Option(None);
            Ok(())
        })?,
        ("wasi:cli/stdin", "get-stdin") => {
            linker.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Resource::<InputStream>::new_own(0),)))?;
        }
        ("wasi:cli/stdout", "get-stdout") => output(linker, name, Standard::Out)?,
        ("wasi:cli/stderr", "get-stderr") => output(linker, name, Standard::Err)?,
        ("wasi:io/error" | "wasi:io/poll" | "wasi:io/streams", _) => return io(linker, name),
        _ => return Ok(false),
    }
    Ok(true)
}

fn datetime(seconds: u64, nanoseconds: u32) -> Val {
    Val::Record(vec![("seconds".to_owned(), Val::U64(seconds)), ("nanoseconds".to_owned(), Val::U32(nanoseconds))])
}

fn random_bytes(linker: &mut LinkerInstance<'_, OrchestratorState>, name: &str) -> wasmtime::Result<()> {
    linker.func_wrap(name, move |mut cx: Cx<'_>, (length,): (u64,)| {
        let limit = cx.data().max_random;
        let length = usize::try_from(length).ok().filter(|length| *length <= limit).ok_or_else(|| {
            let message = format!("it asked for {length} random bytes at once; the limit is {limit} bytes");
            wasmtime::Error::new(LimitReached::new(Limit::Random, message))
        })?;
        let mut bytes = vec![0; length];
        cx.data_mut().random.fill_bytes(&mut bytes);
        Ok((bytes,))
    })
}

fn output(linker: &mut LinkerInstance<'_, OrchestratorState>, name: &str, stream: Standard) -> wasmtime::Result<()> {
    linker.func_wrap(name, move |_: Cx<'_>, (): ()| Ok((Resource::<OutputStream>::new_own(stream as u32),)))
}

/// Output goes to the log and never blocks; input is at its end.
fn io(linker: &mut LinkerInstance<'_, OrchestratorState>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]error.to-debug-string" => {
            linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<IoError>,)| Ok((String::from("i/o error"),)))?;
        }
        // Every pollable there is belongs to a stream, and streams are always ready.
        "[method]pollable.ready" => linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<Pollable>,)| Ok((true,)))?,
        "[method]pollable.block" => linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<Pollable>,)| Ok(()))?,
        "poll" => linker.func_wrap(name, |_: Cx<'_>, (list,): (Vec<Resource<Pollable>>,)| {
            Ok(((0..u32::try_from(list.len()).unwrap_or(u32::MAX)).collect::<Vec<u32>>(),))
        })?,
        "[method]input-stream.subscribe" => {
            linker
                .func_wrap(name, |_: Cx<'_>, (_,): (Resource<InputStream>,)| Ok((Resource::<Pollable>::new_own(0),)))?;
        }
        "[method]output-stream.subscribe" => {
            linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<OutputStream>,)| {
                Ok((Resource::<Pollable>::new_own(0),))
            })?;
        }
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            linker.func_wrap(name, |_: Cx<'_>, (_, _): (Resource<InputStream>, u64)| {
                Ok((Streamed::<Vec<u8>>::Err(StreamError::Closed),))
            })?;
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            linker.func_wrap(name, |_: Cx<'_>, (_, _): (Resource<InputStream>, u64)| {
                Ok((Streamed::<u64>::Err(StreamError::Closed),))
            })?;
        }
        "[method]output-stream.check-write" => {
            linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<OutputStream>,)| Ok((Streamed::Ok(64_u64 << 10),)))?;
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            linker.func_wrap(name, |mut cx: Cx<'_>, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
                let stream = if stream.rep() == Standard::Err as u32 { Standard::Err } else { Standard::Out };
                cx.data_mut().logs.write_standard(stream, &bytes);
                Ok((Streamed::Ok(()),))
            })?;
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            linker.func_wrap(name, |_: Cx<'_>, (_,): (Resource<OutputStream>,)| Ok((Streamed::Ok(()),)))?;
        }
        "[method]output-stream.write-zeroes" | "[method]output-stream.blocking-write-zeroes-and-flush" => {
            linker.func_wrap(name, |_: Cx<'_>, (_, _): (Resource<OutputStream>, u64)| Ok((Streamed::Ok(()),)))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
